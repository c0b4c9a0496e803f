"""Publish a partition whole or not at all.

A writer fills a hidden sibling of the final folder. On leaving the ``with`` block its files
are checked against the contract, hashed and flushed; ``manifest.json`` and then ``_SUCCESS``
are written; only then does one rename make the partition appear. A process killed at any
point leaves at most a hidden folder, which the next writer beside it sweeps away: a live
writer holds the lock of its folder, and the kernel drops the lock of a dead one.

Two writers of one partition need no lock: the rename of the second finds the folder taken.
Overwriting exchanges the two folders in one atomic step. ``docs/lake.md`` has the reasons.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from qmachina.errors import ImmutableError, LakeError, SchemaError
from qmachina.lake import durable
from qmachina.lake.manifest import (
    CHECKSUMS,
    MANIFEST,
    SUCCESS,
    FileEntry,
    Manifest,
    ManifestDraft,
    checksums_bytes,
    hash_file,
    hash_footer,
)
from qmachina.lake.reader import open_table

#: What happens during a publication, in order; ``on_step`` is called after each.
STEPS = (
    "staged",
    "written",
    "validated",
    "hashed",
    "synced",
    "manifest",
    "success",
    "published",
    "retired",
)
#: Before "published", where a file system cannot exchange two folders.
DISPLACED = "displaced"

_HIDDEN = re.compile(r"\.(?P<final>[A-Za-z0-9=_-]+)\.[0-9a-f]{16}\.(?P<what>new|old)")
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.=-]*(/[A-Za-z0-9][A-Za-z0-9_.=-]*)*")
_TAKEN = {errno.ENOTEMPTY, errno.EEXIST}


@dataclass
class Staging:
    """A partition being written.

    Parameters
    ----------
    path : Path
        The hidden folder to write into; ``staging / "bins.parquet"`` is a file of it.
    counts, anomalies : dict of str to int
        Filled by the writer; they go into the manifest.
    manifest : Manifest or None
        What is in the lake, once the ``with`` block has ended.
    already_there : bool
        Whether the same bytes had been published before.
    """

    path: Path
    counts: dict[str, int] = field(default_factory=dict)
    anomalies: dict[str, int] = field(default_factory=dict)
    manifest: Manifest | None = None
    already_there: bool = False

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    def __fspath__(self) -> str:
        return str(self.path)


@dataclass(frozen=True)
class Publisher:
    """The writing half of a lake; see `qmachina.lake.store.Lake` for the parameters."""

    root: Path
    on_step: Callable[[str], None]
    exchange: Callable[[Path, Path], bool]
    clock: Callable[[], datetime]

    @contextmanager
    def publish(self, draft: ManifestDraft, overwrite: bool = False) -> Iterator[Staging]:
        """Write one partition; see `qmachina.lake.store.Lake.publish`."""
        final = self.root / draft.key.path
        if not overwrite:
            _refuse_other(final, draft)
        with ExitStack() as stack:
            with _disk_errors(draft):
                staging = Staging(self._stage(final, stack))
                self.on_step("staged")
            yield staging
            with _disk_errors(draft):
                self.on_step("written")
                self._finish(draft, staging)
                self._place(draft, staging, final, overwrite)
        with _disk_errors(draft):
            self.on_step("retired")

    def sweep(self) -> int:
        """Remove what dead writers left anywhere in the lake; return how many folders."""
        swept = 0
        for folder, names, _ in os.walk(self.root):
            parent = Path(folder)
            if any(_HIDDEN.fullmatch(name) for name in names):
                with durable.locked(parent):
                    swept += _sweep(parent)
            names[:] = [name for name in names if not name.startswith(".")]
        return swept

    def _stage(self, final: Path, stack: ExitStack) -> Path:
        durable.make_folder(final.parent)
        path = final.parent / f".{final.name}.{secrets.token_hex(8)}.new"
        # Nobody may sweep between the folder's creation and its lock.
        with durable.locked(final.parent):
            _sweep(final.parent)
            path.mkdir()
            stack.callback(shutil.rmtree, path, ignore_errors=True)
            stack.enter_context(durable.locked(path))
        return path

    def _finish(self, draft: ManifestDraft, staging: Staging) -> None:
        """Check, hash, flush and seal what the writer left."""
        names = _file_names(staging.path)
        rows = _check_contract(draft, staging.path, names)
        self.on_step("validated")
        files = {
            name: FileEntry(
                sha256=hash_file(staging / name),
                bytes=(staging / name).stat().st_size,
                rows=rows.get(name),
                footer=hash_footer(staging / name) if name in rows else None,
            )
            for name in names
        }
        self.on_step("hashed")
        for name in names:
            durable.sync_file(staging / name)
        for folder in {(staging / name).parent for name in names}:
            durable.sync_folder(folder)
        durable.write_file(staging / CHECKSUMS, checksums_bytes(files))
        self.on_step("synced")
        manifest = Manifest.complete(
            draft,
            counts=staging.counts,
            anomalies=staging.anomalies,
            files=files,
            created_at_utc=self.clock(),
        )
        durable.write_file(staging / MANIFEST, manifest.to_bytes())
        self.on_step("manifest")
        durable.write_file(staging / SUCCESS, b"")
        durable.sync_folder(staging.path)
        staging.manifest = manifest
        self.on_step("success")

    def _place(self, draft: ManifestDraft, staging: Staging, final: Path, overwrite: bool) -> None:
        """Make the partition appear, or find that another writer was first."""
        try:
            staging.path.rename(final)
        except OSError as e:
            if e.errno not in _TAKEN:
                raise
            if overwrite:
                self._replace(staging.path, final)
            else:
                _settle(draft, staging, final)
        durable.sync_folder(final.parent)
        self.on_step("published")

    def _replace(self, new: Path, final: Path) -> None:
        """Swap two folders; afterwards ``new`` holds what is to be deleted."""
        with durable.locked(final.parent):
            if self.exchange(new, final):
                return
            # No atomic swap here: for an instant the partition is missing, never half there.
            # A kill in that instant is repaired by the next sweep.
            aside = final.parent / f"{new.name.removesuffix('.new')}.old"
            final.rename(aside)
            self.on_step(DISPLACED)
            new.rename(final)
            aside.rename(new)


def read_manifest_file(folder: Path, subject: object) -> Manifest | None:
    """Return the manifest in a folder, None where there is none."""
    try:
        content = (folder / MANIFEST).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return Manifest.from_bytes(content, subject)


def _refuse_other(final: Path, draft: ManifestDraft) -> None:
    """Refuse before any work what the final rename would refuse after it."""
    there = read_manifest_file(final, draft.key)
    if there is not None and there.dataset_id != draft.dataset_id:
        raise _immutable(draft, f"holds other data, made by {there.code_version}", there)
    if there is None and final.is_dir() and any(final.iterdir()):
        raise _immutable(draft, "holds files without a manifest", None)


def _settle(draft: ManifestDraft, staging: Staging, final: Path) -> None:
    """Compare with what is there: the same bytes are no conflict."""
    there = read_manifest_file(final, draft.key)
    if there is None:
        raise _immutable(draft, "holds files without a manifest", None)
    if there.dataset_id != draft.dataset_id:
        raise _immutable(draft, "was taken by another writer with other data", there)
    mine = staging.manifest
    assert mine is not None
    if (there.files, there.contract) != (mine.files, mine.contract):
        names = sorted(
            name
            for name in there.files.keys() | mine.files.keys()
            if there.files.get(name) != mine.files.get(name)
        )
        raise ImmutableError(
            f"the same dataset id gave other bytes in {', '.join(names) or 'its contract'}",
            subject=draft.key,
            remedy="Give the changed code a new code_version, then publish with overwrite",
        )
    staging.manifest = there
    staging.already_there = True


def _immutable(draft: ManifestDraft, what: str, there: Manifest | None) -> ImmutableError:
    return ImmutableError(
        f"the partition exists and {what}",
        subject=draft.key,
        expected=f"dataset {draft.dataset_id[:8]}",
        found="nothing readable" if there is None else f"dataset {there.dataset_id[:8]}",
        remedy="Publish with overwrite to replace it",
    )


def _sweep(parent: Path) -> int:
    """Remove the hidden folders of dead writers; the caller holds the parent's lock."""
    swept = 0
    for path in sorted(parent.iterdir()):
        found = _HIDDEN.fullmatch(path.name)
        if found is None or not path.is_dir():
            continue
        # A living writer may rename or delete its own folder while we look at it.
        with suppress(FileNotFoundError), durable.locked(path, wait=False) as is_dead:
            if not is_dead:
                continue
            final = parent / found["final"]
            if found["what"] == "old" and not final.exists():
                path.rename(final)
            else:
                shutil.rmtree(path)
            swept += 1
    return swept


def _file_names(folder: Path) -> list[str]:
    """Return the relative names of all files; refuse what a lake must not hold."""
    names = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise LakeError("neither a file nor a folder", subject=name)
        if not _FILE_NAME.fullmatch(name) or name in (MANIFEST, CHECKSUMS):
            raise LakeError("not a name for a data file", subject=name)
        if path.is_file():
            names.append(name)
    return names


def _check_contract(draft: ManifestDraft, folder: Path, names: list[str]) -> dict[str, int]:
    """Compare every table with its contract; return the rows by file name."""
    rows = {}
    tables = {table.file_name: table for table in draft.tables.values()}
    for name in names:
        if name.endswith(".parquet") and name not in tables:
            raise SchemaError("the table has no contract", subject=f"{draft.key}/{name}")
    for name, table in tables.items():
        if name not in names:
            raise SchemaError("the table was not written", subject=f"{draft.key}/{name}")
        with open_table(folder / name, table) as file:
            rows[name] = file.metadata.num_rows
    bins = {
        name: rows[name] // table.rows_per_bin
        for name, table in tables.items()
        if table.kind != "rows"
    }
    if len(set(bins.values())) > 1:
        raise SchemaError("the tables do not hold the same bins", subject=draft.key, found=bins)
    return rows


@contextmanager
def _disk_errors(draft: ManifestDraft) -> Iterator[None]:
    try:
        yield
    except OSError as e:
        raise LakeError(f"cannot be published: {e.strerror or e}", subject=draft.key) from e
