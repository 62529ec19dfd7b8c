"""Reboots: a boot message where a system was already running.

A console that starts with its first boot has not rebooted. Firmware speaks first of all on a machine, so any text
before its banner is from a system that ran before. What unpacks a kernel may come after boot loaders that print
anything, so it counts only after a kernel's messages. The kernel's own banner is replayed by boot consoles, so it
counts only after a kernel that had run for a while.
"""

from __future__ import annotations

import re

from harness.verdicts.console.text import Piece

__all__ = ["BANNERS", "BootWatch"]

_LOADED = "Booting the kernel."
BANNERS: tuple[str, ...] = ("SeaBIOS (version", "UEFI firmware (version", "Linux version ", _LOADED)
"""Literals that a boot message holds."""

_FIRMWARE = re.compile(r".{0,40}(?:SeaBIOS \(version|UEFI firmware \(version)")
_KERNEL = re.compile(r"Linux version \d")
_EMULATOR = re.compile(r"(?:\S{0,200}qemu|\(qemu\)|char device|warning: |Connected to domain|Escape character)")
_RAN_SECONDS = 5.0
"""Boot consoles replay the first seconds of the log; a time stamp past them is a kernel that runs."""
_RAN_LINES = 1000
"""The same for consoles without time stamps."""


class BootWatch:
    """Follows one console line by line and says when a boot message is a reboot."""

    def __init__(self) -> None:
        self._text = False
        self._booted = False
        self._kernel = False
        self._running = False
        self._stamped = False
        self._lines = 0

    @property
    def settled(self) -> bool:
        """Whether only a banner can change its mind, so that other lines need not be shown."""
        return self._running

    def crashed(self) -> None:
        """A kernel has crashed, so one ran."""
        self._running = True

    def shows(self, piece: Piece) -> bool:
        """Whether a message is a boot message that shows a reboot; only one that holds a banner can be."""
        text = piece.text.strip()
        firmware, loaded = _FIRMWARE.match(text) is not None, text.startswith(_LOADED)
        if not firmware and not loaded and not self._kernel_starts(piece, text):
            return False
        rebooted = self._running or (firmware and self._text) or ((firmware or loaded) and self._kernel)
        self._kernel, self._booted = not firmware, True
        self._text, self._running, self._lines = False, False, 0
        return rebooted

    def _kernel_starts(self, piece: Piece, text: str) -> bool:
        """Whether this is the kernel's own first line; a program that shows /proc/version has no time stamp."""
        if _KERNEL.match(text) is None or (piece.time_s or 0.0) >= 1.0:
            return False
        return piece.time_s is not None or not self._stamped

    def watch(self, piece: Piece) -> None:
        """Learn from any message that shows no reboot."""
        if self._running or not piece.text.strip():
            return
        self._lines += 1
        self._stamped = self._stamped or piece.time_s is not None
        self._kernel = self._kernel or piece.time_s is not None
        if not self._booted and not _EMULATOR.match(piece.text.lstrip()):
            self._text = True
        self._running = (piece.time_s or 0.0) >= _RAN_SECONDS or self._lines > _RAN_LINES
