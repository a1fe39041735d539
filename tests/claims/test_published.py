"""The claims about Jalapeño: derived figures by hand, and what the audit says of each."""

from __future__ import annotations

import math

import pytest

from scoville import transformer
from scoville.claims import Audit, Line, Report
from scoville.claims.bench import Bench
from scoville.claims.served import Asked, alone, at_peak
from scoville.facts import Facts
from scoville.transformer.architecture import Architecture

TDP_KW, GB300_TDP_KW = 0.7, 1.4
ALL_IN_KW, GB300_ALL_IN_KW = 1.125, 2.12
CLAIMED, BASELINE = 19_641.0, 11_781.0  # tokens/s per kW of package TDP, DeepSeek R1, 8k in and 1k out


def of(report: Report, claim: str) -> Audit:
    return next(a for a in report.audits if a.claim.id == f"claim-{claim}")


def line(audit: Audit, what: str) -> Line:
    return next(x for x in audit.lines if x.what == what)


def test_on_all_in_power_the_claimed_ratio_is_1_57(report: Report) -> None:
    """19,641 x 0.7 / 1.125 = 12.2 k against 11,781 x 1.4 / 2.12 = 7.8 k tokens/s per all-in kW."""
    audit = of(report, "r1-throughput-per-power")
    mine, its = line(audit, "Jalapeño, per all-in kW").claimed, line(audit, "GB300 NVL72, per all-in kW").claimed
    ratio = line(audit, "ratio, per all-in kW").claimed
    assert mine and its and ratio
    assert mine.central * 1e3 == pytest.approx(CLAIMED * TDP_KW / ALL_IN_KW), "12.2 k on all-in kW"
    assert its.central * 1e3 == pytest.approx(BASELINE * GB300_TDP_KW / GB300_ALL_IN_KW), "7.8 k on all-in kW"
    assert round(ratio.central, 2) == 1.57
    on_tdp = line(audit, "ratio, per kW of package TDP").claimed
    assert on_tdp and round(on_tdp.central, 2) == 1.67


def test_claimed_throughput_at_published_hours_costs_what_was_derived(report: Report) -> None:
    """USD per million tokens: 1.27 to 1.56 USD/h over 13.7 k tokens/s, 2.31 to 2.79 over 16.5 k, 5.00 rented."""
    audit = of(report, "half-cost")
    for what, low, high in (
        ("Jalapeño, owned", 1.27 / 3600 / (CLAIMED * TDP_KW) * 1e6, 1.56 / 3600 / (CLAIMED * TDP_KW) * 1e6),
        ("GB300 NVL72, owned", 2.31 / 3600 / (BASELINE * GB300_TDP_KW) * 1e6, 0.0470),
        ("GB300 NVL72, rented", 0.0842, 5.00 / 3600 / (BASELINE * GB300_TDP_KW) * 1e6),
    ):
        claimed = line(audit, what).claimed
        assert claimed, what
        assert claimed.p10 * 1e6 == pytest.approx(low, rel=2e-3), what
        assert claimed.p90 * 1e6 == pytest.approx(high, rel=2e-3), what
    owned, rented = (
        line(audit, "ratio to GB300 NVL72, owned").claimed,
        line(audit, "ratio to GB300 NVL72, rented").claimed,
    )
    assert owned and rented
    assert (round(owned.central, 2), round(rented.central, 2)) == (0.66, 0.30)
    assert "less than 66 % of the claimed relative performance" in " ".join(audit.notes)


def test_half_the_cost_has_no_baseline_and_would_need_one(report: Report) -> None:
    audit = of(report, "half-cost")
    assert audit.verdict == "not checkable because"
    assert "no baseline" in audit.because
    need = audit.needs[0]
    own = line(audit, "Jalapeño, owned").modelled
    assert own and need.needed == pytest.approx(2 * own.central), "half of what"


def test_peak_rates_follow_from_slices_arrays_and_clock(report: Report) -> None:
    """64 slices x 15 of 16 arrays x 64 x 64 cells x 2 x 1.7 GHz; four clocks a product in 8 bits."""
    by_hand = 64 * 15 * 64 * 64 * 2 * 1.7e9
    for claim, rate in (("peak-fp4", by_hand), ("peak-fp8", by_hand / 4)):
        audit = of(report, claim)
        modelled = audit.lines[0].modelled
        assert modelled and modelled.central == pytest.approx(rate), claim
        assert rate == pytest.approx(audit.claim.claimed.number, rel=0.02), "within rounding of the published rate"
        assert audit.verdict == "plausible", claim


def test_bandwidth_per_watt_holds_against_twenty_terabytes_a_second(facts: Facts, report: Report) -> None:
    """22 over 11.1 GB/s/W at 1,800 W takes Rubin at 20 TB/s; its maker says 22, a ratio of 1.80."""
    audit = of(report, "bandwidth-per-watt")
    assert line(audit, "ratio").decides
    (need,) = audit.needs
    rubin = facts.get("vr200-nvl72", "memory_bandwidth").number
    assert need.usual == rubin
    assert need.needed == pytest.approx((15.4e12 / 700) / (22 / 11.1) * 1800, rel=1e-3)
    assert audit.verdict == ("plausible only if" if need.needed < 0.95 * rubin else "plausible")
    assert of(report, "compute-per-watt").verdict == "plausible"


def flop_of_a_request(a: Architecture, prompt: int, answer: int) -> float:
    """By hand: 2 FLOP a weight and token outside of the vocabulary, which only answers need, and attention's pairs."""
    layers, heads = len(a.layers), a.layers[0].attention.heads
    attention = 7168 * 1536 + 1536 * 24576 + 7168 * 576 + 512 * 32768 + 16384 * 7168
    expert = 3 * 7168 * 2048
    dense, routed = 3, layers - 3
    per_token = layers * attention + dense * 9 * expert + routed * (9 * expert + 7168 * 256)
    head = 7168 * 129_280
    prefill_pairs, decode_pairs = prompt * (prompt + 1) / 2, answer * (prompt + answer / 2)
    pairs = prefill_pairs * (192 + 128) + decode_pairs * (576 + 512)
    return 2 * (per_token * (prompt + answer) + head * answer) + 2 * layers * heads * pairs


def test_the_share_of_the_peak_that_the_throughput_claim_asks_for(facts: Facts, report: Report) -> None:
    """9.8e14 FLOP a request are 0.288 s at 3.4 PFLOP/s, and 9,216 tokens at 13,749 tokens/s are 0.67 s."""
    flop = flop_of_a_request(transformer.load("DeepSeek-R1"), 8192, 1024)
    peak = facts.get("jalapeno", "compute_fp8").number
    claimed_s = 9216 / (CLAIMED * TDP_KW)
    assert flop == pytest.approx(9.8e14, rel=0.005)
    assert flop / peak / claimed_s == pytest.approx(0.43, abs=0.005)
    note = next(n for n in of(report, "r1-throughput-per-power").notes if n.startswith("Whatever"))
    assert "45 % of the peak" in note, "operator by operator, router and vocabulary in bf16 with it"


def test_what_a_token_reads_on_each_of_eight_chips(bench: Bench) -> None:
    """DeepSeek R1 in 4.25 bits on TP8: weights shared by eight, latents and router on every chip, and the cache."""
    b = 4.25 / 8
    attention = (7168 * 1536 + 7168 * 576) + (1536 * 24576 + 512 * 32768 + 16384 * 7168) / 8
    experts = 9 * 3 * 7168 * 2048 / 8
    router, head = 7168 * 256 * 2, 7168 * 129_280 * 2 / 8
    cache = 61 * 576 * (8192 + 512)
    by_hand = 61 * (attention + experts) * b + 58 * router + head + cache
    one = alone(bench, bench.timed("jalapeno"), Asked("DeepSeek-R1", "mxfp4 / fp8 / fp8", 8192, 1024), 8)
    assert str(one.table.parallelism) == "TP8"
    _, memory_s = at_peak(one.table, one.timed.newest, one.features[:1])
    assert float(memory_s[0]) * 15.4e12 == pytest.approx(by_hand, rel=0.03)
    assert by_hand / 15.4e12 * 700 == pytest.approx(0.16, abs=0.005), "16 % of the bandwidth at 700 tokens/s"


def test_speeds_for_one_user_hang_on_kernels_without_launches(report: Report) -> None:
    for claim in ("r1-speed", "gpt-oss-speed", "kimi-speed", "r1-latency"):
        audit = of(report, claim)
        assert audit.verdict == "plausible only if", claim
        first = next(n for n in audit.needs if n.text == "time of a kernel beside its work")
        assert first.needed < first.usual / 20 or not first.possible, claim
        head = audit.lines[0]
        assert head.claimed and math.isfinite(head.limit)
        least = head.claimed.central < head.limit
        assert least != (audit.claim.sense == "at most"), "within what peak rates allow"


def test_steppings_are_a_range_around_the_model(report: Report) -> None:
    audit = of(report, "r1-throughput-per-power")
    newest, oldest = (x.modelled for x in audit.lines if " if " in x.what)
    middle = line(audit, "Jalapeño, per kW of package TDP").modelled
    assert newest and oldest and middle
    assert newest.central / oldest.central == pytest.approx(1.25, rel=0.02)
    assert oldest.central < middle.central < newest.central


def test_every_claim_has_its_source_date_and_a_verdict(report: Report) -> None:
    for audit in report.audits:
        assert audit.claim.claimed.source and audit.claim.claimed.as_of, audit.claim.id
        assert audit.because, audit.claim.id
        assert not audit.because.endswith("."), audit.claim.id
    assert {a.verdict for a in report.audits} >= {"plausible", "plausible only if", "not checkable because"}


def test_whichever_timer_is_said_where_they_disagree(report: Report) -> None:
    notes = " ".join(of(report, "r1-throughput-per-power").notes)
    assert "The timers disagree" in notes and "does not reach the claim" in notes


def test_utility_power_widens_the_ratio(report: Report) -> None:
    """2.55 / 1.18 kW = 2.16 against 1,400 / 700 W = 2, so 1.667 becomes 1.80."""
    note = " ".join(of(report, "all-in-power").notes)
    assert "becomes wider" in note and "1.08 times" in note
