"""The domains that a run asked hypervisors for: noted before they exist, crossed out when they are gone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.state.locks import explained

DOMAINS = "domains.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Domain:
    """A domain of the hypervisor at the libvirt URI `uri`."""

    uri: str
    uuid: str

    @property
    def is_embedded(self) -> bool:
        """Whether it is one of the driver inside a harness process: then it is no more than a process of ours."""
        return self.uri.startswith("qemu:///embed")


def note(path: Path, domain: Domain) -> None:
    """Note a domain of the run at `path`; to be done before the hypervisor is asked for it."""
    _append(path, {"uri": domain.uri, "uuid": domain.uuid})


def cross_out(path: Path, uuid: str) -> None:
    """Note that a domain of the run at `path` is gone."""
    _append(path, {"gone": uuid})


def noted(path: Path) -> tuple[Domain, ...]:
    """The domains that the run at `path` may still have; a last line that a kill cut short is left out."""
    try:
        lines = (path / DOMAINS).read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return ()
    domains: dict[str, Domain] = {}
    for record in map(_record, lines):
        domains.pop(str(record.get("gone")), None)
        if "uri" in record and "uuid" in record:
            domain = Domain(uri=str(record["uri"]), uuid=str(record["uuid"]))
            domains[domain.uuid] = domain
    return tuple(domains.values())


def _record(line: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}


def _append(path: Path, record: Mapping[str, str]) -> None:
    with explained(path), (path / DOMAINS).open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")
