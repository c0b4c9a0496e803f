"""qMachina: raw market-by-order data in, trustworthy order-book signals out.

The core, in the order the data flows:

``market`` and ``sessions`` name what a record, an instrument and a trading day are;
``specs`` say what is to be computed; ``sources`` yield records; ``book`` turns records
into a level-3 order book and signed flow; ``grid`` turns flow into a dense grid (silver);
``features`` turns silver into gold; ``models`` turn gold into scores; ``evaluation`` turns
scores into evidence; ``lake`` keeps everything; ``registry`` remembers what serves;
``datasets`` builds one partition of one dataset; ``pipeline`` runs all stages live.

This package imports neither Dagster nor FastAPI.
"""
