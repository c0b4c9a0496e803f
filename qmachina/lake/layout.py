"""Where things lie in the lake: dataset key <-> path, raw folder, date of a raw file name.

Pure: nothing here touches the disk. All paths are relative to the lake's root, and every
part is validated by a pattern, so no path can be built from free text.
"""

from __future__ import annotations

import re
from datetime import date
from pathlib import PurePosixPath
from typing import Literal, Self

from pydantic import Field, model_validator

from qmachina.errors import LakeError, QMachinaError
from qmachina.specs.base import NAME_PATTERN, Spec
from qmachina.specs.instrument import InstrumentSpec, ProductType

Layer = Literal[
    "raw", "bronze", "silver", "gold", "signals", "evaluation", "experiments", "serving"
]
#: Layers whose datasets need not belong to one date.
UNDATED_LAYERS = ("experiments", "serving")

_PARTS = re.compile(
    r"(?P<layer>[a-z]+)/(?P<dataset>[a-z0-9_]+)"
    r"/product_type=(?P<product_type>[a-z_]+)/symbol=(?P<symbol>[A-Za-z0-9._]+)"
    r"/(?P<spec_slug>[a-z0-9_]+)-(?P<spec_id8>[0-9a-f]{8})"
    r"(?:/dt=(?P<dt>\d{4}-\d{2}-\d{2}))?"
)
# The vendor's names: …20240508.mbo.dbn.zst, …20240508.mbo.ESM4.dbn.zst; also …20240508.dbn.
_RAW_NAME = re.compile(
    r"[A-Za-z0-9._-]*?(?<!\d)(?P<day>\d{8})(?:\.mbo(?:\.[A-Za-z0-9_-]+)?)?\.dbn(?:\.zst)?"
)
_TWO_DATES = re.compile(r"(?<!\d)\d{8}(?!\d).*(?<!\d)\d{8}(?!\d)")


class DatasetKey(Spec):
    """One partition of one dataset: the address of a folder in the lake."""

    layer: Layer = Field(description="Layer of the lake.")
    dataset: str = Field(pattern=NAME_PATTERN, max_length=64, description="Name of the dataset.")
    product_type: ProductType = Field(description="Kind of product.")
    symbol: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._]*$", max_length=64, description="Instrument."
    )
    spec_slug: str = Field(
        pattern=NAME_PATTERN,
        max_length=64,
        description="Human name of the spec; identifies nothing.",
    )
    spec_id8: str = Field(pattern=r"^[0-9a-f]{8}$", description="First digits of the spec's id.")
    dt: date | None = Field(default=None, description="Session; none for undated datasets.")

    @model_validator(mode="after")
    def _dated(self) -> Self:
        if self.dt is None and self.layer not in UNDATED_LAYERS:
            raise ValueError(f"layer {self.layer} needs a date")
        return self

    @property
    def asset(self) -> str:
        """The asset that makes this dataset, e.g. ``silver/grid``."""
        return f"{self.layer}/{self.dataset}"

    @property
    def path(self) -> PurePosixPath:
        """The partition's folder, relative to the lake."""
        folder = (
            PurePosixPath(self.layer)
            / self.dataset
            / f"product_type={self.product_type}"
            / f"symbol={self.symbol}"
            / f"{self.spec_slug}-{self.spec_id8}"
        )
        return folder if self.dt is None else folder / f"dt={self.dt}"

    def __str__(self) -> str:
        return str(self.path)

    @classmethod
    def from_path(cls, path: PurePosixPath | str) -> Self:
        """Return the key whose folder this is, relative to the lake.

        Raises
        ------
        LakeError
            If it is not the folder of a dataset.
        """
        found = _PARTS.fullmatch(str(path))
        if found is None:
            raise LakeError("not the folder of a dataset", subject=path)
        try:
            return cls.parse(found.groupdict(), subject=path)
        except QMachinaError as e:
            raise LakeError(f"not the folder of a dataset: {e.what}", subject=path) from e


def raw_folder(instrument: InstrumentSpec) -> PurePosixPath:
    """Return the folder of an instrument's raw files, relative to the lake."""
    return (
        PurePosixPath("raw")
        / "source=databento"
        / f"product_type={instrument.product_type}"
        / f"symbol={instrument.root}"
        / "table=market_by_order_dbn"
    )


def raw_date(name: str) -> date | None:
    """Return the UTC date in a raw file's name, or None where the name does not say one.

    Examples
    --------
    >>> raw_date("glbx-mdp3-20240508.mbo.dbn.zst")
    datetime.date(2024, 5, 8)
    >>> raw_date("glbx-mdp3-20240508.definition.dbn.zst") is None
    True
    """
    found = _RAW_NAME.fullmatch(name)
    if found is None or _TWO_DATES.search(name):
        return None
    day = found["day"]
    try:
        return date(int(day[:4]), int(day[4:6]), int(day[6:]))
    except ValueError:
        return None
