"""The prefix cache: what is found, by hand and against how much room there is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.serving.replays import MS, flat_engine, hand, hit_frac, sessions

from scoville.errors import TrafficError
from scoville.facts import Facts
from scoville.serving.engine import Engine, engine
from scoville.serving.settings import Fleet, preset
from scoville.serving.simulate import simulate
from scoville.traffic import Trace, reused_tokens


def caching(**settings: Any) -> Engine:
    """48 tokens a step of 1 ms, blocks of 16 tokens."""
    return flat_engine(prefix_cache=True, **settings)


def blocks(lists: list[list[int]]) -> dict[str, Any]:
    """Columns of a trace whose prompts begin with these blocks of 16 tokens."""
    return {
        "block_hashes": [x for row in lists for x in row],
        "block_offsets": np.cumsum([0, *map(len, lists)]),
        "block_tokens": 16,
    }


def test_hits_by_hand() -> None:
    """Prompts of 40 tokens (two full blocks), 52 (the same two and one more), 32 (the two alone), 20 of something else.

    The second finds 32 tokens, the third 16: the last token of a prompt is always computed, so that not both blocks
    can be taken. 48 of 144 tokens.
    """
    t = hand(
        [(0.0, 40, 2), (0.1, 52, 2), (0.2, 32, 2), (0.3, 20, 2)],
        **blocks([[7, 8, 90], [7, 8, 9], [7, 8], [5, 91]]),
    )
    r = simulate(t, caching(), 1)
    assert r.cached_tokens.tolist() == [0, 32, 16, 0]
    assert hit_frac(r) == pytest.approx(48 / 144)
    assert simulate(t, flat_engine(), 1).cached_tokens.sum() == 0


def test_cached_tokens_need_no_step() -> None:
    """96 tokens at 48 a step take two steps; 52 with 32 cached take one."""
    t = hand([(0.0, 96, 1), (0.1, 112, 1)], **blocks([[0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 5, 6]]))
    np.testing.assert_allclose(simulate(t, caching(), 1).ttft_s, [2 * MS, 1 * MS])
    np.testing.assert_allclose(simulate(t, flat_engine(), 1).ttft_s, [2 * MS, 3 * MS])


def test_nothing_is_found_before_it_is_computed() -> None:
    """Two equal prompts at once are both computed."""
    t = hand([(0.0, 20, 2), (0.0, 20, 2), (0.1, 20, 2)], **blocks([[0]] * 3))
    assert simulate(t, caching(), 1).cached_tokens.tolist() == [0, 0, 16]


def test_a_conversations_answer_is_cached_too() -> None:
    """A turn of 40 in and 30 out leaves 69 computed tokens, 4 blocks of 16; the next prompt of 100 begins with 70."""
    t = hand([(0.0, 40, 30), (1.0, 100, 5)], session_ids=[3, 3])
    assert simulate(t, caching(), 1).cached_tokens.tolist() == [0, 64]


def test_the_least_recently_used_goes_first() -> None:
    """Room for six blocks: four prompts of 32 tokens with an answer take three each, two of which are kept.

    A, B, then A again; C needs one block more than are free and takes the last one of B, the least recently used, so
    that A is found whole a third time, and of B its first block.
    """
    content = [[0, 1], [2, 3], [0, 1], [4, 5], [0, 1], [2, 3]]
    t = hand([(0.1 * i, 33, 2) for i in range(6)], **blocks(content))
    assert simulate(t, caching(blocks=6), 1).cached_tokens.tolist() == [0, 0, 32, 0, 32, 16]
    assert simulate(t, caching(blocks=100), 1).cached_tokens.tolist() == [0, 0, 32, 0, 32, 32]


def test_the_host_keeps_what_is_evicted() -> None:
    """The same with a host tier of four blocks, 2 ms each: B's second block is found there."""
    content = [[0, 1], [2, 3], [0, 1], [4, 5], [0, 1], [2, 3]]
    t = hand([(0.1 * i, 33, 2) for i in range(6)], **blocks(content))
    r = simulate(t, caching(blocks=6, host_blocks=4, block_s=2 * MS), 1)
    assert r.cached_tokens.tolist() == [0, 0, 32, 0, 32, 32]
    np.testing.assert_allclose(r.ttft_s, [MS, MS, MS, MS, MS, 3 * MS])
    assert r.pools[0].moved_blocks_count == 1


@pytest.fixture(scope="module")
def talk() -> Trace:
    return sessions(300, 5, per_s=3.0)


def test_an_endless_cache_finds_all_that_was_said_before(one: Engine, talk: Trace) -> None:
    """All turns after the first begin with the whole conversation but its last token, found in whole blocks of 16."""
    big = replace(one, settings=replace(one.settings, prefix_cache=True), cache_blocks=500_000)
    r = simulate(talk, big, Fleet(turns_follow=True))
    assert talk.parent is not None
    before = talk.input_tokens[talk.parent] + talk.output_tokens[talk.parent]
    expected = np.where(talk.parent >= 0, (before - 1) // 16 * 16, 0)
    np.testing.assert_array_equal(r.cached_tokens, expected)


def test_a_larger_cache_finds_more_and_a_host_tier_still_more(
    one: Engine, table: Any, facts: Facts, talk: Trace
) -> None:
    """Hits save prompt tokens, so that first tokens come sooner and chips are less busy."""
    h100, t = facts.accelerator("h100-sxm"), table(model="llama-3.1-8b")
    s = replace(preset("vllm", facts), prefix_cache=True)

    def with_room(blocks: int, host: int = 0) -> Any:
        return simulate(talk, engine(h100, facts, t, replace(s, cache_blocks=blocks, host_blocks=host)), 1)

    none = simulate(talk, one, 1)
    rates = [hit_frac(with_room(b)) for b in (1500, 4000, 12_000, 50_000)]
    assert rates == sorted(rates)
    assert 0 < rates[0] < 0.7 * rates[-1]
    tiered = with_room(1500, 50_000)
    assert hit_frac(tiered) > 1.2 * rates[0]
    assert tiered.pools[0].moved_blocks_count > 0
    full = with_room(50_000)
    assert full.ttft_s.mean() < none.ttft_s.mean()
    assert full.busy_frac < none.busy_frac
    assert full.energy_j < none.energy_j


def test_what_is_found_in_a_real_trace(one: Engine, mooncake: Trace) -> None:
    """At most what an endless cache would find, which `reused_tokens` counts without a simulation."""
    caching = replace(one, settings=replace(one.settings, prefix_cache=True))
    r = simulate(mooncake, caching, 8)
    reused = reused_tokens(mooncake)
    assert (r.cached_tokens <= reused).all()
    assert 0 < r.cached_tokens.sum() < reused.sum()
    assert (r.cached_tokens % 512 == 0).all()
    assert (r.cached_tokens < mooncake.input_tokens).all()


@pytest.fixture(scope="module")
def mooncake() -> Trace:
    """The first 1,500 requests of the bundled trace that fit."""
    from scoville.traffic import extended, load

    return extended(load("mooncake-synthetic"), 1500)


def test_a_trace_without_content(one: Engine) -> None:
    with pytest.raises(TrafficError, match="hand has neither block hashes nor sessions, which a prefix cache goes by"):
        simulate(hand([(0.0, 4, 4)]), caching(), 1)


def test_blocks_that_do_not_divide_those_of_the_trace() -> None:
    t = hand([(0.0, 40, 4)], block_hashes=[1, 2], block_offsets=[0, 2], block_tokens=20)
    with pytest.raises(TrafficError, match="prefix blocks of 20 tokens are no multiple of cache blocks of 16"):
        simulate(t, caching(), 1)
