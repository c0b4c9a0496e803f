"""A pipeline: what silver and gold are made with."""

from __future__ import annotations

from pydantic import Field

from qmachina.specs.base import NAME_PATTERN, Spec
from qmachina.specs.gold import GoldSpec
from qmachina.specs.silver import SilverSpec


class PipelineSpec(Spec):
    """Silver and gold under one name."""

    name: str = Field(pattern=NAME_PATTERN, max_length=64, description="Name; part of lake paths.")
    description: str = Field(default="", description="One sentence for people.")
    silver: SilverSpec = Field(default_factory=SilverSpec, description="The engine's part.")
    gold: GoldSpec = Field(default_factory=GoldSpec, description="The features' part.")
