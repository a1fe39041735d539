"""numba's decorators as the simulator uses them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba import types
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

# numba's cache on disk compares the file of the function that it loads, not those of the functions that it calls.
_STAMP = tuple((f.name, f.stat().st_mtime_ns, f.stat().st_size) for f in sorted(Path(__file__).parent.rglob("*.py")))
_OPTIONS = {"boundscheck": False, "error_model": "numpy", "nogil": True}
_INNER = {**_OPTIONS, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}


def entry(function: Callable[..., Any]) -> Any:
    """Compiled when it is first called from Python, with all that it calls; kept on disk until a file here changes."""
    dispatcher = numba.njit(cache=True, **_OPTIONS)(function)
    dispatcher._cache._cache_file._source_stamp = _STAMP
    return dispatcher


def jit(function: Callable[..., Any]) -> Any:
    """Compiled for compiled callers; `.py_func` is the function itself."""
    return numba.njit(**_INNER)(function)


def inlined(function: Callable[..., Any]) -> Any:
    """As `jit`, for what is called from one hot place."""
    return numba.njit(forceinline=True, **_INNER)(function)


@intrinsic
def pointer(typing: Any, array: Any) -> Any:
    """An array's memory without its shape and its owner: nothing is counted when it is handed on."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return make_array(signature.args[0])(context, builder, arguments[0]).data

    return types.CPointer(array.dtype)(array), generate
