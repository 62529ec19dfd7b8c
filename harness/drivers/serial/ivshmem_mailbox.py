"""Orders to an agent through memory that the hypervisor shares with the guest (QEMU's ivshmem-plain).

A guest that has run out of memory still writes to its UART, but it may no longer read from one: received bytes go
through a workqueue, and a workqueue whose workers are all blocked in reclaim needs memory to start another
(`n_tty_poll` → `flush_work`, seen in a deadlock of swap over loopback NBD). Mapped memory needs no worker.

Layout: number of orders (8 bytes), length of the newest (4), its text from byte 16 on; number of orders taken (8) at
half of the box.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

from harness.model.clock import Deadline

SIZE = 1024 * 1024  # the smallest that ivshmem takes
LENGTH = struct.Struct("=I")
TAKEN = struct.Struct("=Q")
LENGTH_AT, TEXT_AT, TAKEN_AT = 8, 16, 32 * 1024
POLL_S = 0.02


class IvshmemMailbox:
    """The harness's side of one box; `path` is the file that QEMU maps into the guest."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("w+b") as file:
            file.truncate(SIZE)
            self._memory = mmap.mmap(file.fileno(), SIZE)
        self._posted = memoryview(self._memory)[:8].cast("Q")
        self._number = 0

    @property
    def device(self) -> list[str]:
        """The QEMU arguments that give the box to a guest."""
        backend = f"memory-backend-file,id=mailbox,share=on,mem-path={self.path},size={SIZE}"
        # master: its contents are saved with the guest; without it, a guest that has a box cannot be saved.
        return ["-object", backend, "-device", "ivshmem-plain,memdev=mailbox,addr=0x1e,master=on"]

    def resume(self) -> None:
        """Continue the count that is in the box: a restored guest brings the box of the guest that was saved."""
        self._number = TAKEN.unpack_from(self._memory, TAKEN_AT)[0]

    def post(self, text: bytes, deadline: Deadline) -> bool:
        """Post an order once the previous one was taken; False if it was not taken within the deadline."""
        if len(text) > TAKEN_AT - TEXT_AT:
            raise ValueError(f"an order of {len(text)} bytes does not fit")
        while TAKEN.unpack_from(self._memory, TAKEN_AT)[0] < self._number:
            if deadline.passed:
                return False
            deadline.clock.sleep(POLL_S)
        self._number += 1
        self._memory[TEXT_AT : TEXT_AT + len(text)] = text
        LENGTH.pack_into(self._memory, LENGTH_AT, len(text))
        # Last, and in one store: struct.pack_into() zeroes its place first, and a 0 would count as a new order.
        self._posted[0] = self._number
        return True
