"""Consoles behind a TCP port with RFC 2217, such as ser2net's: settings and breaks of the line go over it too."""

from __future__ import annotations

import warnings
from contextlib import suppress
from typing import Any

from harness.drivers.consoles.base import Channel, Opening, Stream
from harness.model.clock import Deadline
from harness.model.errors import InfraError

BREAK_S = 0.3


class Rfc2217Channel(Channel):
    """One connection of pyserial."""

    def __init__(self, port: Any) -> None:
        self._port = port

    def read(self) -> bytes:
        """See `Channel.read`."""
        while self._port.is_open:
            try:
                data: bytes = self._port.read(max(1, self._port.in_waiting))
            except Exception as error:  # pyserial raises what comes, when another thread closes the port
                raise OSError(str(error)) from error
            if data:
                return data
        return b""

    def write(self, data: bytes) -> None:
        """See `Channel.write`."""
        self._port.write(data)

    def send_break(self, key: str) -> None:
        """See `Channel.send_break`."""
        self._port.send_break(BREAK_S)
        self.write(key.encode())

    def close(self) -> None:
        """See `Channel.close`."""
        with suppress(Exception):
            self._port.close()


def open_rfc2217(opening: Opening) -> Stream:
    """Open a console with RFC 2217."""
    spec = opening.spec

    def connect(deadline: Deadline) -> Channel:
        import serial  # type: ignore[import-untyped, unused-ignore]

        seconds = max(1, int(deadline.remaining))
        # ign_set_control: many servers do not answer for control lines that they do not have.
        url = f"rfc2217://{spec.address}:{spec.port}?ign_set_control&timeout={min(seconds, 10)}"
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # pyserial's own, of threads
                return Rfc2217Channel(serial.serial_for_url(url, baudrate=spec.baud, timeout=0.5))
        except (OSError, ValueError) as error:
            raise InfraError(f"the console of {opening.host} at {spec.address}:{spec.port}: {error}") from error

    return Stream("RFC 2217", opening, connect)
