"""How an owned host is reached: its SSH address, the channel of its agent, and its facts for the cases."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from harness.drivers.agent_link import FramedAgentLink
from harness.drivers.channels.console import ConsoleTransport
from harness.drivers.channels.ssh import SshTransport
from harness.drivers.channels.udp import UdpTransport
from harness.drivers.consoles import Stream, open_console
from harness.drivers.ssh import FabricShell, SshAddress
from harness.fabric.counters import files_of
from harness.fabric.known_bad import suspects
from harness.model.clock import Deadline
from harness.model.errors import InfraError
from harness.model.owned_host import OwnedHost
from harness.physical.deploy import RUN, START
from harness.physical.survey import HostSurvey, SurveyedDisk, SurveyedInterface
from harness.site.addressing import SEED
from harness.site.facts import MANAGEMENT, ROOT, SCRATCH, Disk, HostFacts, Interface

LEASH_FILE = f"{SEED}/leash"  # vm-images/host-init.c waits for it
LOG = f"{SEED}/agent.log"
LOG_S = 20.0
SSH_CONFIG = "~/.ssh/config"
# Where this machine is, as the host sees it.
CALLER = """\
p=$$; while [ "$p" -gt 1 ]; do
c=$(tr '\\0' '\\n' </proc/$p/environ 2>/dev/null | sed -n 's/^SSH_CONNECTION=//p'); [ "$c" ] && break
p=$(sed 's/.*) //' /proc/$p/stat | cut -d" " -f2); done; echo $c"""


def address_of(host: str, spec: OwnedHost) -> SshAddress:
    """Where and how to log in."""
    config = Path(SSH_CONFIG).expanduser()
    return SshAddress(
        host=host,
        name=spec.address,
        port=spec.ssh_port,
        user=spec.user or None,
        key_file=Path(spec.identity) if spec.identity else None,
        host_key=spec.host_key,
        config=config if config.is_file() else None,
        jump=spec.jump,
    )


def agent_config(
    spec: OwnedHost, found: HostSurvey, peers: Sequence[str], token: str, shell: FabricShell, deadline: Deadline
) -> dict[str, Any]:
    """The configuration of the agent: its channel, a disk probe that only reads, and counters of its RDMA ports."""
    root = root_disk(found)
    config: dict[str, Any] = {
        "peers": list(peers),
        "disk": {"path": f"/dev/{root.name}", "write": False} if root is not None else None,
        "ports": files_of(found.rdma, spec.links.values()),
    }
    if spec.agent.udp is not None:
        caller = shell.run(CALLER, deadline=deadline).stdout.split()
        if not caller:
            raise InfraError("the host does not say from where it is called; use another channel for its agent")
        return {**config, "udp": [caller[0], spec.agent.udp], "token": token}
    if spec.agent.port:
        assert spec.agent.over is not None, "checked with the inventory"
        return {**config, "uart": spec.agent.port, "baud": spec.agent.over.baud}
    return {**config, "stdio": True}


def start_agent(
    host: str,
    spec: OwnedHost,
    shell: FabricShell,
    token: str,
    on_record: Callable[[dict[str, Any]], None],
    deadline: Deadline,
) -> FramedAgentLink:
    """Start the agent that was deployed, open its channel, and wait for its first record; raises InfraError.

    What is sent to a serial port that nobody has opened yet is lost.
    """
    heard = threading.Event()

    def hear(record: dict[str, Any]) -> None:
        heard.set()
        on_record(record)

    link = _open_link(host, spec, shell, token, hear, deadline)
    try:
        if spec.agent.port or spec.agent.udp is not None:
            shell.run(START, deadline=deadline)
        if not heard.wait(deadline.remaining):
            log = shell.run("tail -n 3 %s", LOG, deadline=Deadline.after(LOG_S), check=False).stdout.strip()
            raise InfraError(f"nothing is heard of it over {link.transport.name}; its log: {log[-300:] or 'empty'}")
    except BaseException:
        link.close()
        raise
    return link


def _open_link(
    host: str,
    spec: OwnedHost,
    shell: FabricShell,
    token: str,
    on_record: Callable[[dict[str, Any]], None],
    deadline: Deadline,
) -> FramedAgentLink:
    """Its channel; over SSH, that starts it as well."""
    agent = spec.agent
    if not agent.port and agent.udp is None:
        channel = shell.start(f"cd / && exec {RUN}", deadline=deadline)
        return FramedAgentLink(host, on_record, partial(SshTransport, channel))
    if agent.udp is not None:
        return FramedAgentLink(host, on_record, partial(UdpTransport, agent.udp, token))
    assert agent.over is not None, "checked with the inventory"
    over = agent.over

    def open_stream(sink: Callable[[bytes], None]) -> Stream:
        return open_console(over, host, spec.power, sink, deadline=deadline)

    return FramedAgentLink(host, on_record, partial(ConsoleTransport, open_stream))


def root_disk(found: HostSurvey) -> SurveyedDisk | None:
    """The disk with the root file system; None if that is on no plain disk."""
    device = next((mount[0] for mount in found.mounts if mount[1] == "/"), "")
    name = device.rpartition("/")[2]
    return next((disk for disk in found.disks if name in (disk.name, *disk.partitions)), None)


def facts_of(spec: OwnedHost, found: HostSurvey, addresses: Mapping[str, str], slowdown: float) -> HostFacts:
    """The facts of a host that was surveyed; `addresses` with prefix, by link."""
    disks = {}
    if (root := root_disk(found)) is not None:
        disks[ROOT] = Disk(path=f"/dev/{root.name}", size=root.size)
    if spec.scratch and (scratch := found.disk(spec.scratch)) is not None:
        disks[SCRATCH] = Disk(path=f"/dev/{scratch.name}", size=scratch.size)
    by_name = {one.name: one for one in found.interfaces}
    interfaces = {link: _interface(found, by_name[spec.links[link]], address) for link, address in addresses.items()}
    for one in found.interfaces:
        if one.is_management:
            address = next((text for text in one.addresses if ":" not in text), "")
            interfaces[MANAGEMENT] = _interface(found, one, address)
    return HostFacts(
        memory=found.memory,
        cpus=found.cpus,
        kernel=found.kernel,
        slowdown=slowdown,
        disks=disks,
        interfaces=interfaces,
        disposable=spec.disposable,
        known_bad=tuple(
            replace(one, links=tuple(link for link in addresses if spec.links[link] in one.interfaces))
            for one in suspects(found.rdma, found.kernel)
        ),
    )


def _interface(found: HostSurvey, one: SurveyedInterface, address: str) -> Interface:
    device, number = found.rdma.device_of(one.name)
    port = found.rdma.port(device, number)
    mode = next((each.mode for each in found.rdma.interfaces if each.name == one.name), "")
    rate = port.rate if port is not None else ""
    return Interface(
        name=one.name, address=address, driver=one.driver, device=device, port=number, rate=rate, mode=mode
    )
