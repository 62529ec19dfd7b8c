"""Rates that are excluded, pairs that are measured, links that are slow, and hosts that are odd."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from harness.qualify.checks import Grade
from harness.qualify.link_figures import Figures, bandwidth_of, judge, rtt_of
from harness.qualify.odd_one_out import compare
from harness.qualify.pairs import pairs_of, ring_of
from harness.qualify.rates import rate_of


def test_eight_hours_without_a_stall_exclude_a_rate_of_three_in_eight_hours() -> None:
    rate = rate_of(0, 8.0)
    assert rate.high == pytest.approx(0.3745, abs=1e-4)
    assert str(rate) == "a rate above 0.37 an hour is excluded, 95%"


def test_the_limits_of_a_rate_are_exact() -> None:
    """Of a table of Poisson limits: 5 events, 1.6235 to 11.6683."""
    rate = rate_of(5, 1.0)
    assert rate.low == pytest.approx(1.6235, abs=1e-4) and rate.high == pytest.approx(11.6683, abs=1e-4)
    assert str(rate).startswith("5 an hour (1.6 to 12,")
    assert str(rate_of(0, 0.005)) == "a rate above 599 an hour is excluded, 95%"
    with pytest.raises(ValueError, match="time"):
        rate_of(0, 0.0)


def test_a_small_set_is_measured_whole_and_a_large_one_by_its_design() -> None:
    assert pairs_of(["a", "b", "c"]) == [("a", "b"), ("a", "c"), ("b", "a"), ("b", "c"), ("c", "a"), ("c", "b")]
    hosts = [f"n{number}" for number in range(20)]
    pairs = pairs_of(hosts)
    assert len(pairs) == len(set(pairs)) < 20 * 19
    assert all((receiver, sender) in set(pairs) for sender, receiver in pairs), "both directions"
    sends = Counter(sender for sender, _ in pairs)
    assert set(sends) == set(hosts) and len(set(sends.values())) == 1, "each equally often"


def test_a_ring_has_each_host_once_on_either_side() -> None:
    assert ring_of(["a", "b", "c"]) == [("a", "b"), ("b", "c"), ("c", "a")]
    assert ring_of(["a"]) == []


def figures(**mbit_s: float) -> list[Figures]:
    """By directions such as a_b."""
    return [
        Figures(sender=name[0], receiver=name[2], link="fabric", mbit_s=value, rtt_ms=0.2)
        for name, value in mbit_s.items()
    ]


def slow(found: list[Figures], expected: dict[str, float] | None = None) -> set[tuple[str, ...]]:
    return {
        check.hosts for check in judge(found, expected or {}) if check.what == "bandwidth" and check.grade is Grade.FAIL
    }


def test_of_two_hosts_the_slow_direction_is_named() -> None:
    assert slow(figures(a_b=40.0, b_a=100.0)) == {("a", "b")}
    assert slow(figures(a_b=60.0, b_a=100.0)) == set()


def test_in_a_rack_the_median_says_what_is_usual() -> None:
    rack = {"a_b": 100.0, "b_a": 98.0, "a_c": 60.0, "c_a": 99.0, "b_c": 101.0, "c_b": 97.0}
    assert slow(figures(**rack)) == {("a", "c")}
    assert slow(figures(**{**rack, "a_c": 75.0})) == set()


def test_the_inventory_outweighs_what_is_usual() -> None:
    both = figures(a_b=100.0, b_a=100.0)
    assert slow(both, {"a": 200.0}) == {("a", "b"), ("b", "a")}
    assert slow(figures(a_b=40.0, b_a=100.0), {"a": 40.0, "b": 40.0}) == set()


def test_one_direction_alone_shows_nothing() -> None:
    checks = [check for check in judge(figures(a_b=1.0), {}) if check.what == "bandwidth"]
    assert [check.grade for check in checks] == [Grade.NOT_SHOWN]


def test_a_long_way_is_told_apart_from_scatter() -> None:
    rack = figures(a_b=1.0, b_a=1.0, a_c=1.0, c_a=1.0)
    late = [Figures(sender="b", receiver="c", link="fabric", mbit_s=1.0, rtt_ms=ms) for ms in (0.61, 0.71)]
    for one, wanted in zip(late, (Grade.PASS, Grade.FAIL), strict=True):
        found = [check for check in judge([*rack, one], {}) if check.what == "latency" and check.hosts == ("b", "c")]
        assert [check.grade for check in found] == [wanted], one


def test_what_iperf3_and_ping_print_is_read() -> None:
    assert bandwidth_of(json.dumps({"end": {"sum_received": {"bits_per_second": 9.4e9}}})) == 9400.0
    with pytest.raises(ValueError, match="unable to connect"):
        bandwidth_of('{"start": {}, "error": "unable to connect to server"}')
    with pytest.raises(ValueError, match="iperf3 said 'Segmentation fault'"):
        bandwidth_of("Segmentation fault\n")
    text = "20 packets transmitted, 20 received\nrtt min/avg/max/mdev = 0.100/0.250/0.900/0.1 ms\n"
    assert rtt_of(text) == 0.25
    with pytest.raises(ValueError, match="no answer"):
        rtt_of("20 packets transmitted, 0 received, 100% packet loss\n")


def test_the_odd_host_out_is_named_with_what_the_others_have() -> None:
    usual = {"kernel": "6.1.0", "firmware of fabric": "2.42.5000"}
    odd = {**usual, "firmware of fabric": "2.9.1000"}
    (check,) = compare({"n1": usual, "n2": usual, "n3": odd, "n4": usual})
    assert check.hosts == ("n3",) and check.grade is Grade.FAIL
    assert (check.measured, check.expected) == ("2.9.1000", "2.42.5000")
    assert check.reason == "the odd host out: n1, n2, n4 have 2.42.5000"


def test_of_two_that_differ_nobody_knows_which_is_odd() -> None:
    checks = compare({"n1": {"kernel": "6.1"}, "n2": {"kernel": "6.12"}})
    assert {check.grade for check in checks} == {Grade.NOT_SHOWN} and len(checks) == 2
    assert compare({"n1": {"kernel": "6.1"}, "n2": {"kernel": "6.1"}}) == []
