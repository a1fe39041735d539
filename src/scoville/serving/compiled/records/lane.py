"""A lane: its queue, cache and running requests, the step that is scheduled, and where its arrays begin."""

from __future__ import annotations

(
    STEP,  # decode steps so far
    LAST_DECODE,  # time of the last one
    LATEST,  # when a request came last
    OWN,  # this step's ticks, and how they grow in a leap
    OWN_RISE,
    CAP,
    CAP_RISE,
    SHARE_SUM,  # of step time per token, over decode steps
    FREE,
    IDLE,  # blocks of entries that nobody refers to
    HOST_FREE,
    OLDEST,  # idle entries, least recently idle first
    NEWEST,
    SPARE,  # first unused entry
    HOST_OLDEST,
    HOST_NEWEST,
    HOST_SPARE,
    COUNT,  # running
    DECODES,
    WAITING,
    LOAD,
    HEAP_SIZE,
    FRESH_SIZE,
    PEAKS_SIZE,
    TURN,  # (-step) mod block: residue of the decodes that need a block in the next step
    PARTIAL,  # the prompt in work, -1 if none
    FIRST,
    LAST,
    SERVED,  # decodes
    CHUNK,  # tokens of the prompt in work
    PREFILL,
    SAMPLED,
    SEQUENCES,
    TOKENS,
    MOVED,
    ADMITTED,
    PREEMPTED,  # whether 2 has to wait
    GROUP,  # where its group's record begins, and its replica's
    REPLICA,
    RESIDUE,  # (block,) decodes by (computed - step) mod block
    READS,  # (windows,) tokens that decodes read in the next step
    BELOW,  # (windows,) decodes whose next read is shorter than the window
    CROSSING,  # (windows, widest + 1) decodes by the step at which they fill the window
    HEAP_KEYS,  # last decode steps of requests
    HEAP_ITEMS,
    FRESH,  # began to decode after the last decode step
    NEW,  # admitted in this step
    PEAK_STEPS,  # steps ascend, gaps descend
    PEAKS,
    QUEUE_FIRST,  # (queues,)
    QUEUE_LAST,
    COUNTERS,  # (clients,)
    PRESENT,  # (clients,) requests waiting or running
    V,
    GROWTH,
    TABLE,  # entries by hash of their ids, 0 if none
    HOST_TABLE,
    ENTRIES,
    HOST_ENTRIES,
    SIZE,
) = range(60)
