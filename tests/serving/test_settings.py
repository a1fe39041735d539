"""Settings that cannot be are refused in one sentence."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from scoville import facts
from scoville.errors import DeploymentError, FactError, ScovilleError
from scoville.facts import Facts
from scoville.serving.settings import Autoscaling, EngineSettings, Failure, Fleet, Speculation, preset

ENGINE: dict[str, Any] = {"token_budget": 8192, "max_sequences": 1024, "block_tokens": 16}
SCALING: dict[str, Any] = {"least": 1, "interval_s": 1.0, "requests_per_replica": 1, "startup_s": 1.0}
NAN = float("nan")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"policy": "fifo"}, "engine: policy is 'fifo'; allowed: decode_first, prefill_first, static"),
        ({"reservation": "half"}, "engine: reservation is 'half'; allowed: preempt, full"),
        ({"on_preemption": "drop"}, "engine: on_preemption is 'drop'; allowed: recompute, swap"),
        ({"token_budget": 0}, "engine: token_budget is 0; expected a number >= 1"),
        ({"max_sequences": 0}, "engine: max_sequences is 0"),
        ({"block_tokens": -1}, "engine: block_tokens is -1"),
        ({"host_blocks": -1}, "engine: host_blocks is -1; expected a number >= 0"),
        ({"input_weight": -1}, "engine: input_weight is -1"),
        ({"output_weight": -1}, "engine: output_weight is -1"),
        (
            {"max_sequences": 65, "token_budget": 64},
            "max_sequences = 65 exceeds what token_budget = 64 serves.* a token",
        ),
        (
            {"max_sequences": 32, "token_budget": 64, "speculation": Speculation((0.5, 0.5))},
            "max_sequences = 32 exceeds what token_budget = 64 serves, .* its 3 tokens in each step; lower it or raise",
        ),
        ({"watermark_frac": 1.0}, "engine: watermark_frac is 1; expected 0 up to below 1"),
        ({"watermark_frac": NAN}, "engine: watermark_frac is nan"),
        ({"patience_s": 0.0}, "engine: patience_s is 0; expected a number above 0"),
        ({"patience_s": NAN}, "engine: patience_s is nan"),
        (
            {"expert_imbalance_frac": 0.9},
            "engine: expert_imbalance_frac is 0.9; expected a number >= 1, busiest over mean",
        ),
        ({"expert_imbalance_frac": float("inf")}, "engine: expert_imbalance_frac is inf"),
        ({"token_budget": 10**11}, "engine: token_budget is 100000000000; expected at most 1,048,576"),
        ({"prefix_cache": True, "on_preemption": "swap"}, "swapping and a prefix cache at once are not modelled"),
    ],
)
def test_engines_that_cannot_be(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DeploymentError, match=message):
        EngineSettings(**{**ENGINE, **changes})


@pytest.mark.parametrize(
    ("acceptance", "share", "message"),
    [
        ((), 0.0, "speculation: 0 drafts; expected 1 to 32 acceptance rates"),
        ((0.5,) * 33, 0.0, "speculation: 33 drafts"),
        ((0.5, 1.5), 0.0, "speculation: acceptance of draft 2 is 1.5; expected 0 to 1"),
        ((NAN,), 0.0, "speculation: acceptance of draft 1 is nan"),
        ((0.5,), -0.1, "speculation: a draft's pass is -0.1 of the model's; expected 0 to 1"),
    ],
)
def test_drafts_that_cannot_be(acceptance: tuple[float, ...], share: float, message: str) -> None:
    with pytest.raises(DeploymentError, match=message):
        Speculation(acceptance, share)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"replicas": 0}, "fleet: replicas is 0; expected a number >= 1"),
        (
            {"routing": "random"},
            "fleet: routing is 'random'; allowed: round_robin, least_loaded, power_of_two, sticky, p",
        ),
        ({"balance_requests": -1}, "fleet: balance_requests is -1; expected a number >= 0"),
        ({"queue_limit": -1}, "fleet: queue_limit is -1"),
        ({"think_s": NAN}, "fleet: think_s is nan"),
        ({"seed": -1}, "fleet: seed is -1"),
        ({"users": 0}, "fleet: users is 0; expected an integer >= 1"),
        (
            {"users": 3, "turns_follow": True},
            "users in a closed loop ask one request after another; leave turns_follow",
        ),
        ({"autoscaling": Autoscaling(**{**SCALING, "least": 2})}, "autoscaling: least = 2 exceeds the 1 replicas"),
        (
            {"failures": [Failure(1.0, 1, 2.0)]},
            "failure of replica 1 at 1 s, repaired at 2 s; expected a replica from 0",
        ),
        (
            {"failures": [Failure(2.0, 0, 2.0)]},
            "failure of replica 0 at 2 s, repaired at 2 s; .* repair after the fail",
        ),
        ({"failures": [Failure(-1.0, 0, 2.0)]}, "failure of replica 0 at -1 s"),
    ],
)
def test_fleets_that_cannot_be(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DeploymentError, match=message):
        Fleet(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"least": 0}, "autoscaling: least is 0; expected a number >= 1"),
        ({"requests_per_replica": 0}, "autoscaling: requests_per_replica is 0"),
        ({"interval_s": 0.0}, "autoscaling: interval_s is 0; expected a number above 0"),
        ({"startup_s": NAN}, "autoscaling: startup_s is nan"),
    ],
)
def test_scaling_that_cannot_be(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DeploymentError, match=message):
        Autoscaling(**{**SCALING, **changes})


MINE = """
[mine]
category = "engine"
[mine.policy]
value = "static"
[mine.reservation]
value = "full"
[mine.token_budget]
value = 4096
[mine.max_sequences]
value = 512
[mine.block_tokens]
value = 64
[mine.asynchronous]
value = "no"
"""


def with_own(tmp_path: Path, text: str) -> Facts:
    said = re.sub("(value = .*)", r'\1\nsource = "us"\nas_of = "2026"\nkind = "measured"', text)
    (tmp_path / "mine.toml").write_text(said)
    return facts.load([tmp_path / "mine.toml"])


def test_an_engine_of_ones_own_is_a_preset(tmp_path: Path) -> None:
    made = preset("mine", with_own(tmp_path, MINE))
    assert (made.name, made.policy, made.reservation, made.asynchronous) == ("mine", "static", "full", False)
    assert (made.token_budget, made.max_sequences, made.block_tokens) == (4096, 512, 64)


@pytest.mark.parametrize(
    ("said", "meant", "message"),
    [
        (
            "value = 512",
            "value = 512.5",
            r"mine.toml:\d+: \[mine.max_sequences\] value is 512.5; expected a whole number",
        ),
        ("value = 512", 'value = "many"', "max_sequences. value is many; expected a whole number"),
        ('"no"', '"maybe"', r"\[mine.asynchronous\] value is 'maybe'; expected yes or no"),
        ('"static"', '"fifo"', "engine: policy is 'fifo'; allowed: decode_first, prefill_first, static"),
    ],
)
def test_own_defaults_that_cannot_be(tmp_path: Path, said: str, meant: str, message: str) -> None:
    with pytest.raises(ScovilleError, match=message):
        preset("mine", with_own(tmp_path, MINE.replace(said, meant)))


@pytest.mark.parametrize(
    ("subject", "name"),
    [
        ("engine-vllm", "tokenbudget"),
        ("router", "balance_absolut"),
        ("fairness", "weight"),
        ("kv-transfer", "share"),
        ("replica", "start"),
    ],
)
def test_a_typing_error_in_a_fact_of_serving_is_found(tmp_path: Path, subject: str, name: str) -> None:
    with pytest.raises(FactError, match=rf"\[{subject}.{name}\]: nothing is computed with a fact of that name"):
        with_own(tmp_path, f"[{subject}.{name}]\nvalue = 1\n")
