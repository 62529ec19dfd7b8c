"""Hosts that somebody owns in an inventory: what is read, and one line with the way out for each mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.inventory.cross_checks import Limits
from harness.inventory.inventory import Inventory, load_inventory
from harness.model.errors import UsageError
from harness.model.owned_host import OWN_KERNEL, OwnedHost, Secret
from harness.model.topology import GIB

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAgELAxx3zvpjXpmqO6lsVim6q8huVMIy5SBzAGduaax"
CA = ', ca = "ca.pem"'
SERIAL = '{ port = "/dev/ttyS1", over = { driver = "telnet", address = "192.0.2.9", port = 7001 } }'
GOOD = f"""
[[host]]
name = "ib1"
kind = "physical"
address = "192.0.2.11"
host_key = "{KEY} root@ib1"
identity = "key"
disposable = true
scratch = "/dev/disk/by-id/nvme-SAMSUNG_1"
scratch_serial = "S1"
scratch_size = "1 GiB"
power = {{ driver = "ipmi", address = "192.0.2.111", user = "admin", cipher = 3, password = {{ env = "IB1_BMC" }} }}
console = {{ driver = "ipmi-sol" }}
agent = {{ port = "/dev/ttyS1", over = {{ driver = "telnet", address = "192.0.2.9", port = 7001 }} }}
boot_s = 900
links = {{ fabric = "ib0", lan = "eno2" }}
expect = {{ memory = "64 GiB", driver = "mlx4_ib", rate = "40 Gb/sec (4X QDR)" }}

[[host]]
name = "ib2"
kind = "physical"
address = "ib2"
host_key = "{KEY}"
kernel = "debian:12"
power = {{ driver = "redfish", address = "https://192.0.2.112", user = "a", password = {{ file = "secret" }}{CA} }}
agent = {{ udp = 7777 }}
links = {{ fabric = "ib0" }}

[[host]]
name = "small"
memory = "256 MiB"

[[topology]]
name = "pair"
roles = {{ client = "ib1", server = "ib2" }}
links = [{{ name = "fabric", hosts = ["ib1", "ib2"] }}]

[[topology]]
name = "guest"
roles = {{ client = "small" }}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the files that the inventory names."""
    for name in ("key", "secret", "ca.pem"):
        (tmp_path / name).write_text("x\n")
    return tmp_path


def load(folder: Path, text: str) -> Inventory:
    path = folder / "rack.toml"
    path.write_text(text)
    return load_inventory(path, limits=Limits(machine_memory=GIB))


def test_a_rack_is_read(folder: Path) -> None:
    inventory = load(folder, GOOD)
    ib1, ib2 = inventory.hosts["ib1"], inventory.hosts["ib2"]
    assert ib1.owned is not None and ib2.owned is not None and inventory.hosts["small"].owned is None
    assert (ib1.memory, ib1.kernel, ib2.kernel) == (0, OWN_KERNEL, "debian:12")
    assert ib1.owned.scratch_size == GIB and ib1.owned.boot_s == 900.0 and ib1.owned.disposable
    assert not ib2.owned.disposable and ib2.owned.console.driver == "none"
    assert ib1.owned.identity == str(folder / "key")
    assert ib1.owned.power is not None and ib1.owned.power.password == Secret(kind="env", name="IB1_BMC")
    assert ib2.owned.power is not None and ib2.owned.power.ca == str(folder / "ca.pem")
    assert ib2.owned.power.password == Secret(kind="file", name=str(folder / "secret"))
    assert ib1.owned.links == {"fabric": "ib0", "lan": "eno2"} and ib2.owned.agent.udp == 7777
    assert inventory.host("ib1") is ib1
    with pytest.raises(UsageError, match="no host 'ib9'"):
        inventory.host("ib9")


def test_what_an_inventory_says_survives_json(folder: Path) -> None:
    for host in load(folder, GOOD).hosts.values():
        if host.owned is not None:
            assert OwnedHost.from_dict(host.owned.to_dict()) == host.owned


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ('kind = "physical"', 'kind = "bare"', "kind: 'bare' is no kind of host; it is guest or physical"),
        ("disposable = true", 'memory = "1 GiB"', "memory: is a guest's, and this host is a machine"),
        (f'host_key = "{KEY} root@ib1"', "", "host_key: is missing"),
        ("ssh-ed25519 AAAA", "ssh-dss AAAA", "is no SSH host key; write the type and the key"),
        ("ssh-ed25519 AAAA", "ssh-rsa AAAA", "the SSH host key is not of the type ssh-rsa"),
        (KEY, "ssh-ed25519 A", "the SSH host key is damaged"),
        ("/dev/disk/by-id/nvme-SAMSUNG_1", "/dev/nvme0n1", "is no name below /dev/disk/by-id/"),
        ("/dev/disk/by-id/nvme-SAMSUNG_1", "/dev/disk/by-id/../../sda", "is no name below /dev/disk/by-id/"),
        ('driver = "ipmi",', 'driver = "ipmy",', "power: no power driver 'ipmy'; did you mean 'ipmi'?"),
        ('driver = "ipmi",', "", "power: names no driver; the drivers are: ipmi, redfish"),
        ("cipher = 3", "cipher = 12", "power: ipmitool cannot use cipher suite 12"),
        ('user = "admin", ', "", "power: driver 'ipmi' needs user; add user = \"admin\""),
        ("cipher = 3", 'outlet = "3"', "power: driver 'ipmi' has no key 'outlet'"),
        ('{ env = "IB1_BMC" }', '"hunter2"', "power.password: a password does not belong into an inventory"),
        ('{ env = "IB1_BMC" }', '{ env = "A", file = "secret" }', "must say where the password is, in one way"),
        ('{ file = "secret" }', '{ file = "gone" }', "power.password.file: there is no file 'gone'"),
        ("https://", "http://", "power: 'http://192.0.2.112' is no https address"),
        (', ca = "ca.pem"', "", "power: its TLS must be verified in one way; add ca"),
        (', ca = "ca.pem"', ', fingerprint = "12:34"', "power: its fingerprint is no SHA-256"),
        ('ca = "ca.pem"', 'ca = "gone.pem"', "power.ca: there is no file 'gone.pem'"),
        ('driver = "ipmi-sol"', 'driver = "serial"', "console: no console driver 'serial'"),
        ('driver = "telnet", ', 'driver = "rfc2217", raw = true, ', "agent.over: driver 'rfc2217' has no key 'raw'"),
        ("port = 7001", "port = 70010", "agent.over.port: 70010 is out of range"),
        ('port = "/dev/ttyS1", over', "over", "agent: a serial port needs what reaches its other end"),
        ('port = "/dev/ttyS1"', 'port = "COM1"', "agent: 'COM1' is no serial port of a host"),
        ("udp = 7777", 'udp = 7777, port = "/dev/ttyS1"', "agent: has a serial port and UDP"),
        ("boot_s = 900", "boot_s = 5", "boot_s: 5 is out of range; it goes from 30 to 7200"),
        ('driver = "mlx4_ib"', 'colour = "red"', "expect: nothing is known of 'colour'"),
        ('lan = "eno2"', 'lan = "a b"', "links.lan: 'a b' is no name of an interface"),
        ('fabric = "ib0", lan', "lan", "links[0].hosts[0]: host 'ib1' has no interface for this link"),
        ('address = "ib2"', 'address = "192.0.2.11"', "address: is that of host[0]; a machine is in an inventory once"),
        ('identity = "key"', 'identity = "nokey"', "identity: there is no file 'nokey'"),
        ("boot_s = 900", 'modules = ["nbd-no-memalloc"]', "modules: modules of the owner's kernel are not replaced"),
        ('kernel = "debian:12"', 'kernel = "debian"', "kernel: 'debian' is neither a distribution's kernel nor a file"),
    ],
)
def test_a_mistake_is_one_line_with_its_place(folder: Path, old: str, new: str, line: str) -> None:
    assert old in GOOD
    with pytest.raises(UsageError) as caught:
        load(folder, GOOD.replace(old, new, 1))
    said = str(caught.value)
    assert line in said, said
    assert all(one.startswith(str(folder / "rack.toml")) for one in said.splitlines())
    assert "hunter2" not in said


def test_serial_over_lan_needs_ipmi(folder: Path) -> None:
    text = GOOD.replace("agent = { udp = 7777 }", 'agent = { udp = 7777 }\nconsole = { driver = "ipmi-sol" }')
    with pytest.raises(UsageError, match="console: serial over LAN needs power over IPMI"):
        load(folder, text)


def test_two_agents_do_not_share_a_port(folder: Path) -> None:
    text = GOOD.replace(
        '{ port = "/dev/ttyS1", over = { driver = "telnet", address = "192.0.2.9", port = 7001 } }', "{ udp = 7777 }"
    )
    with pytest.raises(UsageError, match=r"agent.udp: port 7777 is that of host\[0\]"):
        load(folder, text)


def test_guests_and_machines_are_linked_over_a_switch_only(folder: Path) -> None:
    mixed = '[[topology]]\nname = "mixed"\nroles = { client = "small", server = "ib1" }\nlinks = [{ %s }]\n'
    link = 'name = "fabric", hosts = ["small", "ib1"]'
    second = 'name = "lan", hosts = ["small", "ib1"], subnet = "10.78.0.0/24"'
    found = load(folder, GOOD + mixed % f'{link}, switch = "/run/vde/rack.ctl"').topology("mixed").links[0]
    assert found.switch == "/run/vde/rack.ctl"
    for text, problem in (
        (mixed % link, "links[0]: has guests and physical hosts, and nothing that connects them; name a VDE switch"),
        (mixed % f'{link}, switch = "rack.ctl"', "is no absolute path"),
        (mixed % f'{link}, switch = "/x,port=3"', "has a comma or a control character, which QEMU cannot take"),
        ((mixed % f'{link}, switch = "/x"').replace("small", "ib2"), "is for guests, and the link has none"),
        (
            mixed % f'{link}, switch = "/x" }}, {{ {second}, switch = "/x"',
            "links[1].switch: is that of links[0]; give each link a switch of its own",
        ),
    ):
        with pytest.raises(UsageError) as error:
            load(folder, GOOD + text)
        assert problem in str(error.value) and str(error.value).count("\n") == 0, error.value
