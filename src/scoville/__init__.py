"""Scoville: what every token costs, on which chip, and whether it pays to own that chip."""

__version__ = "0.1.0"
