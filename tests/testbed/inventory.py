"""The inventory of the test bed, as an owner of such hosts would write it."""

from __future__ import annotations

from pathlib import Path

from tests.testbed.places import (
    AGENT_PORT,
    BMC_PASSWORD,
    BMC_PORT,
    BMC_USER,
    CONSOLE_PORT,
    DOUBLES,
    REDFISH_PORT,
    SCRATCH_SIZE,
    SSH_PORT,
    USER,
    Double,
    folder,
    switch_folder,
)

UDP_PORT = 7777
DATA_CARD = "enp0s6"

HOST = """\
[[host]]
name = "{name}"
kind = "physical"
address = "{address}"
port = {port}
user = "{user}"
identity = "{key}"
host_key = "{host_key}"
disposable = true
scratch = "/dev/disk/by-id/virtio-{serial}"
scratch_serial = "{serial}"
scratch_size = "{size}"
power = {power}
console = {console}
agent = {agent}
boot_s = 300
{links}"""
TOPOLOGIES = """\
[[topology]]
name = "nbd-remote"
description = "Two owned hosts on a link of their own"
roles = { client = "m1", server = "m2" }
links = [{ name = "cluster", hosts = ["m1", "m2"] }]

[[topology]]
name = "pair"
roles = { client = "m1", server = "m2" }
links = [{ name = "cluster", hosts = ["m1", "m2"] }]

[[topology]]
name = "single"
roles = { client = "m1", server = "m1" }

[[topology]]
name = "loopback"
roles = { client = "m1", server = "m1" }

[[topology]]
name = "third"
roles = { client = "m3", server = "m3" }

[[topology]]
name = "fourth"
roles = { client = "m4", server = "m4" }

[[host]]
name = "small"
memory = "192 MiB"
cpus = 2

[[topology]]
name = "guest-client"
description = "A guest whose storage is on an owned host"
roles = { client = "small", server = "m4" }
links = [{ name = "cluster", hosts = ["small", "m4"], switch = "SWITCH" }]

[[topology]]
name = "guest-server"
description = "An owned host whose storage is on a guest"
roles = { client = "m4", server = "small" }
links = [{ name = "cluster", hosts = ["m4", "small"], switch = "SWITCH" }]
"""


def write_inventory() -> Path:
    """Write it; returns its path."""
    password = folder() / "bmc.password"
    password.write_text(f"{BMC_PASSWORD}\n")
    password.chmod(0o600)
    path = folder() / "inventory.toml"
    path.write_text(
        "\n".join([*(host(double, password) for double in DOUBLES), TOPOLOGIES.replace("SWITCH", str(switch_folder()))])
    )
    return path


def host(double: Double, password: Path) -> str:
    """The table of one double."""
    bmc, home = double.bmc_address, double.home
    secret = f'user = "{BMC_USER}", password = {{ file = "{password}" }}'
    over = f'{{ driver = "telnet", raw = true, address = "{bmc}", port = {AGENT_PORT} }}'
    agents = {"serial": f'{{ port = "/dev/ttyS1", over = {over} }}', "udp": f"{{ udp = {UDP_PORT} }}", "ssh": "{}"}
    console = f'{{ driver = "telnet", address = "{bmc}", port = {CONSOLE_PORT} }}'
    if double.bmc == "ipmi":
        power = f'{{ driver = "ipmi", address = "{bmc}", port = {BMC_PORT}, cipher = 3, {secret} }}'
        console = '{ driver = "ipmi-sol" }'
    else:
        url = f"https://{bmc}:{REDFISH_PORT}"
        power = f'{{ driver = "redfish", address = "{url}", ca = "{home}/redfish.pem", {secret} }}'
    return HOST.format(
        name=double.name,
        address=double.address,
        port=SSH_PORT,
        user=USER,
        key=folder() / "key",
        host_key=(double.home / "host_key.pub").read_text().strip(),
        serial=double.scratch_serial,
        size=SCRATCH_SIZE,
        power=power,
        console=console,
        agent=agents[double.agent],
        links=f'links = {{ cluster = "{DATA_CARD}" }}\n',
    )
