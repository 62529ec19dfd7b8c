"""Where things are and how guests are run: what the command line, the environment and ini files decide."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

EMBEDDED = "embedded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Resolved settings of one invocation.

    `state` holds what lives only as long as a run (sockets, overlays, leases), `cache` what is built once and
    reused by content (images, kernels, modules), `results` what runs leave behind. `uri` is a libvirt URI, or
    "embedded" for the QEMU driver inside this process. `accelerator` is "auto", "kvm" or "tcg". `budget`
    scales the time and passes of every case. `leases` is the folder of the queue for memory that all users of this
    machine share; None: each state folder has its own. `mirror` replaces the package sources of this machine.
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
