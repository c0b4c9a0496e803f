"""Write the calendar tables from ``exchange_calendars``: ``python -m qmachina.sessions.generate``.

The only module that imports the library, which pulls in pandas and doubles import time.
Holidays of future years follow today's rules; an unscheduled closure is added by running
this again with a newer library.
"""

from __future__ import annotations

import json
import warnings
from datetime import date, time, timedelta
from typing import Any

import exchange_calendars

from qmachina.market import DAY_NS
from qmachina.sessions.calendar import TABLE_NAMES, TABLES, from_table

FIRST = date(2010, 1, 1)
#: The library has no end of its own; ten years of rules are as far as anyone should trust them.
LAST = date(2035, 12, 31)


def build(name: str) -> dict[str, Any]:
    """Return one table as JSON-ready data, proven equal to the library session by session.

    Raises
    ------
    ValueError
        If the library's calendar has a feature that the table cannot say.
    """
    with warnings.catch_warnings():
        # The library calls parts of pandas that pandas is about to drop.
        warnings.simplefilter("ignore", DeprecationWarning)
        library = exchange_calendars.get_calendar(name, start=str(FIRST), end=str(LAST))
    schedule = library.schedule
    labels = [stamp.date() for stamp in schedule.index]
    opens = [stamp.to_pydatetime().astimezone(library.tz) for stamp in schedule["open"]]
    closes = [stamp.to_pydatetime().astimezone(library.tz) for stamp in schedule["close"]]
    regular = max(c.time() for c in closes)
    days = (FIRST + timedelta(days=i) for i in range((LAST - FIRST).days + 1))
    table = {
        "name": name,
        "source": f"exchange_calendars {exchange_calendars.__version__}",
        "zone": str(library.tz),
        "first": str(FIRST),
        "last": str(LAST),
        "open": _text(opens[0].time()),
        "open_day_offset": (opens[0].date() - labels[0]).days,
        "close": _text(regular),
        "holidays": [str(d) for d in days if d.weekday() < 5 and d not in set(labels)],
        "early_closes": {
            str(label): _text(c.time())
            for label, c in zip(labels, closes, strict=True)
            if c.time() != regular
        },
    }
    _prove(table, labels, opens, closes)
    return table


def _prove(table: dict[str, Any], labels: list[date], opens: list, closes: list) -> None:
    calendar = from_table(table)
    if list(calendar.sessions(FIRST, LAST)) != labels:
        raise ValueError(f"{table['name']}: sessions differ from the library's")
    for label, opened, closed in zip(labels, opens, closes, strict=True):
        midnight = (label - date(1970, 1, 1)).days * DAY_NS
        expected = (
            max(midnight, int(opened.timestamp()) * 1_000_000_000),
            min(midnight + DAY_NS, int(closed.timestamp()) * 1_000_000_000),
        )
        if calendar.open_close_ns(label) != expected:
            raise ValueError(f"{table['name']} {label}: open or close differs from the library's")


def _text(moment: time) -> str:
    return moment.isoformat(timespec="minutes")


def main() -> None:
    """Write every table."""
    TABLES.mkdir(exist_ok=True)
    for name in TABLE_NAMES:
        text = json.dumps(build(name), indent=1) + "\n"
        (TABLES / f"{name}.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
