"""The chain of builders on a small synthetic lake: parity, reuse, refusals, promotion."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import yaml

from qmachina.datasets import evaluation, gold, promotion, raw, signals, silver, study
from qmachina.errors import (
    FormatError,
    ImmutableError,
    LakeError,
    LockError,
    MissingError,
    PreflightError,
    RecordError,
    SessionError,
)
from qmachina.lake.home import Home
from qmachina.pipeline import Pipeline
from qmachina.registry.reader import RegistryReader
from qmachina.sources.synth.files import generate, session_bounds
from qmachina.sources.synth.spec import SynthSpec
from qmachina.specs.serving import ExperimentSpec, PublishedServingSpec

SPECS = Path(__file__).parents[2] / "qmachina_assets" / "specs"
DAYS = (date(2026, 1, 5), date(2026, 1, 6))
MARKET = SynthSpec(open_time="08:30", close_time="08:33", orders_scale=0.5, depth_ticks=60)
ACTOR = {"actor": "ann", "reason": "test"}
MODELS = ("vacuum_pressure", "ema_ensemble")


def make_home(folder: Path, **changes: object) -> Home:
    """Return the home of an empty lake for the synthetic instrument."""
    folder.mkdir(parents=True, exist_ok=True)
    instrument = MARKET.instrument().canonical() | changes
    (folder / "instrument.yaml").write_text(yaml.safe_dump(instrument))
    return Home.open(folder, [SPECS])


def build_all(home: Home, dt: date) -> None:
    """Build every dataset of a date."""
    raw.register(home, dt)
    silver.build_silver(home, home.pipeline, dt)
    gold.build_gold(home, home.pipeline, dt)
    for name in MODELS:
        serving = home.serving(name)
        signals.build_signal(home, signals.SignalSpec.of(serving), dt)
        evaluation.build_evaluation(home, serving, dt)


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """Return the lake of two sessions with every dataset; not to be changed."""
    home = make_home(tmp_path_factory.mktemp("lake") / "lake")
    generate(MARKET, [session_bounds(MARKET, d) for d in DAYS], home.raw_folder)
    for day in DAYS:
        build_all(home, day)
    return home.root


@pytest.fixture
def home(built, tmp_path) -> Home:
    """Return a copy of the built lake to play with."""
    shutil.copytree(built, tmp_path / "lake")
    return Home.open(tmp_path / "lake", [SPECS])


def experiment(home: Home, **axes: tuple[float, ...]) -> ExperimentSpec:
    serving = home.serving("vacuum_pressure")
    chosen = axes or {"threshold": (0.05, 0.2), "tp_ticks": (2.0, 4.0)}
    return ExperimentSpec(name="tiny", serving=serving, axes=chosen, dates=DAYS)


@pytest.mark.parametrize("name", MODELS)
def test_batch_and_live_give_the_same_bytes(home, name):
    """Silver, gold and scores from the lake equal the incremental pipeline, bit for bit."""
    serving, day = home.serving(name), DAYS[1]
    book = raw.open_book(home, home.raw_file(day))
    pipeline = Pipeline(serving, home.instrument)
    live: dict[str, list[np.ndarray]] = {}
    # One record at a time would be slow; odd pieces cut events all the same.
    chunks = (part for c in book.chunks() for part in np.array_split(c, 97))
    for frame in pipeline.replay(chunks, book.header.covered_until_ns):
        for stage in ("silver", "gold", "scores"):
            chunk = getattr(frame, stage)
            for kind in ("bins", "grid"):
                for column, values in getattr(chunk, kind).items():
                    live.setdefault(f"{stage}.{kind}.{column}", []).append(values.copy())
    keys = {
        "silver": silver.silver_key(home, serving.pipeline, day),
        "gold": gold.gold_key(home, serving.pipeline, day),
        "scores": signals.signal_key(home, signals.SignalSpec.of(serving), day),
    }
    stored = {stage: home.lake.read_chunk(key) for stage, key in keys.items()}
    assert stored["silver"].n_bins == 1801  # three minutes, and the daily clear at their end
    for address, parts in live.items():
        stage, kind, column = address.split(".")
        batch = getattr(stored[stage], kind)[column]
        assert np.concatenate(parts).tobytes() == batch.tobytes(), address


def test_building_again_does_nothing_and_rebuilding_gives_the_same_bytes(home):
    day = DAYS[0]
    key = silver.silver_key(home, home.pipeline, day)
    before = home.lake.read_manifest(key)
    assert silver.build_silver(home, home.pipeline, day).reused
    shutil.rmtree(home.lake.folder(key))
    after = silver.build_silver(home, home.pipeline, day)
    assert not after.reused
    assert after.manifest.files == before.files
    assert after.manifest.dataset_id == before.dataset_id


def test_a_replaced_raw_file_makes_downstream_another_dataset(home):
    day = DAYS[0]
    other = MARKET.model_copy(update={"seed": 7})
    home.raw_file(day).unlink()
    generate(other, [session_bounds(other, day)], home.raw_folder)
    with pytest.raises(ImmutableError):
        raw.register(home, day)
    registered = raw.register(home, day, overwrite=True)
    with pytest.raises(ImmutableError):
        silver.build_silver(home, home.pipeline, day)
    rebuilt = silver.build_silver(home, home.pipeline, day, overwrite=True)
    assert rebuilt.manifest.inputs["raw/mbo_dbn"] == registered.manifest.dataset_id


def test_a_raw_file_that_changed_after_registration_is_refused(home):
    path = home.raw_file(DAYS[0])
    path.write_bytes(path.read_bytes() + b"x")
    key = silver.silver_key(home, home.pipeline, DAYS[0])
    shutil.rmtree(home.lake.folder(key))
    with pytest.raises(LakeError, match="not the registered one"):
        silver.build_silver(home, home.pipeline, DAYS[0])
    assert not home.lake.folder(key).exists()


def test_days_without_session_or_file_are_refused(home):
    with pytest.raises(SessionError, match="2026-01-04"):
        raw.register(home, date(2026, 1, 4))
    with pytest.raises(MissingError, match="no raw file of 2026-01-07"):
        raw.register(home, date(2026, 1, 7))
    with pytest.raises(MissingError, match="raw/mbo_dbn"):
        silver.build_silver(home, home.pipeline, date(2026, 1, 7))


@pytest.mark.parametrize("cut", [0, 100, 5000])
def test_a_truncated_file_leaves_nothing(home, cut):
    day = date(2026, 1, 7)
    whole = home.raw_file(DAYS[0])
    (home.raw_folder / whole.name.replace("20260105", "20260107")).write_bytes(
        whole.read_bytes()[:cut]
    )
    with pytest.raises(FormatError):
        raw.register(home, day)
    assert not home.lake.folder(raw.raw_key(home, day)).exists()
    assert not list(home.root.rglob("*20260107*/*"))


def test_the_file_of_another_instrument_is_refused(built, tmp_path):
    foreign = make_home(tmp_path / "lake", symbol="OTHER")
    foreign.raw_folder.mkdir(parents=True)
    for path in Home.open(built, [SPECS]).raw_folder.iterdir():
        shutil.copy(path, foreign.raw_folder)
    with pytest.raises(LockError, match=r"expected OTHER.*QMZ9"):
        raw.register(foreign, DAYS[0])


def test_a_wrong_tick_size_names_the_one_that_fits(built, tmp_path):
    wrong = make_home(tmp_path / "lake", tick_size="0.5")
    wrong.raw_folder.mkdir(parents=True)
    shutil.copy(Home.open(built, [SPECS]).raw_file(DAYS[0]), wrong.raw_folder)
    raw.register(wrong, DAYS[0])
    with pytest.raises(
        RecordError, match=r"off the tick grid .*largest tick size that fits is 0.25"
    ):
        silver.build_silver(wrong, wrong.pipeline, DAYS[0])
    assert not list((wrong.root / "silver").rglob("*.parquet"))


def test_metrics_are_those_of_the_stored_scores(home):
    serving = home.serving("ema_ensemble")
    metrics = evaluation.read_metrics(home, serving, DAYS[0])
    trades = home.lake.read_numpy(evaluation.evaluation_key(home, serving, DAYS[0]), "trades")
    assert metrics["n_trades"] == len(trades["net"])
    if metrics["n_trades"]:
        assert metrics["expectancy_net_ticks"] == pytest.approx(trades["net"].mean())


def test_a_study_does_not_depend_on_the_number_of_processes(home, tmp_path):
    spec = experiment(home)
    one = study.build_study(home, spec)
    body = study.read_study(home, one.manifest.key)
    shutil.rmtree(home.lake.folder(one.manifest.key))
    two = study.build_study(home, spec, workers=2)
    assert two.manifest.files == one.manifest.files
    assert len(body["runs"]) == 4
    assert len({row["run_id"] for row in body["runs"]}) == 4
    assert [row["rank"] for row in body["runs"]] == [1, 2, 3, 4]


def test_promotion_freezes_what_was_evaluated(home):
    built = study.build_study(home, experiment(home))
    runs = study.read_study(home, built.manifest.key)["runs"]
    first = promotion.promote(home, runs[0]["run_id"], "demo", **ACTOR)
    registry = RegistryReader(home.root)
    spec = PublishedServingSpec.parse({k: v for k, v in registry.load(first).items() if k != "id"})
    assert spec.source.run_id == runs[0]["run_id"]
    assert spec.serving.evaluator.threshold == runs[0]["threshold"]
    assert spec.source.golden_bins == 1801  # three minutes, and the daily clear at their end
    second = promotion.promote(home, runs[1]["run_id"][:10], "demo", **ACTOR)
    assert registry.aliases() == {"demo": second}
    assert promotion.rollback(home, "demo", **ACTOR) == first
    assert registry.aliases() == {"demo": first}
    assert registry.verify() > 0
    with pytest.raises(MissingError, match="no such run"):
        promotion.promote(home, "0" * 64, "demo", **ACTOR)
    with pytest.raises(MissingError, match="no such alias"):
        promotion.rollback(home, "nobody", **ACTOR)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda b: b["source"].update(golden_hash="0" * 64), "golden vectors differ"),
        (lambda b: b["serving"].update(stream_schema=["nonsense"]), "no such columns: nonsense"),
        (lambda b: b["serving"].update(extra=1), "extra"),
        (lambda b: b["instrument"].update(symbol="OTHER"), "locked to another instrument"),
        (lambda b: b["instrument"].update(multiplier="2"), "instrument file has changed"),
        (lambda b: b["serving"]["model"].update(model_id="nope"), "no such model"),
    ],
)
def test_preflight_refuses_what_could_not_serve(home, change, words):
    built = study.build_study(home, experiment(home))
    run = study.read_study(home, built.manifest.key)["runs"][0]["run_id"]
    body = promotion.published_spec(home, run).canonical()
    change(body)
    with pytest.raises(PreflightError, match=words):
        promotion.preflight(home, body)
    assert RegistryReader(home.root).aliases() == {}


def test_a_carried_day_is_the_same_batch_and_live(home):
    """The day before feeds the engine first: in the builder, in golden replays, in serving."""
    base = home.serving("ema_ensemble")
    carrying = base.pipeline.silver.model_copy(update={"carry_minutes": 2})
    pipeline_spec = base.pipeline.model_copy(update={"name": "carried", "silver": carrying})
    serving = base.model_copy(update={"pipeline": pipeline_spec})
    day = DAYS[1]
    built = silver.build_silver(home, pipeline_spec, day)
    assert set(built.manifest.inputs) == {"raw/mbo_dbn", "raw/mbo_dbn before", "instrument"}
    book = raw.open_book(home, home.raw_file(day))
    live = Pipeline(serving, home.instrument, carry=raw.carry_of(home, carrying, day))
    parts = [
        frame.silver.grid["add_mass"].copy()
        for frame in live.replay(book.chunks(), book.header.covered_until_ns)
    ]
    stored = home.lake.read_chunk(built.manifest.key)
    assert np.concatenate(parts).tobytes() == stored.grid["add_mass"].tobytes()
    with pytest.raises(MissingError, match="no raw file"):
        raw.carry_of(home, carrying, DAYS[0])
