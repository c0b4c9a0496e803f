from __future__ import annotations

import errno
import json
import os
import threading
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from qmachina.errors import (
    ImmutableError,
    LakeError,
    MissingError,
    QMachinaError,
    SchemaError,
    SpecError,
)
from qmachina.fields import Chunk, Field
from qmachina.lake.contract import Table
from qmachina.lake.layout import DatasetKey
from qmachina.lake.manifest import FileEntry, Manifest, ManifestDraft
from qmachina.lake.publication import STEPS
from qmachina.lake.store import Lake
from qmachina.lake.writer import PartitionWriter, write_rows
from qmachina.specs.silver import SilverSpec

SPEC = SilverSpec()
RADIUS = 2
BINS = Table.bins((Field("x", "int64", "1", "A number."), Field("flag", "bool", "flag", "A flag.")))
GRID = Table.grid((Field("y", "float32", "1", "Another."),), RADIUS)
TABLES = (BINS, GRID)


def key(day: int = 8) -> DatasetKey:
    return DatasetKey(
        layer="silver",
        dataset="grid",
        product_type="future_mbo",
        symbol="ESM4",
        spec_slug="default",
        spec_id8=SPEC.id8,
        dt=date(2024, 5, day),
    )


def draft(
    code_version: str = "1", day: int = 8, tables: tuple[Table, ...] = TABLES
) -> ManifestDraft:
    return ManifestDraft.of(key(day), SPEC, {"raw/mbo_dbn": "ab" * 32}, code_version, tables)


def chunk(value: int, n_bins: int = 7) -> Chunk:
    x = np.full(n_bins, value)
    y = np.full((n_bins, 2 * RADIUS + 1), value, np.float32)
    return Chunk({"bin_seq": np.arange(n_bins), "x": x, "flag": x % 2 == 1}, {"y": y})


def publish(
    lake: Lake, value: int = 1, code_version: str = "1", overwrite: bool = False, n_bins: int = 7
) -> Manifest:
    with lake.publish(draft(code_version), overwrite) as staging:
        with PartitionWriter(staging.path, TABLES) as writer:
            writer.write(chunk(value, n_bins))
        staging.counts["bins"] = writer.n_bins
        staging.anomalies["unknown_cancel"] = 3
    assert staging.manifest is not None
    return staging.manifest


def hidden(lake: Lake) -> list[str]:
    return [p.name for p in lake.root.rglob(".*")]


# ---- publish and read ---------------------------------------------------------------------------


def test_a_published_partition_reads_back(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    manifest = publish(lake, 5)
    assert sorted(p.name for p in lake.folder(key()).iterdir()) == [
        "_SUCCESS",
        "bins.parquet",
        "checksums.json",
        "grid.parquet",
        "manifest.json",
    ]
    assert hidden(lake) == []
    assert lake.read_manifest(key()) == manifest == lake.verify(key())
    assert manifest.counts == {"bins": 7}
    assert manifest.anomalies == {"unknown_cancel": 3}
    assert {name: f.rows for name, f in manifest.files.items()} == {
        "bins.parquet": 7,
        "grid.parquet": 35,
    }
    assert manifest.spec_id == SPEC.id
    assert lake.holds(key(), manifest.dataset_id)
    assert not lake.holds(key(), "0" * 64)
    assert not lake.holds(key(9), manifest.dataset_id)
    assert lake.list() == lake.list("silver", "grid", "ESM4", SPEC.id8) == (key(),)
    assert lake.list("gold") == lake.list(symbol="NQM4") == ()

    arrow = lake.read(key(), "grid")
    assert arrow.column_names == ["bin_seq", "k", "y"]
    assert arrow.column("k").to_pylist()[:5] == [-2, -1, 0, 1, 2]
    assert arrow.schema.field("y").metadata == {
        b"unit": b"1",
        b"meaning": b"Another.",
        b"role": b"metadata",
    }
    assert lake.read(key(), "bins", ["flag", "x"]).column_names == ["flag", "x"]
    assert lake.read_numpy(key(), "grid")["y"].shape == (7, 5)
    assert lake.read_pandas(key(), "bins")["x"].tolist() == [5] * 7
    assert lake.read_bins(key())["flag"].all()
    whole = lake.read_chunk(key(), expect=TABLES)
    assert np.array_equal(whole.grid["y"], chunk(5).grid["y"])
    assert [c.n_bins for c in lake.read_chunks(key(), ["y"])] == [7]
    assert next(lake.read_chunks(key(), ["y"])).bins.keys() == {"bin_seq"}
    assert [g["x"].size for g in lake.read_groups(key(), "bins")] == [7]


def test_relative_paths_only_so_a_lake_can_move(tmp_path: Path) -> None:
    publish(Lake(tmp_path / "a"), 5)
    (tmp_path / "a").rename(tmp_path / "b")
    text = (Lake(tmp_path / "b").folder(key()) / "manifest.json").read_text()
    assert str(tmp_path) not in text
    Lake(tmp_path / "b").verify(key())


def test_a_missing_partition_names_the_asset_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="Materialise the asset silver/grid for 2024-05-08"):
        Lake(tmp_path).read(key())


def test_no_bins_are_still_columns(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    publish(lake, n_bins=0)
    whole = lake.read_chunk(key())
    assert whole.bins["x"].dtype == np.int64
    assert whole.grid["y"].shape == (0, 5)
    assert whole.grid["y"].dtype == np.float32
    assert list(lake.read_chunks(key())) == []
    assert lake.read(key(), "bins").num_rows == 0
    lake.verify(key())


def test_rows_and_other_files(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    labels = Table.rows(
        (Field("bin", "int64", "1", "Bin."), Field("r", "float64", "1", "Result.")), "labels"
    )
    with lake.publish(draft(tables=(labels,))) as staging:
        write_rows(
            staging / "labels.parquet",
            labels,
            {"bin": np.arange(3), "r": np.array([0.5, np.nan, 1])},
        )
        (staging / "notes").mkdir()
        (staging / "notes/a.json").write_text("{}")
    assert lake.read_numpy(key())["r"].tolist()[0] == 0.5
    assert lake.read_file(key(), "notes/a.json") == b"{}"
    for name in ("notes/b.json", "../../x", "manifest.json"):
        with pytest.raises(MissingError, match="has no file"):
            lake.read_file(key(), name)
    with pytest.raises(SchemaError, match="no chunks"):
        lake.read_chunk(key())
    lake.verify(key())
    (lake.folder(key()) / "notes/a.json").write_text("[]")
    with pytest.raises(LakeError, match=r"a\.json: the file is not what its manifest says"):
        lake.read_file(key(), "notes/a.json")
    with pytest.raises(SchemaError, match=r"column r .*expected float64 \(3,\), found float32"):
        write_rows(tmp_path / "x", labels, {"bin": np.arange(3), "r": np.zeros(3, np.float32)})
    with pytest.raises(SchemaError, match="column r cannot be written"):
        write_rows(tmp_path / "x", labels, {"bin": np.arange(3)})


def test_an_undated_dataset(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    study = key().model_copy(update={"layer": "experiments", "dataset": "study", "dt": None})
    with lake.publish(ManifestDraft.of(study, SPEC, {}, "1")):
        pass
    assert lake.list() == (study,)
    assert lake.verify(study).files == {}


# ---- identity -----------------------------------------------------------------------------------


def test_the_dataset_id_covers_what_decides_the_bytes() -> None:
    base = draft()
    other_spec = SilverSpec(strict=True)
    others = [
        draft("2"),
        ManifestDraft.of(key(), SPEC, {"raw/mbo_dbn": "cd" * 32}, "1", TABLES),
        ManifestDraft.of(key().model_copy(update={"dataset": "book"}), SPEC, base.inputs, "1"),
        ManifestDraft.of(
            key().model_copy(update={"spec_id8": other_spec.id8}), other_spec, base.inputs, "1"
        ),
    ]
    assert len({d.dataset_id for d in (base, *others)}) == 5
    renamed = ManifestDraft.of(
        key().model_copy(update={"spec_slug": "fancy"}), SPEC, base.inputs, "1", TABLES
    )
    assert renamed.dataset_id == base.dataset_id


def test_a_key_of_another_spec_is_refused() -> None:
    with pytest.raises(SpecError, match="another spec"):
        ManifestDraft.of(key(), SilverSpec(strict=True), {}, "1")


def test_the_same_work_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    a, b = Lake(tmp_path / "a"), Lake(tmp_path / "b")
    one, two = publish(a), publish(b)
    assert one.files == two.files
    assert one.dataset_id == two.dataset_id
    for name in one.files:
        assert (a.folder(key()) / name).read_bytes() == (b.folder(key()) / name).read_bytes()


def test_publishing_again_compares_and_writes_nothing(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    first = publish(lake, 1)
    assert publish(lake, 1) == first
    with pytest.raises(ImmutableError, match=r"other bytes in bins.parquet, grid.parquet"):
        publish(lake, 2)
    assert lake.read_bins(key())["x"][0] == 1
    assert hidden(lake) == []


def test_other_data_needs_overwrite(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    publish(lake, 1)
    began = False
    with (
        pytest.raises(ImmutableError, match="made by 1"),
        lake.publish(draft("2")),
    ):
        began = True
    assert not began  # refused before any work
    second = publish(lake, 2, "2", overwrite=True)
    assert lake.verify(key()) == second
    assert lake.read_bins(key())["x"][0] == 2
    assert hidden(lake) == []


def test_overwrite_repairs_what_cannot_be_read(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    publish(lake, 1)
    (lake.folder(key()) / "manifest.json").write_text("{")
    with pytest.raises(LakeError, match="damaged"):
        publish(lake, 1)
    publish(lake, 1, overwrite=True)
    lake.verify(key())
    (lake.folder(key()) / "manifest.json").unlink()
    with pytest.raises(ImmutableError, match="without a manifest"):
        publish(lake, 1)
    publish(lake, 1, overwrite=True)
    lake.verify(key())


# ---- contract -----------------------------------------------------------------------------------


def test_writers_are_held_to_the_contract(tmp_path: Path) -> None:
    lake = Lake(tmp_path)

    def attempt(change: Callable[[Chunk], Chunk], match: str) -> None:
        with (
            pytest.raises(SchemaError, match=match),
            lake.publish(draft()) as staging,
            PartitionWriter(staging.path, TABLES) as writer,
        ):
            writer.write(change(chunk(1)))
        assert lake.list() == ()
        assert hidden(lake) == []

    attempt(
        lambda c: Chunk({k: v for k, v in c.bins.items() if k != "x"}, c.grid),
        "column x .*found nothing",
    )
    attempt(lambda c: Chunk({**c.bins, "z": c.bins["x"]}, c.grid), "column z")
    attempt(
        lambda c: Chunk({**c.bins, "x": c.bins["x"].astype(np.int32)}, c.grid),
        r"column x .*expected int64 \(7,\), found int32",
    )
    attempt(
        lambda c: Chunk(c.bins, {"y": c.grid["y"][:, 1:]}),
        r"column y .*\(7, 5\), found float32 \(7, 4\)",
    )
    attempt(
        lambda c: Chunk({**c.bins, "bin_seq": c.bins["bin_seq"] * 2}, c.grid),
        r"expected 1 at bin 1, found 2",
    )
    attempt(
        lambda c: Chunk(c.bins, {**c.grid, "k": np.zeros((7, 5), np.int32)}), "column k .*index"
    )


def test_chunks_must_follow_each_other(tmp_path: Path) -> None:
    with PartitionWriter(tmp_path, TABLES) as writer:
        writer.write(chunk(1))
        with pytest.raises(SchemaError, match=r"expected 7 at bin 7, found 0"):
            writer.write(chunk(1))


def test_the_index_may_come_along(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    c = chunk(1)
    k = np.broadcast_to(np.arange(-2, 3, dtype=np.int32), (7, 5))
    seq = np.broadcast_to(c.bins["bin_seq"][:, None], (7, 5))
    with lake.publish(draft()) as staging, PartitionWriter(staging.path, TABLES) as writer:
        writer.write(Chunk(c.bins, {**c.grid, "k": k, "bin_seq": seq}))
    assert publish(lake, 1).files == lake.read_manifest(key()).files


def test_what_is_published_is_checked_once_more(tmp_path: Path) -> None:
    lake = Lake(tmp_path)

    def publish_and(spoil: Callable[[Path], object]) -> None:
        with lake.publish(draft()) as staging:
            with PartitionWriter(staging.path, TABLES) as writer:
                writer.write(chunk(1))
            spoil(staging.path)

    def attempt(spoil: Callable[[Path], object], match: str, error: type = SchemaError) -> None:
        with pytest.raises(error, match=match):
            publish_and(spoil)
        assert lake.list() == ()
        assert hidden(lake) == []

    def other_table(folder: Path) -> None:
        wrong = pa.table({"bin_seq": pa.array([1]), "x": pa.array([1.0])})
        pq.write_table(wrong, folder / "bins.parquet")

    def other_type(folder: Path) -> None:
        schema = BINS.schema.set(1, pa.field("x", pa.int32(), nullable=False))
        pq.write_table(schema.empty_table(), folder / "bins.parquet")

    def fewer_bins(folder: Path) -> None:
        (folder / "bins.parquet").unlink()
        with PartitionWriter(folder, (BINS,)) as writer:
            writer.write(chunk(1).slice(0, 3))

    attempt(other_table, "another table")
    attempt(other_type, "column x has another type .expected int64, found int32")
    attempt(fewer_bins, "same bins")
    attempt(lambda f: (f / "grid.parquet").unlink(), "grid.parquet: the table was not written")
    attempt(lambda f: (f / "grid.parquet").write_bytes(b"no"), "not a Parquet file")
    attempt(lambda f: (f / "more.parquet").touch(), "has no contract")
    attempt(lambda f: (f / "link").symlink_to("/etc/passwd"), "neither a file", LakeError)
    attempt(lambda f: (f / ".secret").touch(), "not a name", LakeError)
    attempt(lambda f: (f / "manifest.json").touch(), "not a name", LakeError)


def test_a_reader_is_told_when_the_code_believes_otherwise(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    publish(lake)
    newer = Table.grid((Field("y", "float64", "1", "Another."),), RADIUS)
    with pytest.raises(
        SchemaError, match=r"column y has another type .expected double, found float"
    ):
        lake.read_chunk(key(), expect=(newer,))
    with pytest.raises(SchemaError, match="column z is missing"):
        lake.read_chunk(
            key(), expect=(Table.grid((*GRID.fields, Field("z", "int8", "1", "Z.")), RADIUS),)
        )
    with pytest.raises(SchemaError, match="another table"):
        lake.read_chunk(key(), expect=(Table.grid(GRID.fields, 3),))
    with pytest.raises(SchemaError, match="no table 'walls'"):
        lake.read(key(), "walls")
    with pytest.raises(SchemaError, match="name one table"):
        lake.read(key())
    with pytest.raises(SchemaError, match="column q"):
        lake.read(key(), "bins", ["q"])
    with pytest.raises(SchemaError, match="column q"):
        lake.read_chunk(key(), ["q"])


def test_a_contract_is_an_avro_record_and_comes_back() -> None:
    contract = json.loads(json.dumps(GRID.contract()))
    assert contract["type"] == "record"
    assert [f["type"] for f in contract["fields"]] == ["long", "int", "float"]
    assert Table.from_contract(contract) == GRID
    for broken in (
        {},
        {**contract, "kind": "cube"},
        {**contract, "extra": 1},
        {**contract, "radius": None},
    ):
        with pytest.raises(SchemaError):
            Table.from_contract(broken)


# ---- damage -------------------------------------------------------------------------------------


def test_no_flipped_bit_is_ever_read_as_data(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    rng = np.random.default_rng(0)
    # Noise does not compress, so most bits of the files are bits of numbers.
    x, y = rng.integers(-(2**62), 2**62, 200), rng.standard_normal((200, 5)).astype(np.float32)
    with lake.publish(draft()) as staging, PartitionWriter(staging.path, TABLES) as writer:
        writer.write(Chunk({"bin_seq": np.arange(200), "x": x, "flag": x > 0}, {"y": y}))
    truth = lake.read_chunk(key())
    refused = 0
    for name in ("bins.parquet", "grid.parquet"):
        path = lake.folder(key()) / name
        clean = path.read_bytes()
        for position in rng.integers(0, len(clean), 60):
            broken = bytearray(clean)
            broken[position] ^= 1 << int(rng.integers(0, 8))
            path.write_bytes(broken)
            with pytest.raises(LakeError, match=f"{name} was changed"):
                lake.verify(key())
            try:
                back = lake.read_chunk(key())
            except QMachinaError:
                refused += 1
                continue
            # The bit lay in a part that carries no data, such as a unit or an offset index.
            assert all(np.array_equal(back.bins[k], v) for k, v in truth.bins.items())
            assert all(np.array_equal(back.grid[k], v) for k, v in truth.grid.items())
        path.write_bytes(clean)
    assert refused > 30


def test_a_truncated_or_missing_file_is_named(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    publish(lake)
    path = lake.folder(key()) / "grid.parquet"
    clean = path.read_bytes()
    path.write_bytes(clean + b"x")
    with pytest.raises(QMachinaError, match=r"grid.parquet"):
        lake.read_chunk(key())
    path.unlink()
    with pytest.raises(LakeError, match=r"grid.parquet: the file is missing"):
        lake.read_chunk(key())
    assert lake.read_bins(key())["x"][0] == 1
    with pytest.raises(LakeError, match=r"grid.parquet is missing"):
        lake.verify(key())


def test_no_field_of_a_manifest_changes_unnoticed(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    manifest = publish(lake)
    path = lake.folder(key()) / "manifest.json"
    clean = json.loads(path.read_text())
    for field in clean:
        broken = {**clean}
        del broken[field]
        path.write_text(json.dumps(broken))
        if field == "format":  # has a default, which is the same content
            assert lake.read_manifest(key()) == manifest
            continue
        with pytest.raises(LakeError, match="damaged"):
            lake.read_manifest(key())
    for change in ({"counts": {"bins": 8}}, {"anomalies": {}}, {"code_version": "9"}, {"more": 1}):
        path.write_text(json.dumps({**clean, **change}))
        with pytest.raises(LakeError, match="damaged"):
            lake.read_manifest(key())
    for text in (b"", b"[]", b"\xff", b"null"):
        path.write_bytes(text)
        with pytest.raises(LakeError, match="damaged"):
            lake.read_manifest(key())


def test_a_partition_cannot_pass_for_another(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    publish(lake)
    lake.folder(key()).rename(lake.folder(key(9)))
    with pytest.raises(LakeError, match="belongs to another partition"):
        lake.read_bins(key(9))


def test_verify_sees_strangers(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    publish(lake)
    (lake.folder(key()) / "extra.txt").touch()
    (lake.folder(key()) / "checksums.json").write_text("{}")
    (lake.folder(key()) / "_SUCCESS").unlink()
    with pytest.raises(
        LakeError, match=r"_SUCCESS is missing; extra.txt does not .*; checksums.json differs"
    ):
        lake.verify(key())


# ---- failure ------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", STEPS)
def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path, step: str) -> None:
    def fill_up(here: str) -> None:
        if here == step:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    clean = Lake(tmp_path)
    for overwrite in (False, True):
        with pytest.raises(LakeError, match=r"dt=2024-05-08: .*No space left on device"):
            publish(Lake(tmp_path, on_step=fill_up), 2, "2", overwrite)
        assert hidden(clean) == []
        if step in ("published", "retired"):
            assert clean.verify(key()).code_version == "2"
        elif overwrite:
            assert clean.verify(key()).code_version == "1"
        else:
            assert clean.list() == ()
            publish(clean, 1, "1")


def test_an_error_in_the_writer_leaves_nothing_and_passes_through(tmp_path: Path) -> None:
    lake = Lake(tmp_path)

    def fail() -> None:
        with lake.publish(draft()) as staging:
            (staging / "bins.parquet").write_bytes(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert list(tmp_path.rglob("*.parquet")) == []
    assert hidden(lake) == []
    publish(lake)


def test_a_file_that_failed_is_deleted(tmp_path: Path) -> None:
    def fail() -> None:
        with PartitionWriter(tmp_path, TABLES) as writer:
            writer.write(chunk(1))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert list(tmp_path.iterdir()) == []


# ---- more than one at a time --------------------------------------------------------------------


def test_sweeping_spares_the_living(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    with lake.publish(draft()) as staging:
        assert lake.sweep() == 0
        assert staging.path.is_dir()
        with PartitionWriter(staging.path, TABLES) as writer:
            writer.write(chunk(1))
        publish(Lake(tmp_path), 1)  # another writer of the same, at the same time
    assert staging.already_there
    lake.verify(key())


def test_a_reader_never_sees_two_versions(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    publish(lake, 1, "1")
    failure: list[BaseException] = []
    stop = threading.Event()

    def overwrite() -> None:
        try:
            for value in range(2, 60):
                publish(lake, value, str(value), overwrite=True)
        except BaseException as e:
            failure.append(e)
        finally:
            stop.set()

    thread = threading.Thread(target=overwrite)
    thread.start()
    seen = set()
    while not stop.is_set():
        whole = lake.read_chunk(key())
        assert (whole.grid["y"] == whole.bins["x"][0]).all()
        seen.add(int(whole.bins["x"][0]))
    thread.join()
    assert failure == []
    assert len(seen) > 1
    assert hidden(lake) == []


def test_entries_of_files_are_closed() -> None:
    with pytest.raises(SpecError):
        FileEntry.parse({"sha256": "zz", "bytes": 1})


def test_the_documentation_names_every_step_in_order() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "lake.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| ")]
    assert [row for row in rows if row in STEPS] == list(STEPS)
