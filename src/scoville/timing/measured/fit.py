"""Fits all measured tables anew: `python -m scoville.timing.measured.fit TABLES_DIR [CLASS ...]`.

TABLES_DIR holds <chip>/<class>/<engine>/<version>/*.parquet as data/README.md describes. Each class's `fit_tables`
gives frames by name; those named `..._across` and `..._scores` are printed, the others replace data/<name>.parquet.
Fitting needs scipy, which comes with the `dev` extra.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import polars as pl

CLASSES = ("gemm", "collectives", "attention", "attention_roofline", "moe", "moe_roofline")
DATA = Path(__file__).parent / "data"
_PRINTED = ("_across", "_scores")


def fit_class(name: str, folder: Path, target: Path) -> dict[str, pl.DataFrame]:
    """Fits one class, writes its tables into `target` and returns the frames that are for reading."""
    frames: dict[str, pl.DataFrame] = import_module(f"scoville.timing.measured.fit_{name}").fit_tables(folder)
    for key, frame in frames.items():
        if not key.endswith(_PRINTED):
            frame.write_parquet(target / f"{key}.parquet", compression="zstd", compression_level=19)
    return {key: frame for key, frame in frames.items() if key.endswith(_PRINTED)}


def main(arguments: Sequence[str]) -> int:
    """Returns the exit status: 2 where the arguments name no folder or an unknown class."""
    folder, names = Path(arguments[0] if arguments else ""), tuple(arguments[1:]) or CLASSES
    unknown = [x for x in names if x not in CLASSES]
    if not arguments or not folder.is_dir() or unknown:
        wrong = f"unknown class {unknown[0]}" if unknown else f"no folder '{folder}'" if arguments else "no folder"
        print(f"fit: {wrong}; expected TABLES_DIR and, if not all, some of {', '.join(CLASSES)}", file=sys.stderr)
        return 2
    with pl.Config(tbl_rows=-1, tbl_cols=-1, tbl_width_chars=200, fmt_float="mixed"):
        for name in names:
            for key, frame in fit_class(name, folder, DATA).items():
                print(key, frame, sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
