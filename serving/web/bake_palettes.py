"""Bake colour tables of matplotlib into ``src/palette-tables.ts``.

Run once when a table is added: ``python serving/web/bake_palettes.py``. The result is committed,
and a test compares it with matplotlib, so the page needs neither Python nor a network to build.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np

TARGET = Path(__file__).parent / "src" / "palette-tables.ts"
TABLES = ("inferno", "viridis", "cividis", "berlin", "managua")
PER_LINE = 16

NOTICE = """\
Colour tables

inferno, viridis: Nathaniel J. Smith, Stefan van der Walt, Eric Firing; dedicated to the public
domain (CC0).
cividis: Jamie R. Nunez, Christopher R. Anderton, Ryan S. Renslow; dedicated to the public domain
(CC0).
berlin, managua: Scientific colour maps, Copyright (c) 2023 Fabio Crameri, MIT licence:
Permission is hereby granted, free of charge, to any person obtaining a copy of this software and
associated documentation files (the "Software"), to deal in the Software without restriction,
including without limitation the rights to use, copy, modify, merge, publish, distribute,
sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions: The above copyright notice and this
permission notice shall be included in all copies or substantial portions of the Software. THE
SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT
LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND
NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM,
DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
Taken from matplotlib's tables."""


def table(name: str) -> list[str]:
    """Return a colour table as 256 texts of six hexadecimal digits."""
    # Rounded: matplotlib's own bytes are cut, and half a level darker.
    colours = np.rint(matplotlib.colormaps[name](range(256))[:, :3] * 255).astype(int)
    return [f"{r:02x}{g:02x}{b:02x}" for r, g, b in colours]


def module() -> str:
    """Return the text of the TypeScript module."""
    lines = ["// Written by bake_palettes.py: 256 colours a table, as rrggbb.", ""]
    lines += ["export const TABLE_NOTICE = `" + NOTICE + "`;", ""]
    lines.append("export const TABLES = {")
    for name in TABLES:
        colours = table(name)
        lines.append(f"  {name}:")
        rows = ["".join(colours[i : i + PER_LINE]) for i in range(0, 256, PER_LINE)]
        lines += [f'    "{row}" +' for row in rows[:-1]] + [f'    "{rows[-1]}",']
    return "\n".join([*lines, "} as const;", ""])


if __name__ == "__main__":
    TARGET.write_text(module(), encoding="utf-8")
