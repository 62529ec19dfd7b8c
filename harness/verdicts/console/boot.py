"""Detection of reboots: a boot message after a system was already running.

The first boot on a console is not a reboot. The banners count differently:
- Firmware prints first on a machine, so any text before its banner is from an earlier system.
- Boot loaders may print anything before the kernel's decompressor, so its banner counts only after kernel messages.
- Boot consoles replay the kernel's own banner, so that counts only after a kernel that had run for a while.
"""

from __future__ import annotations

import re

from harness.verdicts.console.text import Piece

__all__ = ["BANNERS", "BootWatch"]

_LOADED = "Booting the kernel."
BANNERS: tuple[str, ...] = ("SeaBIOS (version", "UEFI firmware (version", "Linux version ", _LOADED)
"""Literals of boot messages."""

_FIRMWARE = re.compile(r".{0,40}(?:SeaBIOS \(version|UEFI firmware \(version)")
_KERNEL = re.compile(r"Linux version \d")
_EMULATOR = re.compile(r"(?:\S{0,200}qemu|\(qemu\)|char device|warning: |Connected to domain|Escape character)")
_RAN_SECONDS = 5.0
"""Boot consoles replay the first seconds of the log; a later time stamp is from a running kernel."""
_RAN_LINES = 1000
"""The same for consoles without time stamps."""


class BootWatch:
    """Follows one console line by line and detects boot messages that mean a reboot."""

    def __init__(self) -> None:
        self._text = False
        self._booted = False
        self._kernel = False
        self._running = False
        self._stamped = False
        self._lines = 0

    @property
    def settled(self) -> bool:
        """Whether only a banner can change the state; other lines may then be skipped."""
        return self._running

    def crashed(self) -> None:
        """Note that a kernel crashed, so that one was running."""
        self._running = True

    def shows(self, piece: Piece) -> bool:
        """Whether a message means a reboot; only a message with a banner can."""
        text = piece.text.strip()
        firmware, loaded = _FIRMWARE.match(text) is not None, text.startswith(_LOADED)
        if not firmware and not loaded and not self._kernel_starts(piece, text):
            return False
        rebooted = self._running or (firmware and self._text) or ((firmware or loaded) and self._kernel)
        self._kernel, self._booted = not firmware, True
        self._text, self._running, self._lines = False, False, 0
        return rebooted

    def _kernel_starts(self, piece: Piece, text: str) -> bool:
        """Whether this is the kernel's own first line; a program that prints /proc/version has no time stamp."""
        if _KERNEL.match(text) is None or (piece.time_s or 0.0) >= 1.0:
            return False
        return piece.time_s is not None or not self._stamped

    def watch(self, piece: Piece) -> None:
        """Update the state from a message that means no reboot."""
        if self._running or not piece.text.strip():
            return
        self._lines += 1
        self._stamped = self._stamped or piece.time_s is not None
        self._kernel = self._kernel or piece.time_s is not None
        if not self._booted and not _EMULATOR.match(piece.text.lstrip()):
            self._text = True
        self._running = (piece.time_s or 0.0) >= _RAN_SECONDS or self._lines > _RAN_LINES
