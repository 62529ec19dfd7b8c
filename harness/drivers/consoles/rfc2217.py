"""Consoles behind a TCP port with RFC 2217, such as ser2net's: settings and breaks of the line go over it too."""

from __future__ import annotations

import warnings
from contextlib import suppress
from typing import Any

from harness.drivers.consoles.base import Channel, Opening, Stream
from harness.model.clock import Deadline
from harness.model.errors import InfraError
from harness.model.owned_host import ConsoleSpec

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


def _make_port(spec: ConsoleSpec, deadline: Deadline) -> Any:
    """A port of pyserial, not open."""
    import serial.rfc2217

    class Port(serial.rfc2217.Serial):  # type: ignore[misc, no-any-unimported, unused-ignore]
        """pyserial's, mended: its readers learn of an end in the middle of an answer, and its socket is closed."""

        def _telnet_read_loop(self) -> None:
            try:
                super()._telnet_read_loop()
            except OSError:
                self._read_buffer.put(None)

        def close(self) -> None:
            connection = getattr(self, "_socket", None)
            super().close()
            if connection is not None:
                connection.close()

    port = Port(None, baudrate=spec.baud, timeout=0.5)
    # ign_set_control: many servers do not answer for control lines that they do not have.
    port.port = (
        f"rfc2217://{spec.address}:{spec.port}?ign_set_control&timeout={min(10, max(1, int(deadline.remaining)))}"
    )
    return port


def open_rfc2217(opening: Opening) -> Stream:
    """Open a console with RFC 2217."""
    spec = opening.spec

    def connect(deadline: Deadline) -> Channel:
        port = _make_port(spec, deadline)
        channel = Rfc2217Channel(port)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # pyserial's own, of threads
                port.open()
        except (OSError, ValueError) as error:
            channel.close()
            raise InfraError(f"the console of {opening.host} at {spec.address}:{spec.port}: {error}") from error
        return channel

    return Stream("RFC 2217", opening, connect)
