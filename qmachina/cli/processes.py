"""The processes of a home: start them detached, look at them, stop them.

One lock a home. The children inherit the lock's descriptor and so hold it as long as one of
them lives, however the command that started them ended.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from qmachina.errors import LockError, QMachinaError

LOCK, STATE, LOGS = "lock", "processes.json", "log"
HOST = "127.0.0.1"
_STOP_SECONDS = 20.0
_LOCATIONS = (
    "{ workspaceOrError { ... on Workspace { locationEntries "
    "{ locationOrLoadError { ... on PythonError { message } } } } } }"
)


@dataclass(frozen=True)
class Service:
    """A process to start.

    Parameters
    ----------
    name : str
        Names its log.
    command : sequence of str
        What to run.
    port : int or None
        Where it listens.
    probe : str
        Path that answers once it is up; empty for none.
    """

    name: str
    command: Sequence[str]
    port: int | None = None
    probe: str = ""


@dataclass(frozen=True)
class Process:
    """A process that was started."""

    name: str
    pid: int
    born: str
    port: int | None

    @property
    def alive(self) -> bool:
        """Whether it still runs; a number given to another process since does not count."""
        return self.born != "" and birth(self.pid) == self.born


def birth(pid: int) -> str:
    """Return what tells a process from another of the same number; empty when it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        if Path("/proc/self/stat").exists():
            return ""
        done = subprocess.run(
            ["ps", "-p", str(pid), "-o", "lstart="], capture_output=True, text=True, check=False
        )
        return done.stdout.strip()
    fields = stat.rpartition(")")[2].split()
    return "" if fields[0] == "Z" else fields[19]


def read_state(home: Path) -> tuple[Process, ...]:
    """Return the processes that were started last, dead or alive."""
    try:
        body = json.loads((home / STATE).read_text())
        return tuple(Process(**entry) for entry in body)
    except (FileNotFoundError, ValueError, TypeError):
        return ()


def running(home: Path) -> tuple[Process, ...]:
    """Return the processes of a home that are alive."""
    return tuple(p for p in read_state(home) if p.alive)


@contextlib.contextmanager
def locked(home: Path) -> Iterator[int]:
    """Hold the home's lock and yield its descriptor, for children to inherit.

    Raises
    ------
    LockError
        Naming who holds it.
    """
    fd = os.open(home / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            names = ", ".join(f"{p.name} (pid {p.pid})" for p in running(home))
            raise LockError(
                "another command runs this home",
                subject=home.name,
                found=names or "a command that is just starting",
                remedy="Stop it with qmachina down",
            ) from None
        yield fd
    finally:
        os.close(fd)


def require_free(port: int, option: str) -> None:
    """Raise LockError when a port is taken, naming who has it."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            return
        except OSError:
            pass
    raise LockError(
        f"port {port} is taken",
        expected="a free port",
        found=holder(port),
        remedy=f"Stop that process, or give another port with {option}",
    )


def holder(port: int) -> str:
    """Return who listens on a port, as far as this user may see."""
    sockets = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                parts = line.split()
                if parts[3] == "0A" and int(parts[1].rpartition(":")[2], 16) == port:
                    sockets.add(f"socket:[{parts[9]}]")
    for folder in Path("/proc").glob("[0-9]*") if sockets else ():
        with contextlib.suppress(OSError):
            if any(str(fd.readlink()) in sockets for fd in (folder / "fd").iterdir()):
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
                return f"pid {folder.name}: {command[:120]}"
    return "another process"


def start(
    home: Path, services: Sequence[Service], environment: dict[str, str], lock: int
) -> tuple[Process, ...]:
    """Start the services, each in a session of its own with its log, and write the state."""
    default_signals()
    (home / LOGS).mkdir(exist_ok=True)
    started: list[Process] = []
    for service in services:
        with (home / LOGS / f"{service.name}.log").open("ab") as log:
            child = subprocess.Popen(
                service.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=home,
                env=environment,
                start_new_session=True,
                pass_fds=(lock,),
            )
        # Not waited for here: it outlives this command.
        child.returncode = 0
        started.append(Process(service.name, child.pid, birth(child.pid), service.port))
        _write_state(home, started)
    return tuple(started)


def _write_state(home: Path, processes: Sequence[Process]) -> None:
    temporary = home / f"{STATE}.new"
    temporary.write_text(json.dumps([asdict(p) for p in processes], indent=1) + "\n")
    temporary.replace(home / STATE)


def default_signals() -> None:
    """Give SIGINT and SIGTERM their default meaning.

    A shell starts background commands with SIGINT ignored; Dagster would inherit that, copy it
    to SIGTERM and never stop.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def wait_ready(
    home: Path, services: Sequence[Service], processes: Sequence[Process], seconds: float
) -> None:
    """Wait until every service answers.

    Raises
    ------
    QMachinaError
        If one dies or does not answer in time; shows the end of its log.
    """
    deadline = time.monotonic() + seconds
    for service, process in zip(services, processes, strict=True):
        while not _answers(service):
            late = time.monotonic() > deadline
            if late or not process.alive:
                raise QMachinaError(
                    f"{service.name} {'does not answer' if late else 'ended'}: "
                    f"{log_end(home, service.name)}",
                    remedy=f"See {home / LOGS / service.name}.log",
                )
            time.sleep(0.2)
        if not process.alive:
            raise QMachinaError(f"{service.name} ended: {log_end(home, service.name)}")


def require_loaded(port: int) -> None:
    """Raise QMachinaError unless the page's process could load the project's definitions."""
    request = urllib.request.Request(
        f"http://{HOST}:{port}/graphql",
        json.dumps({"query": _LOCATIONS}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as reply:
        entries = json.load(reply)["data"]["workspaceOrError"]["locationEntries"]
    for entry in entries:
        problem = (entry["locationOrLoadError"] or {}).get("message")
        if problem:
            raise QMachinaError(f"Dagster cannot load the project: {problem}")


def log_end(home: Path, name: str) -> str:
    """Return the last line of a log."""
    try:
        lines = (home / LOGS / f"{name}.log").read_text(errors="replace").strip().splitlines()
    except OSError:
        return "no log"
    return lines[-1][:300] if lines else "its log is empty"


def _answers(service: Service) -> bool:
    if service.port is None or not service.probe:
        return True
    try:
        with urllib.request.urlopen(f"http://{HOST}:{service.port}{service.probe}", timeout=2):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def stop(home: Path, processes: Sequence[Process]) -> None:
    """End processes, first kindly. Runs they launched go on and are recorded."""
    for process in processes:
        if process.alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGTERM)
    deadline = time.monotonic() + _STOP_SECONDS
    while any(p.alive for p in processes) and time.monotonic() < deadline:
        _reap(processes)
        time.sleep(0.05)
    for process in processes:
        if process.alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
    _write_state(home, ())


def _reap(processes: Sequence[Process]) -> None:
    """Take the exit status of those that are our own children, so that none stays a zombie."""
    for process in processes:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(process.pid, os.WNOHANG)
