"""Bring vendor files into a lake: checked to the last record, copied whole or not at all."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from qmachina.cli import output
from qmachina.datasets.raw import describe
from qmachina.errors import FormatError, ImmutableError, MissingError, SelectionError
from qmachina.lake import durable
from qmachina.lake.home import Home
from qmachina.lake.layout import raw_date


def import_files(home: Home, files: Sequence[Path]) -> list[dict[str, Any]]:
    """Check all files, then copy those that are not there yet.

    Returns
    -------
    list of dict
        Of each file: ``file``, ``date``, ``records``, ``sha256``, ``already_there``.

    Raises
    ------
    FormatError
        If a name says no date, or a file is damaged or of another kind.
    SessionError
        If the date is not a session.
    LockError
        If a file does not hold the home's instrument.
    ImmutableError
        If the raw folder has a file of that name with other content.
    SelectionError
        If it has a file of that date under another name.
    """
    found = [_check(home, path, files) for path in files]
    for row, path in zip(found, files, strict=True):
        if not row["already_there"]:
            copy_new(path, home.raw_folder / path.name)
    return found


def _check(home: Home, path: Path, together: Sequence[Path]) -> dict[str, Any]:
    if not path.is_file():
        raise MissingError("the file does not exist", subject=path)
    day = raw_date(path.name)
    if day is None:
        raise FormatError(
            "the name says no date",
            subject=path.name,
            expected="a vendor's name such as glbx-mdp3-20240508.mbo.dbn.zst",
            remedy="Give the file the name it came with",
        )
    home.session(day)
    sha256 = file_hash(path)
    there = _is_there(home, path, day, sha256)
    rivals = {p.name for p in together if raw_date(p.name) == day} - {path.name}
    if rivals:
        raise SelectionError(
            f"two files of {day} were given", subject=path.name, found=", ".join(sorted(rivals))
        )
    with output.progress("checking", path.name) as report:
        facts = describe(home, path, report)
    return {
        "file": path.name,
        "date": str(day),
        "records": facts["records"],
        "sha256": sha256,
        "already_there": there,
    }


def _is_there(home: Home, path: Path, day: date, sha256: str) -> bool:
    for other, other_day in home.raw_files():
        if other.name == path.name:
            if file_hash(other) == sha256:
                return True
            raise ImmutableError(
                "the raw folder has a file of this name with other content",
                subject=path.name,
                expected=f"sha256 {file_hash(other)[:12]}",
                found=sha256[:12],
                remedy="Raw files are never changed: move the old one away first",
            )
        if other_day == day:
            raise SelectionError(
                f"the raw folder has another file of {day}",
                subject=path.name,
                found=other.name,
                remedy="Move one of them elsewhere",
            )
    return False


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def copy_new(source: Path, target: Path) -> None:
    """Copy a file so that it appears complete or not at all; never over another.

    Raises
    ------
    ImmutableError
        If another command put a file there meanwhile.
    """
    durable.make_folder(target.parent)
    partial = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        shutil.copyfile(source, partial)
        durable.sync_file(partial)
        try:
            # A link, unlike a rename, refuses a name that is taken.
            os.link(partial, target)
        except FileExistsError as e:
            raise ImmutableError("the file exists", subject=target.name) from e
    finally:
        partial.unlink(missing_ok=True)
    durable.sync_folder(target.parent)
