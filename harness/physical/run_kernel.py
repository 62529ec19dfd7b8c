"""The kernel of a run for one owned host, found or built on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.kernels.kernels import Kernel


@dataclass(frozen=True, slots=True, kw_only=True)
class RunKernel:
    """A kernel, with the modules that replace its own (path below /lib/modules/<release> → file), and those that
    replace none (name → file)."""

    kernel: Kernel
    modules: Mapping[str, Path]
    own_modules: Mapping[str, Path]
