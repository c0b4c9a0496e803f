"""The daily schedule over a table of ticks."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from tests.assets.world import MONDAY, World, make_lake


def tick(world: World, moment: str) -> dg.RunRequest | dg.SkipReason:
    defs = world.defs
    context = dg.build_schedule_context(
        instance=world.instance,
        scheduled_execution_time=datetime.fromisoformat(moment).replace(tzinfo=UTC),
        resources={"home": world.resource},
        repository_def=defs.get_repository_def(),
    )
    data = defs.resolve_schedule_def("daily_ingest").evaluate_tick(context)
    if data.run_requests:
        (request,) = data.run_requests
        return request
    return dg.SkipReason(data.skip_message)


@pytest.mark.parametrize(
    ("moment", "asked", "reason"),
    [
        ("2024-12-24T06:00", "2024-12-23", ""),  # Tuesday: Monday's
        ("2024-12-25T06:00", "2024-12-24", ""),  # the half day before Christmas
        ("2024-12-26T06:00", None, "2024-12-25 is no session of QMZ9"),  # after the holiday
        ("2024-12-27T06:00", "2024-12-26", ""),
        ("2024-12-28T06:00", None, "no raw file of 2024-12-27"),  # Saturday: Friday's is late
        ("2024-12-29T06:00", None, "2024-12-28 is no session"),  # Sunday
        ("2024-12-30T06:00", None, "2024-12-29 is no session"),  # Monday: not Friday again
        ("2024-12-23T06:00", None, "2024-12-22 is no session"),  # before the first date
    ],
)
def test_yesterday_is_asked_for_if_it_was_a_session(
    world: World, moment: str, asked: str | None, reason: str
) -> None:
    answer = tick(world, moment)
    if asked is None:
        assert isinstance(answer, dg.SkipReason)
        assert reason in (answer.skip_message or "")
    else:
        assert isinstance(answer, dg.RunRequest)
        assert answer.partition_key == asked
        assert answer.run_key == f"daily:{asked}"


def test_a_date_that_is_done_is_not_asked_for(built: World) -> None:
    answer = tick(built, "2024-12-24T06:00")
    assert isinstance(answer, dg.SkipReason)
    assert answer.skip_message == f"{MONDAY} is in the lake"


def test_an_empty_lake_waits_for_its_file(tmp_path: Path) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        answer = tick(World(make_lake(tmp_path / "lake"), instance), "2024-12-24T06:00")
    assert isinstance(answer, dg.SkipReason)
    assert "qmachina import" in (answer.skip_message or "")
