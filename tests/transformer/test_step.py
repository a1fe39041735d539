"""The mix of a step: pairs and cached tokens against loops, and what becomes of them in a feature matrix."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoville.errors import DeploymentError
from scoville.transformer import load
from scoville.transformer.step import (
    Layout,
    Parallelism,
    Precision,
    StepMix,
    expert_kinds,
    seen_tokens,
    uniform_mix,
    windows,
)

WINDOWS = st.one_of(st.none(), st.integers(1, 40))
COUNTS = st.integers(0, 60)


def column(layout: Layout, mix: StepMix, name: str) -> list[float]:
    """One column of the feature matrix."""
    return [float(v) for v in layout.features(mix)[:, layout.column(name)]]


@given(COUNTS, COUNTS, WINDOWS)
def test_seen_tokens_equals_the_loop(start: int, count: int, window: int | None) -> None:
    seen = sum(start + i if window is None else min(start + i, window) for i in range(1, count + 1))
    assert float(seen_tokens(start, count, window)) == seen


@given(COUNTS, st.integers(1, 60), st.integers(1, 60), WINDOWS)
def test_a_prompt_in_two_pieces_sees_as_much_as_in_one(start: int, one: int, other: int, window: int | None) -> None:
    pieces = seen_tokens(start, one, window) + seen_tokens(start + one, other, window)
    assert pieces == seen_tokens(start, one + other, window)


@given(st.integers(0, 300), st.integers(1, 300), st.integers(0, 5), st.integers(0, 5), st.integers(1, 4))
def test_uniform_mix_equals_sequence_by_sequence(start: int, length: int, decodes: int, prompts: int, q: int) -> None:
    """gpt-oss reads its whole context in every second layer and the last 128 tokens in the others."""
    mix = uniform_mix(
        load("gpt-oss-120b"),
        decode_sequences=decodes,
        context_tokens=start,
        query_per_decode=q,
        prefill_sequences=prompts,
        prefill_tokens=prompts * length,
        prefill_start_tokens=start,
    )
    assert float(mix.decode_tokens[0]) == decodes * q
    assert float(mix.sampled_tokens[0]) == decodes * q + prompts
    for w in (None, 128):
        for queries, sequences, pairs, kv in (
            (q, decodes, mix.decode_pairs_tokens, mix.decode_kv_tokens),
            (length, prompts, mix.prefill_pairs_tokens, mix.prefill_kv_tokens),
        ):
            seen: set[int] = set()
            total = 0
            for last in range(start + 1, start + queries + 1):
                span = range(max(1, last - w + 1) if w else 1, last + 1)
                total += len(span)
                seen.update(span)
            assert float(pairs[w][0]) == pytest.approx(sequences * total, rel=1e-12)
            assert float(kv[w][0]) == pytest.approx(sequences * len(seen), rel=1e-12)


def test_a_mix_broadcasts() -> None:
    mix = uniform_mix(load("llama-3.1-8b"), decode_sequences=[1, 2, 4], context_tokens=100)
    assert len(mix) == 3
    assert mix.decode_kv_tokens[None].tolist() == [101, 202, 404]


def test_windows_of_each_family() -> None:
    assert windows(load("llama-3.1-70b")) == (None,)
    assert windows(load("gpt-oss-120b")) == (None, 128)
    assert windows(load("deepseek-v3.2")) == (None, 2048)  # the indexer reads everything, attention 2,048 tokens
    assert windows(load("qwen3.5-397b-a17b")) == (None,)  # linear layers read no context
    assert expert_kinds(load("llama-3.1-70b")) == ()
    assert expert_kinds(load("mixtral-8x7b")) == ((8, 2),)


def test_rank_columns_hold_the_busiest_group() -> None:
    """64 decodes of 100 tokens in 4 groups, of which the busiest has 30 %: 19.2 sequences; experts see all 64."""
    a = load("mixtral-8x7b")
    layout = Layout.of(a)
    mix = uniform_mix(a, decode_sequences=64, context_tokens=99, worst_rank_frac=0.3)
    assert column(layout, mix, "one") == [1]
    assert column(layout, mix, "tokens") == [64]
    for name in ("rank_tokens", "rank_decode_tokens", "rank_sampled_tokens", "rank_sequences"):
        assert column(layout, mix, name) == [pytest.approx(19.2)]
    assert column(layout, mix, "rank_prefill_tokens") == [0]
    assert column(layout, mix, "decode_kv:all") == [pytest.approx(1920)]
    assert column(layout, mix, "decode_pairs:all") == [pytest.approx(1920)]


def test_experts_touched() -> None:
    """Mixtral: no token touches 0, one 2, eight 8 (1 - 0.75^8) = 7.199, many 8."""
    a = load("mixtral-8x7b")
    mix = uniform_mix(a, decode_sequences=[0, 1, 8, 10_000])
    touched = column(Layout.of(a), mix, "experts:8/2")
    assert touched == pytest.approx([0, 2, 8 * (1 - 0.75**8), 8], rel=1e-12)


@given(st.integers(1, 64), st.integers(1, 8))
def test_experts_touched_against_the_count_of_draws(tokens: int, seed: int) -> None:
    """Routing drawn at random: the mean over 300 steps lies within 5 standard errors of the formula."""
    a = load("gpt-oss-20b")
    ((experts, k),) = expert_kinds(a)
    rng = np.random.default_rng(seed)
    chosen = np.argsort(rng.random((300, tokens, experts)), axis=-1)[..., :k]
    counts = np.array([len(np.unique(step)) for step in chosen])
    expected = column(Layout.of(a), uniform_mix(a, decode_sequences=tokens), f"experts:{experts}/{k}")[0]
    assert abs(counts.mean() - expected) <= 5 * max(counts.std(), 0.05) / np.sqrt(300)


def test_features_are_linear_in_the_sequences() -> None:
    a = load("llama-3.1-70b")
    layout = Layout.of(a)
    one, many = (layout.features(uniform_mix(a, decode_sequences=b, context_tokens=500)) for b in (1, 37))
    np.testing.assert_allclose(many[:, 1:], 37 * one[:, 1:], rtol=1e-12)
    assert layout.names[0] == "one"
    assert one.shape == (1, len(layout.names))


def test_precision_and_parallelism_refuse_nonsense() -> None:
    with pytest.raises(DeploymentError, match=r"precision\.kv: unknown format 'fp9'; allowed: fp32, bf16, fp8"):
        Precision(kv="fp9")
    with pytest.raises(DeploymentError, match=r"precision\.activations: unknown format 'declared'"):
        Precision(activations="declared")
    with pytest.raises(DeploymentError, match="tensor is 0; expected an integer >= 1"):
        Parallelism(tensor=0)
    with pytest.raises(DeploymentError, match="expert = 3 does not divide the 8 chips of a stage"):
        Parallelism(tensor=4, attention_data=2, expert=3)


def test_parallelism_counts_chips() -> None:
    p = Parallelism(tensor=2, pipeline=3, expert=4, attention_data=4)
    assert (p.stage_chips, p.chips, p.expert_tensor, str(p)) == (8, 24, 2, "TP2 DP4 EP4 PP3")
    assert str(Parallelism(8)) == "TP8"
