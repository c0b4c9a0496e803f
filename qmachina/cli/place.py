"""Where things are: the project, the lake, the instrument file, the home of Dagster.

The environment is read here and nowhere else: ``QMACHINA_LAKE`` names the lake,
``QMACHINA_INSTRUMENT_CONFIG_PATH`` another instrument file, ``DAGSTER_HOME`` the orchestrator's
home. None is needed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import qmachina
from qmachina.errors import LakeError, MissingError
from qmachina.lake import durable
from qmachina.lake.home import Home
from qmachina.lake.instrument import FILE_NAME

LAKE = "QMACHINA_LAKE"
INSTRUMENT = "QMACHINA_INSTRUMENT_CONFIG_PATH"
DAGSTER_HOME = "DAGSTER_HOME"
WORKSPACE = "workspace.yaml"
#: Says that the databases of a Dagster home were made.
INITIALISED = "initialised"
#: Folder of the demo's lake, inside the project's.
DEMO = "demo"


def project_root() -> Path:
    """Return the project's folder: the working tree, or where an installed command is run."""
    tree = Path(qmachina.__file__).resolve().parents[1]
    return tree if (tree / WORKSPACE).is_file() else Path.cwd()


def authored_specs() -> Path:
    """Return the folder of the specs that come with the project."""
    return Path(qmachina.__file__).resolve().parents[1] / "qmachina_assets" / "specs"


@dataclass(frozen=True)
class Place:
    """One lake and its instrument file.

    Parameters
    ----------
    lake : Path
        Absolute.
    instrument_file : Path or None
        Instead of the lake's own.
    """

    lake: Path
    instrument_file: Path | None = None

    @classmethod
    def find(cls, lake: Path | None = None, instrument_file: Path | None = None) -> Place:
        """Return the place to work on: options first, then the environment, then the project.

        Raises
        ------
        MissingError
            If no instrument is configured there; says how to configure one.
        """
        override = instrument_file or _from_environment(INSTRUMENT)
        root = lake or _from_environment(LAKE) or _project_lake()
        place = cls(root.resolve(), None if override is None else override.resolve())
        file = place.instrument_file or place.lake / FILE_NAME
        if not file.is_file():
            raise MissingError(
                "no instrument is configured: the file does not exist",
                subject=file,
                remedy="Copy one of qmachina_assets/instruments there, name another lake with "
                f"--lake or {LAKE}, or try qmachina demo",
            )
        return place

    def open(self) -> Home:
        """Open the home."""
        return Home.open(self.lake, (authored_specs(),), self.instrument_file)

    def dagster_home(self) -> Path:
        """Return the folder of Dagster's records for this lake and instrument.

        An exported ``DAGSTER_HOME`` wins. Another lake than the project's own gets a folder of
        its own: one history never speaks of two lakes.
        """
        exported = _from_environment(DAGSTER_HOME)
        if exported is not None:
            return exported.resolve()
        project = project_root()
        name = self.open().instrument.symbol.lower()
        if self.lake != project / "lake":
            name += f"-{self.lake.name}"
            if not self.lake.is_relative_to(project):
                name += f"-{hashlib.sha256(str(self.lake).encode()).hexdigest()[:8]}"
        return project / ".dagster" / name

    def environment(self) -> dict[str, str]:
        """Return the environment of every process that works on this place."""
        named = {LAKE: str(self.lake), DAGSTER_HOME: str(self.dagster_home())}
        if self.instrument_file is not None:
            named[INSTRUMENT] = str(self.instrument_file)
        return {**os.environ, **named}

    def prepare_dagster_home(self) -> Path:
        """Make the home, its databases and the link to the project's configuration; return it."""
        home = self.dagster_home()
        home.mkdir(parents=True, exist_ok=True)
        source, link = project_root() / "dagster.yaml", home / "dagster.yaml"
        if not source.is_file():
            raise MissingError(
                "there is no dagster.yaml", subject=source, remedy="Run it in the project's folder"
            )
        if not link.exists():
            if link.is_symlink():
                link.unlink()  # the project was moved
            with contextlib.suppress(FileExistsError):  # another command was faster
                link.symlink_to(source)
        with durable.locked(home):
            if not (home / INITIALISED).exists():
                self._initialise(home)
        return home

    def _initialise(self, home: Path) -> None:
        """Make Dagster's databases while nobody else does: it cannot do that twice at once."""
        done = subprocess.run(
            [sys.executable, "-m", "qmachina_jobs.storage"],
            env=self.environment(),
            cwd=require_project(),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise LakeError(f"Dagster's databases cannot be made: {last}", subject=home)
        (home / INITIALISED).touch()


def require_project() -> Path:
    """Return the project's folder; MissingError where there is no workspace."""
    root = project_root()
    if not (root / WORKSPACE).is_file():
        raise MissingError(
            "there is no workspace.yaml", subject=root, remedy="Run it in the project's folder"
        )
    return root


def _project_lake() -> Path:
    """Return the project's lake; the demo's, while there is a demo and nothing else."""
    lake = project_root() / "lake"
    demo = lake / DEMO
    is_demo = (demo / FILE_NAME).is_file() and not (lake / FILE_NAME).is_file()
    return demo if is_demo else lake


def _from_environment(name: str) -> Path | None:
    value = os.environ.get(name)
    return Path(value) if value else None
