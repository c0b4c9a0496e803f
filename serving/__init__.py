"""The serving process: promoted specs as live streams, and the page that draws them.

``frames`` and ``wire`` say how a stream looks, ``web`` holds the sources of the page and
``build`` turns them into ``static``. This package is transport: every number it sends comes
from the core.
"""
