"""The stream over a real socket: what docs/wire.md promises, against the batch's own numbers."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from qmachina.datasets.promotion import promote, rollback
from qmachina.datasets.raw import open_book
from qmachina.datasets.signals import SignalSpec, signal_key
from qmachina.fields import concat
from qmachina.lake.home import Home
from qmachina.pipeline import Frame, Pipeline
from qmachina.registry.reader import RegistryReader
from qmachina.registry.writer import Registry
from serving import frames
from serving.catalogue import LakeCatalogue
from serving.channel import Channel
from serving.hub import Hub
from serving.metrics import Metrics
from serving.producer import Bin, Clock, Producer
from serving.settings import Settings
from serving.subscription import Route, Subscription
from tests.serving.lake_fixture import (
    ACTOR,
    DAY,
    Heard,
    Running,
    hear,
    joined,
    listen,
    open_lake,
    running,
    wait_for,
)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, tuple[str, ...]]:
    return open_lake(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="module")
def server(lake: tuple[Home, tuple[str, ...]]) -> Iterator[Running]:
    with running(lake[0]) as started:
        yield started


@pytest.fixture(scope="module")
def whole(server: Running) -> Heard:
    """One replay at full speed, from the first frame to the close."""
    return listen(f"{server.url}?serving=demo")


@pytest.fixture(scope="module")
def batch(lake: tuple[Home, tuple[str, ...]]) -> list[Frame]:
    home = lake[0]
    spec = home.serving("vacuum_pressure")
    book = open_book(home, home.raw_file(DAY))
    made = Pipeline(spec, home.instrument).replay(book.chunks(), book.header.covered_until_ns)
    return [Frame(*(concat([c]) for c in (f.silver, f.gold, f.scores))) for f in made]


def ends(heard: Heard) -> list[int]:
    return [int(u["bin_end_ns"]) for u in heard.updates]


# ---- what arrives


def test_messages_come_in_the_order_of_the_contract(whole: Heard) -> None:
    kinds = whole.kinds
    assert kinds[0] == "runtime_config"
    assert kinds[1:-1] == ["grid_update", "grid"] * len(whole.updates)
    assert kinds[-1] == "end"
    assert (whole.code, whole.reason) == (1000, whole.messages[-1]["reason"])
    assert [int(u["seq"]) for u in whole.updates] == list(range(len(whole.updates)))
    for message in whole.messages:
        if isinstance(message, dict):
            frames.parse_server(json.dumps(message))


def test_the_opening_frame_says_what_serves(
    whole: Heard, lake: tuple[Home, tuple[str, ...]]
) -> None:
    home, runs = lake
    config = whole.messages[0]
    assert config["serving"]["serving_name"] == "demo"
    assert config["serving"]["serving_id"] == RegistryReader(home.root).aliases()["demo"]
    assert config["serving"]["verdict"] == "UNDECIDED"
    assert config["serving"]["source"]["run_id"] == runs[0]
    assert config["source"] == {"kind": "replay", "dt": str(DAY), "speed": None}
    assert config["bin_ns"] == "100000000"
    assert [f["name"] for f in config["bin_schema_fields"]][-1] == "signal"


def test_values_are_the_batch_pipelines_bit_for_bit(whole: Heard, batch: list[Frame]) -> None:
    n = sum(f.n_bins for f in batch)
    assert len(whole.updates) == n > 1700
    scores = np.concatenate([f.scores.bins["score"] for f in batch])
    ready = np.concatenate([f.scores.bins["ready"] for f in batch])
    assert np.array([u["values"]["score"] for u in whole.updates]).tobytes() == scores.tobytes()
    assert [u["values"]["ready"] for u in whole.updates] == ready.tolist()
    assert ready.any()
    assert not ready.all()
    for name in ("bin_seq", "bin_end_ns", "event_id", "mid_x2", "spot_ref_price_int"):
        expected = np.concatenate([f.silver.bins[name] for f in batch]).tolist()
        assert [int(u[name]) for u in whole.updates] == expected
    names = [f["name"] for f in whole.messages[0]["grid_schema_fields"]][1:]
    for name in names:
        stored = np.concatenate([f.column(name) for f in batch])
        streamed = np.stack([g[name].to_numpy() for g in whole.grids])
        assert streamed.dtype == stored.dtype
        assert streamed.tobytes() == stored.tobytes(), name


def test_values_are_the_stored_signals(whole: Heard, lake: tuple[Home, tuple[str, ...]]) -> None:
    home = lake[0]
    key = signal_key(home, SignalSpec.of(home.serving("vacuum_pressure")), DAY)
    groups = home.lake.read_groups(key, "bins", ("score",))
    stored = np.concatenate([g["score"] for g in groups])
    assert np.array([u["values"]["score"] for u in whole.updates]).tobytes() == stored.tobytes()


def test_the_signal_is_the_score_at_the_evaluators_threshold(whole: Heard) -> None:
    seen = set()
    for update in whole.updates:
        score, signal = update["values"]["score"], update["values"]["signal"]
        on = update["values"]["ready"] and abs(score) >= 0.05
        assert signal == (0 if not on else 1 if score > 0 else -1)
        seen.add(signal)
    assert seen == {-1, 0, 1}


def test_clients_get_identical_bytes(server: Running) -> None:
    async def both() -> tuple[Heard, Heard]:
        url = f"{server.url}?serving=demo"
        async with joined(url) as one, joined(url) as other:
            return await asyncio.gather(hear(one), hear(other))

    one, other = asyncio.run(both())
    assert len(one.messages) > 100
    assert one.messages == other.messages


def test_an_id_streams_what_its_alias_does(server: Running, whole: Heard) -> None:
    id_ = whole.messages[0]["serving"]["serving_id"]
    heard = listen(f"{server.url}?serving={id_}")
    config = heard.messages[0]
    assert config["serving"]["serving_name"] is None
    assert config["state_hash"] == whole.messages[0]["state_hash"]
    assert config["epoch"] != whole.messages[0]["epoch"]  # another replay
    assert heard.updates == whole.updates


# ---- refusals


@pytest.mark.parametrize(
    "query",
    ["", "?serving=nope", "?serving=demo&speed=2", "?serving=demo&serving=demo",
     "?serving=..%2Fx", "?serving=" + "0" * 64, "?serving=" + "x" * 500],
)  # fmt: skip
def test_a_request_that_cannot_be_served_is_told_why(server: Running, query: str) -> None:
    heard = listen(server.url + query)
    assert heard.kinds == ["error"]
    assert heard.code == 1008
    message = heard.messages[0]["message"]
    assert heard.reason
    assert len(heard.reason.encode()) <= 123
    assert message.startswith(heard.reason)


def test_another_instrument_is_refused(lake: tuple[Home, tuple[str, ...]], tmp_path: Path) -> None:
    home, _ = open_lake(tmp_path)
    file = home.root / "instrument.yaml"
    file.write_text(file.read_text().replace("QMZ9", "QMH9"))
    with running(Home.open(home.root, home.library.folders)) as server:
        heard = listen(f"{server.url}?serving=demo")
    assert heard.code == 1008
    assert "locked to another instrument" in heard.messages[0]["message"]


def test_a_missing_raw_file_is_a_failed_setup(tmp_path: Path) -> None:
    home, _ = open_lake(tmp_path)
    home.raw_file(DAY).unlink()
    with running(home) as server:
        heard = listen(f"{server.url}?serving=demo")
    assert (heard.kinds, heard.code) == (["error"], 1008)
    assert "no raw file" in heard.messages[0]["message"]


def test_a_truncated_raw_file_fails_loudly_in_the_stream(tmp_path: Path) -> None:
    home, _ = open_lake(tmp_path)
    raw = home.raw_file(DAY)
    raw.write_bytes(raw.read_bytes()[:-20_000])
    with running(home) as server:
        heard = listen(f"{server.url}?serving=demo")
        assert heard.kinds[-1] == "error"
        assert heard.code == 1011
        assert raw.name in heard.messages[-1]["message"]
        assert server.metrics.failures == 1


@pytest.mark.parametrize("text", ['{"type":"play"}', "nonsense", '{"type":"ack","seq":5}'])
def test_a_client_that_breaks_the_contract_is_closed(server: Running, text: str) -> None:
    async def run() -> Heard:
        async with joined(f"{server.url}?serving=demo") as socket:
            await socket.send(text)
            return await hear(socket)

    heard = asyncio.run(run())
    # The replay may end first; it never may be taken for an answer to nonsense.
    assert (heard.kinds[-1], heard.code) in (("error", 1008), ("end", 1000))
    assert heard.kinds[-1] == "error"


def test_other_sites_and_other_names_are_refused(server: Running) -> None:
    def status(**headers: str) -> int:
        import websockets

        async def run() -> int:
            try:
                async with joined(f"{server.url}?serving=demo", additional_headers=headers):
                    return 101
            except websockets.InvalidStatus as e:
                return int(e.response.status_code)

        return asyncio.run(run())

    assert status() == 101
    assert status(Origin=server.http) == 101
    assert status(Origin="http://example.com") == 403
    assert status(Origin="null") == 403
    rebound = httpx.get(f"{server.http}/health", headers={"Host": "evil.example"})
    assert rebound.status_code == 421


def test_a_token_opens_a_reachable_server(lake: tuple[Home, tuple[str, ...]]) -> None:
    with running(lake[0], token="s3cret") as server:
        assert httpx.get(f"{server.http}/health").status_code == 200
        assert httpx.get(f"{server.http}/v1/servings").status_code == 401
        wrong = {"Authorization": "Bearer wrong"}
        assert httpx.get(f"{server.http}/v1/servings", headers=wrong).status_code == 401
        right = {"Authorization": "Bearer s3cret"}
        assert httpx.get(f"{server.http}/v1/servings", headers=right).status_code == 200
        with httpx.Client(base_url=server.http) as browser:
            entered = browser.get("/?serving=demo&token=s3cret")
            assert (entered.status_code, entered.headers["location"]) == (303, "/?serving=demo")
            assert "HttpOnly" in entered.headers["set-cookie"]
            assert browser.get("/v1/servings").status_code == 200


# ---- slow, gone and back


def test_a_slow_client_is_moved_forward_and_holds_nobody_up(
    lake: tuple[Home, tuple[str, ...]],
) -> None:
    async def run(server: Running) -> Heard:
        async with joined(f"{server.url}?serving=demo", max_queue=1) as slow:
            # The replay runs to its end although this client takes nothing.
            await asyncio.to_thread(wait_for, lambda: any(c.outcome for c in server.channels()))
            return await hear(slow)

    with running(lake[0], ring_bins=64) as server:
        heard = asyncio.run(run(server))
        assert server.metrics.skips == len(heard.frames("skipped")) > 0
        missed = sum(f["bins"] for f in heard.frames("skipped"))
        assert server.metrics.skipped_bins == missed
    seqs = [int(u["seq"]) for u in heard.updates]
    told = [
        seq
        for f in heard.frames("skipped")
        for seq in range(int(f["from_seq"]), int(f["to_seq"]) + 1)
    ]
    assert sorted(seqs + told) == list(range(seqs[-1] + 1))
    assert (heard.kinds[-1], heard.code) == ("end", 1000)


def test_a_client_that_comes_late_gets_the_recent_bins_at_once(
    lake: tuple[Home, tuple[str, ...]],
) -> None:
    async def run(server: Running) -> Heard:
        url = f"{server.url}?serving=demo"
        async with joined(url) as first:
            await hear(first, lambda m: isinstance(m, dict) and m.get("seq") == "400")
            async with joined(url) as late:
                return await hear(late, lambda m: isinstance(m, dict) and m.get("seq") == "410")

    with running(lake[0], speed=20.0, lead_bins=400, backlog_bins=100) as server:
        heard = asyncio.run(run(server))
    seqs = [int(u["seq"]) for u in heard.updates]
    assert 295 <= seqs[0] <= 310
    assert seqs == list(range(seqs[0], 411))


def test_resume_fills_in_or_names_the_gap(lake: tuple[Home, tuple[str, ...]]) -> None:
    def at(seq: int) -> Any:
        return lambda m: isinstance(m, dict) and m.get("seq") == str(seq)

    async def run(server: Running, after: int, epoch: str | None) -> Heard:
        async with joined(f"{server.url}?serving=demo") as socket:
            heard = await hear(socket, at(400))
            asked = frames.Resume(epoch=epoch or heard.messages[0]["epoch"], seq=after)
            await socket.send(asked.encode())
            return await hear(socket, at(420), Heard())

    with running(lake[0], speed=20.0, lead_bins=400, ring_bins=200) as server:
        seqs = [int(u["seq"]) for u in asyncio.run(run(server, 350, None)).updates]
        assert 351 in seqs
        again = seqs[seqs.index(351) :]
        assert again == list(range(351, 421))
    with running(lake[0], speed=20.0, lead_bins=400, ring_bins=200) as server:
        heard = asyncio.run(run(server, 40, None))
        (gap,) = heard.frames("gap")
        first = int(gap["to_seq"]) + 1
        assert int(gap["from_seq"]) == 41
        assert 200 <= first <= 225
        seqs = [int(u["seq"]) for u in heard.updates]
        assert seqs[seqs.index(first) :] == list(range(first, 421))
    with running(lake[0], speed=20.0, lead_bins=400, ring_bins=200) as server:
        heard = asyncio.run(run(server, 350, "abcd"))
        assert [int(u["seq"]) for u in heard.updates][-1] == 420
        assert 351 not in [int(u["seq"]) for u in heard.updates]


def test_nothing_stays_after_clients_have_left(lake: tuple[Home, tuple[str, ...]]) -> None:
    def replays() -> list[str]:
        return [t.name for t in threading.enumerate() if t.name.startswith("replay")]

    def tasks(server: Running) -> int:
        async def count() -> int:
            return len(asyncio.all_tasks())

        loop = server.server.servers[0].get_loop()
        return asyncio.run_coroutine_threadsafe(count(), loop).result(10)

    async def visit(server: Running) -> None:
        async with joined(f"{server.url}?serving=demo") as socket:
            await hear(socket, lambda m: isinstance(m, bytes))

    async def crowd(server: Running) -> None:
        await asyncio.gather(*(visit(server) for _ in range(10)))

    with running(lake[0], speed=1.0, grace_seconds=0.3) as server:
        wait_for(lambda: httpx.get(f"{server.http}/ready").status_code == 200)
        before = tasks(server)
        asyncio.run(crowd(server))
        assert len(replays()) == 1  # ten clients, one producer
        wait_for(lambda: not replays() and not server.channels())
        wait_for(lambda: tasks(server) <= before)
        assert server.metrics.clients == 0
        assert server.metrics.connections == 10
        asyncio.run(visit(server))  # and it begins again
    assert not replays()


# ---- an alias that moves


def test_an_alias_moves_under_its_clients(tmp_path: Path) -> None:
    home, runs = open_lake(tmp_path)
    heard, beside = Heard(), Heard()

    async def run(server: Running) -> None:
        url = f"{server.url}?serving=demo"
        async with joined(url) as socket, joined(url) as second:
            await hear(socket, lambda m: isinstance(m, dict) and m.get("seq") == "320", heard)
            await asyncio.to_thread(promote, home, runs[1], "demo", **ACTOR)
            await hear(
                socket, lambda m: isinstance(m, dict) and m["type"] == "serving_changed", heard
            )
            for _ in range(60):
                await hear(socket, lambda _: True, heard)
            await asyncio.to_thread(rollback, home, "demo", **ACTOR)
            await hear(
                socket, lambda m: isinstance(m, dict) and m["type"] == "serving_changed", heard
            )
            for _ in range(60):
                await hear(socket, lambda _: True, heard)
            for _ in range(2):
                await hear(
                    second, lambda m: isinstance(m, dict) and m["type"] == "serving_changed", beside
                )

    with running(home, speed=5.0, lead_bins=300) as server:
        asyncio.run(run(server))
        assert server.metrics.switches == 2
        # Catching up is computing, not streaming: no bin of the past was encoded again.
        streamed = dict(server.metrics.bins)
    assert len(beside.frames("serving_changed")) == 2
    first, second, third = (
        heard.messages[0],
        *(m["runtime_config"] for m in heard.frames("serving_changed")),
    )
    assert first["serving"]["serving_id"] == third["serving"]["serving_id"]
    assert second["serving"]["source"]["run_id"] == runs[1]
    assert streamed[second["serving"]["serving_id"]] < 300
    assert {c["serving"]["serving_name"] for c in (first, second, third)} == {"demo"}
    assert len({c["epoch"] for c in (first, second, third)}) == 3
    # Not a bin is lost or seen twice, and the successor is as warm as what it replaced.
    times = ends(heard)
    assert np.all(np.diff(times) == 100_000_000)
    assert all(u["values"]["ready"] for u in heard.updates[310:])
    with running(home) as server:
        replayed = listen(f"{server.url}?serving=demo").updates
    whole = {int(u["bin_end_ns"]): u["values"] for u in replayed}
    for update in heard.updates:
        expected = whole[int(update["bin_end_ns"])]
        assert update["values"]["score"] == expected["score"]
    assert len(heard.updates) > 320 + 50


#: Number of the session's last bin, counted over all epochs.
LAST = 40
STEPS = st.tuples(st.sampled_from(["make", "start", "take", "adopt"]), st.integers(0, 2))
AHEAD = [("take", 99), *[("make", 0)] * 3, ("start", 0), *[("make", 0)] * 2, ("make", 1)]


class Slow(Heard):
    """A client that takes as many bins and frames as it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.room = asyncio.Semaphore(0)

    def let(self, number: int) -> None:
        for _ in range(number):
            self.room.release()

    async def send_text(self, data: str) -> None:
        await self.room.acquire()
        self.take(data)

    async def send_bytes(self, data: bytes) -> None:
        assert data == b"grid"


class Replays:
    """An alias that moves twice; the test says when which replay makes its next bin."""

    def __init__(self, catalogue: LakeCatalogue, producers: list[Producer], ring: int) -> None:
        self.hub = Hub(catalogue, Settings(), Metrics())
        self.channels = [Channel(p, ring, Metrics()) for p in producers]
        self.first, self.next = [0], [0]
        identity = producers[0].offer.identity
        self.route = self.hub._routes["demo"] = Route(identity, self.channels[0])

    def make(self, i: int) -> None:
        if i >= len(self.next) or (n := self.next[i]) > LAST:
            return
        channel = self.channels[i]
        if n == self.first[i]:
            channel.opened(channel.producer.config("0"))
        text = f'{{"type":"grid_update","n":{n}}}'
        channel.closed_bin(Bin(n - self.first[i], (n + 1) * 100_000_000, text, b"grid"), 0.0, 0.0)
        self.next[i] += 1

    def start(self, late: int) -> None:
        """As the hub does: from what is current; ``late`` where the first bins may not be shown."""
        current = self.channels.index(self.route.channel)
        first = self.next[current] + late
        if self.route.successor is None and current == len(self.next) - 1 < 2 and first <= LAST:
            self.first.append(first)
            self.next.append(first)
            self.route.successor = self.route.identity, self.channels[current + 1]

    async def heard(self, steps: list[tuple[str, int]]) -> tuple[list[int], Slow]:
        client = Slow()
        sending = asyncio.create_task(Subscription(self.route, LAST + 1, Metrics()).run(client))
        for step, number in [*steps, *(("make", i) for i in (0, 1, 2) for _ in range(LAST + 1))]:
            if step == "take":
                client.let(4 * number)
            elif step == "adopt":
                self.hub._adopt()
            else:
                (self.make if step == "make" else self.start)(number)
            for _ in range(12):
                await asyncio.sleep(0)
        for channel in self.channels[: len(self.next)]:
            channel.ended("over")
        client.let(1000)
        await asyncio.wait_for(sending, 60)
        return self.first, client


@pytest.fixture(scope="module")
def unstarted(lake: tuple[Home, tuple[str, ...]]) -> tuple[LakeCatalogue, list[Producer]]:
    served = LakeCatalogue(lake[0])
    offer = served.resolve("demo")
    return served, [Producer(offer, served.tape(offer, None), Clock(None)) for _ in range(3)]


@given(st.lists(STEPS, max_size=80), st.sampled_from([6, 4096]))
@example([*AHEAD, ("adopt", 0), ("make", 1)], 4096)  # the old one is ahead: no repeat
@example([*AHEAD[:4], ("start", 2), ("make", 1), ("adopt", 0), ("make", 0)], 4096)  # no loss
@settings(max_examples=60, deadline=None)
def test_a_switch_neither_loses_nor_repeats_whichever_replay_is_ahead(
    unstarted: tuple[LakeCatalogue, list[Producer]], steps: list[tuple[str, int]], ring: int
) -> None:
    async def run() -> tuple[list[int], Slow]:
        return await Replays(*unstarted, ring).heard(steps)

    first, heard = asyncio.run(run())
    epochs, epoch = [p.epoch for p in unstarted[1]], 0
    told: list[int] = []  # the bins it has, and those it was told it will not get
    for m in heard.messages:
        if m["type"] in ("runtime_config", "serving_changed"):
            epoch = epochs.index(m.get("runtime_config", m)["epoch"])
        elif m["type"] == "skipped":
            told += range(first[epoch] + int(m["from_seq"]), first[epoch] + int(m["to_seq"]) + 1)
        elif m["type"] == "grid_update":
            told.append(m["n"])
    assert told == list(range(told[0], LAST + 1))
    assert ring <= LAST or (told[0], heard.frames("skipped")) == (0, [])


def test_a_move_to_what_cannot_be_served_leaves_clients_where_they_are(tmp_path: Path) -> None:
    home, _ = open_lake(tmp_path)
    heard = Heard()

    async def run(server: Running) -> None:
        async with joined(f"{server.url}?serving=demo") as socket:
            await hear(socket, lambda m: isinstance(m, dict) and m.get("seq") == "310", heard)
            registry = Registry(home.root)
            before = registry.aliases()["demo"]
            broken = registry.load(before)
            del broken["id"]
            broken["instrument"]["symbol"] = "OTHER"
            await asyncio.to_thread(
                registry.promote, broken, "demo", lambda _: None, expected=before, **ACTOR
            )
            await hear(socket, lambda m: isinstance(m, dict) and m.get("seq") == "350", heard)

    with running(home, speed=5.0, lead_bins=300) as server:
        asyncio.run(run(server))
    assert heard.frames("serving_changed") == []
    assert len({u["seq"] for u in heard.updates}) == 351


# ---- the rest of the process


def test_health_readiness_metrics_and_listing(server: Running, whole: Heard) -> None:
    assert httpx.get(f"{server.http}/health").json()["status"] == "alive"
    wait_for(lambda: httpx.get(f"{server.http}/ready").status_code == 200)
    listing = httpx.get(f"{server.http}/v1/servings").json()
    assert [a["alias"] for a in listing["aliases"]] == ["demo"]
    assert listing["aliases"][0]["verdict"] == "UNDECIDED"
    assert listing["versions"][0]["serving_id"] == listing["aliases"][0]["serving_id"]
    text = httpx.get(f"{server.http}/metrics").text
    id_ = whole.messages[0]["serving"]["serving_id"]
    lines = dict(x.rsplit(" ", 1) for x in text.splitlines() if not x.startswith("#"))
    assert float(lines[f'qmachina_bins_total{{serving="{id_}"}}']) >= len(whole.updates)
    assert float(lines["qmachina_refusals_total"]) >= 0
    assert lines["qmachina_lag_seconds_count"] == lines["qmachina_encode_seconds_count"]


def test_golden_vectors_that_differ_make_the_process_unready(tmp_path: Path) -> None:
    home, _ = open_lake(tmp_path)
    registry = Registry(home.root)
    before = registry.aliases()["demo"]
    other = registry.load(before)
    del other["id"]
    other["source"]["golden_hash"] = "0" * 64
    registry.promote(other, "demo", lambda _: None, expected=before, **ACTOR)
    with running(home) as server:
        wait_for(lambda: "golden" in httpx.get(f"{server.http}/ready").text)
        assert httpx.get(f"{server.http}/ready").status_code == 503
        promoted = registry.aliases()["demo"]
        registry.promote(registry.load(before), "demo", lambda _: None, expected=promoted, **ACTOR)
        wait_for(lambda: httpx.get(f"{server.http}/ready").status_code == 200)


def test_the_page_is_sent_with_its_policy(server: Running) -> None:
    answer = httpx.get(f"{server.http}/?serving=demo")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    for path in ("/../settings.py", "/assets/../../app.py", "/.stamp", "/nothing", "/docs"):
        assert httpx.get(server.http + path).status_code == 404, path


def test_no_client_gets_compression(server: Running) -> None:
    async def run() -> list[Any]:
        async with joined(f"{server.url}?serving=demo", compression="deflate") as socket:
            return list(socket.protocol.extensions)

    assert asyncio.run(run()) == []
