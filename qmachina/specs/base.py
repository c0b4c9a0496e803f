"""The base of every spec: frozen, closed, with a canonical form and a content id."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from qmachina.errors import SpecError

#: What names of specs, aliases and datasets must match; they become path parts.
NAME_PATTERN = r"^[a-z0-9][a-z0-9_]*$"

S = TypeVar("S", bound="Spec")


def canonical_json(value: object) -> str:
    """Return canonical JSON: sorted keys, no spaces, shortest floats, no NaN."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False
    )


def content_id(value: object) -> str:
    """Return the SHA-256 (64 hex digits) of the canonical JSON of a value."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


class Spec(BaseModel):
    """A frozen, closed model whose identity is the hash of its content.

    Unknown keys are refused everywhere. Two specs with equal content have equal ids.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True
    )

    def canonical(self) -> dict[str, Any]:
        """Return the complete content as JSON-ready data."""
        return self.model_dump(mode="json")

    @property
    def id(self) -> str:
        """The content id: 64 hex digits over kind and content."""
        return content_id({"kind": type(self).__name__, "content": self.canonical()})

    @property
    def id8(self) -> str:
        """The first eight digits of the content id, for path and display."""
        return self.id[:8]

    @classmethod
    def parse(cls, data: object, subject: object = None) -> Self:
        """Validate plain data, reporting all problems as one SpecError.

        Parameters
        ----------
        data : object
            Plain data, usually from YAML or JSON.
        subject : object, optional
            File or name to put before the message.
        """
        try:
            return cls.model_validate(data)
        except ValidationError as e:
            raise SpecError(problems(e), subject=subject or cls.__name__) from e

    @classmethod
    def from_yaml(cls, path: Path) -> Self:
        """Read and validate one YAML file (safe loader)."""
        return cls.parse(load_yaml(path), subject=path.name)


def problems(error: ValidationError) -> str:
    """Return all problems of a validation error as one clause."""
    parts = []
    for item in error.errors():
        where = ".".join(str(x) for x in item["loc"]) or "spec"
        found = "" if item["type"] == "missing" else f", was {item['input']!r}"
        parts.append(f"{where}: {item['msg']}{found}")
    return "; ".join(parts)


def load_yaml(path: Path) -> object:
    """Read a YAML file with the safe loader; duplicate keys and syntax errors are SpecErrors."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as e:
        raise SpecError("file does not exist", subject=path) from e
    except (OSError, UnicodeDecodeError) as e:
        raise SpecError(f"cannot be read: {e}", subject=path) from e
    try:
        return yaml.load(text, Loader=_UniqueKeyLoader)  # noqa: S506 (a SafeLoader)
    except yaml.YAMLError as e:
        raise SpecError(f"not valid YAML: {e}", subject=path.name) from e


class _UniqueKeyLoader(yaml.SafeLoader):
    """A safe loader that refuses a key given twice instead of keeping the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=deep)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} is given twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep=deep)
