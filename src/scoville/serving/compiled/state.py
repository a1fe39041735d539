"""What the compiled simulator works on: one array of integers that holds every record and every list of a run.

Positions in it are plain integers, so that compiled functions take the array and a few numbers, nothing else. The few
floats stand in the same memory, read through a second view. Everything is allocated once per run, by `allocate`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scoville.serving.compiled.records import config as C
from scoville.serving.compiled.records import entry as E
from scoville.serving.compiled.records import group as G
from scoville.serving.compiled.records import lane as L
from scoville.serving.compiled.records import replica as R
from scoville.serving.compiled.records import request as Q
from scoville.serving.costs import TICKS_PER_S, WORK, StepCosts
from scoville.serving.settings import POLICIES, ROUTINGS, EngineSettings, Fleet
from scoville.serving.workload import Workload

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
NEVER = (1 << 63) - 1
LONG_AGO = -(1 << 60)
TIMELINE_BINS = 400
FIRST_BIN_TICKS = TICKS_PER_S // 100  # they get wider as a run goes on
PEAKS = 1024
SUB_BITS = 6  # of a gap's bin, see structures.gap_bin
HISTOGRAM_BINS = (64 - SUB_BITS) << SUB_BITS
MASK_BITS = 62  # lanes per word of what the router remembers of an id
REFERS = 1 << 61  # mark in a request's list of ids: the entry that it refers to stands there in place of its id

# Phases of a request, in order of its life; outcomes from FINISHED on.
COMING, HELD, WAITING, PREFILL, DECODE, FINISHED, REJECTED, ABANDONED, NEVER_CAME = range(9)
# States of a replica.
OFF, STARTING, UP, DRAINING, DOWN = range(5)
DECODE_FIRST, PREFILL_FIRST, STATIC = range(len(POLICIES))
ROUND_ROBIN, LEAST_LOADED, POWER_OF_TWO, STICKY, PREFIX_AWARE = range(len(ROUTINGS))


def ticks(seconds: float) -> int:
    """Seconds as ticks."""
    return round(seconds * TICKS_PER_S)


class Store:
    """The array while it is laid out: what stands where, zero where nothing does."""

    def __init__(self) -> None:
        self.parts: list[tuple[int, NDArray[np.int64]]] = []
        self.size = 0

    def add(self, array: NDArray[np.generic]) -> int:
        """Append an array, floats by their bits, and say where it begins."""
        at = self.room(array.size)
        flat = np.ascontiguousarray(array).reshape(-1)
        flat = flat.view(np.int64) if flat.dtype == np.float64 else flat.astype(np.int64, copy=False)
        self.parts.append((at, flat))
        return at

    def room(self, size: int, value: int = 0) -> int:
        """Append so many equal integers, and say where they begin."""
        if value != 0:
            return self.add(np.full(size, value, np.int64))
        at, self.size = self.size, self.size + int(size)
        return at

    def array(self) -> Ints:
        """All of it, with what the parts hold by now."""
        whole = np.zeros(self.size, np.int64)
        for at, part in self.parts:
            whole[at : at + part.size] = part
        return whole


def allocate(
    work: Workload,
    numbers: range,
    c: StepCosts,
    s: EngineSettings,
    fleet: Fleet,
    cache_blocks: int,
    sequence_blocks: int,
    *,
    leap: bool,
) -> Ints:
    """The run before its first event. `numbers` are the requests' own, where `work` is a part of a larger run."""
    n, replicas = len(work), fleet.replicas
    lanes, groups = replicas * c.ranks * c.stages, replicas * c.stages
    capacity, most = cache_blocks // c.stages, max(1, s.max_sequences // c.stages)
    clients = int(work.client.max()) + 1 if s.fair else 1
    classes = int(work.klass.max()) + 1
    prefix = s.prefix_cache and len(work.ids) > 0
    id_blocks = max(1, work.id_tokens // s.block_tokens)
    entries = capacity // id_blocks if prefix else 0
    host_entries = s.host_blocks // id_blocks if prefix else 0
    aware = fleet.routing == "prefix_aware" and len(work.ids) > 0
    mask_ids, mask_words = (int(work.ids.max()) + 1, -(-lanes // MASK_BITS)) if aware else (0, 1)
    scaling = fleet.autoscaling
    follows = fleet.users is not None or fleet.turns_follow
    failures = [(ticks(x.at_s), x.replica, ticks(x.repaired_s)) for x in sorted(fleet.failures, key=lambda x: x.at_s)]
    columns = [np.flatnonzero(u) for u in c.uses]
    store = Store()
    config = np.zeros(C.SIZE, np.int64)
    store.add(config)
    values = {
        C.REQUESTS_COUNT: n, C.LANES_COUNT: lanes, C.GROUPS_COUNT: groups, C.REPLICAS_COUNT: replicas,
        C.LANE_STRIDE: replicas * L.SIZE, C.RANKS: c.ranks, C.STAGES: c.stages, C.BUDGET: s.token_budget,
        C.MAX_SEQUENCES: most, C.BLOCK: s.block_tokens, C.CAPACITY: capacity,
        C.WATERMARK: int(s.watermark_frac * capacity), C.FULL: s.reservation == "full",
        C.POLICY: POLICIES.index(s.policy), C.SWAP: s.on_preemption == "swap", C.ASYNCHRONOUS: s.asynchronous,
        C.PATIENCE: ticks(s.patience_s) if s.patience_s else 0, C.QUEUES: classes * clients, C.CLIENTS: clients,
        C.CLASSES: classes, C.FAIR: s.fair, C.INPUT_WEIGHT: s.input_weight, C.OUTPUT_WEIGHT: s.output_weight,
        C.DRAFTS: c.drafts, C.DRAFT_SHARE: c.draft_share, C.HOST: c.host, C.MOVE: c.block,
        C.SEQUENCE_BLOCKS: sequence_blocks, C.PREFIX: prefix, C.ID_TOKENS: work.id_tokens, C.ID_BLOCKS: id_blocks,
        C.HOST_BLOCKS: s.host_blocks, C.TABLE_SIZE: _table_size(entries), C.HOST_TABLE_SIZE: _table_size(host_entries),
        C.ENTRIES_COUNT: entries, C.HOST_ENTRIES_COUNT: host_entries, C.HEAP_ROOM: 2 * most + 64, C.V_SIZE: c.size,
        C.PIECES: len(c.fixed), C.MASK_IDS: mask_ids, C.MASK_WORDS: mask_words, C.FAILURES_COUNT: len(failures),
        C.SPANS: len(c.windows), C.WIDEST: max([1, *(w for w in c.windows if w is not None)]), C.CAP_HEAD: c.cap_head,
        C.ROUTING: ROUTINGS.index(fleet.routing), C.BALANCE_REQUESTS: fleet.balance_requests,
        C.BALANCE_THOUSANDTHS: round(fleet.balance_ratio * 1000),
        C.QUEUE_LIMIT: -1 if fleet.queue_limit is None else fleet.queue_limit, C.USERS: fleet.users or 0,
        C.USER_THINK: ticks(fleet.think_s), C.TURNS_FOLLOW: fleet.turns_follow, C.SEED: fleet.seed,
        C.LEAST: scaling.least if scaling else replicas, C.INTERVAL: ticks(scaling.interval_s) if scaling else 0,
        C.PER_REPLICA: scaling.requests_per_replica if scaling else 0,
        C.STARTUP: ticks(scaling.startup_s) if scaling else 0, C.LEAP: leap and c.drafts == 0 and c.stages == 1,
        C.BIN_TICKS: FIRST_BIN_TICKS, C.UNFINISHED: n, C.NEXT_CHECK: ticks(scaling.interval_s) if scaling else NEVER,
        C.PENDING_FIRST: -1, C.FIRST_NUMBER: numbers.start, C.NUMBER_STEP: numbers.step,
        C.WINDOWS: store.add(np.array([-1 if w is None else w for w in c.windows], np.int64)),
        C.BASE: store.add(c.base), C.HEAD: store.add(c.head), C.FIXED: store.add(c.fixed),
        C.COMPUTE: store.add(c.compute), C.MEMORY: store.add(c.memory),
        C.PIECE_FROM: store.add(np.cumsum([0, *(len(x) for x in columns)])),
        C.PIECE_COLUMN: store.add(np.concatenate([*columns, np.zeros(0, np.int64)])),
        C.CAP_BASE: store.add(c.cap_base), C.CAP: store.add(c.cap), C.SHARED: store.add(c.shared),
        C.SHARED_CAP: store.add(c.shared_cap),
        C.ACCEPTANCE: store.add(
            np.array([round(p * 2**32) for p in s.speculation.acceptance_frac] if s.speculation else [], np.int64)
        ),
        C.ENDING: store.room(most + 1), C.TOUCHED_GROUPS: store.room(groups),
        C.SESSION_LANE: store.room(int(work.session.max()) + 1, -1), C.MASKS: store.room(mask_ids * mask_words),
        C.ARRIVAL_KEYS: store.room(n + 1 if follows else 1), C.ARRIVAL_ITEMS: store.room(n + 1 if follows else 1),
        C.FAILURES: store.add(np.array(failures, np.int64)), C.HISTOGRAM: store.room(HISTOGRAM_BINS),
        C.SUMS: store.room(c.size), C.WORK_BASE: store.add(c.work_base), C.WORK_SHARED: store.add(c.work_shared),
        C.TIMELINE: store.room(2 * TIMELINE_BINS), C.WORK: store.room(len(WORK)),
    }  # fmt: skip
    for position, value in values.items():
        config[position] = value
    replica = np.zeros((replicas, R.SIZE), np.int64)
    lane = np.zeros((lanes, L.SIZE), np.int64)
    group = np.zeros((groups, G.SIZE), np.int64)
    config[C.REPLICAS], config[C.LANES], config[C.GROUPS] = store.add(replica), store.add(lane), store.add(group)
    replica[:, R.STATE] = np.where(np.arange(replicas) < config[C.LEAST], UP, OFF)
    replica[:, R.READY] = NEVER
    _place(config, lane, group, store.room(replicas * c.stages))
    _equip(store, config, lane)
    first_id = store.add(work.ids) if prefix or aware else -1
    _requests(store, config, work, fleet, first_id)
    return store.array()


def _table_size(entries: int) -> int:
    """A power of two, at least twice as many places as entries."""
    return 1 << (2 * entries).bit_length() if entries else 1


def _place(config: Ints, lane: Ints, group: Ints, stage_free: int) -> None:
    """Lanes to groups and replicas, by their numbers."""
    replicas, ranks, stages = (int(config[i]) for i in (C.REPLICAS_COUNT, C.RANKS, C.STAGES))
    position, number = np.divmod(np.arange(len(lane)), replicas)
    lane[:, L.REPLICA] = config[C.REPLICAS] + number * R.SIZE
    lane[:, L.GROUP] = config[C.GROUPS] + (position // ranks * replicas + number) * G.SIZE
    microbatch, number = np.divmod(np.arange(len(group)), replicas)
    group[:, G.REPLICA] = config[C.REPLICAS] + number * R.SIZE
    group[:, G.FIRST_LANE] = config[C.LANES] + (microbatch * ranks * replicas + number) * L.SIZE
    group[:, G.STAGES] = stage_free + number * stages
    group[:, G.LAST_START] = group[:, G.LAST_END] = LONG_AGO
    group[:, G.BIN_UNTIL] = config[C.BIN_TICKS]
    group[:, G.EVENT] = NEVER


def _equip(store: Store, config: Ints, lane: Ints) -> None:
    """The lists of each lane, and its cache, all free."""
    seats, spans, heap = config[C.MAX_SEQUENCES] + 1, config[C.SPANS], config[C.HEAP_ROOM]
    for field, size, value in (
        (L.RESIDUE, config[C.BLOCK], 0), (L.READS, spans, 0), (L.BELOW, spans, 0),
        (L.CROSSING, spans * (config[C.WIDEST] + 1), 0), (L.HEAP_KEYS, heap, 0), (L.HEAP_ITEMS, heap, 0),
        (L.FRESH, seats, 0), (L.NEW, seats, 0), (L.PEAK_STEPS, PEAKS, 0), (L.PEAKS, PEAKS, 0),
        (L.QUEUE_FIRST, config[C.QUEUES], -1), (L.QUEUE_LAST, config[C.QUEUES], -1), (L.COUNTERS, config[C.CLIENTS], 0),
        (L.PRESENT, config[C.CLIENTS], 0), (L.V, config[C.V_SIZE], 0), (L.GROWTH, config[C.V_SIZE], 0),
        (L.TABLE, config[C.TABLE_SIZE], 0), (L.HOST_TABLE, config[C.HOST_TABLE_SIZE], 0),
    ):  # fmt: skip
        lane[:, field] = store.room(len(lane) * int(size), value) + np.arange(len(lane)) * size
    for first, spare, room in (
        (L.ENTRIES, L.SPARE, int(config[C.ENTRIES_COUNT])),
        (L.HOST_ENTRIES, L.HOST_SPARE, int(config[C.HOST_ENTRIES_COUNT])),
    ):
        entries = np.zeros((len(lane), room, E.SIZE), np.int64)
        lane[:, first] = store.add(entries) + np.arange(len(lane)) * room * E.SIZE
        if room:
            lane[:, spare] = lane[:, first]
            entries[:, :-1, E.NEXT] = lane[:, first, None] + np.arange(1, room) * E.SIZE
    lane[:, [L.PARTIAL, L.FIRST, L.LAST]] = -1
    lane[:, [L.LAST_DECODE, L.LATEST]] = LONG_AGO
    lane[:, L.FREE], lane[:, L.HOST_FREE] = config[C.CAPACITY], config[C.HOST_BLOCKS]


def _requests(store: Store, config: Ints, work: Workload, fleet: Fleet, first_id: int) -> None:
    """What is known of the requests, and room for their records and for what they see. `first_id` is where the ids of
    their content begin, -1 if nobody asks for them.
    """
    n = len(work)
    blank = np.zeros(Q.SIZE, np.int64)
    blank[[Q.SCHEDULED, Q.FINISH, Q.NEXT, Q.PREVIOUS, Q.LANE, Q.PAID_LANE]] = -1
    columns = [
        (Q.PROMPT, work.prompt), (Q.OUTPUT, work.output), (Q.GOT, work.got), (Q.KEPT, work.computed),
        (Q.TOKEN_AT, work.token_at), (Q.FIRST, work.token_at), (Q.KLASS, work.klass), (Q.CLIENT, work.client),
        (Q.SESSION, work.session),
    ]  # fmt: skip
    if first_id >= 0:
        columns += [(Q.FIRST_ID, work.offsets[:-1] + first_id), (Q.IDS, np.diff(work.offsets))]
    own = []
    for field, column in columns:
        if column.strides == (0,):  # one value for all
            blank[field] = column[0]
        else:
            own.append((field, column))
    config[C.INPUTS_COUNT] = len(own)
    config[C.INPUT_FIELDS] = store.add(np.array([field for field, _ in own], np.int64))
    config[C.INPUTS] = store.size
    for _, column in own:
        store.add(column)
    config[C.ARRIVALS] = store.add(work.arrival)
    if fleet.turns_follow:
        children = np.flatnonzero(work.parent >= 0)
        children = children[np.argsort(work.parent[children], kind="stable")]
        parents = work.parent[children]
        first = np.diff(parents, prepend=-1) != 0
        child, sibling = np.full(n, -1), np.full(n, -1)
        child[parents[first]] = children[first]
        sibling[children[:-1][~first[1:]]] = children[1:][~first[1:]]
        config[C.PARENTS], config[C.THINKS] = store.add(work.parent), store.add(work.think)
        config[C.CHILDREN], config[C.SIBLINGS] = store.add(child), store.add(sibling)
    config[C.BLANK] = store.add(blank)
    config[C.OUTPUTS] = store.room(len(Q.OUTPUTS) * n)
    config[C.RECORD_OF] = store.room(n)
    # A blank one for all that have ended, then one for each that is there at a time; the rest is never touched.
    config[C.RECORDS] = store.add(blank)
    config[C.NEXT_RECORD] = store.room(n * Q.SIZE)
