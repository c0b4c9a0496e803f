"""A dataset key and its path say the same, both ways."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from qmachina.lake.layout import DatasetKey

NAME = st.from_regex(r"[a-z0-9][a-z0-9_]{0,20}", fullmatch=True)
KEYS = st.builds(
    DatasetKey,
    layer=st.sampled_from(["raw", "bronze", "silver", "gold", "signals", "evaluation", "serving"]),
    dataset=NAME,
    product_type=st.sampled_from(["future_mbo", "equity_mbo", "crypto_mbo"]),
    symbol=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._]{0,20}", fullmatch=True),
    spec_slug=NAME,
    spec_id8=st.from_regex(r"[0-9a-f]{8}", fullmatch=True),
    dt=st.dates(),
)


@settings(deadline=None, max_examples=60)
@given(KEYS)
def test_path_and_key_are_inverse(key: DatasetKey) -> None:
    path = key.path
    assert not path.is_absolute()
    assert ".." not in path.parts
    assert not any(part.startswith(".") for part in path.parts)
    assert DatasetKey.from_path(path) == key
    assert DatasetKey.parse(key.canonical()) == key


@settings(deadline=None, max_examples=60)
@given(KEYS, KEYS)
def test_two_keys_never_share_a_path(a: DatasetKey, b: DatasetKey) -> None:
    assert (a.path == b.path) == (a == b)
