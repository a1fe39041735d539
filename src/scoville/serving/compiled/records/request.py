"""A request. Instants are in ticks, -1 until they come; requests are named by their positions."""

from __future__ import annotations

(
    ARRIVAL,  # as it came; -1 until then
    CAME,  # to its lane
    THINK,
    SCHEDULED,
    FIRST,
    FINISH,
    MAX_GAP,
    ENTERED,  # decode steps of the lane when this stay began to decode
    JOINED,  # time of the token that the prefill of this stay yielded; with drafts, of the last token
    TOKEN_AT,  # time of the last token before a preemption, -1 if none
    SHARE,  # replica ticks that it is charged with
    SHARE_FROM,  # the lane's sum per decode when this stay began to decode
    NUMBER,
    PROMPT,
    OUTPUT,
    GOT,  # answer tokens, those of the present stay in decode left out
    PAID_GOT,  # answer tokens at this admission, which fairness has counted
    COMPUTED,  # tokens in the cache: in prefill; when decode began
    KEPT,  # computed tokens that come with it at admission
    CHUNK,  # prompt tokens of this step
    HELD,  # blocks, where drafts make that more than what is computed
    REFS,  # ids of its content that it has made entries of, or found
    FIRST_ID,  # where the ids of its content begin
    IDS,  # how many there are
    NEXT,  # in its queue, among the running ones, or among those held
    PREVIOUS,
    CHILD,  # first successor, and the next one of the same predecessor
    SIBLING,
    PARENT,
    LANE,  # where it was given to, -1 if nowhere
    KLASS,
    CLIENT,
    SESSION,
    PREEMPTIONS,
    RETRIES,
    CACHED,
    PAID_LANE,  # where fairness has counted its prompt
    PHASE,
    SIZE,
) = range(39)
