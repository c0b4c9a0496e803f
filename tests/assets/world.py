"""A lake and Dagster's view of it, for tests to act on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import yaml

from qmachina.lake.home import Home
from qmachina.lake.layout import raw_folder
from qmachina.sources.synth.spec import SynthSpec
from qmachina_assets.resources import HomeResource
from qmachina_jobs.graph import code_location
from qmachina_jobs.jobs import run_config
from qmachina_jobs.launch import failure_of

MARKET = SynthSpec(depth_ticks=60, events_per_s=60.0)
#: Monday; Tuesday, a half day; Wednesday is Christmas; Thursday.
MONDAY, TUESDAY, THURSDAY = date(2024, 12, 23), date(2024, 12, 24), date(2024, 12, 26)
CHRISTMAS, SATURDAY = date(2024, 12, 25), date(2024, 12, 28)
SECONDS = 60
QUIET = {"console": {"config": {"log_level": "CRITICAL"}}}


@dataclass
class World:
    """A lake with raw files, and Dagster's view of it."""

    resource: HomeResource
    instance: dg.DagsterInstance

    @property
    def root(self) -> Path:
        return Path(self.resource.lake)

    @property
    def home(self) -> Home:
        return self.resource.open()

    @property
    def defs(self) -> dg.Definitions:
        return code_location(self.resource)

    def run(
        self,
        job: str,
        day: date | None = None,
        config: dict[str, Any] | None = None,
        tags: dict[str, str] | None = None,
    ) -> dg.ExecuteInProcessResult:
        return self.defs.resolve_job_def(job).execute_in_process(
            run_config={**run_config(job, config or {}), "loggers": QUIET},
            instance=self.instance,
            partition_key=None if day is None else str(day),
            tags=tags,
            raise_on_error=False,
        )

    def failure(self, *args: Any, **named: Any) -> str:
        """Run a job that must fail, and return what Dagster shows as the reason."""
        result = self.run(*args, **named)
        assert not result.success
        return failure_of(result)[0] or ""

    def partitions(self) -> list[Path]:
        """Everything published or half-published below the lake, raw files aside."""
        layers = ("silver", "gold", "signals", "evaluation", "experiments", "raw/mbo_dbn")
        return [p for layer in layers for p in (self.root / layer).rglob("*dt=*")]


def make_lake(root: Path, **changes: Any) -> HomeResource:
    """Make a lake of the market's instrument, without files."""
    instrument = MARKET.instrument().model_copy(update={"first_date": MONDAY})
    plain = {k: v for k, v in instrument.canonical().items() if v is not None} | changes
    (root / raw_folder(instrument)).mkdir(parents=True)
    (root / "instrument.yaml").write_text(yaml.safe_dump(plain))
    return HomeResource(lake=str(root))
