"""Make Dagster's databases, alone: ``python -m qmachina_jobs.storage``.

Two processes that make them at the same time write their migration tables twice and leave them
unusable, so this is done once, before anything else starts on a home.
"""

from __future__ import annotations

import dagster as dg


def main() -> None:
    """Open every store of the instance once."""
    with dg.DagsterInstance.get() as instance:
        instance.get_runs_count()
        instance.all_asset_keys()
        instance.all_instigator_state()


if __name__ == "__main__":
    main()
