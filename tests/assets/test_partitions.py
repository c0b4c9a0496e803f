"""Dates: exclusions are right, and Dagster's three date bugs cannot reach the lake."""

# No postponed annotations here: Dagster reads them.

import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from qmachina_assets.partitions import session_partitions
from tests.assets.world import CHRISTMAS, MONDAY, SATURDAY, THURSDAY, TUESDAY, World, make_lake


def keys(resource: object, until: datetime) -> list[str]:
    from dagster import partition_loading_context

    sessions = session_partitions(resource.open())  # type: ignore[attr-defined]
    with partition_loading_context(effective_dt=until):
        return list(sessions.get_partition_keys())


def test_partitions_are_the_sessions_of_the_calendar(tmp_path: Path) -> None:
    resource = make_lake(tmp_path / "lake")
    home = resource.open()
    found = keys(resource, datetime(2025, 3, 1, tzinfo=UTC))
    assert found == [str(d) for d in home.calendar.sessions(MONDAY, date(2025, 2, 28))]
    assert str(TUESDAY) in found
    assert str(CHRISTMAS) not in found


def test_a_session_appears_when_its_utc_date_is_over(tmp_path: Path) -> None:
    resource = make_lake(tmp_path / "lake")
    assert keys(resource, datetime(2024, 12, 26, 23, 59, tzinfo=UTC))[-1] == str(TUESDAY)
    assert keys(resource, datetime(2024, 12, 27, 0, 0, tzinfo=UTC))[-1] == str(THURSDAY)


@pytest.mark.parametrize("day", [SATURDAY, SATURDAY + timedelta(1), CHRISTMAS])
def test_no_future_session_is_exposed_on_an_excluded_day(tmp_path: Path, day: date) -> None:
    resource = make_lake(tmp_path / "lake")
    now = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    assert date.fromisoformat(keys(resource, now)[-1]) < day


def test_an_always_open_market_has_every_date(tmp_path: Path) -> None:
    resource = make_lake(tmp_path / "lake", calendar="24/7")
    found = keys(resource, datetime(2024, 12, 30, tzinfo=UTC))
    assert found == [str(MONDAY + timedelta(i)) for i in range(7)]


def test_nothing_comes_before_the_first_date(tmp_path: Path) -> None:
    resource = make_lake(tmp_path / "lake", first_date="2024-12-26")
    assert keys(resource, datetime(2024, 12, 28, tzinfo=UTC))[0] == str(THURSDAY)


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ({"dagster/partition": str(SATURDAY)}, "2024-12-28 is not a session of CMES"),
        ({"dagster/partition": str(CHRISTMAS)}, "it is a holiday.*2024-12-24 and 2024-12-26"),
        (
            {
                "dagster/asset_partition_range_start": str(MONDAY),
                "dagster/asset_partition_range_end": str(CHRISTMAS),
            },
            "2024-12-25 is not a session",
        ),
        (
            {
                "dagster/asset_partition_range_start": str(MONDAY),
                "dagster/asset_partition_range_end": str(TUESDAY),
            },
            "given 2024-12-23, 2024-12-24: a run is about one session",
        ),
    ],
)
def test_a_run_launched_by_tag_for_no_session_fails_and_writes_nothing(
    world: World, tags: dict[str, str], message: str
) -> None:
    # Dagster accepts these and would silently work on the next session.
    line = world.failure("ingest", tags=tags)
    assert re.search(message, line)
    assert world.partitions() == []
    event = world.instance.get_latest_materialization_event(dg.AssetKey(["raw", "mbo_dbn"]))
    assert event is None


def test_dagster_itself_would_have_taken_the_next_session(world: World) -> None:
    # If this begins to fail the guard may go.
    given = []

    @dg.asset(partitions_def=session_partitions(world.home))
    def probe(context: dg.AssetExecutionContext) -> None:
        given.extend(context.partition_keys)

    dg.materialize([probe], instance=world.instance, tags={"dagster/partition": str(SATURDAY)})
    assert given == ["2024-12-30"]


def test_a_run_without_a_date_is_refused(world: World) -> None:
    result = world.run("ingest")
    assert not result.success
    assert world.partitions() == []
