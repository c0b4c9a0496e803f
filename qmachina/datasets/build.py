"""What all builders share: publish a partition once, reuse it when it is already there."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from qmachina.fields import Chunk
from qmachina.lake.home import Home
from qmachina.lake.manifest import Manifest, ManifestDraft
from qmachina.lake.publication import Staging

#: Called with the number of bins (or records) done so far.
Progress = Callable[[int], None]


def no_progress(done: int) -> None:
    """Ignore progress."""
    del done


@dataclass(frozen=True)
class Built:
    """A partition that exists now.

    Parameters
    ----------
    manifest : Manifest
        Its manifest.
    seconds : float
        Time spent; 0 when it was reused.
    reused : bool
        Whether the same dataset id had been published before, so that nothing was done.
    """

    manifest: Manifest
    seconds: float
    reused: bool


def publish(
    home: Home, draft: ManifestDraft, write: Callable[[Staging], None], overwrite: bool
) -> Built:
    """Write a partition unless exactly this dataset is there already."""
    if home.lake.holds(draft.key, draft.dataset_id):
        return Built(home.lake.read_manifest(draft.key), 0.0, True)
    started = time.perf_counter()
    with home.lake.publish(draft, overwrite=overwrite) as staging:
        write(staging)
    return Built(home.lake.read_manifest(draft.key), time.perf_counter() - started, False)


def together(a: Iterator[Chunk], b: Iterator[Chunk]) -> Iterator[tuple[Chunk, Chunk]]:
    """Yield two datasets of the same bins side by side, however each is cut."""
    left, right = Chunk({}), Chunk({})
    while True:
        if not left.n_bins:
            left = next(a, Chunk({}))
        if not right.n_bins:
            right = next(b, Chunk({}))
        n = min(left.n_bins, right.n_bins)
        if n == 0:
            if left.n_bins != right.n_bins:
                raise ValueError("datasets have different numbers of bins")
            return
        yield left.slice(0, n), right.slice(0, n)
        left, right = left.slice(n, left.n_bins), right.slice(n, right.n_bins)
