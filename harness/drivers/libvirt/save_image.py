"""Images of guests saved by libvirt, and how another guest is started from one.

A saved image is a header (16 bytes of magic, 19 little-endian words: version, bytes up to QEMU's stream, was it
running, compression, where the cookie begins, …), the description of the guest, a NUL, the cookie, then QEMU's stream
(libvirt, src/qemu/qemu_saveimage.h). libvirt restores it only as the same guest. So the
description, and the words that depend on its length, are replaced.
"""

from __future__ import annotations

import fcntl
import os
import struct
import threading
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from harness.drivers.libvirt.guest import GuestSpec
from harness.model.clock import Deadline
from harness.model.errors import InfraError

HEADER = struct.Struct("<16s19I")
MAGIC = b"LibvirtQemudSave"  # a different one until libvirt has finished the image
VERSION = 2
LENGTH, COMPRESSION, COOKIE = 1, 3, 4  # indices of the words
LIMIT = 16 * 1024 * 1024  # every description is shorter
CHUNK = 1024 * 1024
QEMU = "http://libvirt.org/schemas/domain/qemu/1.0"


class DamagedImage(InfraError):
    """A saved guest that must not be used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The part of a saved image before QEMU's stream."""

    words: tuple[int, ...]
    xml: str
    cookie: bytes

    @classmethod
    def read(cls, path: Path) -> Head:
        """The head of a saved image; raises DamagedImage."""
        try:
            with path.open("rb") as file:
                magic, *words = HEADER.unpack(file.read(HEADER.size))
                length = words[LENGTH]
                if magic != MAGIC or words[0] != VERSION or words[COMPRESSION] or not 0 < length < LIMIT:
                    raise DamagedImage(f"{path} is no whole image of a saved guest")
                data = file.read(length)
            if len(data) != length:
                raise DamagedImage(f"{path} ends early")
            split = words[COOKIE] or length
            return cls(words=tuple(words), xml=data[:split].rstrip(b"\0").decode(), cookie=data[split:])
        except (OSError, struct.error, ValueError) as error:
            raise DamagedImage(f"{path} cannot be read: {error}") from error

    @property
    def size(self) -> int:
        """Bytes before QEMU's stream."""
        return HEADER.size + self.words[LENGTH]

    def with_xml(self, xml: str) -> bytes:
        """The bytes of a head with another description."""
        text = xml.encode() + b"\0"
        words = list(self.words)
        words[LENGTH] = len(text) + len(self.cookie)
        words[COOKIE] = len(text) if self.cookie else 0
        return HEADER.pack(MAGIC, *words) + text + self.cookie


def adapt(xml: str, spec: GuestSpec) -> str:
    """A saved description adapted to `spec`: changes what belongs to one guest, and nothing that the guest can see."""
    ElementTree.register_namespace("qemu", QEMU)
    root = ElementTree.fromstring(xml)
    _set(root, "name", spec.name)
    _set(root, "uuid", str(spec.uuid))
    _set(root, "os/kernel", str(spec.kernel))
    _set(root, "os/initrd", str(spec.initrd))
    files = {disk.target: str(disk.path) for disk in spec.disks}
    for disk in root.findall("devices/disk"):
        _find(disk, "source").set("file", files[_find(disk, "target").get("dev", "")])
        for chain in disk.findall("backingStore"):
            disk.remove(chain)
    for port, wire in enumerate(spec.wires):
        for kind in ("serial", "console"):
            for source in root.findall(f"devices/{kind}/target[@port='{port}']/../source"):
                source.set("path", str(wire))
    line = _find(root, f"{{{QEMU}}}commandline")
    for argument in list(line):
        line.remove(argument)
    for value in spec.extra_arguments:
        ElementTree.SubElement(line, f"{{{QEMU}}}arg", value=value)
    return ElementTree.tostring(root, encoding="unicode")


def _find(element: ElementTree.Element, path: str) -> ElementTree.Element:
    found = element.find(path)
    if found is None:
        raise DamagedImage(f"the description of a saved guest has no {path}")
    return found


def _set(root: ElementTree.Element, path: str, text: str) -> None:
    _find(root, path).text = text


def checksum(path: Path) -> int:
    """CRC-32 of a file."""
    crc = 0
    with path.open("rb", buffering=0) as file:
        while data := file.read(CHUNK):
            crc = zlib.crc32(data, crc)
    return crc


class Feeder:
    """Writes a saved image with another head to the reader of `pipe`; a copy would take longer than reading the image.

    The last piece is held back until the checksum of the whole image is found right, so that a damaged guest never
    runs.
    """

    def __init__(self, image: Path, crc: int, xml: Callable[[str], str], pipe: Path) -> None:
        self._image, self._crc, self._pipe = image, crc, pipe
        self._head = Head.read(image)
        self._bytes = self._head.with_xml(xml(self._head.xml))
        self._given_up = threading.Event()
        self._error: Exception | None = None
        os.mkfifo(pipe, 0o600)
        self._thread = threading.Thread(target=self._run, name=f"feeder {pipe.name}", daemon=True)
        self._thread.start()

    def finish(self, seconds: float = 5.0) -> None:
        """Wait until everything is written; raises DamagedImage if the image differs from the one that was saved."""
        self._given_up.set()
        self._thread.join(seconds)
        with suppress(OSError):
            self._pipe.unlink()
        if isinstance(self._error, DamagedImage):
            raise self._error

    def _run(self) -> None:
        try:
            descriptor = self._open()
            if descriptor is not None:
                with os.fdopen(descriptor, "wb", buffering=0) as pipe:
                    self._feed(pipe.fileno())
        except (OSError, DamagedImage) as error:
            self._error = error

    def _open(self) -> int | None:
        """The pipe once it has a reader; None if none comes."""
        deadline = Deadline.after(60.0)
        while not (self._given_up.is_set() or deadline.passed):
            with suppress(OSError):
                descriptor = os.open(self._pipe, os.O_WRONLY | os.O_NONBLOCK)
                os.set_blocking(descriptor, True)
                with suppress(OSError):
                    fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, CHUNK)
                return descriptor
            deadline.clock.sleep(0.002)
        return None

    def _feed(self, pipe: int) -> None:
        _write(pipe, self._bytes)
        with self._image.open("rb", buffering=0) as file:
            crc = zlib.crc32(file.read(self._head.size))
            held = b""
            while data := file.read(CHUNK):
                crc = zlib.crc32(data, crc)
                _write(pipe, held)
                held = data
        if crc != self._crc:
            raise DamagedImage(f"{self._image}: its contents changed after it was saved")
        _write(pipe, held)


def _write(pipe: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(pipe, view) :]
