"""An answer made by hand, of realistic size, that the report is tested against. No figure here is a fact."""

from __future__ import annotations

import math

from scoville.facts import Range
from scoville.study.answer import (
    Answer,
    Driver,
    Layer,
    OperatorPoint,
    ParetoPoint,
    Price,
    Replayed,
    Roof,
    Row,
    Source,
    Waterfall,
)

# id, name, vendor, evidence, TP, batch, tokens/s per chip, per user, kW all-in, rent $/h (0: nobody), own $/h, limit
_CHIPS = (
    ("h100-sxm", "H100 SXM5", "NVIDIA", "measured", 8, 48, 1180.0, 31.0, 1.4, 1.90, 1.62, "memory bandwidth"),
    ("h200-sxm", "H200 SXM", "NVIDIA", "measured", 4, 96, 1910.0, 33.5, 1.4, 2.20, 1.86, "memory bandwidth"),
    ("b200-sxm", "B200 SXM", "NVIDIA", "measured", 4, 160, 4120.0, 41.0, 2.0, 3.40, 2.71, "latency target"),
    ("gb300-nvl72", "GB300 NVL72", "NVIDIA", "related", 4, 224, 5230.0, 42.5, 2.1, 4.00, 3.42, "latency target"),
    ("mi355x", "MI355X", "AMD", "related", 2, 160, 3480.0, 38.0, 2.0, 2.60, 2.18, "compute"),
    ("tpu-v7", "TPU v7 (Ironwood)", "Google", "unmeasured", 4, 128, 3610.0, 37.0, 1.6, 2.90, 1.74, "link"),
    ("vr200-nvl72", "VR200 NVL72", "NVIDIA", "unmeasured", 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0, ""),
    ("jalapeno", "Jalapeño", "OpenAI and Broadcom", "claimed", 4, 192, 4650.0, 46.0, 1.0, 0.0, 1.88, "memory capacity"),
)
_DEMAND_TOKENS_PER_S = 1e11 / 86400


def spread(central: float, below: float, above: float, measure: str) -> Range:
    return Range(central * (1 - below), central, central * (1 + above), measure)


def price(tenure: str, usd_per_h: float, tokens_per_s: float, cheapest_frac: float, wide: float = 1.0) -> Price:
    usd = usd_per_h / 3600 / tokens_per_s
    return Price(
        tenure=tenure,
        basis="rent, 3 years, hyperscaler, 2026-09" if tenure == "rent" else "5 years at 10 % WACC, 0.08 USD/kWh",
        hourly=spread(usd_per_h, 0.1, 0.12, "usd_per_h"),
        input=spread(usd * 0.62, 0.2 * wide, 0.3 * wide, "usd_per_token"),
        cached_input=None,
        output=spread(usd * 3.1, 0.2 * wide, 0.35 * wide, "usd_per_token"),
        all=spread(usd, 0.2 * wide, 0.32 * wide, "usd_per_token"),
        cheapest_frac=cheapest_frac,
        notes=("rented by the chip, whole nodes",) if tenure == "rent" else (),
    )


def replayed(tokens_per_s: float, user: float, batch: int) -> Replayed:
    return Replayed(
        requests="all 19,366 requests",
        requests_count=19366,
        steady_batch_count=2 * batch,
        steady_tokens_per_s_per_chip=tokens_per_s / 0.7,
        random_tokens_per_s_per_chip=tokens_per_s / 0.8,
        tokens_per_s_per_chip=tokens_per_s,
        tokens_per_s_per_user=user,
        batch_count=batch - 0.3,
        ttft_percentile_s=0.61,
        tpot_percentile_s=0.0331,
        preempted_frac=0.004,
        most_cache_frac=0.62,
        off_target="TPOT",
    )


def rows() -> tuple[Row, ...]:
    made = []
    for chip, name, vendor, evidence, tp, batch, rate, user, kw, rent, own, limit in _CHIPS:
        if not rate:
            refusal = "no rate for fp8 and no wider one: compute_fp8 and compute_bf16 are missing"
            made.append(Row(chip, name, vendor, evidence, refusal=refusal, not_rented="nobody rents it yet"))
            continue
        wide = 1.5 if evidence in ("unmeasured", "claimed") else 1.0
        chips = math.ceil(_DEMAND_TOKENS_PER_S * 2 / rate / 0.7 / tp) * tp
        made.append(
            Row(
                accelerator=chip,
                name=name,
                vendor=vendor,
                evidence=evidence,
                parallelism=f"TP{tp}",
                chips_per_replica_count=tp,
                batch_count=batch,
                computes_in="fp8",
                tokens_per_s_per_chip=spread(rate, 0.12 * wide, 0.1 * wide, "tokens_per_s"),
                output_tokens_per_s_per_chip=spread(rate * 0.17, 0.12, 0.1, "tokens_per_s"),
                tokens_per_s_per_user=spread(user, 0.1 * wide, 0.1 * wide, "tokens_per_s"),
                ttft=spread(0.61, 0.2, 0.4, "s"),
                tpot=spread(1 / user, 0.1, 0.12, "s"),
                chips=spread(float(chips), 0.1 * wide, 0.14 * wide, "count"),
                power=spread(chips * kw * 1e3 * 1.25, 0.12 * wide, 0.16 * wide, "w"),
                energy_per_token=spread(kw * 1e3 / rate, 0.12, 0.16, "j_per_tokens"),
                limit=limit,
                busiest="memory bandwidth" if limit == "latency target" else limit,
                meets_targets_frac=0.97 if wide == 1.0 else 0.81,
                rent=price("rent", rent, rate, {"mi355x": 0.61, "b200-sxm": 0.2}.get(chip, 0.04)) if rent else None,
                own=price("own", own, rate, {"jalapeno": 0.72, "tpu-v7": 0.14}.get(chip, 0.02), wide) if own else None,
                not_rented="" if rent else "its owner keeps it",
                not_owned="",
                replayed=replayed(rate, user, batch) if chip != "tpu-v7" else None,
                not_replayed="" if chip != "tpu-v7" else "TP4 DP8: the simulator does not replay that",
                notes=("timed from the vendor's figures alone",) if evidence == "claimed" else (),
            )
        )
    return tuple(made)


def pareto() -> tuple[ParetoPoint, ...]:
    points = []
    for chip, _, _, _, tp, _, rate, user, _, rent, own, _ in _CHIPS:
        if not rate:
            continue
        fastest = user * 4.2
        for power in range(10):
            batch = 2**power
            speed = fastest / (1 + batch / 60)
            chip_rate = rate * 1.25 * batch / (batch + 70)
            points.append(
                ParetoPoint(
                    accelerator=chip,
                    parallelism=f"TP{tp}",
                    batch_count=batch,
                    tokens_per_s_per_user=speed,
                    tokens_per_s_per_chip=chip_rate,
                    own_usd_per_token=own / 3600 / chip_rate if own else None,
                    rent_usd_per_token=rent / 3600 / chip_rate if rent else None,
                    meets_targets=speed >= 30,
                    on_front=True,
                )
            )
            points.append(
                ParetoPoint(chip, f"TP{2 * tp}", batch, speed * 0.9, chip_rate * 0.7, own / 2520 / chip_rate if own
                            else None, None, speed >= 34, False)
            )  # fmt: skip
    return tuple(points)


def waterfall() -> Waterfall:
    shares = {
        "silicon": 0.08, "memory": 0.24, "packaging and test": 0.06, "vendor margin": 0.16,
        "system and network": 0.18, "data centre": 0.12, "power": 0.09, "operation": 0.07,
    }  # fmt: skip
    total = 1.88 / 3600 / 4650
    layers = tuple(Layer(name, spread(total * share, 0.25, 0.3, "usd_per_token")) for name, share in shares.items())
    return Waterfall("jalapeno", layers, spread(total, 0.25, 0.35, "usd_per_token"), ("bill of materials estimated",))


def drivers() -> tuple[Driver, ...]:
    centre = 1.88 / 3600 / 4650
    made = (
        ("jalapeno.price_system", "price of a Jalapeño in its rack", 0.41, 0.74, 1.36),
        ("timing-bias", "how well the roofline times a step", 0.27, 1.28, 0.82),
        ("wacc", "cost of capital", 0.12, 0.88, 1.15),
        ("hbm-price", "price of HBM", 0.08, 0.9, 1.12),
        ("electricity", "price of electricity", 0.05, 0.94, 1.07),
        ("life", "years in service", 0.03, 1.06, 0.95),
    )
    return tuple(Driver(n, label, v, centre * lo, centre * hi, "usd_per_token") for n, label, v, lo, hi in made)


def operators() -> tuple[OperatorPoint, ...]:
    bandwidth, peaks = 15.4e12, {"fp8": 3.4e15, "fp4": 13.4e15}
    made = []
    for phase, name, kind, intensity, share, efficiency in (
        ("decode", "attention", "attention", 8.0, 0.34, 0.7),
        ("decode", "mlp up and gate", "gemm", 186.0, 0.27, 0.82),
        ("decode", "mlp down", "gemm", 188.0, 0.14, 0.8),
        ("decode", "qkv", "gemm", 150.0, 0.06, 0.7),
        ("decode", "output projection", "gemm", 140.0, 0.05, 0.66),
        ("decode", "norm", "norm", 0.6, 0.02, 0.4),
        ("decode", "all-reduce", "collective", 0.0, 0.1, 0.0),
        ("decode", "head", "head", 170.0, 0.02, 0.75),
        ("prefill", "attention", "attention", 900.0, 0.14, 0.45),
        ("prefill", "mlp up and gate", "gemm", 3100.0, 0.42, 0.78),
        ("prefill", "mlp down", "gemm", 2900.0, 0.21, 0.76),
        ("prefill", "qkv", "gemm", 2300.0, 0.09, 0.7),
        ("prefill", "output projection", "gemm", 2100.0, 0.07, 0.68),
        ("prefill", "all-reduce", "collective", 0.0, 0.07, 0.0),
    ):
        roof = min(bandwidth * intensity, peaks["fp8"])
        limit = "link" if kind == "collective" else "compute" if roof == peaks["fp8"] else "memory bandwidth"
        made.append(OperatorPoint("jalapeno", phase, name, kind, "fp8", intensity, roof * efficiency, share, limit))
    return tuple(made)


def sources() -> tuple[Source, ...]:
    made = []
    for chip, name, *_ in _CHIPS:
        made += [
            Source(f"{chip}.memory_bandwidth", "8 TB/s", "7.2 TB/s", "8 TB/s", "vendor", "2026-09",
                   f"{name} datasheet", "", False),
            Source(f"{chip}.price_system", "61000 USD", "52000 USD", "74000 USD", "estimated", "2026-09",
                   "SemiAnalysis, total cost of ownership model", "share of a rack with networking", False),
        ]  # fmt: skip
    made += [
        Source("site.electricity_price", "0.08 USD/kWh", "0.06 USD/kWh", "0.1 USD/kWh", "reported", "2026-06",
               "https://www.eia.gov/electricity/monthly/", "", False),
        Source("timing.gemm_efficiency", "0.82", "0.74", "0.88", "measured", "2026-08",
               "ai-dynamo/aiconfigurator@095f58a", "", False),
        Source("h100-sxm.rent_3yr", "1.9 USD/h", "1.7 USD/h", "2.1 USD/h", "measured", "2026-10", "our own contract",
               "", True),
    ]  # fmt: skip
    return tuple(made)


def answer() -> Answer:
    return Answer(
        title="Own the token: Llama-3.1-70B on the Azure conversation trace",
        study_file="studies/own-the-token.toml",
        scoville_version="0.1.0",
        traffic="azure-2023-conv: 19,366 requests, mean 1,155 input and 211 output tokens (Azure/AzurePublicDataset)",
        demand_tokens_per_s=_DEMAND_TOKENS_PER_S,
        peak_to_average_frac=2.0,
        model="Llama-3.1-70B: 70.6B parameters, 164 kB of cache per token",
        precision="weights fp8, activations fp8, KV cache fp8",
        targets="TTFT at most 1 s at P95, TPOT at most 33.3 ms at P95",
        ttft_target_s=1.0,
        tpot_target_s=1 / 30,
        percentile_ttft_frac=0.95,
        percentile_tpot_frac=0.95,
        vintage="2026-09",
        owner="hyperscaler",
        samples_count=1000,
        seed=1,
        rows=rows(),
        cheapest_rent="mi355x",
        cheapest_own="jalapeno",
        findings=(
            "Jalapeño is the cheapest chip to own: $0.112 per million tokens, 16 % below the TPU v7 (Ironwood).",
            "MI355X is the cheapest chip to rent: $0.208 per million tokens, in 61 % of the samples.",
        ),
        pareto=pareto(),
        waterfall=waterfall(),
        drivers=drivers(),
        driver_outcome="owned USD per million tokens on Jalapeño",
        operators=operators(),
        roofs=(
            Roof("jalapeno", 15.4e12, {"fp8": 3.4e15, "fp4": 13.4e15}),
            Roof("h100-sxm", 3.35e12, {"fp8": 1.979e15, "bf16": 9.89e14}),
        ),
        approximations=(
            "TTFT at P95 comes from the Allen-Cunneen approximation of a G/G/1 queue at the fleet's utilisation.",
            "Collectives are not overlapped with compute.",
        ),
        sources=sources(),
        user_facts=("h100-sxm.rent_3yr = 1.9 USD/h (my-contract.toml)",),
    )
