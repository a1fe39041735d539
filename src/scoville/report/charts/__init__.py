"""The charts of an answer, each with a finding as its title that holds for the answer at hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from scoville.report.charts.cost import cost_per_token
from scoville.report.charts.hangs import drivers
from scoville.report.charts.margin import waterfall
from scoville.report.charts.roof import roofline
from scoville.report.charts.speed import pareto
from scoville.study.answer import Answer

if TYPE_CHECKING:
    import altair as alt

__all__ = ["charts", "cost_per_token", "drivers", "pareto", "roofline", "waterfall"]


def charts(answer: Answer) -> dict[str, alt.LayerChart]:
    """Every chart that the answer has something for, by the name of its file, in the order of the page."""
    made: dict[str, Callable[[Answer], alt.LayerChart | None]] = {
        "cost-per-token": cost_per_token,
        "cost-against-speed": pareto,
        "margin-waterfall": waterfall,
        "roofline": roofline,
        "drivers": drivers,
    }
    return {name: chart for name, make in made.items() if (chart := make(answer)) is not None}
