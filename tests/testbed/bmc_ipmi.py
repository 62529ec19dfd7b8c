"""A BMC that speaks IPMI 2.0 with serial over LAN: pyghmi's server in front of a chassis. `bmc_ipmi.py NAME`."""

from __future__ import annotations

import faulthandler
import queue
import signal
import socket
import sys
import threading
import time
import uuid
from typing import Any

from pyghmi.ipmi import bmc, console  # type: ignore[import-not-found, unused-ignore]
from pyghmi.ipmi.private import serversession, session  # type: ignore[import-not-found, unused-ignore]

from tests.testbed.chassis import Chassis
from tests.testbed.places import BMC_PASSWORD, BMC_PORT, BMC_USER, CONSOLE_PORT, double

IAC, BRK = b"\xff", b"\xf3"
PIECE = 200  # bytes of a packet
BREAK_BIT, PAYLOAD = 0x10, 15


class Sol(console.ServerConsole):  # type: ignore[misc, no-any-unimported, unused-ignore]
    """Serial over LAN that passes a break on."""

    bmc: Bmc

    def _got_sol_payload(self, payload: Any) -> None:
        if not isinstance(payload, dict) and payload[3] & BREAK_BIT and payload[0] & PAYLOAD:
            self.bmc.send_break()
        super()._got_sol_payload(payload)


class Bmc(bmc.Bmc):  # type: ignore[misc, no-any-unimported, unused-ignore]
    """One chassis and its serial port."""

    def __init__(self, name: str) -> None:
        machine = double(name)
        super().__init__({BMC_USER: BMC_PASSWORD}, port=BMC_PORT, address=f"::ffff:{machine.bmc_address}")
        self.chassis, self._guid = Chassis(machine), uuid.UUID(machine.uuid)
        self._serial: socket.socket | None = None
        self._heard: queue.Queue[bytes] = queue.Queue()
        self._where = (machine.bmc_address, CONSOLE_PORT)
        console.ServerConsole = Sol
        Sol.bmc = self
        threading.Thread(target=self._pump, daemon=True).start()

    def _pump(self) -> None:
        while True:
            try:
                self._serial = socket.create_connection(self._where, timeout=5)
                self._serial.settimeout(None)
                while data := self._serial.recv(4096):
                    self._hear(strip_negotiation(data))
            except OSError:
                pass
            self._serial = None
            time.sleep(0.05)

    def _hear(self, data: bytes) -> None:
        self._heard.put(data)

    def serve(self) -> None:
        """Serve for ever. What the serial port prints is sent from this thread: the library knows no other."""
        while True:
            session.Session.wait_for_rsp(0.02)
            if self.sol is not None and self.sol.broken:  # its client is gone; the next one may have the port
                self.sol, self.activated = None, False
            while not self._heard.empty():
                data = self._heard.get()
                for begin in range(0, len(data), PIECE):
                    if self.sol is not None:
                        self.sol.send_data(data[begin : begin + PIECE])
                        session.Session.wait_for_rsp(0)

    def iohandler(self, data: Any) -> None:
        """What a session types."""
        if self._serial is not None and not isinstance(data, dict):
            self._serial.sendall((data if isinstance(data, bytes) else data.encode()).replace(IAC, IAC + IAC))

    def send_break(self) -> None:
        """A break on the serial port."""
        if self._serial is not None:
            self._serial.sendall(IAC + BRK)

    def is_active(self) -> bool:
        return True

    def get_system_guid(self) -> uuid.UUID:
        return self._guid

    def get_power_state(self) -> int:
        return int(self.chassis.pid is not None)

    def power_on(self) -> None:
        self.chassis.on()

    def power_off(self) -> None:
        self.chassis.off()

    def power_cycle(self) -> None:
        self.chassis.cycle()

    def power_reset(self) -> None:
        self.chassis.reset()

    def power_shutdown(self) -> None:
        self.chassis.shutdown()

    def pulse_diag(self) -> None:
        self.chassis.nmi()

    def get_boot_device(self) -> str:
        return "default"

    def set_boot_device(self, bootdevice: object) -> None:
        pass

    def cold_reset(self) -> int:
        return 0


def strip_negotiation(data: bytes) -> bytes:
    """The data without telnet's option negotiation."""
    out, rest = bytearray(), data
    while rest:
        before, found, rest = rest.partition(IAC)
        out += before
        if not found:
            break
        if rest[:1] == IAC:
            out += IAC
            rest = rest[1:]
        else:
            rest = rest[2:] if rest[:1] >= b"\xfb" else rest[1:]
    return bytes(out)


if __name__ == "__main__":
    # The end of a session whose client is gone reads this, and the library does not set it: the BMC would die of it.
    serversession.ServerSession._customkeepalives = None
    faulthandler.register(signal.SIGUSR1)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # no zombies of QEMU
    Bmc(sys.argv[1]).serve()
