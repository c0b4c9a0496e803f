"""The code location that ``workspace.yaml`` names: the home of the environment."""

from __future__ import annotations

from qmachina_assets.resources import HomeResource
from qmachina_jobs.graph import code_location

defs = code_location(HomeResource.find())
