"""The libvirt description of a guest: what is in it, and that hostile names stay text."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from fakes import guest_spec
from hypothesis import given
from hypothesis import strategies as st

from harness.drivers.libvirt.guest import Disk, GuestSpec, Nic, domain_xml

QEMU = "{http://libvirt.org/schemas/domain/qemu/1.0}"
SPEC = guest_spec()


def parsed(spec: GuestSpec) -> ElementTree.Element:
    return ElementTree.fromstring(domain_xml(spec))


def test_what_a_guest_is_made_of() -> None:
    root = parsed(SPEC)
    assert root.get("type") == "qemu" and root.findtext("memory") == str(256 * 1024 * 1024)
    assert root.findtext("vcpu") == "2" and root.findtext("os/cmdline") == "console=ttyS0 quiet"
    disks = root.findall("devices/disk")
    assert [disk.find("readonly") is not None for disk in disks] == [False, True]
    assert [source.get("path") for source in root.findall("devices/serial/source")] == ["/w/con", "/w/uart"]
    arguments = [argument.get("value") for argument in root.findall(f"{QEMU}commandline/{QEMU}arg")]
    assert arguments[:2] == ["-netdev", "user,restrict=on,id=mgmt"]
    assert arguments[3] == "virtio-net-pci,netdev=mgmt,id=nic-mgmt,mac=52:54:00:00:00:01,addr=0x10"


def test_the_processor_of_the_host_only_with_kvm() -> None:
    root = parsed(replace(SPEC, accelerator="kvm"))
    cpu = root.find("cpu")
    assert root.get("type") == "kvm" and cpu is not None and cpu.get("mode") == "host-passthrough"
    assert parsed(SPEC).find("cpu") is None


@pytest.mark.parametrize(("accelerator", "possible"), [("tcg", "2"), ("kvm", "1")])
def test_room_for_a_second_processor_where_they_are_emulated(accelerator: str, possible: str) -> None:
    vcpu = parsed(replace(SPEC, accelerator=accelerator, cpus=1)).find("vcpu")
    assert vcpu is not None and vcpu.get("current") == "1" and vcpu.text == possible


def test_a_crashed_guest_stays_and_none_comes_back() -> None:
    root = parsed(SPEC)
    assert [root.findtext(f"on_{what}") for what in ("crash", "reboot", "poweroff")] == [
        "preserve",
        "destroy",
        "destroy",
    ]


@pytest.mark.parametrize(
    "name", ["<evil/>", "a&b", "]]>", "'quoted'", '"double"', "{{ guest.kernel }}", "</name><name>x", "{% raw %}"]
)
def test_hostile_names_are_text(name: str) -> None:
    spec = replace(SPEC, name=name, cmdline=name, kernel=Path("/" + name), wires=(Path(name),))
    spec = replace(
        spec, nics=(Nic(name=name, mac="m", netdev=name),), disks=(Disk(name=name, path=Path(name), target=name),)
    )
    root = parsed(spec)
    assert len(list(root)) == len(list(parsed(SPEC)))
    assert root.findtext("name") == name and root.findtext("os/kernel") == str(Path("/" + name))
    source = root.find("devices/serial/source")
    assert source is not None and source.get("path") == str(Path(name))


@given(st.text(st.characters(min_codepoint=32, blacklist_categories=("Cs", "Cc")), min_size=1))
def test_any_printable_command_line_comes_through(text: str) -> None:
    assert parsed(replace(SPEC, cmdline=text)).findtext("os/cmdline") == text
