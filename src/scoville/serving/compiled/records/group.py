"""A group of lanes that step together."""

from __future__ import annotations

(
    START,
    DURATION,
    RISE,
    STEPS,  # of the leap in work
    TOKENS,  # of all lanes
    LAST_START,  # of the previous step, and its end
    LAST_END,
    BIN,  # of the timeline, and its end
    BIN_UNTIL,
    BUSY,
    TOUCHED,
    FIRST_LANE,  # where the record of its first lane begins; the others follow at LANE_STRIDE
    REPLICA,
    STAGES,  # where the instants begin at which its replica's stages are free
    EVENT,  # when its step ends, or may start
    SIZE,
) = range(16)
