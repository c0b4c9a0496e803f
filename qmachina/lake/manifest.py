"""The manifest: what a partition is, from what it was made, and how to prove it unchanged.

Its presence is the completion mark. It names no absolute path, so a lake can be moved, and
carries its own hash, so no field of it can change unnoticed.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from qmachina.errors import LakeError, SpecError
from qmachina.lake.contract import Table, contracts, schema_hash
from qmachina.lake.layout import DatasetKey
from qmachina.specs.base import Spec, content_id

MANIFEST = "manifest.json"
CHECKSUMS = "checksums.json"
SUCCESS = "_SUCCESS"

ID_PATTERN = r"^[0-9a-f]{64}$"


class Origin(Spec):
    """What decides the identity of a partition."""

    key: DatasetKey = Field(description="Address of the partition.")
    spec_kind: str = Field(min_length=1, description="Class name of the spec.")
    spec: dict[str, Any] = Field(description="The spec's complete canonical content.")
    inputs: dict[str, str] = Field(description="Name of each input -> its content id.")
    code_version: str = Field(min_length=1, description="Version of the code that computes it.")
    contract: dict[str, dict[str, Any]] = Field(description="Contract of each table, by name.")

    @property
    def tables(self) -> dict[str, Table]:
        """The tables of the contract, by name."""
        return {name: Table.from_contract(c) for name, c in self.contract.items()}

    def derive(self) -> dict[str, str]:
        """Return ``spec_id``, ``dataset_id`` and ``schema_hash`` computed from the content.

        The spec id equals the spec's own ``id``. The dataset id is the SHA-256 over dataset,
        instrument, spec id, input ids and code version: the same id means the same bytes. The
        dataset's name is part of it because two datasets may be made from one spec and the
        same inputs.
        """
        spec_id = content_id({"kind": self.spec_kind, "content": self.spec})
        identity = {
            "dataset": self.key.asset,
            "product_type": self.key.product_type,
            "symbol": self.key.symbol,
            "spec": spec_id,
            "inputs": self.inputs,
            "code_version": self.code_version,
        }
        return {
            "spec_id": spec_id,
            "dataset_id": content_id(identity),
            "schema_hash": schema_hash(self.contract),
        }


class ManifestDraft(Origin):
    """A partition that is about to be written."""

    @classmethod
    def of(
        cls,
        key: DatasetKey,
        spec: Spec,
        inputs: Mapping[str, str],
        code_version: str,
        tables: Iterable[Table] = (),
    ) -> Self:
        """Return the draft of a partition.

        Parameters
        ----------
        key : DatasetKey
            Where it will lie; must carry the first digits of the spec's id.
        spec : Spec
            What is computed.
        inputs : mapping of str to str
            Name of each input -> content id: upstream dataset ids, file hashes, instrument id.
        code_version : str
            Changes whenever the bytes would.
        tables : iterable of Table
            Every Parquet file of the partition.

        Raises
        ------
        SpecError
            If the key does not belong to the spec.
        """
        draft = cls(
            key=key,
            spec_kind=type(spec).__name__,
            spec=spec.canonical(),
            inputs=dict(inputs),
            code_version=code_version,
            contract=contracts(tables),
        )
        if key.spec_id8 != spec.id8:
            raise SpecError(
                "the key belongs to another spec",
                subject=key,
                expected=spec.id8,
                found=key.spec_id8,
            )
        return draft

    @property
    def dataset_id(self) -> str:
        """Identity of the data: the same id means the same bytes."""
        return self.derive()["dataset_id"]


class FileEntry(Spec):
    """One data file of a partition."""

    sha256: str = Field(pattern=ID_PATTERN, description="SHA-256 of the bytes.")
    bytes: int = Field(ge=0, description="Size in bytes.")
    rows: int | None = Field(default=None, ge=0, description="Rows, of a table.")
    footer: str | None = Field(
        default=None, pattern=ID_PATTERN, description="SHA-256 of the footer, of a table."
    )


class Manifest(Origin):
    """A published partition."""

    format: Literal[1] = Field(default=1, description="Version of this format.")
    spec_id: str = Field(pattern=ID_PATTERN, description="Content id of the spec.")
    dataset_id: str = Field(pattern=ID_PATTERN, description="Identity of the data.")
    schema_hash: str = Field(pattern=ID_PATTERN, description="SHA-256 of the contracts.")
    counts: dict[str, int] = Field(description="What was counted while writing.")
    anomalies: dict[str, int] = Field(description="Anomalies of the input by kind.")
    files: dict[str, FileEntry] = Field(description="Every data file by relative name.")
    created_at_utc: str = Field(
        pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$", description="When it was published."
    )
    manifest_id: str = Field(pattern=ID_PATTERN, description="SHA-256 of all the rest.")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        for name, value in self.derive().items():
            if getattr(self, name) != value:
                raise ValueError(f"{name} does not belong to the content")
        content = self.canonical()
        if content.pop("manifest_id") != content_id(content):
            raise ValueError("manifest_id does not belong to the content")
        return self

    @classmethod
    def complete(
        cls,
        draft: ManifestDraft,
        *,
        counts: Mapping[str, int],
        anomalies: Mapping[str, int],
        files: Mapping[str, FileEntry],
        created_at_utc: datetime,
    ) -> Self:
        """Return the manifest of a written partition."""
        content = {
            **draft.canonical(),
            **draft.derive(),
            "format": 1,
            "counts": dict(counts),
            "anomalies": dict(anomalies),
            "files": {name: entry.canonical() for name, entry in files.items()},
            "created_at_utc": f"{created_at_utc.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}",
        }
        return cls.parse({**content, "manifest_id": content_id(content)}, subject=draft.key)

    def to_bytes(self) -> bytes:
        """Return the manifest as the text of its file."""
        text = json.dumps(self.canonical(), indent=1, sort_keys=True, allow_nan=False)
        return (text + "\n").encode()

    @classmethod
    def from_bytes(cls, content: bytes, subject: object) -> Self:
        """Read the text of a manifest file.

        Raises
        ------
        LakeError
            If it is no manifest, or was changed.
        """
        try:
            return cls.parse(json.loads(content), subject=subject)
        except (SpecError, ValueError) as e:
            what = e.what if isinstance(e, SpecError) else e
            raise LakeError(
                f"the manifest is damaged: {what}",
                subject=subject,
                remedy="Publish the partition again with overwrite",
            ) from e


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_footer(path: Path) -> str:
    """Return the SHA-256 of a Parquet file's footer.

    Pages carry checksums of their own, the footer that says where they lie does not. Hashing it
    costs little and is done whenever a table is opened.
    """
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 8))
        length = int.from_bytes(file.read(8)[:4], "little") + 8
        file.seek(max(0, size - length))
        return hashlib.sha256(file.read()).hexdigest()


def checksums_bytes(files: Mapping[str, FileEntry]) -> bytes:
    """Return the text of ``checksums.json``: file name -> SHA-256."""
    table = {name: entry.sha256 for name, entry in files.items()}
    return (json.dumps(table, indent=1, sort_keys=True) + "\n").encode()
