"""Trading sessions of an exchange, read from the committed tables.

A session is named by its date label. The research partition of a session is the UTC date
of the same label, so a session that opens on the evening before (CMES) contributes only
the part inside its own UTC date. A half day is a session.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo

from qmachina.errors import SessionError
from qmachina.market import DAY_NS

TABLES = Path(__file__).parent / "tables"
#: Calendars with a committed table.
TABLE_NAMES = ("CMES", "XNAS")
#: Every date is a session; has no table.
ALWAYS_OPEN = "24/7"

_DAY = timedelta(days=1)
_EPOCH = date(1970, 1, 1)
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


@dataclass(frozen=True)
class Calendar:
    """The sessions of one exchange between two dates.

    Parameters
    ----------
    name : str
        ``XNAS``, ``CMES`` or ``24/7``.
    zone : ZoneInfo
        Zone of the local times below.
    first, last : date
        The table's range, both inclusive. Nothing is known outside.
    open, close : time or None
        Regular local times; None stands for the midnight that starts or ends the date.
    open_day_offset : int
        0 where a session opens on its own date, -1 where it opens the evening before.
    weekends : bool
        Whether Saturdays and Sundays are sessions.
    closed : frozenset of date
        Weekday holidays.
    early_closes : mapping of date to time
        Local close of the half days.
    """

    name: str
    zone: ZoneInfo
    first: date
    last: date
    open: time | None
    close: time | None
    open_day_offset: int
    weekends: bool
    closed: frozenset[date]
    early_closes: Mapping[date, time]

    @staticmethod
    def load(name: str) -> Calendar:
        """Return a calendar by name.

        Raises
        ------
        SessionError
            If there is no such calendar.
        """
        if name not in (*TABLE_NAMES, ALWAYS_OPEN):
            raise SessionError(
                "no such exchange calendar",
                expected=" or ".join((*TABLE_NAMES, ALWAYS_OPEN)),
                found=repr(name),
            )
        return _load(name)

    @property
    def horizon(self) -> date:
        """The last date the table knows."""
        return self.last

    def check_horizon(self, today: date, days: int = 90) -> str | None:
        """Return a warning when fewer than ``days`` days of the table remain, else None."""
        left = (self.last - today).days
        if left >= days:
            return None
        return (
            f"calendar {self.name} ends on {self.last}, {left} days after {today}: "
            "run python -m qmachina.sessions.generate with a later end"
        )

    def is_session(self, day: date) -> bool:
        """Tell whether a date is a session; SessionError outside the table's range."""
        self._require_range(day)
        return self._is_open(day)

    def sessions(self, first: date, last: date) -> tuple[date, ...]:
        """Return the sessions from ``first`` to ``last``, both inclusive, in order."""
        return tuple(d for d in self._dates(first, last) if self._is_open(d))

    def holidays(self, first: date, last: date) -> tuple[date, ...]:
        """Return the closed weekdays from ``first`` to ``last``, both inclusive, in order."""
        return tuple(d for d in self._dates(first, last) if d in self.closed)

    def open_close_ns(self, day: date) -> tuple[int, int]:
        """Return when a session opens and closes inside its UTC date.

        Parameters
        ----------
        day : date
            Label of the session.

        Returns
        -------
        tuple of int
            Open and close in nanoseconds since the epoch: the session cut to
            [00:00, 24:00) UTC of ``day``. Half days close early.

        Raises
        ------
        SessionError
            If the date is not a session or outside the table.
        """
        require_session(self, day)
        start = (day - _EPOCH).days * DAY_NS
        open_ns, close_ns = start, start + DAY_NS
        if self.open is not None:
            local = datetime.combine(day + self.open_day_offset * _DAY, self.open, self.zone)
            open_ns = max(open_ns, _utc_ns(local))
        close = self.early_closes.get(day, self.close)
        if close is not None:
            close_ns = min(close_ns, _utc_ns(datetime.combine(day, close, self.zone)))
        return open_ns, close_ns

    def nearest(self, day: date) -> tuple[date | None, date | None]:
        """Return the last session before and the first after a date, None where unknown."""
        self._require_range(day)
        before, after = day - _DAY, day + _DAY
        while before >= self.first and not self._is_open(before):
            before -= _DAY
        while after <= self.last and not self._is_open(after):
            after += _DAY
        return (
            before if before >= self.first else None,
            after if after <= self.last else None,
        )

    def _is_open(self, day: date) -> bool:
        return (self.weekends or day.weekday() < 5) and day not in self.closed

    def _dates(self, first: date, last: date) -> list[date]:
        self._require_range(first)
        self._require_range(last)
        return [first + i * _DAY for i in range((last - first).days + 1)]

    def _require_range(self, day: date) -> None:
        if not self.first <= day <= self.last:
            raise SessionError(
                f"{day} is outside calendar {self.name}",
                expected=f"{self.first} to {self.last}",
            )


def require_session(calendar: Calendar, day: date) -> date:
    """Return the date, or say why it is not a session.

    Raises
    ------
    SessionError
        Naming the weekday or holiday and the nearest sessions.
    """
    if calendar.is_session(day):
        return day
    reason = "a holiday" if day in calendar.closed else f"a {_WEEKDAYS[day.weekday()]}"
    nearest = " and ".join(str(d) for d in calendar.nearest(day) if d is not None)
    raise SessionError(
        f"{day} is not a session of {calendar.name}: it is {reason}",
        remedy=f"The nearest sessions are {nearest}",
    )


def _utc_ns(moment: datetime) -> int:
    whole = moment.astimezone(UTC)
    seconds = whole.hour * 3600 + whole.minute * 60 + whole.second
    return (whole.date() - _EPOCH).days * DAY_NS + seconds * 1_000_000_000


@cache
def _load(name: str) -> Calendar:
    if name == ALWAYS_OPEN:
        # The range is what int64 nanoseconds can say in whole years.
        return Calendar(
            name, ZoneInfo("UTC"), _EPOCH, date(2261, 12, 31), None, None, 0, True,
            frozenset(), MappingProxyType({}),
        )  # fmt: skip
    path = TABLES / f"{name}.json"
    try:
        return from_table(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, KeyError, TypeError, ValueError) as e:
        raise SessionError(
            f"not a calendar table: {e!r}",
            subject=path.name,
            remedy="Run python -m qmachina.sessions.generate",
        ) from e


def from_table(table: Mapping[str, Any]) -> Calendar:
    """Build a calendar from the content of one table file.

    Raises
    ------
    KeyError, TypeError, ValueError
        If the table is not what ``qmachina.sessions.generate`` writes.
    """
    return Calendar(
        name=str(table["name"]),
        zone=ZoneInfo(table["zone"]),
        first=date.fromisoformat(table["first"]),
        last=date.fromisoformat(table["last"]),
        open=time.fromisoformat(table["open"]),
        close=time.fromisoformat(table["close"]),
        open_day_offset=int(table["open_day_offset"]),
        weekends=False,
        closed=frozenset(date.fromisoformat(d) for d in table["holidays"]),
        early_closes=MappingProxyType(
            {date.fromisoformat(d): time.fromisoformat(t) for d, t in table["early_closes"].items()}
        ),
    )
