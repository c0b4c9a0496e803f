"""Immutable JSON documents named by the hash of their bytes: serving versions and evidence."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qmachina.errors import LakeError, MissingError, SpecError
from qmachina.lake import durable
from qmachina.specs.base import canonical_json

ID = re.compile(r"[0-9a-f]{64}")


def canonical_text(body: Mapping[str, Any], subject: str) -> str:
    """Return a document as canonical JSON.

    Raises
    ------
    SpecError
        If it is not plain JSON: a string-keyed object of strings, finite numbers, booleans,
        nulls, lists and objects.
    """
    try:
        text = canonical_json(body)
        is_plain = isinstance(body, dict) and json.loads(text) == body
    except (TypeError, ValueError) as e:
        raise SpecError(f"not plain JSON: {e}", subject=subject) from e
    if not is_plain:
        raise SpecError("not plain JSON: it does not come back as it was", subject=subject)
    return text


def document_id(text: str) -> str:
    """Return the id of a document: the SHA-256 of its canonical text."""
    return hashlib.sha256(text.encode()).hexdigest()


def parse_text(text: str) -> dict[str, Any]:
    """Return the document that a canonical text says."""
    result: dict[str, Any] = json.loads(text)
    return result


class Documents:
    """One folder of documents.

    Parameters
    ----------
    folder : Path
        Holds ``<id>.json``; need not exist before the first write.
    kind : str
        What they are, for messages.
    """

    def __init__(self, folder: Path, kind: str) -> None:
        self.folder = folder
        self.kind = kind

    def path(self, id_: str) -> Path:
        """Return the file of a document; MissingError if the text is no id."""
        if not ID.fullmatch(id_):
            raise MissingError(f"not the id of a {self.kind}", subject=repr(id_))
        return self.folder / f"{id_}.json"

    def read(self, id_: str) -> dict[str, Any]:
        """Return a document, its hash verified.

        Raises
        ------
        MissingError
            If there is none of this id.
        LakeError
            If the file was changed or cannot be read.
        """
        path = self.path(id_)
        try:
            content = path.read_bytes()
        except FileNotFoundError as e:
            raise MissingError(f"there is no such {self.kind}", subject=id_) from e
        except OSError as e:
            raise LakeError(f"cannot be read: {e.strerror or e}", subject=path) from e
        if hashlib.sha256(content).hexdigest() != id_:
            raise LakeError(f"the {self.kind} was changed after publication", subject=path)
        return parse_text(content.decode())

    def write(self, text: str) -> str:
        """Keep a document and return its id; writing it again changes nothing.

        The caller holds the registry's write lock, so whatever temporary file lies here was
        left by a dead writer and is removed.

        Raises
        ------
        LakeError
            If another document lies under its id, or the disk refuses.
        """
        id_ = document_id(text)
        path = self.path(id_)
        try:
            durable.make_folder(self.folder)
            for leftover in self.folder.glob(".*.tmp"):
                leftover.unlink()
            if path.exists():
                self.read(id_)
                return id_
            temporary = self.folder / f".{secrets.token_hex(8)}.tmp"
            try:
                durable.write_file(temporary, text.encode())
                temporary.rename(path)
            finally:
                temporary.unlink(missing_ok=True)
            durable.sync_folder(self.folder)
        except OSError as e:
            raise LakeError(f"cannot be written: {e.strerror or e}", subject=path) from e
        return id_
