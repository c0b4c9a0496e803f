"""What serves: immutable serving versions, aliases, and the log of who moved what and why.

``documents`` keeps content-addressed files, ``log`` is the hash chain and its fold, ``gate``
says what an alias demands, ``reader`` and ``writer`` are the two sides of the SQLite file.
"""
