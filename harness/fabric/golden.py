"""What is wrong with a fabric: by itself, or against one that was recorded as golden."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from harness.fabric.view import ACTIVE, Fabric, Link, PortErrors

FORMAT = 1
# The examples in etc/infiniband-diags/error_thresholds of rdma-core. Waiting to send (PortXmitWait) is no error.
THRESHOLDS = {
    "SymbolErrorCounter": 10,
    "LinkErrorRecoveryCounter": 10,
    "LinkDownedCounter": 10,
    "PortRcvErrors": 10,
    "PortRcvRemotePhysicalErrors": 100,
    "PortRcvSwitchRelayErrors": 100,
    "PortXmitDiscards": 100,
    "PortXmitConstraintErrors": 100,
    "PortRcvConstraintErrors": 100,
    "LocalLinkIntegrityErrors": 10,
    "ExcessiveBufferOverrunErrors": 10,
    "VL15Dropped": 100,
}
NO_MANAGER = "no subnet manager answers, so no link gets active and IPoIB joins nothing; start opensm or the switch's"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing that is wrong, in words.

    | `kind` | what |
    | --- | --- |
    | `manager` | no subnet manager, or it does not answer |
    | `down` | the host's own port has no link |
    | `state` | a link that no subnet manager has set up |
    | `missing`, `new` | nodes and links |
    | `moved` | a cable is in another port |
    | `slower` | than in the golden one, or without one: than both ends could be |
    | `errors` | a counter is above its threshold, or has risen by more |
    """

    kind: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Golden:
    """A fabric as it should be; `thresholds` are by how much a counter may rise."""

    fabric: Fabric
    thresholds: Mapping[str, int] = field(default_factory=lambda: dict(THRESHOLDS))

    def to_json(self) -> str:
        """The text of its file."""
        values = {"format": FORMAT, "thresholds": dict(self.thresholds), "fabric": self.fabric.to_dict()}
        return json.dumps(values, indent=1, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Golden:
        """The golden fabric of a file; raises ValueError if it is none."""
        try:
            values: dict[str, Any] = json.loads(text)
            if values["format"] != FORMAT:
                raise ValueError(f"its format is {values['format']}, and this version reads {FORMAT}")
            thresholds = {str(name): int(value) for name, value in values["thresholds"].items()}
            return cls(fabric=Fabric.from_dict(values["fabric"]), thresholds=thresholds)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"no golden fabric: {error}") from error


def health(fabric: Fabric) -> list[Difference]:
    """What is wrong with a fabric by itself."""
    found = list(_unmanaged(fabric))
    found += [
        Difference(kind="slower", text=f"{link} runs at {_rate(link)}, and both ends could be {link.could_be}")
        for link in fabric.links
        if link.could_be
    ]
    return [*found, *_errors(fabric, None, THRESHOLDS)]


def compare(golden: Golden, fabric: Fabric) -> list[Difference]:
    """How a fabric differs from the golden one, and what makes it unusable."""
    found = [*_unmanaged(fabric), *_nodes(golden.fabric, fabric), *_links(golden.fabric, fabric)]
    return [*found, *_errors(fabric, golden.fabric, golden.thresholds)]


def _unmanaged(fabric: Fabric) -> Iterator[Difference]:
    if not fabric.links:
        ports = ", ".join(map(str, fabric.down)) or "the host's own port"
        yield Difference(kind="down", text=f"no link: {ports} is down; look at its cable and at the other end")
        return
    if fabric.manager is None:
        yield Difference(kind="manager", text=NO_MANAGER)
        return
    if fabric.errors is None:
        text = "the subnet manager does not answer queries, so counters of errors are not known"
        yield Difference(kind="manager", text=text)
    for link in fabric.links:
        if link.state != ACTIVE:
            yield Difference(kind="state", text=f"{link} is in state {link.state}, and not set up")


def _nodes(old: Fabric, new: Fabric) -> Iterator[Difference]:
    before, now = ({node.guid: node for node in one.nodes} for one in (old, new))
    for guid in before.keys() - now.keys():
        yield Difference(kind="missing", text=f"{before[guid].name or guid} is gone")
    for guid in now.keys() - before.keys():
        yield Difference(kind="new", text=f"{now[guid].name or guid} is new")


def _links(old: Fabric, new: Fabric) -> Iterator[Difference]:
    before, now = ({link.key: link for link in one.links} for one in (old, new))
    for key in before.keys() & now.keys():
        if now[key].gbps < before[key].gbps:
            text = f"{now[key]} runs at {_rate(now[key])}, and did at {_rate(before[key])}"
            yield Difference(kind="slower", text=text)
    lost = [before[key] for key in before if key not in now]
    fresh = [now[key] for key in now if key not in before]
    switches = {node.guid for node in old.nodes if node.kind == "Switch"}
    for link in lost:
        moved = _moved(link, fresh, switches)
        if moved is None:
            yield Difference(kind="missing", text=f"the link {link} is gone")
        else:
            fresh.remove(moved)
            yield Difference(kind="moved", text=f"the cable {link} is now {moved}")
    for link in fresh:
        yield Difference(kind="new", text=f"the link {link} is new")


def _moved(lost: Link, fresh: Sequence[Link], switches: Set[str]) -> Link | None:
    """Where a cable is now: one of its ends is where it was, its adapter's if two cables have changed places."""
    candidates = [one for one in fresh if one.key & lost.key]
    candidates.sort(key=lambda one: all(guid in switches for guid, _ in one.key & lost.key))
    return candidates[0] if candidates else None


def _errors(fabric: Fabric, old: Fabric | None, thresholds: Mapping[str, int]) -> Iterator[Difference]:
    before = {(one.guid, one.port): one.counters for one in old.errors or ()} if old is not None else {}
    for one in fabric.errors or ():
        known = before.get((one.guid, one.port), {})
        for name in sorted(one.counters.keys() & thresholds.keys()):
            yield from _rise(one, name, known.get(name, 0), thresholds[name])


def _rise(port: PortErrors, name: str, before: int, threshold: int) -> Iterator[Difference]:
    now = port.counters[name]
    # Somebody may have cleared it since; then all of it is new.
    rise = now - before if now >= before else now
    if rise > threshold:
        since = f" since the golden one, from {before}" if before else ""
        yield Difference(kind="errors", text=f"{port}: {name} is {now}{since}; up to {threshold} is allowed")


def _rate(link: Link) -> str:
    return f"{link.width} {link.speed}".strip() or "an unknown rate"
