"""Every float in a record says what it measures: in its name, as scoville.units writes it, or in a field `measure`."""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
import re

import scoville
from scoville import units

# (record, field): why it may go without.
EXCEPTIONS = {
    ("Format", "bits_per_element"): "number formats are named by their bits; bytes would be fractions",
    ("Domain", "low"): "in the measure of whatever fact is held to it",
    ("Domain", "high"): "likewise",
    ("_Plan", "support"): "ones where a column makes an operator run, zeros elsewhere",
    ("StepCosts", "work_base"): "energy, FLOP and bytes side by side, named in costs.WORK",
    ("StepCosts", "work_head"): "likewise",
    ("StepCosts", "work_v"): "likewise",
    ("StepCosts", "work_shared"): "likewise",
    ("Compiled", "work"): "likewise",
    ("Schedule", "work"): "likewise",
    ("Compiled", "share"): "ticks, as all of the compiled simulator",
    ("Compiled", "timeline"): "ticks x sequences and ticks x blocks",
    ("Request", "share"): "ticks",
    ("Fleet", "balance_ratio"): "one load over another, as routers name it",
    ("Correction", "errors"): "each with its measure in calibrate.NAMES",
    ("Curve", "seconds"): "the word itself",
    ("Part", "words"): "of a design file: texts, and products per cell and clock by format",
    ("_Drawn", "figures"): "whatever decides the sides of a die, to tell whether they are known",
    ("_Series", "coefficients"): "each with its measure in attention.COEFFICIENTS",
    ("Curves", "layouts"): "sizes of different kinds side by side, named in moe._LAYOUT",
    ("Curves", "points"): "their logarithms, each over its own reach",
    ("KernelTable", "reach"): "octaves",
    ("MoeTimes", "_drawn"): "log seconds at log tokens",
    ("SystolicKernels", "_drawn"): "seconds at numbers of rows",
}
FLOAT = re.compile(r"\bfloat|\bFloats?\b|\b(Float)?Array\b")


def measures() -> re.Pattern[str]:
    atoms = "|".join(units._MEASURES)
    return re.compile(rf"(?:^|_)(?:{atoms})(?:_per_(?:{atoms}|chip|user))*$")


def test_every_float_field_ends_in_its_measure() -> None:
    known, bare, seen = measures(), set(), 0
    for module in pkgutil.walk_packages(scoville.__path__, "scoville."):
        for record in vars(importlib.import_module(module.name)).values():
            if not (isinstance(record, type) and dataclasses.is_dataclass(record)):
                continue
            fields = dataclasses.fields(record)
            if any(field.name == "measure" for field in fields):
                continue
            for field in fields:
                if FLOAT.search(str(field.type)):
                    seen += 1
                    if not known.search(field.name):
                        bare.add((record.__name__, field.name))
    assert seen > 50
    assert bare - set(EXCEPTIONS) == set()
