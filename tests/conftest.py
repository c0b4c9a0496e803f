"""Hypothesis profiles and what every test may ask for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings

_RELAXED = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much)
settings.register_profile(
    "default", max_examples=40, deadline=None, suppress_health_check=_RELAXED, print_blob=True
)
settings.register_profile("nightly", settings.get_profile("default"), max_examples=2000)
settings.register_profile(
    "first", settings.get_profile("default"), phases=[Phase.explicit, Phase.generate]
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

#: Real market data beside the project; absent on most machines.
REAL_DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Return the folder of real files, or skip."""
    if not (REAL_DATA / "real").is_dir():
        pytest.skip("real market data is not on this machine")
    return REAL_DATA
