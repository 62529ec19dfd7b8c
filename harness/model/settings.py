"""Settings of one invocation, from the command line, the environment and ini files: folders, and how guests are run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

EMBEDDED = "embedded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Resolved settings of one invocation.

    `state` holds files that live as long as a run (sockets, overlays, leases), `cache` artifacts that are built once
    and found by content (images, kernels, modules), `results` the output of runs. `uri` is a libvirt URI, or "embedded"
    for the QEMU driver inside this process. `accelerator` is "auto", "kvm" or "tcg". `budget` scales the time and
    passes of every case. `leases` is the folder of the memory queue that all users of this machine share; if None, each
    state folder has its own. `mirror` replaces the package sources of this machine. `cold`: guests are booted, not
    restored from snapshots. `steal`: take over an owned host whose reservation is stale. `though_in_use`: use one
    although somebody is logged in.
    """

    state: Path
    cache: Path
    results: Path
    uri: str = EMBEDDED
    accelerator: str = "auto"
    budget: float = 1.0
    leases: Path | None = None
    mirror: str | None = None
    cold: bool = False
    steal: bool = False
    though_in_use: bool = False
