"""Which pairs of hosts are measured: all of a small set, a stated sample of a large one. Pure."""

from __future__ import annotations

from collections.abc import Sequence

ALL_UP_TO = 8  # hosts


def pairs_of(hosts: Sequence[str], all_up_to: int = ALL_UP_TO) -> list[tuple[str, str]]:
    """Senders and receivers, both directions of each pair.

    Of more than `all_up_to` hosts, each host is measured with those 1, 2, 4, … places further on, around the end: every
    host sends and receives equally often, and any two are connected by few measured pairs.
    """
    count = len(hosts)
    if count <= all_up_to:
        return [(one, other) for one in hosts for other in hosts if one != other]
    steps = [1 << power for power in range(count.bit_length()) if 1 << power <= count // 2]
    pairs = [(hosts[place], hosts[(place + step) % count]) for step in steps for place in range(count)]
    return list(dict.fromkeys(pair for one, other in pairs for pair in ((one, other), (other, one))))


def ring_of(hosts: Sequence[str]) -> list[tuple[str, str]]:
    """Each host once as client and once as server: for what takes minutes a pair."""
    return [(hosts[place], hosts[(place + 1) % len(hosts)]) for place in range(len(hosts))] if len(hosts) > 1 else []


def design_of(hosts: Sequence[str], all_up_to: int = ALL_UP_TO) -> str:
    """The design in words, for the page."""
    count, pairs = len(hosts), len(pairs_of(hosts, all_up_to))
    if count <= all_up_to:
        return f"all {pairs} directed pairs of {count} hosts"
    return (
        f"{pairs} of {count * (count - 1)} directed pairs: each host with those 1, 2, 4, … places further on in the "
        "inventory"
    )
