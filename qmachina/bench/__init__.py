"""Measure against peers: ratios from one interleaved run, never times across runs.

Each contestant is a script of its own process that reads the same records and prints one
line of JSON. Peers live in environments of their own under ``.peers``.
"""
