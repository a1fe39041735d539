"""`scoville simulate`: a trace replayed request by request on replicas of one deployment, or on two pools of them."""

from scoville.cli.simulate.command import Grouped, simulate

__all__ = ["Grouped", "simulate"]
