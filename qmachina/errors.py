"""Every error qMachina raises on purpose.

    QMachinaError
    ├── SpecError            a spec is impossible: names the field and what is allowed
    ├── DataError            input is not what it claims to be
    │   ├── FormatError      a file cannot be decoded: byte offset, expected, found
    │   ├── SelectionError   instrument, publisher or symbol is missing or ambiguous
    │   ├── RecordError      one record is impossible: index, order id, time
    │   └── SchemaError      a table is not what its contract says
    ├── LakeError
    │   ├── MissingError     the key does not exist: says which asset makes it
    │   └── ImmutableError   the key exists and may not be replaced
    ├── SessionError         a date is not a trading session of the instrument
    └── RefusedError         a rule forbids it: instrument lock, gate, lost race
        ├── LockError        another instrument, or another process holds the home
        ├── PreflightError   a serving spec may not be published: carries the reasons
        └── ConflictError    compare-and-swap lost against a concurrent writer

Exit codes of the command line derive from this tree: bad input 3, refused 4.
"""

from __future__ import annotations


class QMachinaError(Exception):
    """Base of all deliberate errors.

    Parameters
    ----------
    what : str
        What is wrong, in one sentence without a full stop.
    subject : str, optional
        The file, spec or key concerned; printed before ``what``.
    expected, found : object, optional
        What was required and what was met instead.
    remedy : str, optional
        What to do next, one sentence.
    """

    exit_code = 3

    def __init__(
        self,
        what: str,
        *,
        subject: object = None,
        expected: object = None,
        found: object = None,
        remedy: str | None = None,
    ) -> None:
        self.what = what
        self.subject = None if subject is None else str(subject)
        self.expected = expected
        self.found = found
        self.remedy = remedy
        super().__init__(self.line())

    def line(self) -> str:
        """Return the error as one line: ``subject: what (expected …, found …). remedy``."""
        text = self.what if self.subject is None else f"{self.subject}: {self.what}"
        facts = [
            f"{word} {value}"
            for word, value in (("expected", self.expected), ("found", self.found))
            if value is not None
        ]
        if facts:
            text += f" ({', '.join(facts)})"
        if self.remedy:
            text += f". {self.remedy}"
        return " ".join(text.split())


class SpecError(QMachinaError):
    """A spec is impossible."""


class DataError(QMachinaError):
    """Input data is not what it claims to be."""


class FormatError(DataError):
    """A file cannot be decoded."""


class SelectionError(DataError):
    """The instrument, publisher or symbol is missing or ambiguous."""


class RecordError(DataError):
    """One market-data record is impossible."""


class SchemaError(DataError):
    """A table is not what its contract says."""


class LakeError(QMachinaError):
    """The lake cannot do what was asked."""


class MissingError(LakeError):
    """A key does not exist in the lake."""


class ImmutableError(LakeError):
    """A key exists and may not be replaced."""

    exit_code = 4


class SessionError(QMachinaError):
    """A date is not a trading session."""


class RefusedError(QMachinaError):
    """A rule forbids the request."""

    exit_code = 4


class LockError(RefusedError):
    """The home is locked to another instrument or held by another process."""


class PreflightError(RefusedError):
    """A serving spec failed validation before publication."""


class ConflictError(RefusedError):
    """A compare-and-swap lost against a concurrent writer."""
