"""Verdicts, levers and the reading of claims, on hand-made claims and chips."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from scoville.claims import Claim, Line, Need, audit, claims
from scoville.claims.audit import QUANTITIES, judged
from scoville.claims.bench import Bench, ideal
from scoville.claims.needs import Lever, needs
from scoville.claims.records import Sense
from scoville.errors import FactError
from scoville.facts import Draws, Fact, Facts, Range, load
from scoville.timing import chips

OWN = """
[claim-mine]
category = "claim"
name = "12 PFLOP/s in MXFP4"
[claim-mine.claimed]
value = "12 PFLOP/s"
source = "me"
as_of = "2026-11"
kind = "vendor"
[claim-mine.claimant]
value = "me"
source = "me"
as_of = "2026-11"
kind = "vendor"
[claim-mine.against]
value = "none named"
source = "me"
as_of = "2026-11"
kind = "vendor"
[claim-mine.basis]
value = "my notes"
source = "me"
as_of = "2026-11"
kind = "vendor"
[claim-mine.chip]
value = "tpu-v4"
source = "me"
as_of = "2026-11"
kind = "vendor"
"""


def setting(name: str, value: str) -> str:
    return f'[claim-mine.{name}]\nvalue = "{value}"\nsource = "me"\nas_of = "2026-11"\nkind = "vendor"\n'


def with_own(folder: Path, text: str) -> Facts:
    file = folder / "mine.toml"
    file.write_text(text)
    return load([file])


def claim(sense: Sense, value: float) -> Claim:
    fact = Fact("claim-x", "claimed", value, value, value, "tokens_per_s", "tok/s", "me", "2026-11", "vendor")
    return Claim("claim-x", "x", "me", "nobody", "none", fact, None, sense, {})


def figure(claimed: float, low: float, high: float, limit: float = math.nan) -> Line:
    measure = "tokens_per_s"
    said = Range(claimed, claimed, claimed, measure)
    return Line("x", "tok/s", measure, said, Range(low, (low + high) / 2, high, measure), None, limit, decides=True)


NEED = Need("share of bandwidth", "%", "frac", 0.6, 0.9, 1.0, possible=True)
NONE = replace(NEED, needed=math.nan, possible=False)


@pytest.mark.parametrize(
    ("sense", "claimed", "low", "high", "limit", "found", "verdict"),
    [
        ("at least", 100.0, 90.0, 120.0, 500.0, (NEED,), "plausible"),
        ("at least", 100.0, 200.0, 300.0, 500.0, (NEED,), "plausible"),
        ("at least", 100.0, 20.0, 30.0, 500.0, (NONE, NEED), "plausible only if"),
        ("at least", 600.0, 20.0, 30.0, 500.0, (NEED,), "contradicted by"),
        ("at least", 100.0, 20.0, 30.0, 500.0, (NONE,), "contradicted by"),
        ("at most", 100.0, 90.0, 120.0, 5.0, (), "plausible"),
        ("at most", 100.0, 200.0, 300.0, 5.0, (NEED,), "plausible only if"),
        ("at most", 4.0, 200.0, 300.0, 5.0, (NEED,), "contradicted by"),
        ("about", 100.0, 200.0, 300.0, 500.0, (NEED,), "plausible only if"),
        ("about", 100.0, 200.0, 300.0, math.nan, (), "contradicted by"),
    ],
)
def test_the_verdict_follows_from_claim_range_and_limit(
    sense: Sense, claimed: float, low: float, high: float, limit: float, found: tuple[Need, ...], verdict: str
) -> None:
    said, because = judged(claim(sense, claimed), (figure(claimed, low, high, limit),), found)
    assert said == verdict, because


def test_a_need_is_named_with_its_value_and_its_side() -> None:
    _, because = judged(claim("at least", 100.0), (figure(100.0, 20.0, 30.0),), (NEED,))
    assert because.startswith("the share of bandwidth is at least 90 %, not 60 %"), because


def test_a_figure_that_the_model_beats_needs_a_worse_parameter() -> None:
    _, because = judged(claim("about", 100.0), (figure(100.0, 200.0, 300.0),), (replace(NEED, needed=0.2),))
    assert because.startswith("the share of bandwidth is 20 %, not 60 %"), because


def lever(name: str, usual: float, bound: float, worst: float, power: float) -> Lever:
    """Turns the chip's time, which the figure reads, by (x / usual)^power."""
    return Lever(
        name, "", "frac", usual, bound, worst, lambda c, x: replace(c, time_frac=c.time_frac * (x / usual) ** power)
    )


def test_the_needed_value_is_where_the_figure_is_the_claimed_one(facts: Facts) -> None:
    on = chips(facts.accelerator("h100"), facts, Draws.central())
    on = replace(on, time_frac=np.ones(1))
    share = lever("share", 0.5, 1.0, 0.05, -1.0)
    (need,) = needs((share,), on, lambda c: 100 / float(c.time_frac[0]), 150.0, more=True)
    assert need.possible and need.needed == pytest.approx(0.75, rel=1e-3), "1.5 times the usual share"
    (need,) = needs((share,), on, lambda c: 100 / float(c.time_frac[0]), 80.0, more=True)
    assert need.needed == pytest.approx(0.4, rel=1e-3), "a claim that the model beats still has its value"
    (need,) = needs((share,), on, lambda c: 100 / float(c.time_frac[0]), 250.0, more=True)
    assert not need.possible and math.isnan(need.needed), "twice the speed is the bound"


def test_a_needed_value_far_below_the_usual_is_as_exact(facts: Facts) -> None:
    on = replace(chips(facts.accelerator("h100"), facts, Draws.central()), time_frac=np.ones(1))
    wait = lever("wait", 10.0, 0.0, 80.0, 1.0)
    (need,) = needs((wait,), on, lambda c: 1 / (1 + 10 * float(c.time_frac[0])), 1 / 1.003, more=True)
    assert need.needed == pytest.approx(0.003, rel=2e-3)


def test_where_one_lever_is_not_enough_the_best_is_set_and_the_others_asked_again(facts: Facts) -> None:
    on = replace(chips(facts.accelerator("h100"), facts, Draws.central()), time_frac=np.ones(1))
    weak, strong = lever("weak", 0.8, 1.0, 0.1, -1.0), lever("strong", 0.5, 1.0, 0.1, -1.0)
    found = needs((weak, strong), on, lambda c: 100 / float(c.time_frac[0]), 220.0, more=True)
    assert [n.text for n in found] == ["weak", "strong", "weak"]
    assert not found[0].possible and not found[1].possible
    assert found[2].possible and found[2].beside == "strong of 1"
    assert found[2].needed == pytest.approx(0.88, rel=1e-3), "2.2 = 2 x 1.1"


def test_no_figure_of_a_chip_passes_its_limit(facts: Facts) -> None:
    on = chips(facts.accelerator("jalapeno"), facts, Draws(1, 3))
    best = ideal(on)
    assert best.kernels is None and float(best.step_overhead_s.max()) == 0
    assert all(float(link.latency_s.max()) == 0 for link in best.links)
    assert all(float(x.min()) == 1 for x in best.memory_efficiency_frac.values())


def test_samples_of_a_chip_with_steppings_lie_between_them(bench: Bench) -> None:
    timed = bench.timed("jalapeno", "vllm")
    plain = chips(timed.accelerator, bench.facts, bench.draws, "vllm")
    times = timed.drawn.time_frac / plain.time_frac
    assert timed.steppings[0].name == "B0" and timed.steppings[1].name == "A0"
    assert 1 <= times.min() < times.max() <= 1.25
    assert len(bench.timed("gb300-nvl72", "trtllm").steppings) == 1


def test_a_chip_without_4_bit_products_keeps_the_weights_of_the_model(bench: Bench) -> None:
    assert bench.precision("gb300-nvl72", "mxfp4 / fp8 / fp8").weights == "mxfp4"
    assert bench.precision("h200-sxm", "mxfp4 / fp8 / fp8").weights == "declared"


def test_a_claim_of_ones_own_is_data(tmp_path: Path) -> None:
    text = OWN + setting("quantity", "peak_rate") + setting("format", "bf16")
    (found,) = audit(with_own(tmp_path, text.replace("12 PFLOP/s", "275 TFLOP/s")), "tpu-v4", samples=20).audits
    modelled = found.lines[0].modelled
    assert modelled and modelled.central > 0
    assert found.claim.claimant == "me"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (OWN + setting("quantity", "peak_rate"), r"mine.toml:\d+: .*needs \[claim-mine.format\]"),
        (OWN + setting("quantity", "peek_rate"), r"mine.toml:\d+: .*no quantity 'peek_rate'; did you mean 'peak_rate'"),
        (OWN + setting("sense", "exactly"), r"mine.toml:\d+: .*sense is 'exactly'; allowed: at least, at most, about"),
        (OWN, r"mine.toml:\d+: .*neither its `quantity` nor why it is `unchecked`"),
        (OWN.replace("[claim-mine.basis]", "[claim-mine.base]"), r"mine.toml:\d+: .*no 'basis'"),
    ],
)
def test_a_claim_that_makes_no_sense_ends_in_a_sentence(tmp_path: Path, text: str, what: str) -> None:
    with pytest.raises(FactError, match=what):
        audit(with_own(tmp_path, text), "tpu-v4", samples=20)


def test_a_chip_without_claims_says_for_which_there_are_some(facts: Facts) -> None:
    with pytest.raises(FactError, match="no claim about h100-sxm is known; there are claims about jalapeno"):
        claims(facts, "h100")


def test_claims_keep_the_order_of_their_file_and_those_without_a_quantity_come_last(facts: Facts) -> None:
    found = claims(facts, "jalapeno")
    assert found[0].id == "claim-r1-throughput-per-power"
    checked = ["quantity" in c.settings for c in found]
    assert checked == sorted(checked, reverse=True)


def test_bytes_beyond_the_bandwidth_contradict_a_speed(tmp_path: Path) -> None:
    """8 chips with 4.8 TB/s read 17.4 GB each of 141 for a token of Llama 3.1 70B in bf16: 275 tokens/s at most."""
    text = OWN.replace("12 PFLOP/s", "300 tok/s/user").replace("tpu-v4", "h200-sxm")
    fields = {
        "quantity": "user_speed", "rival": "h200-sxm", "model": "Llama-3.1-70B", "input": "1024 tokens",
        "output": "512 tokens", "formats": "declared / bf16 / bf16", "chips": "8 chips", "sense": "at least",
    }  # fmt: skip
    facts = with_own(tmp_path, text + "".join(setting(k, v) for k, v in fields.items()))
    (found,) = audit(facts, "h200-sxm", samples=20).audits
    assert found.verdict == "contradicted by" and "the limit of" in found.because
    assert 250 < found.lines[0].limit < 290
    assert "which is more than that" in " ".join(found.notes)


def test_every_quantity_of_the_bundled_claims_is_known(facts: Facts) -> None:
    used = {c.text("quantity") for c in claims(facts, "jalapeno")} - {""}
    assert used == set(QUANTITIES), "and none is without a claim that uses it"
