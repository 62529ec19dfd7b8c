"""The diagnosis of a trial: consoles and evidence of its hosts, and what the trial knows of their roles."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from harness.diagnosis.graph.host_context import HostContext
from harness.diagnosis.read.facts import Device, Facts
from harness.diagnosis.reader import read_facts
from harness.diagnosis.rules.engine import diagnose
from harness.model.diagnosis import Cited, Confidence, Diagnosis
from harness.model.events import EvidencePiece, FaultStep, Fence, RungSample, TrialFacts
from harness.model.finding import Finding, FindingKind
from harness.model.hang_classes import HangClass
from harness.model.history import Event, Rung, select
from harness.model.storage_protocols import protocol_named

__all__ = ["context_of", "diagnose_trial"]

# Of histories that do not say who serves whom.
_NETWORK_STORAGE = re.compile(r"\b(?:nfs|nbd|iscsi|aoe|ceph|smb|served by)", re.IGNORECASE)
_SERVED_BY = re.compile(r"served by (?P<role>[\w.-]{1,64})")
_IN_FLIGHT = re.compile(r"sys-block-(?P<device>[\w.-]{1,64})-inflight\b")
_SLOW_S = 1.0
"""Seconds from which on an I/O of the ladder is slow; it is a page or so, and asked for with nothing before it."""
_RECENT_S = 30.0
_ALIKE = 2.0
"""An I/O that has stood for more than this many times as long as slow ones took is not one of them."""
_CARD = "NETDEV WATCHDOG"
_MOST_SILENT = 4
_ORDER = (Confidence.LOW, Confidence.MEDIUM, Confidence.HIGH)


def diagnose_trial(events: Sequence[Event], texts: Mapping[str, Sequence[tuple[str, bytes]]]) -> Diagnosis | None:
    """Why a trial's hosts hang; None where nothing in what they left behind does.

    `texts` has, for each host, the name and the bytes of its console and of each file of evidence. The hosts are judged
    one by one; the surest diagnosis stands, of two equally sure ones that of the host with more tasks in it.
    """
    hosts = _hosts(events) | set(texts)
    found = []
    for host, sources in texts.items():
        facts = Facts()
        for name, data in _unlike(sources):
            facts.add(read_facts(data, name))
        facts.devices += [device for name, data in sources if (device := _device(name, data))]
        stood_s, returned = _probed(events, host)
        context = replace(context_of(events, hosts, host), stood_s=stood_s, returned=returned)
        diagnosis = diagnose(facts, context)
        if diagnosis is not None:
            found.append(_with_ladder(diagnosis, host, events))
    return max(found, key=_weight, default=None)


def _hosts(events: Sequence[Event]) -> set[str]:
    return {event.host for event in events if event.host}


def _unlike(sources: Sequence[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    """The sources without the dumps that were cut out of the console and stand in it whole."""
    consoles = [data.replace(b"\r", b"") for name, data in sources if "sysrq" not in name]
    return [
        (name, data)
        for name, data in sources
        if "sysrq" not in name or not any(data.replace(b"\r", b"").strip() in console for console in consoles)
    ]


def context_of(events: Sequence[Event], hosts: set[str], host: str) -> HostContext:
    """Who serves the storage of `host`, as the trial says."""
    trial = next((facts for _, facts in select(reversed(events), TrialFacts)), TrialFacts(name=""))
    served_by = trial.served_by
    if served_by is None:
        return _context_in_words(trial, hosts, host)
    fenced = {event.host for event, _ in select(events, Fence) if event.host != host}
    serving = next((server for server in served_by.get(host, ()) if server not in fenced), None)
    return HostContext(
        loopback=serving == host,
        apart=bool(served_by) and not any(host in servers for servers in served_by.values()),
        protocol=protocol_named(trial.protocol or ""),
    )


def _context_in_words(trial: TrialFacts, hosts: set[str], host: str) -> HostContext:
    """The same of a history written before it said who serves whom: read from the description of the storage.

    It is right for one server with a role. A cluster's nodes are taken to be apart from their server, and where a
    userspace server is named in place of a role the number of hosts decides.
    """
    if _NETWORK_STORAGE.search(trial.storage) is None:
        return HostContext()
    roles, served = trial.roles, _SERVED_BY.search(trial.storage)
    if served and served["role"] in roles:
        server = roles[served["role"]]
        others = {name for role, name in roles.items() if role != served["role"]}
        return HostContext(loopback=host == server and host in others, apart=host != server)
    return HostContext(loopback=len(hosts) == 1, apart=len(hosts) > 1)


def _weight(diagnosis: Diagnosis) -> tuple[bool, int, int]:
    known = diagnosis.hang_class is not HangClass.UNKNOWN
    return known, _ORDER.index(diagnosis.confidence), sum(node.count for node in diagnosis.nodes)


def _device(name: str, data: bytes) -> Device | None:
    """What a file of evidence says of a block device: reads and writes in flight; None for any other file."""
    found = _IN_FLIGHT.search(name)
    counts = data.split()
    if found is None or len(counts) != 2 or not all(count.isdigit() for count in counts):
        return None
    return Device(found["device"], sum(int(count) for count in counts), name)


def _looked_at(events: Sequence[Event], host: str) -> float:
    """When the first dump of a host was made, on the harness's clock; infinite if none was."""
    dumps = (event.t for event, piece in select(events, EvidencePiece) if _is_dump(piece) and event.host == host)
    return min(dumps, default=float("inf"))


def _last_rungs(events: Sequence[Event], host: str) -> dict[str, tuple[int, RungSample]]:
    """The newest sample of each rung before the host was looked at, and the line of the history that it is on."""
    moment = _looked_at(events, host)
    return {
        sample.rung: (number, sample)
        for number, event in enumerate(events, 1)
        if event.host == host and event.t <= moment and isinstance(sample := event.payload, RungSample)
    }


def _probed(events: Sequence[Event], host: str) -> tuple[float, int]:
    """For how long the ladder's own I/O had stood when the host was looked at, and how many slow ones had come back."""
    moment = _looked_at(events, host)
    samples = [
        (event.t, sample.blocked_s or 0.0)
        for event, sample in select(events, RungSample)
        if event.host == host and event.t <= moment and sample.rung == Rung.STORAGE
    ]
    stands = samples[-1][1] if samples else 0.0
    slow = [
        stood
        for (_, stood), (t, now) in pairwise(samples)
        if stood >= _SLOW_S and now < stood and samples[-1][0] - t <= _RECENT_S
    ]
    return stands, len(slow) if stands <= _ALIKE * max(slow, default=0.0) else 0


def _with_ladder(diagnosis: Diagnosis, host: str, events: Sequence[Event]) -> Diagnosis:
    """The same, with what the ladder says of the host: which rungs were blocked when it was looked at, which not."""
    last = _last_rungs(events, host)
    if not last:
        return diagnosis
    state = {rung.value: _blocked(last[rung.value][1]) for rung in Rung if rung.value in last}
    blocked = ", ".join(rung for rung, stuck in state.items() if stuck) or "nothing"
    alive = ", ".join(rung for rung, stuck in state.items() if not stuck) or "nothing"
    text = f"On {host} the ladder says: blocked {blocked}; alive {alive}."
    if faults := _faults(events, _looked_at(events, host)):
        text += f" The trial had injected and not healed: {', '.join(faults)}."
    cited = Cited(source="history", line=max(number for number, _ in last.values()), text=text)
    silent = _silent(events, host)
    explanation = " ".join((diagnosis.explanation, text, *(one.text for one in silent)))
    return replace(diagnosis, explanation=explanation, evidence=(*diagnosis.evidence, cited, *silent))


def _silent(events: Sequence[Event], host: str) -> list[Cited]:
    """What consoles say of a network card that sends nothing, and those of other hosts of whoever does not answer.

    A server that is cut off looks to its client like one that hangs, and only its own console tells the two apart.
    """
    said: dict[str, Cited] = {}
    for number, event in enumerate(events, 1):
        finding = event.payload
        if not isinstance(finding, Finding) or finding.kind != FindingKind.STORAGE_TIMEOUT:
            continue
        if event.host != host or _CARD in finding.title:
            text = f"The console of {event.host} says: {finding.title}."
            said.setdefault(text, Cited(source="history", line=number, text=text))
    return list(said.values())[:_MOST_SILENT]


def _blocked(sample: RungSample) -> bool:
    return sample.blocked_s is not None or not sample.ok


def _faults(events: Sequence[Event], moment: float) -> list[str]:
    """The faults that the trial itself had put on at that moment."""
    active: dict[str, None] = {}
    for event, step in select(events, FaultStep):
        if event.t <= moment:
            if step.action == "inject":
                active[step.name] = None
            else:
                active.pop(step.name, None)
    return list(active)


def _is_dump(piece: EvidencePiece) -> bool:
    return piece.name.startswith("sysrq")
