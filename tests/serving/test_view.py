"""``qmachina view FILE``: one command from a file to a stream, or one plain line saying why not."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from qmachina.sources.synth.files import generate, session_bounds
from qmachina.sources.tape import Tape
from qmachina.sources.write import write_dbn
from tests.serving.lake_fixture import DAY, MARKET, Heard, listen

COMMAND = "import sys; from qmachina.cli.main import main; main()"


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-c", COMMAND, "view", *map(str, arguments), "--port", "0"]


@dataclass
class Viewing:
    """A view process: its address, and what it said on the terminal when it is over."""

    process: subprocess.Popen[str]
    address: str
    seconds: float
    said: str = ""

    def hear(self) -> Heard:
        base = self.address.split("/?")[0]
        return listen(base.replace("http", "ws", 1) + "/v1/stream?serving=view")


@contextmanager
def viewing(*arguments: object) -> Iterator[Viewing]:
    began = time.monotonic()
    process = subprocess.Popen(
        command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        address = process.stdout.readline().strip()
        assert address, process.communicate(timeout=10)[1]
        started = Viewing(process, address, time.monotonic() - began)
        yield started
    finally:
        process.send_signal(signal.SIGINT)
        started.said = process.communicate(timeout=20)[1]


def refused(*arguments: object) -> tuple[int, str]:
    done = subprocess.run(
        command(*arguments), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    return generate(MARKET, [session_bounds(MARKET, DAY)], folder)[0]


def tape_file(path: Path, tape: Tape, symbols: dict[str, int] | None = None) -> Path:
    records = tape.records()
    return write_dbn(
        path,
        [records],
        dataset="GLBX.MDP3",
        symbols=symbols or {"QMZ9": 900_001},
        start_ns=int(records["ts_recv"][0]),
        end_ns=int(records["ts_recv"][-1]) + 10_000_000_000,
    )


def busy(tape: Tape) -> Tape:
    for i in range(400):
        tape.add(10 + 2 * i, "B", 100 - i % 7, 5).add(11 + 2 * i, "A", 101 + i % 7, 7)
    return tape


def test_a_file_is_streamed_whole(day: Path) -> None:
    with viewing(day, "--speed", "max") as view:
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\?serving=view", view.address)
        page = httpx.get(view.address)
        assert page.status_code == 200
        heard = view.hear()
    config = heard.messages[0]
    assert config["serving"]["serving_name"] == "view"
    assert config["instrument"]["symbol"] == "QMZ9"
    assert config["instrument"]["tick_size_int"] == "250000000"
    assert config["bin_ns"] == "100000000"
    assert config["source"]["dt"] == str(DAY)
    assert heard.code == 1000
    assert len(heard.updates) >= 600
    assert any(u["values"]["ready"] for u in heard.updates)
    assert "tick size 0.25 inferred" in view.said
    assert view.process.returncode in (0, 130, -signal.SIGINT)


def test_something_moves_at_once_at_the_default_speed(day: Path) -> None:
    # The lead fills the page: three hundred bins come long before they would at real time.
    import asyncio

    from tests.serving.lake_fixture import hear, joined

    async def run(view: Viewing) -> tuple[Heard, float]:
        url = view.address.split("/?")[0].replace("http", "ws", 1) + "/v1/stream?serving=view"
        async with joined(url) as socket:
            heard = await hear(socket, lambda m: isinstance(m, dict) and m.get("seq") == "299")
            began = time.monotonic()
            await hear(socket, lambda m: isinstance(m, dict) and m.get("seq") == "319", heard)
            return heard, time.monotonic() - began

    with viewing(day) as view:
        heard, seconds = asyncio.run(run(view))
    assert heard.messages[0]["source"]["speed"] == 2.0
    assert 0.5 < seconds < 3.0  # twenty bins, twenty a second


def test_start_leaves_earlier_bins_out_and_keeps_the_warmth(day: Path) -> None:
    with viewing(day, "--speed", "max", "--start", "08:32") as view:
        heard = view.hear()
    first = heard.updates[0]
    assert int(first["bin_start_ns"]) % 60_000_000_000 == 0
    assert int(first["bin_seq"]) == 1200
    assert first["seq"] == "0"
    assert first["values"]["ready"]


def test_the_show_begins_when_the_book_has_two_sides(tmp_path: Path) -> None:
    tape = Tape()
    for i in range(50):
        tape.add(1000 + i, "B", 90, 1).wait(ms=100)
    file = tape_file(tmp_path / "late.dbn", busy(tape))
    with viewing(file, "--speed", "max", "--cell-ms", 100) as view:
        updates = view.hear().updates
    assert updates[0]["seq"] == "0"
    assert int(updates[0]["bin_seq"]) >= 50
    assert updates[0]["book_valid"]


def test_a_book_of_one_side_is_shown_all_the_same(tmp_path: Path) -> None:
    tape = Tape()
    for i in range(50):
        tape.add(1000 + i, "B", 90 - i % 9, 1).wait(ms=20)
    file = tape_file(tmp_path / "one_sided.dbn", tape)
    with viewing(file, "--speed", "max", "--cell-ms", 100) as view:
        heard = view.hear()
    assert len(heard.updates) >= 9
    assert {u["book_state"] for u in heard.updates} == {"one_sided"}
    assert heard.updates[0]["bin_seq"] == "0"


def test_choices_are_taken(day: Path) -> None:
    with viewing(day, "--speed", "max", "--cell-ms", 500, "--radius", 20) as view:
        config = view.hear().messages[0]
    assert (config["bin_ns"], config["grid_radius_ticks"]) == ("500000000", 20)


def test_a_snapshot_alone_says_so_on_both_ends(tmp_path: Path) -> None:
    tape = Tape()
    for i in range(30):
        tape.add(10 + 2 * i, "B", 100 - i, 5, flags=32).add(11 + 2 * i, "A", 101 + i, 7, flags=32)
    with viewing(tape_file(tmp_path / "snapshot.dbn", tape)) as view:
        heard = view.hear()
    assert heard.kinds == ["runtime_config", "end"]
    assert "snapshot of 60 records" in heard.messages[-1]["reason"]
    assert heard.code == 1000
    assert "snapshot of 60 records" in view.said


def test_a_recording_that_starts_in_mid_session_says_so(tmp_path: Path) -> None:
    file = tape_file(tmp_path / "middle.dbn", busy(Tape()))
    with viewing(file, "--speed", "max") as view:
        heard = view.hear()
    assert "without a snapshot" in view.said
    assert any(u["book_valid"] for u in heard.updates)


def test_a_quiet_file_gets_wider_bins(tmp_path: Path) -> None:
    file = tape_file(tmp_path / "quiet.dbn", busy(Tape(step_ns=500_000_000)))
    with viewing(file, "--speed", "max") as view:
        config = view.hear().messages[0]
    assert config["bin_ns"] == "1000000000"
    assert "bins of 1 s" in view.said


def test_bad_files_are_one_line_before_anything_listens(day: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.dbn").write_bytes(b"")
    (tmp_path / "text.dbn").write_text("not a tape")
    cut = tmp_path / "cut.dbn.zst"
    cut.write_bytes(day.read_bytes()[:-5000])
    for file, words in (
        (tmp_path / "none.dbn", "does not exist"),
        (tmp_path / "empty.dbn", "file is empty"),
        (tmp_path / "text.dbn", "not a DBN file"),
        (cut, "cut.dbn.zst"),
    ):
        code, said = refused(file)
        assert code == 3
        assert said.startswith("qmachina: error: ")
        assert words in said
        assert said.count("\n") == 1


def test_what_cannot_be_guessed_must_be_named(tmp_path: Path) -> None:
    tape = busy(Tape()).switch(instrument=900_002)
    file = tape_file(tmp_path / "two.dbn", busy(tape), {"QMZ9": 900_001, "QMH9": 900_002})
    code, said = refused(file)
    assert code == 3
    assert "--instrument" in said
    with viewing(file, "--instrument", "QMH9", "--speed", "max") as view:
        assert view.hear().messages[0]["instrument"]["symbol"] == "QMH9"


def test_wrong_choices_are_refused(day: Path) -> None:
    for arguments, code, words in (
        (("--tick-size", "0.1"), 3, "off the tick grid"),
        (("--cell-ms", 2000), 3, "bin width"),
        (("--speed", "fast"), 2, "speed"),
        (("--start", "8h"), 3, "HH:MM"),
        (("--start", "20:00"), 4, "nothing is recorded after"),
    ):
        found, said = refused(day, *arguments)
        assert (found, said.count("\n")) == (code, 1), said
        assert words in said


def test_a_taken_port_is_named(day: Path) -> None:
    with viewing(day) as view:
        port = view.address.split(":")[2].split("/")[0]
        command_line = [sys.executable, "-c", COMMAND, "view", str(day), "--port", port]
        done = subprocess.run(command_line, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 4
    assert port in done.stderr.splitlines()[-1]


def test_a_reachable_host_needs_a_token(tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "QMACHINA_TOKEN"}
    (tmp_path / "instrument.yaml").write_text(
        "product_type: future_mbo\nsymbol: QMZ9\nroot: QM\ndataset: GLBX.MDP3\n"
        "tick_size: '0.25'\ncalendar: CMES\ntime_zone: America/Chicago\n"
    )
    arguments = ["-m", "serving", "--lake", str(tmp_path), "--host", "0.0.0.0", "--port", "0"]
    done = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
        check=False,
    )
    assert (done.returncode, done.stdout) == (4, "")
    assert "QMACHINA_TOKEN" in done.stderr


@pytest.mark.parametrize(
    ("name", "symbol"),
    [
        ("glbx-mdp3-esh4-20231224", "ESH4"),
        ("glbx-mdp3-esm4-20240508", "ESM4"),
        ("xnas-itch-arl-20250717", "ARL"),
        ("bitstamp-btcusd-20150501", "BTCUSD"),
    ],
)
def test_real_files_show_something(real_data: Path, name: str, symbol: str) -> None:
    import asyncio

    from tests.serving.lake_fixture import hear, joined

    async def run(view: Viewing) -> Heard:
        url = view.address.split("/?")[0].replace("http", "ws", 1) + "/v1/stream?serving=view"
        async with joined(url) as socket:
            return await hear(socket, lambda m: isinstance(m, dict) and m.get("seq") == "310")

    with viewing(real_data / "real" / f"{name}.mbo.dbn.zst") as view:
        heard = asyncio.run(run(view))
    assert heard.messages[0]["instrument"]["symbol"] == symbol
    if symbol == "ESH4":
        assert "snapshot" in heard.frames("end")[0]["reason"]
    else:
        assert any(u["book_valid"] for u in heard.updates)
