"""Disks of guests: copy-on-write overlays on a base that is never written to."""

from __future__ import annotations

import subprocess
from pathlib import Path

from harness.model.errors import HostEnvironmentError, InfraError


def make_overlay(base: Path, overlay: Path, *, size: int) -> None:
    """Make `overlay` on `base`, of `size` bytes or the base's size, whichever is larger.

    Raises HostEnvironmentError if qemu-img is missing, InfraError if it fails.
    """
    size = max(size, _virtual_size(base))
    _run("create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", str(base), str(overlay), str(size))


def make_blank(disk: Path, *, size: int) -> None:
    """Make the sparse raw image `disk` of `size` bytes; raises InfraError if the file cannot be created."""
    try:
        with disk.open("xb") as file:
            file.truncate(size)
    except OSError as error:
        raise InfraError(f"cannot make {disk}: {error.strerror}") from error


def _virtual_size(image: Path) -> int:
    # The qcow2 header: magic, version, backing file offset and size, cluster bits, then the size (docs/interop/qcow2).
    with image.open("rb") as file:
        header = file.read(32)
    if header[:4] != b"QFI\xfb":
        raise HostEnvironmentError(f"{image} is no qcow2 image", remedy="remove it; `harness prepare` builds it again")
    return int.from_bytes(header[24:32], "big")


def _run(*arguments: str) -> None:
    try:
        done = subprocess.run(
            ["qemu-img", *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
    except FileNotFoundError as error:
        raise HostEnvironmentError("qemu-img is not installed", remedy="apt-get install qemu-utils") from error
    if done.returncode != 0:
        raise InfraError(f"qemu-img {arguments[0]}: {done.stderr.strip().splitlines()[-1:]}")
