"""Saved guests: the head that libvirt reads, the description in it, and what is fed in the place of a copy."""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from uuid import UUID
from xml.etree import ElementTree

import pytest
from fakes import guest_spec
from hypothesis import given
from hypothesis import strategies as st

from harness.drivers.libvirt.guest import domain_xml
from harness.drivers.libvirt.save_image import CHUNK, HEADER, DamagedImage, Feeder, Head, adapt, checksum

SPEC = replace(guest_spec(), devices=("-device", "ivshmem-plain,memdev=mailbox"))
OTHER = replace(
    SPEC,
    name="harness-r2-c2 <&>",
    uuid=UUID(int=8),
    initrd=Path("/k/other"),
    disks=(replace(SPEC.disks[0], path=Path("/e/a.qcow2")), replace(SPEC.disks[1], path=Path("/e/b"))),
    wires=(Path("/x/con"), Path("/x/uart")),
    nics=(replace(SPEC.nics[0], mac="52:54:00:00:00:02", netdev="user,restrict=on,hostfwd=tcp::1-:2"),),
)


def image(xml: str = "<domain/>", cookie: bytes = b"", stream: bytes = b"QEVM stream", **words: int) -> bytes:
    """A saved image, by libvirt's own definition of it."""
    text = xml.encode() + b"\0"
    cookie_at = len(text) if cookie else 0
    fields = [
        words.get("version", 2),
        words.get("length", len(text) + len(cookie)),
        1,
        words.get("compressed", 0),
        cookie_at,
    ]
    magic = b"LibvirtQemudPart" if words.get("partial") else b"LibvirtQemudSave"
    return magic + struct.pack("<19I", *fields, *[0] * 14) + text + cookie + stream


@given(
    xml=st.text(st.characters(min_codepoint=32, exclude_categories=["Cs"]), min_size=1),
    other=st.text(st.characters(min_codepoint=32, exclude_categories=["Cs"]), min_size=1),
    cookie=st.binary(max_size=40).map(lambda data: data + b"\0" if data else b""),
)
def test_another_description_and_the_same_everything_else(
    tmp_path_factory: pytest.TempPathFactory, xml: str, other: str, cookie: bytes
) -> None:
    path = tmp_path_factory.mktemp("image") / "a"
    path.write_bytes(image(xml, cookie))
    head = Head.read(path)
    assert (head.xml, head.cookie, path.read_bytes()[head.size :]) == (xml, cookie, b"QEVM stream")
    path.write_bytes(head.with_xml(other) + path.read_bytes()[head.size :])
    again = Head.read(path)
    assert (again.xml, again.cookie, path.read_bytes()[again.size :]) == (other, cookie, b"QEVM stream")
    assert path.read_bytes() == image(other, cookie)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"LibvirtQemudSave",
        image(partial=1),
        image(version=3),
        image(compressed=2),
        image(length=0),
        image(length=1 << 31),
        image(length=5000),
        image()[: HEADER.size + 3],
    ],
    ids=["empty", "cut", "unfinished", "newer", "compressed", "no length", "huge", "too long", "cut in its text"],
)
def test_an_image_that_is_none(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "image").write_bytes(data)
    with pytest.raises(DamagedImage, match=str(tmp_path)):
        Head.read(tmp_path / "image")


def test_an_image_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DamagedImage, match="cannot be read"):
        Head.read(tmp_path / "image")


def saved_xml() -> str:
    """What libvirt makes of a description: with addresses, aliases, and the console twice."""
    root = ElementTree.fromstring(domain_xml(SPEC))
    for number, disk in enumerate(root.findall("devices/disk")):
        chain = ElementTree.SubElement(disk, "backingStore", type="file")
        ElementTree.SubElement(chain, "source", file="/base")
        ElementTree.SubElement(disk, "address", type="pci", slot=str(number))
    devices = root.find("devices")
    assert devices is not None
    console = ElementTree.SubElement(devices, "console", type="unix")
    ElementTree.SubElement(console, "source", mode="connect", path="/w/con")
    ElementTree.SubElement(console, "target", type="serial", port="0")
    return ElementTree.tostring(root, encoding="unicode")


def test_a_description_is_made_one_of_another_guest() -> None:
    root = ElementTree.fromstring(adapt(saved_xml(), OTHER))
    assert (root.findtext("name"), root.findtext("uuid")) == (OTHER.name, str(OTHER.uuid))
    assert (root.findtext("os/kernel"), root.findtext("os/initrd")) == ("/k/vmlinuz", "/k/other")
    assert [source.get("file") for source in root.findall("devices/disk/source")] == ["/e/a.qcow2", "/e/b"]
    assert [source.get("path") for source in root.findall("devices/serial/source")] == ["/x/con", "/x/uart"]
    assert [source.get("path") for source in root.findall("devices/console/source")] == ["/x/con"]
    space = "{http://libvirt.org/schemas/domain/qemu/1.0}"
    arguments = [argument.get("value") for argument in root.findall(f"{space}commandline/{space}arg")]
    assert arguments == OTHER.extra_arguments
    assert not root.findall("devices/disk/backingStore"), "libvirt looks itself what the overlay lies on"
    # What the guest sees stays where it was.
    assert [address.get("slot") for address in root.findall("devices/disk/address")] == ["0", "1"]
    assert root.findtext("memory") == str(SPEC.memory)


def test_a_description_without_what_every_guest_has() -> None:
    with pytest.raises(DamagedImage, match="has no uuid"):
        adapt("<domain><name>x</name></domain>", OTHER)


def feed(tmp_path: Path, data: bytes, crc: int, xml: Callable[[str], str]) -> tuple[Feeder, bytes]:
    """Feed an image to a reader; what it got."""
    (tmp_path / "image").write_bytes(data)
    feeder = Feeder(tmp_path / "image", crc, xml, tmp_path / "pipe")
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append((tmp_path / "pipe").read_bytes()))
    reader.start()
    reader.join(20)
    return feeder, got[0]


def test_what_is_fed_is_the_image_with_another_head(tmp_path: Path) -> None:
    stream = bytes(range(256)) * (3 * CHUNK // 256) + b"end"
    data = image("<domain>a</domain>", b"cookie\0", stream)
    (tmp_path / "copy").write_bytes(data)
    feeder, got = feed(tmp_path, data, checksum(tmp_path / "copy"), lambda xml: xml.replace("a</", "another</"))
    feeder.finish()
    assert got == image("<domain>another</domain>", b"cookie\0", stream)
    assert not (tmp_path / "pipe").exists()


@pytest.mark.parametrize("at", [HEADER.size + 3, 2 * CHUNK, -1], ids=["head", "stream", "last byte"])
def test_a_damaged_image_is_never_fed_to_its_end(tmp_path: Path, at: int) -> None:
    data = bytearray(image(stream=bytes(3 * CHUNK)))
    (tmp_path / "copy").write_bytes(data)
    crc = checksum(tmp_path / "copy")
    data[at] ^= 1
    feeder, got = feed(tmp_path, bytes(data), crc, lambda xml: xml)
    with pytest.raises(DamagedImage, match="changed after it was saved"):
        feeder.finish()
    assert len(got) <= len(data) - CHUNK // 2


def test_nobody_reads(tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(image())
    feeder = Feeder(tmp_path / "image", 0, lambda xml: xml, tmp_path / "pipe")
    feeder.finish()
    assert not (tmp_path / "pipe").exists()


def test_a_reader_that_goes_away(tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(image(stream=bytes(8 * CHUNK)))
    feeder = Feeder(tmp_path / "image", 0, lambda xml: xml, tmp_path / "pipe")
    with (tmp_path / "pipe").open("rb", buffering=0) as pipe:
        pipe.read(10)
    feeder.finish()
