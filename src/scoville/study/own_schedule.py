"""Dates of a chip programme as a question gives them, and the refusal of such as cannot be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from scoville.economics.cashflow import QUARTER_S
from scoville.economics.demand import label, quarter
from scoville.silicon.program import Program
from scoville.study.own_question import OptionTable, OwnFile

_LATER = ("tape_out_s", "silicon_s", "volume_s")


def begun_count(option: OptionTable, start: int) -> float:
    """Quarters from the start to the programme's beginning: 0, or fewer where it was begun before."""
    return 0.0 if option.begun is None else float(quarter(option.begun) - start)


def moved(file: OwnFile, option: OptionTable, plan: Program, start: int, quarters: int) -> Program:
    """The plan, counted from the study's start, with the dates that the file gives.

    A date keeps the plan's spread and moves those after it along. Raises StudyError naming the two settings that clash:
    first chips at or before tape-out, dates before the start or the beginning, a horizon that ends before first chips.
    """
    name, ago = f"option '{option.name}'", begun_count(option, start)
    _in_time(file, option, start)
    plan = _shifted(plan, ("rtl_s", *_LATER), ago)
    if option.tape_out is not None:
        plan = _shifted(plan, _LATER, quarter(option.tape_out) - start - _median(plan.tape_out_s))
        plan = replace(plan, rtl_s=np.minimum(plan.rtl_s, plan.tape_out_s))
    if option.first_chips is not None:
        first = quarter(option.first_chips) - start
        if first <= _median(plan.tape_out_s):
            planned = (
                f"[time] start = {label(start)}, which puts tape-out in {label(start + int(_median(plan.tape_out_s)))},"
            )
            other = planned if option.tape_out is None else f"{name}: tape_out = {option.tape_out}"
            raise file.refuse(f"{name}: first_chips = {option.first_chips}", other, "chips cannot ramp before tape-out")
        plan = _shifted(plan, ("volume_s",), first - _median(plan.volume_s))
        plan = replace(plan, silicon_s=np.minimum(plan.silicon_s, plan.volume_s))
    volume = _median(plan.volume_s)
    if volume >= quarters - 1:
        setting = "first_chips" if option.first_chips else "tape_out" if option.tape_out else "kind"
        end, first_chips = label(start + quarters - 1), label(start + int(np.ceil(volume)))
        raise file.refuse(
            "[time] horizon", f"{name}: {setting}", f"the horizon ends in {end}, and first chips come in {first_chips}"
        )
    return plan


def _in_time(file: OwnFile, option: OptionTable, start: int) -> None:
    name, now = f"option '{option.name}'", f"[time] start = {label(start)}"
    if option.begun is not None and quarter(option.begun) > start:
        raise file.refuse(f"{name}: begun = {option.begun}", now, "a programme begins with the study or before it")
    if option.first_chips is not None and quarter(option.first_chips) <= start:
        raise file.refuse(
            f"{name}: first_chips = {option.first_chips}", now, "chips serve from the quarter after it on"
        )
    if option.tape_out is not None and quarter(option.tape_out) < start + begun_count(option, start):
        other = now if option.begun is None else f"{name}: begun = {option.begun}"
        raise file.refuse(f"{name}: tape_out = {option.tape_out}", other, "it lies before the programme's beginning")


def _median(seconds: float | np.ndarray) -> float:
    """In quarters."""
    return float(np.median(seconds)) / QUARTER_S


def _shifted(plan: Program, fields: tuple[str, ...], count: float) -> Program:
    dates = {name: np.asarray(getattr(plan, name), float) + count * QUARTER_S for name in fields}
    return replace(plan, **dates)  # type: ignore[arg-type]
