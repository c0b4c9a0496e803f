"""The lake on disk: where each dataset lies, what it promises, and how it is published.

``layout`` names places, ``contract`` and ``tables`` say what a file holds, ``manifest`` what a
partition is, ``store`` publishes and reads whole partitions, ``raw`` finds vendor files.
"""
