"""The lake: publish partitions, read them in one line, prove them unchanged."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, get_args

import pyarrow as pa
from numpy.typing import NDArray

from qmachina.errors import LakeError, MissingError, QMachinaError
from qmachina.fields import Chunk, concat
from qmachina.lake import durable, reader
from qmachina.lake.contract import Table
from qmachina.lake.layout import UNDATED_LAYERS, DatasetKey, Layer
from qmachina.lake.manifest import (
    CHECKSUMS,
    MANIFEST,
    SUCCESS,
    Manifest,
    ManifestDraft,
    checksums_bytes,
    hash_file,
)
from qmachina.lake.publication import Publisher, Staging

if TYPE_CHECKING:
    import pandas as pd

#: How often a reader starts again when an overwrite replaces the partition under it.
_TRIES = 10

T = TypeVar("T")


def _no_step(step: str) -> None:
    del step


def _now() -> datetime:
    return datetime.now(UTC)


class Lake:
    """One lake on a local file system. Holds no state; cheap to make, safe to share.

    Parameters
    ----------
    root : Path
        Its folder.
    on_step : callable, optional
        Called with the name of each finished step of a publication, see
        `qmachina.lake.publication.STEPS`.
    exchange : callable, optional
        Swaps two folders atomically, or returns False where that is impossible.
    clock : callable, optional
        Returns the time that goes into manifests.
    """

    def __init__(
        self,
        root: Path,
        *,
        on_step: Callable[[str], None] = _no_step,
        exchange: Callable[[Path, Path], bool] = durable.exchange,
        clock: Callable[[], datetime] = _now,
    ) -> None:
        self.root = root
        self._publisher = Publisher(root, on_step, exchange, clock)

    def folder(self, key: DatasetKey) -> Path:
        """Return the folder of a partition, whether or not it exists."""
        return self.root / key.path

    def publish(
        self, draft: ManifestDraft, overwrite: bool = False
    ) -> AbstractContextManager[Staging]:
        """Write one partition: ``with lake.publish(draft) as staging: …``.

        Parameters
        ----------
        draft : ManifestDraft
            Address, identity and contract.
        overwrite : bool
            Replace what is there, in one atomic step. Until then the old stays readable.

        Returns
        -------
        context manager of Staging
            Files go into ``staging.path``, counts into ``staging.counts`` and
            ``staging.anomalies``. Leaving the block publishes; an error inside it leaves nothing.
            Afterwards ``staging.manifest`` is what the lake holds. Publishing the same dataset id
            again writes nothing and compares the bytes (``staging.already_there``).

        Raises
        ------
        ImmutableError
            If the partition exists with other data, or the same id gave other bytes.
        SchemaError
            If a file is not what the contract says.
        LakeError
            If the disk refuses.
        """
        return self._publisher.publish(draft, overwrite)

    def sweep(self) -> int:
        """Remove what dead writers left; return how many folders. Living writers are spared."""
        return self._publisher.sweep()

    def holds(self, key: DatasetKey, dataset_id: str) -> bool:
        """Tell whether a partition exists and is exactly this dataset."""
        try:
            return self.read_manifest(key).dataset_id == dataset_id
        except MissingError:
            return False

    def read_manifest(self, key: DatasetKey) -> Manifest:
        """Return the manifest of a partition.

        Raises
        ------
        MissingError
            If the partition does not exist; names the asset that makes it.
        LakeError
            If the manifest is damaged or belongs elsewhere.
        """
        return self._parse(key, self._manifest_bytes(key))

    def read(
        self, key: DatasetKey, table: str | None = None, columns: Sequence[str] | None = None
    ) -> pa.Table:
        """Return one table of a partition.

        Parameters
        ----------
        key : DatasetKey
            The partition.
        table : str, optional
            Name of the table; may be left out where the dataset has one.
        columns : sequence of str, optional
            Only these columns, in this order.

        Raises
        ------
        MissingError, LakeError, SchemaError
            If the partition is missing, damaged or not what its contract says.
        """
        with self._open(key, table) as files:
            file, contract = reader.only(files, key)
            return reader.read_all(file, contract, columns)

    def read_numpy(
        self, key: DatasetKey, table: str | None = None, columns: Sequence[str] | None = None
    ) -> dict[str, NDArray]:
        """Return one table as arrays: shape (n_rows,), or (n_bins, 2K + 1) for a grid."""
        with self._open(key, table) as files:
            file, contract = reader.only(files, key)
            return reader.to_arrays(reader.read_all(file, contract, columns), contract)

    def read_pandas(
        self, key: DatasetKey, table: str | None = None, columns: Sequence[str] | None = None
    ) -> pd.DataFrame:
        """Return one table as a pandas frame."""
        return self.read(key, table, columns).to_pandas()

    def read_bins(
        self, key: DatasetKey, columns: Sequence[str] | None = None
    ) -> dict[str, NDArray]:
        """Return the ``bins`` table as arrays of shape (n_bins,)."""
        return self.read_numpy(key, "bins", columns)

    def read_groups(
        self, key: DatasetKey, table: str | None = None, columns: Sequence[str] | None = None
    ) -> Iterator[dict[str, NDArray]]:
        """Yield one table row group by row group, with the memory of one."""
        with self._open(key, table) as files:
            file, contract = reader.only(files, key)
            yield from reader.read_groups(file, contract, columns)

    def read_chunks(
        self,
        key: DatasetKey,
        columns: Sequence[str] | None = None,
        expect: Iterable[Table] = (),
    ) -> Iterator[Chunk]:
        """Yield the bins and grid of a partition as chunks, with the memory of one row group.

        Parameters
        ----------
        key : DatasetKey
            The partition; it has a bins table, a grid table or both.
        columns : sequence of str, optional
            Only these value columns; ``bin_seq`` always comes along, in ``bins``.
        expect : iterable of Table
            What the caller's code believes the tables to be.

        Raises
        ------
        SchemaError
            If the stored contract is not the expected one; names the column.
        """
        with self._open(key, expect=expect) as files:
            yield from reader.read_chunks(files, columns)

    def read_chunk(
        self,
        key: DatasetKey,
        columns: Sequence[str] | None = None,
        expect: Iterable[Table] = (),
    ) -> Chunk:
        """Return all bins of a partition as one chunk."""
        with self._open(key, expect=expect) as files:
            chunks = tuple(reader.read_chunks(files, columns))
            return concat(chunks) if chunks else reader.empty_chunk(files, columns)

    def read_file(self, key: DatasetKey, name: str) -> bytes:
        """Return one file of a partition, its checksum verified. Meant for small files."""

        def read(manifest: Manifest) -> bytes:
            if name not in manifest.files:
                raise MissingError(
                    f"the partition has no file {name!r}",
                    subject=key,
                    expected=", ".join(manifest.files),
                )
            path = self.folder(key) / name
            with reader.readable(path):
                content = path.read_bytes()
            if hashlib.sha256(content).hexdigest() != manifest.files[name].sha256:
                raise LakeError("the file is not what its manifest says", subject=path)
            return content

        return self._stably(key, read)

    def verify(self, key: DatasetKey) -> Manifest:
        """Recompute every checksum and compare every table with its contract.

        Raises
        ------
        LakeError
            Listing everything that is not as published.
        """
        manifest = self.read_manifest(key)
        folder = self.folder(key)
        present = {
            path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
        }
        wrong = [
            f"{name} is missing" for name in sorted({*manifest.files, CHECKSUMS, SUCCESS} - present)
        ]
        wrong += [
            f"{name} does not belong here"
            for name in sorted(present - {*manifest.files, MANIFEST, CHECKSUMS, SUCCESS})
        ]
        with reader.readable(folder):
            if CHECKSUMS in present and (folder / CHECKSUMS).read_bytes() != checksums_bytes(
                manifest.files
            ):
                wrong.append(f"{CHECKSUMS} differs from the manifest")
            for name, entry in manifest.files.items():
                if name in present and hash_file(folder / name) != entry.sha256:
                    wrong.append(f"{name} was changed")
        if wrong:
            raise LakeError(
                f"the partition is not as published: {'; '.join(wrong)}",
                subject=key,
                remedy="Publish it again with overwrite",
            )
        with self._open(key):
            return manifest

    @contextmanager
    def _open(
        self, key: DatasetKey, table: str | None = None, expect: Iterable[Table] = ()
    ) -> Iterator[reader.Files]:
        """Open all tables, or one, of one version of a partition."""
        wanted = tuple(expect)
        with ExitStack() as stack:
            yield self._stably(
                key, lambda m: reader.open_files(self.folder(key), m, table, wanted, stack)
            )

    def _stably(self, key: DatasetKey, read: Callable[[Manifest], T]) -> T:
        """Read from one version of a partition.

        An overwrite may replace the folder at any moment. Files that are open stay readable, so
        only opening can meet two versions: it is repeated until the manifest is the same before
        and after.
        """
        for _ in range(_TRIES):
            content = self._manifest_bytes(key)
            manifest = self._parse(key, content)
            failure: QMachinaError | None = None
            try:
                result = read(manifest)
            except QMachinaError as e:
                failure = e
            if self._manifest_bytes(key) != content:
                continue
            if failure is not None:
                raise failure
            return result
        raise LakeError("the partition is being replaced over and over", subject=key)

    def _manifest_bytes(self, key: DatasetKey) -> bytes:
        path = self.folder(key) / MANIFEST
        try:
            return path.read_bytes()
        except (FileNotFoundError, NotADirectoryError) as e:
            when = "" if key.dt is None else f" for {key.dt}"
            raise MissingError(
                "the partition does not exist",
                subject=key,
                remedy=f"Materialise the asset {key.asset}{when}",
            ) from e
        except OSError as e:
            raise LakeError(f"cannot be read: {e.strerror or e}", subject=path) from e

    def _parse(self, key: DatasetKey, content: bytes) -> Manifest:
        manifest = Manifest.from_bytes(content, key)
        if manifest.key != key:
            raise LakeError(
                "the manifest belongs to another partition", subject=key, found=manifest.key
            )
        return manifest

    def list(
        self,
        layer: Layer | None = None,
        dataset: str | None = None,
        symbol: str | None = None,
        spec_id8: str | None = None,
    ) -> tuple[DatasetKey, ...]:
        """Return the keys of all published partitions, filtered, in order of their paths."""
        found = []
        for name in get_args(Layer) if layer is None else (layer,):
            patterns = ["*/product_type=*/symbol=*/*/dt=*/"]
            if name in UNDATED_LAYERS:
                patterns.append("*/product_type=*/symbol=*/*/")
            base = self.root / name
            paths = [p for pattern in patterns for p in base.glob(pattern + MANIFEST)]
            for path in paths:
                folder = path.parent.relative_to(self.root)
                if any(part.startswith(".") for part in folder.parts):
                    continue
                key = DatasetKey.from_path(folder.as_posix())
                wanted = (dataset, symbol, spec_id8)
                has = (key.dataset, key.symbol, key.spec_id8)
                if all(w is None or w == h for w, h in zip(wanted, has, strict=True)):
                    found.append(key)
        return tuple(sorted(found, key=str))
