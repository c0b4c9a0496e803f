"""The built page as files that may be sent. Requests choose among them; they build no path."""

from __future__ import annotations

import mimetypes
from dataclasses import dataclass
from pathlib import Path

_MISSING = b"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>qMachina</title>
<h1>The page has not been built</h1>
<p>Run <code>make web</code> (or <code>python -m serving.build</code>) and reload.
The stream works without it: <code>/v1/stream?serving=NAME</code>.</p>
"""
#: Names of files here carry a hash of their content.
_HASHED = "assets"


@dataclass(frozen=True)
class Asset:
    """One file to send."""

    body: bytes
    media_type: str
    cache: str


def find(folder: Path, path: str) -> Asset | None:
    """Return the file of a bundle at a URL path, or None.

    Parameters
    ----------
    folder : Path
        The bundle; looked at each time, because it may be rebuilt under a running server.
    path : str
        Relative URL path; empty for the page itself.
    """
    found = {
        f.relative_to(folder).as_posix(): f
        for f in folder.rglob("*")
        if f.is_file() and not f.name.startswith(".")
    }
    name = path or "index.html"
    if name not in found:
        return None if path else Asset(_MISSING, "text/html", "no-store")
    hashed = name.split("/")[0] == _HASHED
    return Asset(
        found[name].read_bytes(),
        mimetypes.guess_type(name)[0] or "application/octet-stream",
        "public, max-age=31536000, immutable" if hashed else "no-cache",
    )
