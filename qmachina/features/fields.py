"""The gold dataset as data: every column, in order. Keys (bin_seq, k) are silver's."""

from __future__ import annotations

from qmachina.fields import Field

#: Gold says nothing of a bin as a whole: what it knows of the touch is per cell.
GOLD_BIN_FIELDS: tuple[Field, ...] = ()

GOLD_FIELDS: tuple[Field, ...] = (
    Field("pressure_variant", "float32", "size/s", "Force that builds at the tick.", "force"),
    Field("vacuum_variant", "float32", "size/s", "Force that empties the tick.", "force"),
    Field(
        "composite",
        "float32",
        "1",
        "Pressure against vacuum in (-1, 1), averaged over the windows.",
        "signal",
    ),
    Field("composite_d1", "float32", "1/s", "First derivative of composite.", "velocity"),
    Field("composite_d2", "float32", "1/s^2", "Second derivative of composite.", "acceleration"),
    Field("composite_d3", "float32", "1/s^3", "Third derivative of composite.", "jerk"),
    Field(
        "state5_code",
        "int8",
        "code",
        "2 bull vacuum, 1 bull pressure, 0 mixed, -1 bear pressure, -2 bear vacuum.",
        "indicator",
    ),
    Field(
        "bbo_state5_code",
        "int8",
        "code",
        "The same codes from the last moves of best bid and ask; constant on a side.",
        "indicator",
    ),
)
