"""Measures every promised speed and prints one table: python -m benchmarks [MODULE ...]

Exit code 1 if one misses its target.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys

import benchmarks


def main(chosen: list[str]) -> int:
    """Run the chosen modules of this folder, or all of them."""
    names = [m.name for m in pkgutil.iter_modules(benchmarks.__path__) if not m.name.startswith("_")]
    unknown = sorted(set(chosen) - set(names))
    if unknown:
        print(f"benchmarks: no module {', '.join(unknown)}; known: {', '.join(names)}", file=sys.stderr)
        return 2
    line = "{:<52}  {:>24}  {:>24}  {}"
    print(line.format("what", "target", "measured", "pass"))
    missed = 0
    for name in chosen or names:
        for what, target, measured, passed in importlib.import_module(f"benchmarks.{name}").rows():
            print(line.format(what, target, measured, "yes" if passed else "NO"), flush=True)
            missed += not passed
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
