"""A request from its arrival to its end. Instants are in ticks, -1 until they come; requests are named by numbers.

What every request uses stands together, so that it takes few lines of a processor's cache.
"""

from __future__ import annotations

(
    ARRIVAL,  # as it came; -1 if it never did
    PROMPT,
    OUTPUT,
    KLASS,
    PHASE,
    LANE,  # where it was given to, -1 if nowhere
    NEXT,  # in its queue, among the running ones, or among those held
    PREVIOUS,
    CAME,  # to its lane
    SCHEDULED,
    GOT,  # answer tokens, those of the present stay in decode left out
    COMPUTED,  # tokens in the cache: in prefill; when decode began
    KEPT,  # computed tokens that come with it at admission
    CHUNK,  # prompt tokens of this step
    FIRST,
    TOKEN_AT,  # time of the last token before a preemption, -1 if none
    ENTERED,  # decode steps of the lane when this stay began to decode
    JOINED,  # time of the token that the prefill of this stay yielded; with drafts, of the last token
    SHARE,  # replica ticks that it is charged with
    SHARE_FROM,  # the lane's sum per decode when this stay began to decode
    MAX_GAP,
    FINISH,
    HELD,  # blocks, where drafts make that more than what is computed
    REFS,  # ids of its content that it has made entries of, or found
    FIRST_ID,  # where the ids of its content begin
    IDS,  # how many there are
    CACHED,
    PREEMPTIONS,
    RETRIES,
    NUMBER,
    CLIENT,
    SESSION,
    PAID_GOT,  # answer tokens at this admission, which fairness has counted
    PAID_LANE,  # where fairness has counted its prompt
    SIZE,
) = range(35)

# What comes out of a run, by the names of `Compiled`.
COLUMNS = {
    "arrival": ARRIVAL,
    "scheduled": SCHEDULED,
    "first": FIRST,
    "finish": FINISH,
    "max_gap": MAX_GAP,
    "preemptions": PREEMPTIONS,
    "retries": RETRIES,
    "cached": CACHED,
    "lane": LANE,
    "outcome": PHASE,
    "share": SHARE,
}
OUTPUTS = tuple(COLUMNS.values())
