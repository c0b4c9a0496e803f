"""Authored specs: short YAML files that name one another, resolved to complete specs.

    pipelines/<name>.yaml     silver and gold
    servings/<name>.yaml      names its pipeline
    experiments/<name>.yaml   names its serving; axes

The authored form is for people; what runs and is stored is always the resolved form.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from qmachina.errors import SpecError
from qmachina.specs.base import NAME_PATTERN, load_yaml
from qmachina.specs.pipeline import PipelineSpec
from qmachina.specs.serving import ExperimentSpec, ServingSpec

KINDS = ("pipelines", "servings", "experiments")


class SpecLibrary:
    """Folders of authored specs; earlier folders win.

    Parameters
    ----------
    folders : sequence of Path
        Each holds ``pipelines``, ``servings`` and ``experiments``, or some of them.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self.folders = tuple(folders)

    def names(self, kind: str) -> tuple[str, ...]:
        """Return the names of all specs of a kind, sorted."""
        found = {p.stem for f in self.folders for p in (f / kind).glob("*.yaml")}
        return tuple(sorted(found))

    def pipeline(self, name: str) -> PipelineSpec:
        """Return a pipeline by name."""
        return PipelineSpec.parse(self._read("pipelines", name), subject=f"{name}.yaml")

    def serving(self, name: str, pipeline: str | None = None) -> ServingSpec:
        """Return a serving spec by name, with its pipeline resolved.

        ``pipeline`` replaces the one it names: an instrument may need its own.
        """
        data = self._read("servings", name)
        if not isinstance(data.get("pipeline"), str):
            raise SpecError(
                "pipeline must be the name of a pipeline",
                subject=f"{name}.yaml",
                found=data.get("pipeline"),
            )
        resolved = self.pipeline(pipeline or data["pipeline"])
        return ServingSpec.parse({**data, "pipeline": resolved}, subject=f"{name}.yaml")

    def experiment(
        self, name: str, dates: Sequence[date], pipeline: str | None = None
    ) -> ExperimentSpec:
        """Return an experiment by name over the given sessions."""
        data = self._read("experiments", name)
        if "dates" in data:
            raise SpecError("dates are given at launch", subject=f"{name}.yaml")
        if not isinstance(data.get("serving"), str):
            raise SpecError(
                "serving must be the name of a serving spec",
                subject=f"{name}.yaml",
                found=data.get("serving"),
            )
        serving = self.serving(data["serving"], pipeline)
        return ExperimentSpec.parse(
            {**data, "serving": serving, "dates": tuple(dates)}, subject=f"{name}.yaml"
        )

    def _read(self, kind: str, name: str) -> dict[str, Any]:
        if re.fullmatch(NAME_PATTERN, name):
            for folder in self.folders:
                path = folder / kind / f"{name}.yaml"
                if path.is_file():
                    data = load_yaml(path)
                    if not isinstance(data, dict):
                        raise SpecError("must be a mapping", subject=path.name)
                    if data.get("name") != name:
                        raise SpecError(
                            "name differs from the file's",
                            subject=path.name,
                            expected=name,
                            found=data.get("name"),
                        )
                    return data
        raise SpecError(
            f"no such {kind[:-1]}",
            expected=f"one of {', '.join(self.names(kind)) or 'none'}",
            found=name,
        )
