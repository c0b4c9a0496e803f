"""The one place where numba is configured, and the status codes kernels return.

Kernels take arrays and scalars, allocate nothing, raise nothing and return a code; the
shell around them turns a code into an error with order id, sequence and time.
Floating point is strict (no fastmath): results equal the plain-Python twins bit for bit.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic
from numpy.typing import NDArray

F = TypeVar("F", bound=Callable[..., Any])

#: An integer scalar of a kernel: Python's int outside, int64 inside.
Int = Any

#: The kernel consumed everything it was given.
OK = 0

_ROOT = Path(__file__).parent
_BOUNDS = os.environ.get("QMACHINA_BOUNDSCHECK") == "1"
_OPTIONS: dict[str, Any] = {
    "nogil": True,
    # Kernels allocate nothing. Without the runtime numba enforces that, and spares the atomic
    # reference counts that cost four times the book's own work.
    "_nrt": False,
    # State is passed as named tuples of arrays; a real call would copy hundreds of words.
    "forceinline": True,
    "fastmath": False,
    "error_model": "numpy",
    "boundscheck": _BOUNDS,
    # A cache entry does not know about bounds checks: keep checked builds out of it.
    "cache": not _BOUNDS,
}


def kernel(function: F) -> F:
    """Compile an entry kernel: strict floating point, no GIL, cached on disk."""
    compiled: F = numba.njit(**_OPTIONS)(function)
    cache = getattr(getattr(compiled, "_cache", None), "_cache_file", None)
    if cache is not None:
        cache._source_stamp = _stamp(Path(function.__code__.co_filename))
    return compiled


def step(function: F) -> F:
    """Compile a function that only kernels call: it is cached as a part of them."""
    # Without the wrapper for Python a call from there would crash the process: keep that one.
    alone = {"cache": False, "no_cfunc_wrapper": True}
    compiled: F = numba.njit(**{**_OPTIONS, **alone})(function)
    return compiled


def cold(function: F) -> F:
    """Compile a step that runs rarely: called, not inlined, so that its code exists once."""
    alone = {"cache": False, "no_cfunc_wrapper": True, "forceinline": False}
    compiled: F = numba.njit(**{**_OPTIONS, **alone})(function)
    return compiled


_IMPORT = re.compile(
    r"^(?:from (qmachina[\w.]*) import (\([^)]*\)|[^\n]*)|import (qmachina[\w.]*))", re.M
)


def _stamp(path: Path) -> bytes:
    """Return a hash of a module and of every qMachina module it imports, however deep.

    Numba looks at the kernel's own file alone and would go on using machine code that has an
    older version of another module's functions compiled into it.
    """
    found: dict[Path, bytes] = {}
    pending = [path]
    while pending:
        file = pending.pop()
        if file in found:
            continue
        found[file], imports = _read_module(file, file.stat().st_mtime_ns)
        pending.extend(imports)
    whole = b"".join(found[file] for file in sorted(found))
    return hashlib.sha256(whole).digest()


@functools.cache
def _read_module(file: Path, _changed: int) -> tuple[bytes, tuple[Path, ...]]:
    """Return the hash of a source file and the qMachina files it imports."""
    source = file.read_bytes()
    imports = []
    for package, imported, module in _IMPORT.findall(source.decode()):
        candidates = [package or module]
        candidates += [
            f"{package}.{n.split()[0]}" for n in imported.strip("()").split(",") if n.split()
        ]
        for name in candidates:
            base = _ROOT.joinpath(*name.split(".")[1:])
            for candidate in (base.with_suffix(".py"), base / "__init__.py"):
                if candidate.is_file():
                    imports.append(candidate)
    return hashlib.sha256(source).digest(), tuple(imports)


def kernels_are_compiled() -> bool:
    """Tell whether numba compiles (False under ``NUMBA_DISABLE_JIT=1``)."""
    return not numba.config.DISABLE_JIT


# Two array operations that plain indexing cannot express without a test for negative indices.
# That test keeps the compiler from seeing a memmove (4x slower) and costs a select per load.
# Interpreted and bounds-checked builds take the plain forms below instead.
if _BOUNDS or not kernels_are_compiled():

    @kernel
    def load(values: NDArray, index: int) -> float:
        """Return ``values[index]`` of a contiguous float64 array; the index must be valid."""
        return values[index]

    @kernel
    def move(values: NDArray, target: int, source: int, count: int) -> None:
        """Copy ``count`` values of a contiguous float64 array within it; ranges may overlap."""
        if target < source:
            for i in range(count):
                values[target + i] = values[source + i]
        else:
            for i in range(count - 1, -1, -1):
                values[target + i] = values[source + i]

else:

    @intrinsic
    def load(typing_context: Any, values: Any, index: Any) -> Any:
        """Return ``values[index]`` of a contiguous float64 array; the index must be valid."""

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            array = context.make_array(signature.args[0])(context, builder, args[0])
            return builder.load(builder.gep(array.data, [args[1]]))

        return types.float64(values, types.intp), generate

    @intrinsic
    def move(typing_context: Any, values: Any, target: Any, source: Any, count: Any) -> Any:
        """Copy ``count`` values of a contiguous float64 array within it; ranges may overlap."""

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            array = context.make_array(signature.args[0])(context, builder, args[0])
            into, out_of = (builder.gep(array.data, [i]) for i in (args[1], args[2]))
            size = ir.Constant(args[3].type, 8)
            cgutils.raw_memmove(builder, into, out_of, args[3], size)
            return context.get_dummy_value()

        return types.void(values, types.intp, types.intp, types.intp), generate
