from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import pytest

from qmachina.errors import SessionError
from qmachina.market import DAY_NS
from qmachina.sessions.calendar import TABLE_NAMES, TABLES, Calendar, from_table, require_session


def ns(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000_000


@pytest.mark.parametrize(
    ("name", "day", "expected"),
    [
        ("24/7", date(2015, 5, 1), True),
        ("24/7", date(2015, 5, 2), True),
        ("CMES", date(2023, 12, 24), False),
        ("CMES", date(2023, 12, 25), False),
        ("CMES", date(2024, 5, 8), True),
        ("XNAS", date(2025, 7, 17), True),
        ("XNAS", date(2012, 10, 29), False),
        ("XNAS", date(2024, 11, 29), True),
    ],
)
def test_known_dates(name: str, day: date, expected: bool) -> None:
    assert Calendar.load(name).is_session(day) is expected


@pytest.mark.parametrize(
    ("name", "day", "opened", "closed"),
    [
        # summer and winter time, an early close
        ("XNAS", date(2025, 7, 17), "2025-07-17T13:30", "2025-07-17T20:00"),
        ("XNAS", date(2025, 1, 15), "2025-01-15T14:30", "2025-01-15T21:00"),
        ("XNAS", date(2024, 11, 29), "2024-11-29T14:30", "2024-11-29T18:00"),
        # the session opens the evening before: cut to its own UTC date
        ("CMES", date(2024, 5, 8), "2024-05-08T00:00", "2024-05-08T22:00"),
        ("CMES", date(2024, 1, 10), "2024-01-10T00:00", "2024-01-10T23:00"),
        ("CMES", date(2024, 11, 29), "2024-11-29T00:00", "2024-11-29T18:00"),
        ("24/7", date(2015, 5, 1), "2015-05-01T00:00", "2015-05-02T00:00"),
    ],
)
def test_open_and_close(name: str, day: date, opened: str, closed: str) -> None:
    assert Calendar.load(name).open_close_ns(day) == (ns(opened), ns(closed))


@pytest.mark.parametrize("name", [*TABLE_NAMES, "24/7"])
def test_every_session_lies_inside_its_utc_date(name: str) -> None:
    calendar = Calendar.load(name)
    for day in calendar.sessions(date(2023, 1, 1), date(2025, 12, 31)):
        opened, closed = calendar.open_close_ns(day)
        midnight = (day - date(1970, 1, 1)).days * DAY_NS
        assert midnight <= opened < closed <= midnight + DAY_NS


@pytest.mark.parametrize("name", TABLE_NAMES)
def test_sessions_and_holidays_partition_the_weekdays(name: str) -> None:
    calendar = Calendar.load(name)
    first, last = calendar.first, calendar.last
    days = [first + timedelta(days=i) for i in range((last - first).days + 1)]
    weekdays = {d for d in days if d.weekday() < 5}
    sessions, holidays = calendar.sessions(first, last), calendar.holidays(first, last)
    assert set(sessions) | set(holidays) == weekdays
    assert not set(sessions) & set(holidays)
    assert list(sessions) == sorted(sessions)
    assert calendar.horizon == last
    assert last >= date(2027, 12, 31)
    assert first == date(2010, 1, 1)


def test_a_range_is_inclusive_at_both_ends() -> None:
    calendar = Calendar.load("XNAS")
    assert calendar.sessions(date(2024, 12, 24), date(2024, 12, 26)) == (
        date(2024, 12, 24),
        date(2024, 12, 26),
    )
    assert calendar.holidays(date(2024, 12, 25), date(2024, 12, 25)) == (date(2024, 12, 25),)
    assert calendar.sessions(date(2024, 12, 26), date(2024, 12, 24)) == ()


def test_unknown_calendars_are_refused() -> None:
    for name in ("XLON", "../XNAS", ""):
        with pytest.raises(SessionError, match="no such exchange calendar"):
            Calendar.load(name)


def test_dates_outside_the_table_name_its_range() -> None:
    calendar = Calendar.load("CMES")
    for ask in (calendar.is_session, calendar.open_close_ns, calendar.nearest):
        with pytest.raises(SessionError, match=r"2009-12-31 is outside .* 2010-01-01 to 2035"):
            ask(date(2009, 12, 31))
    with pytest.raises(SessionError, match="2036-01-01 is outside"):
        calendar.sessions(date(2035, 12, 1), date(2036, 1, 1))


@pytest.mark.parametrize(
    ("name", "day", "reason", "nearest"),
    [
        ("CMES", date(2023, 12, 24), "a Sunday", "2023-12-22 and 2023-12-26"),
        ("XNAS", date(2024, 7, 4), "a holiday", "2024-07-03 and 2024-07-05"),
        ("XNAS", date(2010, 1, 1), "a holiday", "2010-01-04"),
        ("XNAS", date(2010, 1, 2), "a Saturday", "2010-01-04"),
    ],
)
def test_require_session_names_the_nearest(name: str, day: date, reason: str, nearest: str) -> None:
    with pytest.raises(SessionError) as caught:
        require_session(Calendar.load(name), day)
    assert str(caught.value) == (
        f"{day} is not a session of {name}: it is {reason}. The nearest sessions are {nearest}"
    )
    with pytest.raises(SessionError, match="not a session"):
        Calendar.load(name).open_close_ns(day)


def test_require_session_returns_the_date() -> None:
    assert require_session(Calendar.load("24/7"), date(2015, 5, 2)) == date(2015, 5, 2)


def test_the_horizon_warns_by_an_injected_clock() -> None:
    calendar = Calendar.load("XNAS")
    assert calendar.check_horizon(calendar.horizon - timedelta(days=90)) is None
    warning = calendar.check_horizon(calendar.horizon - timedelta(days=89))
    assert warning is not None
    assert "89 days" in warning
    assert Calendar.load("24/7").check_horizon(date(2100, 1, 1)) is None


def test_the_committed_tables_are_what_the_generator_makes() -> None:
    pytest.importorskip("exchange_calendars", reason="a development dependency")
    from qmachina.sessions.generate import build

    for name in TABLE_NAMES:
        committed = json.loads((TABLES / f"{name}.json").read_text())
        assert {**build(name), "source": None} == {**committed, "source": None}


def test_reading_a_calendar_does_not_import_the_library() -> None:
    code = (
        "import sys; from qmachina.sessions.calendar import Calendar; Calendar.load('CMES');"
        "sys.exit('exchange_calendars' in sys.modules or 'pandas' in sys.modules)"
    )
    root = Path(__file__).resolve().parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0


def test_a_table_of_another_shape_is_an_error() -> None:
    table = json.loads((TABLES / "XNAS.json").read_text())
    assert from_table(table).early_closes[date(2010, 11, 26)] == time(13)
    with pytest.raises(KeyError):
        from_table({k: v for k, v in table.items() if k != "holidays"})
    with pytest.raises(ValueError, match="isoformat"):
        from_table({**table, "first": "soon"})
