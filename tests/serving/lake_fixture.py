"""A lake of three minutes of synthetic market, built and promoted by the library, and a server."""

from __future__ import annotations

import asyncio
import atexit
import functools
import json
import shutil
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import websockets
import yaml
from websockets.asyncio.client import ClientConnection, connect

from qmachina.datasets.gold import build_gold
from qmachina.datasets.promotion import promote
from qmachina.datasets.raw import register
from qmachina.datasets.signals import SignalSpec, build_signal
from qmachina.datasets.silver import build_silver
from qmachina.datasets.study import build_study, read_study, study_key
from qmachina.lake.home import Home
from qmachina.sources.synth.files import generate, session_bounds
from qmachina.sources.synth.spec import SynthSpec
from qmachina.specs.serving import ExperimentSpec
from serving import process
from serving.app import create_app
from serving.catalogue import Catalogue, LakeCatalogue
from serving.settings import Settings
from serving.view import SPECS

DAY = date(2026, 1, 5)
MARKET = SynthSpec(open_time="08:30", close_time="08:33", orders_scale=0.5, depth_ticks=60)
ACTOR = {"actor": "ann", "reason": "test"}


@functools.cache
def _master() -> tuple[Path, tuple[str, ...]]:
    """Build the lake once a process; return it and the run ids of its study."""
    root = Path(tempfile.mkdtemp(prefix="qmachina-lake-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    instrument = MARKET.instrument()
    (root / "instrument.yaml").write_text(yaml.safe_dump(instrument.canonical()))
    home = Home.open(root, [SPECS])
    generate(MARKET, [session_bounds(MARKET, DAY)], home.raw_folder)
    serving = home.serving("vacuum_pressure")
    register(home, DAY)
    build_silver(home, serving.pipeline, DAY)
    build_gold(home, serving.pipeline, DAY)
    build_signal(home, SignalSpec.of(serving), DAY)
    axes = {"threshold": (0.05, 0.1)}
    study = ExperimentSpec(name="tiny", serving=serving, axes=axes, dates=(DAY,))
    build_study(home, study)
    runs = read_study(home, study_key(home, study))["runs"]
    ids = tuple(row["run_id"] for row in sorted(runs, key=lambda row: row["threshold"]))
    promote(home, ids[0], "demo", **ACTOR)
    return root, ids


def open_lake(folder: Path) -> tuple[Home, tuple[str, ...]]:
    """Return a copy of the lake to play with, and the run ids; alias demo serves the first."""
    root, ids = _master()
    lake = folder / "lake"
    shutil.copytree(root, lake)
    return Home.open(lake, [SPECS]), ids


class Running:
    """A server in a thread of this process."""

    def __init__(self, catalogue: Catalogue, settings: Settings) -> None:
        self.app = create_app(catalogue, settings)
        self.socket = process.listen(settings)
        self.http = process.address(settings, self.socket)
        self.url = self.http.replace("http", "ws", 1) + "/v1/stream"
        self.server = process.server_of(self.app)
        self.loop: asyncio.AbstractEventLoop | None = None
        self.thread = threading.Thread(
            target=self.server.run, kwargs={"sockets": [self.socket]}, name="server"
        )

    @property
    def metrics(self) -> Any:
        return self.app.state.metrics

    def channels(self) -> list[Any]:
        return list(self.app.state.hub._channels)


@contextmanager
def running(home: Home, catalogue: Catalogue | None = None, **settings: Any) -> Iterator[Running]:
    """Serve a home at a free port until the block ends."""
    chosen = Settings(**({"port": 0, "speed": None, "ring_bins": 4096} | settings))
    server = Running(catalogue or LakeCatalogue(home), chosen)
    server.thread.start()
    try:
        wait_for(lambda: server.server.started)
        yield server
    finally:
        server.server.should_exit = True
        server.thread.join(20)
        assert not server.thread.is_alive()


def wait_for(claim: Callable[[], Any], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < end, "not true in time"
        time.sleep(0.01)


@asynccontextmanager
async def joined(url: str, **options: Any) -> AsyncIterator[ClientConnection]:
    # A client that holds unread messages back cannot see the close either: let it take all.
    options = {"max_size": None, "max_queue": None, "proxy": None} | options
    async with connect(url, **options) as socket:
        yield socket


class Heard:
    """Everything a client received, frames and grids apart and in order."""

    def __init__(self) -> None:
        self.messages: list[Any] = []
        self.code: int | None = None
        self.reason: str | None = None

    def frames(self, kind: str) -> list[dict[str, Any]]:
        return [m for m in self.messages if isinstance(m, dict) and m["type"] == kind]

    @property
    def kinds(self) -> list[str]:
        return ["grid" if isinstance(m, bytes) else m["type"] for m in self.messages]

    @property
    def updates(self) -> list[dict[str, Any]]:
        return self.frames("grid_update")

    @property
    def grids(self) -> list[pa.Table]:
        return [pa.ipc.open_stream(m).read_all() for m in self.messages if isinstance(m, bytes)]

    def take(self, message: str | bytes) -> Any:
        self.messages.append(message if isinstance(message, bytes) else json.loads(message))
        return self.messages[-1]


async def hear(
    socket: ClientConnection,
    until: Callable[[Any], bool] = lambda _: False,
    heard: Heard | None = None,
) -> Heard:
    """Receive until a message makes ``until`` true or the server closes."""
    heard = heard or Heard()
    try:
        while not until(heard.take(await asyncio.wait_for(socket.recv(), 60))):
            pass
    except websockets.ConnectionClosed:
        heard.code, heard.reason = socket.close_code, socket.close_reason
    return heard


def listen(url: str) -> Heard:
    """Connect, receive to the end and return everything."""

    async def run() -> Heard:
        async with joined(url) as socket:
            return await hear(socket)

    return asyncio.run(run())
