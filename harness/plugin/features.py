"""Features that `@pytest.mark.requires(...)` can name, and how each is detected."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Callable
from pathlib import Path

# include/uapi/linux/if_arp.h: ARPHRD_INFINIBAND
_ARPHRD_INFINIBAND = "32"


def _program(name: str, package: str) -> Callable[[], str | None]:
    def missing() -> str | None:
        return None if shutil.which(name) else f"{name} is not installed; apt-get install {package}"

    return missing


def _kvm() -> str | None:
    # Necessary, not sufficient: `harness doctor` and `--accel auto` test whether a guest boots with it.
    if os.access("/dev/kvm", os.R_OK | os.W_OK):
        return None
    return "/dev/kvm cannot be opened; load kvm_intel or kvm_amd, or join the group kvm"


def _libvirt() -> str | None:
    if importlib.util.find_spec("libvirt") is not None:
        return None
    return "the Python module libvirt is not installed; pip install libvirt-python"


def _ipoib() -> str | None:
    kinds = (path.read_text().strip() for path in Path("/sys/class/net").glob("*/type"))
    return None if _ARPHRD_INFINIBAND in kinds else "no network interface of this machine is InfiniBand"


# The function of a feature returns the reason why it is missing, or None.
FEATURES: dict[str, Callable[[], str | None]] = {
    "ipoib": _ipoib,
    "kvm": _kvm,
    "libvirt": _libvirt,
    "qemu": _program("qemu-system-x86_64", "qemu-system-x86"),
    "vde": _program("vde_switch", "vde2"),
}


def missing(features: tuple[str, ...]) -> str | None:
    """The reason why the first missing one of `features` is missing, or None if this machine has all."""
    for feature in features:
        reason = FEATURES[feature]()
        if reason is not None:
            return f"requires {feature}: {reason}"
    return None
