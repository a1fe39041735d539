"""Collectives: volumes and latencies by hand, inside a domain, across domains and on a torus."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.timing.conftest import link, paper_chip

from scoville.timing.collectives import collective, hops_count, travel_count, volume_frac
from scoville.transformer.operators import COLLECTIVES

TORUS = link("scale_up", 400e9, 3e-6, 64, switched=False)
RINGS = [k for k in COLLECTIVES if k != "point_to_point"]
SPANS = st.sampled_from([2, 4, 8, 16, 32, 64, 128])


def seconds(kind: str, span: int, payload: float, **changes: object) -> float:
    per_byte, fixed = collective(kind, span, paper_chip(**changes))
    return float(per_byte[0] * payload + fixed[0])


def test_volumes_of_a_ring() -> None:
    """Of 8 ranks each keeps an eighth: 7/8 of the payload passes its link, twice in an all-reduce."""
    assert volume_frac("all_reduce", 8) == 2 * 7 / 8
    assert volume_frac("all_gather", 8) == volume_frac("reduce_scatter", 8) == volume_frac("all_to_all", 8) == 7 / 8


@pytest.mark.parametrize(("kind", "volume"), [("all_reduce", 14 / 8), ("all_gather", 7 / 8), ("all_to_all", 7 / 8)])
def test_inside_a_domain(kind: str, volume: float) -> None:
    """8 ranks at 400 GB/s x 50 %: volume over 200 GB/s, and 2 us + 7 x 1 us + 3 us of the switch."""
    assert seconds(kind, 8, 1e6) == pytest.approx(volume * 1e6 / 200e9 + 12e-6, rel=1e-12)


def test_all_reduce_across_two_domains() -> None:
    """16 ranks in domains of 8. Inside: 2 x 7/8 V at 200 GB/s. Across: V/8 between 2 ranks, 2 x 1/2 x V/8 at 25 GB/s.

    For 8 MB: 70 us + 40 us; fixed 2 + 7 x 1 us, 3 us of the inner and 10 us of the outer link.
    """
    expected = 2 * 7 / 8 * 8e6 / 200e9 + 2 * 1 / 2 * 1e6 / 25e9 + 22e-6
    assert expected == pytest.approx(132e-6)
    assert seconds("all_reduce", 16, 8e6) == pytest.approx(expected, rel=1e-12)


def test_all_to_all_across_two_domains() -> None:
    """Of 16 MB, 7 go to ranks inside, 8 to ranks outside, at once: the outer link takes 8 MB / 25 GB/s = 320 us."""
    assert seconds("all_to_all", 16, 16e6) == pytest.approx(8e6 / 25e9 + 22e-6, rel=1e-12)


@given(SPANS)
def test_an_all_reduce_is_a_reduce_scatter_and_an_all_gather(span: int) -> None:
    per_byte = {k: float(collective(k, span, paper_chip())[0][0]) for k in RINGS}
    assert per_byte["all_reduce"] == pytest.approx(per_byte["reduce_scatter"] + per_byte["all_gather"], rel=1e-12)


def test_point_to_point_uses_the_level_that_reaches() -> None:
    """1 MB: 5 us at 200 GB/s inside a domain, 40 us at 25 GB/s beyond it; 2 us and the link's latency."""
    assert seconds("point_to_point", 8, 1e6) == pytest.approx(5e-6 + 5e-6, rel=1e-12)
    assert seconds("point_to_point", 16, 1e6) == pytest.approx(40e-6 + 12e-6, rel=1e-12)


def test_hops() -> None:
    """A switch is one; 4 in a ring 2; 64 chips as 4 x 4 x 4 take 2 on each of 3 axes."""
    assert hops_count(64, link("x", 1, 1)) == 1
    assert [hops_count(r, TORUS) for r in (2, 4, 8, 64)] == [1, 2, 3, 6]


def test_latencies_add_up_along_a_torus() -> None:
    """64 chips: 2 us + 63 x 1 us per rank, and 6 hops of 3 us; through a switch one hop."""
    for x, fixed in ((TORUS, 83e-6), (link("scale_up", 400e9, 3e-6, 64), 68e-6)):
        assert seconds("all_reduce", 64, 0, links=(x, link("out", 50e9, 1e-5))) == pytest.approx(fixed, rel=1e-12)


def torus_distance(side: int, axes: int) -> float:
    """Mean links between a chip and every chip but itself: the slow way, chip by chip."""
    ring = [min(i, side - i) for i in range(side)]
    others = side**axes - 1
    return float(sum(ring) * side ** (axes - 1) * axes / others)


@pytest.mark.parametrize(("side", "axes"), [(2, 1), (2, 3), (4, 3)])
def test_all_to_all_on_a_torus_takes_every_link_that_it_crosses(side: int, axes: int) -> None:
    ranks = side**axes
    assert travel_count(ranks, TORUS) == pytest.approx(torus_distance(side, axes), rel=1e-9)
    switched, torus = (
        float(collective("all_to_all", ranks, paper_chip(links=(x, link("out", 50e9, 1e-5))))[0][0])
        for x in (link("scale_up", 400e9, 3e-6, 64), TORUS)
    )
    assert torus == pytest.approx(switched * torus_distance(side, axes), rel=1e-9)


@given(st.sampled_from(RINGS), st.sampled_from([True, False]), st.floats(0, 1e9))
def test_more_ranks_or_more_bytes_never_take_less_time(kind: str, switched: bool, payload: float) -> None:
    """Every span; an all-to-all every doubling: one rank beyond the domain takes load off the inner links."""
    links = (link("scale_up", 400e9, 3e-6, 64, switched), link("scale_out", 50e9, 1e-5))
    spans = [2, 4, 8, 16, 32, 64, 128, 256] if kind == "all_to_all" else range(2, 150)
    times = [seconds(kind, span, payload, links=links) for span in spans]
    assert all(late >= early * (1 - 1e-12) for early, late in pairwise(times))
    assert all(seconds(kind, span, 2 * payload, links=links) >= t for span, t in zip(spans, times, strict=True))


@given(st.sampled_from(COLLECTIVES), SPANS, st.floats(1, 10), st.floats(0, 1e9))
def test_faster_links_never_take_more_time(kind: str, span: int, factor: float, payload: float) -> None:
    for inner, outer in ((factor, 1.0), (1.0, factor)):
        links = (link("scale_up", inner * 400e9, 3e-6 / inner, 8), link("scale_out", outer * 50e9, 1e-5 / outer))
        assert seconds(kind, span, payload, links=links) <= seconds(kind, span, payload)
