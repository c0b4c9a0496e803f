"""Whether the process may be sent to: kernels compiled, golden vectors equal."""

from __future__ import annotations

import threading

from qmachina.errors import QMachinaError
from serving.catalogue import Catalogue


class Readiness:
    """Prove what every alias stands for, in a thread, at start and when an alias moves.

    Parameters
    ----------
    catalogue : Catalogue
        Gives names and proofs.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._proven: set[str] = set()
        self._problems: tuple[str, ...] = ("still starting",)
        self._wanted = threading.Event()
        self._over = False
        self._thread = threading.Thread(target=self._run, name="readiness", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._wanted.set()
        self._thread.start()

    def check(self) -> None:
        """Look again: names may stand for something else now."""
        self._wanted.set()

    def close(self, seconds: float = 2.0) -> None:
        """Stop after the proof at hand; do not wait long, the first one compiles kernels."""
        self._over = True
        self._wanted.set()
        self._thread.join(seconds)

    @property
    def problems(self) -> tuple[str, ...]:
        """Why the process is not ready; empty if it is."""
        return self._problems

    def _run(self) -> None:
        while True:
            self._wanted.wait()
            self._wanted.clear()
            if self._over:
                return
            self._problems = self._look()

    def _look(self) -> tuple[str, ...]:
        try:
            aliases = self._catalogue.listing().aliases
        except Exception as e:  # /ready must say so, whatever it is
            return (_line(e),)
        if not aliases:
            return ("no alias points at anything: promote a run first",)
        problems = []
        for name, id_ in aliases.items():
            if self._over:
                return ("shutting down",)
            if id_ in self._proven:
                continue
            try:
                self._catalogue.prove(name)
                self._proven.add(id_)
            except Exception as e:
                problems.append(f"{name}: {_line(e)}")
        return tuple(problems)


def _line(error: Exception) -> str:
    if isinstance(error, QMachinaError):
        return error.line()
    return f"{type(error).__name__}: {error}"
