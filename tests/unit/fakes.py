"""Fakes of every driver protocol, and a clock that a test winds itself. They stand in where our own logic is tested."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from harness.drivers.libvirt.guest import OFFERS, Disk, GuestSpec, Nic
from harness.drivers.protocols import (
    AgentLink,
    AgentTransport,
    Completed,
    Console,
    DiskThrottle,
    Keyboard,
    LinkControl,
    NmiInjector,
    Pausable,
    Power,
    Registers,
    Shell,
    Switch,
    VcpuAccounting,
    VcpuTimes,
    VmmProcess,
)
from harness.drivers.ssh import quote
from harness.model.clock import Clock, Deadline
from harness.model.errors import DeadlineExceeded, InfraError, ShellError, UsageError
from harness.model.history import Event, Kind
from harness.model.power import PowerState
from harness.model.topology import MIB, Host, Link, Topology
from harness.monitors.recorder import Recorder
from harness.site import facts
from harness.site.addressing import address_of
from harness.site.capabilities import Offers
from harness.site.facts import HostFacts, Interface
from harness.site.target import Site, Target
from harness.verdicts.policy import Policy
from harness.verdicts.watch import Watch

A_UUID = UUID(int=7)
DISKS = (facts.ROOT, facts.SCRATCH, facts.SHARED)


class FakeClock:
    """Time that passes only in `sleep`; `at_each` is called after every sleep, with the new time."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now
        self.at_each: Callable[[float], None] | None = None

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += max(0.0, seconds)
        if self.at_each is not None:
            self.at_each(self.now)


@dataclass
class FakeShell:
    """Notes the commands as a host's shell would get them; `replies` maps a piece of a command to its answer."""

    replies: dict[str, Completed | Exception] = field(default_factory=dict)
    commands: list[str] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    deadlines: list[Deadline] = field(default_factory=list)
    closed: bool = False

    def answer(self, piece: str, stdout: str = "", exit_code: int = 0) -> None:
        self.replies[piece] = Completed(command=piece, exit_code=exit_code, stdout=stdout, stderr="")

    def run(self, command: str, *arguments: object, deadline: Deadline, check: bool = True) -> Completed:
        text = quote(command, arguments)
        self.commands.append(text)
        self.deadlines.append(deadline)
        reply = next((reply for piece, reply in self.replies.items() if piece in text), None)
        if isinstance(reply, Exception):
            raise reply
        done = reply or Completed(command=text, exit_code=0, stdout="", stderr="")
        if check and done.exit_code:
            raise ShellError(host="fake", command=text, problem=f"exit code {done.exit_code}", output=done.stdout)
        return done

    def put(self, source: Path | bytes, target: str, *, deadline: Deadline, mode: int = 0o644) -> None:
        self.files[target] = source if isinstance(source, bytes) else source.read_bytes()

    def close(self) -> None:
        self.closed = True


@dataclass
class FakeTransport:
    """Carries orders nowhere."""

    silence_is_proof: bool = True
    name: str = "fake"
    sent: list[bytes] = field(default_factory=list)

    def send(self, order: bytes, *, deadline: Deadline) -> bool:
        self.sent.append(order)
        return True


@dataclass
class FakeAgent:
    """Notes what it is asked; `replies` maps a verb to its answer, `on` to what happens then."""

    replies: dict[str, str | Exception] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, object]]] = field(default_factory=list)
    on: dict[str, Callable[[dict[str, object]], None]] = field(default_factory=dict)
    transport: FakeTransport = field(default_factory=FakeTransport)

    def ask(self, verb: str, *, deadline: Deadline, **arguments: object) -> str:
        self.asked.append((verb, arguments))
        if verb in self.on:
            self.on[verb](arguments)
        reply = self.replies.get(verb, "")
        if isinstance(reply, Exception):
            raise reply
        return reply

    @property
    def verbs(self) -> list[str]:
        return [verb for verb, _ in self.asked]


@dataclass
class FakeHypervisor:
    """Everything that a guest offers: it is in the state that the test gives it; notes what is done, and may fail."""

    source: str = "fake"
    period_s: float = 1.0
    power: PowerState = PowerState.ON
    processors: tuple[tuple[int, int], ...] = ()
    acts: list[str] = field(default_factory=list)
    failing: dict[str, Exception] = field(default_factory=dict)
    on: dict[str, Callable[[], None]] = field(default_factory=dict)

    def _act(self, what: str) -> None:
        self.acts.append(what)
        if self.power is PowerState.GONE and what != "off":
            raise InfraError("it is gone")
        name = what.split()[0]
        if name in self.failing:
            raise self.failing[name]
        if name in self.on:
            self.on[name]()

    def state(self, *, deadline: Deadline) -> PowerState:
        return self.power

    def off(self, *, deadline: Deadline) -> None:
        self._act("off")
        self.power = PowerState.GONE

    def cycle(self, *, deadline: Deadline) -> None:
        self._act("cycle")
        self.power = PowerState.ON

    def vcpu_times(self) -> VcpuTimes:
        if self.power is PowerState.GONE:
            raise InfraError("it is gone")
        return VcpuTimes(cpu_ns=5, processors=self.processors)

    def pause(self) -> None:
        self._act("pause")
        self.power = PowerState.PAUSED

    def resume(self) -> None:
        self._act("resume")
        self.power = PowerState.ON

    def set_link(self, name: str, *, up: bool) -> None:
        self._act(f"link {name} {'up' if up else 'down'}")

    def throttle(self, disk: str, bytes_per_s: int | None) -> None:
        if disk not in DISKS:
            raise UsageError(f"fake has no disk {disk!r}; its disks are: {', '.join(DISKS)}")
        self._act(f"throttle {disk} {bytes_per_s}")

    def inject_nmi(self) -> None:
        self._act("nmi")

    def send_sysrq(self, key: str) -> None:
        self._act(f"keyboard {key}")

    def send(self, data: bytes) -> None:
        self._act(f"console {data!r}")

    def send_break(self, key: str) -> None:
        self._act(f"break {key}")

    def registers(self) -> str:
        self._act("registers")
        return "RIP=ffffffff81000000"

    def kill(self) -> None:
        self._act("kill")
        self.power = PowerState.GONE


@dataclass
class FakeSwitch:
    """A segment that is nothing but a path."""

    folder: Path
    closed: bool = False

    @property
    def socket(self) -> Path:
        return self.folder

    def close(self) -> None:
        self.closed = True


@dataclass
class FakeWire:
    """A serial port: `say` is what the guest prints, `sent` what it was sent."""

    sink: Callable[[bytes], None]
    sent: bytearray = field(default_factory=bytearray)
    error: Exception | None = None
    closed: bool = False

    def say(self, data: bytes) -> None:
        self.sink(data)

    def send(self, data: bytes) -> None:
        self.sent += data

    def close(self) -> None:
        self.closed = True


@dataclass
class Log:
    """A recorder into a list, with a watch behind it."""

    clock: FakeClock
    policy: Policy = field(default_factory=Policy)
    events: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.watch = Watch(self.policy)
        self.recorder = Recorder(self.events.append, self.watch.feed, (), self.clock)

    def of(self, kind: Kind, host: str | None = None) -> list[Event]:
        return [event for event in self.events if event.kind is kind and host in (None, event.host)]

    def rungs(self, rung: str) -> list[Event]:
        return [event for event in self.of(Kind.RUNG) if event.data["rung"] == rung]


def no_answer(what: str) -> DeadlineExceeded:
    return DeadlineExceeded(host="client", command=what, problem="no answer from the agent")


def guest_spec(name: str = "harness-r1-c1", *, uuid: UUID = A_UUID, scratch: Path | None = None) -> GuestSpec:
    """A guest as libvirt gets it: two processors, a system disk, one that nobody writes to, perhaps a scratch disk."""
    disks = [
        Disk(name="root", path=Path("/d/a.qcow2"), target="vda"),
        Disk(name="modules", path=Path("/d/b"), target="vdb", format="raw", readonly=True),
    ]
    if scratch is not None:
        disks.append(Disk(name="scratch", path=scratch, target="vdc", format="raw"))
    return GuestSpec(
        name=name,
        uuid=uuid,
        accelerator="tcg",
        memory=256 * MIB,
        cpus=2,
        kernel=Path("/k/vmlinuz"),
        initrd=Path("/k/initrd"),
        cmdline="console=ttyS0 quiet",
        disks=tuple(disks),
        wires=(Path("/w/con"), Path("/w/uart")),
        nics=(Nic(name="mgmt", mac="52:54:00:00:00:01", netdev="user,restrict=on"),),
    )


def make_topology() -> Topology:
    """Two hosts on one segment: `c1` plays the client, `s1` the server."""
    return Topology(
        name="pair",
        hosts=(Host(name="c1", memory=256 * MIB, cpus=2), Host(name="s1", memory=2048 * MIB)),
        roles={"client": "c1", "server": "s1"},
        links=(Link(name="lan", hosts=("c1", "s1"), subnet="10.77.0.0/24"),),
    )


def make_target(topology: Topology, name: str, **changes: object) -> Target:
    """A live host made of fakes; `slowdown`, `memory`, `peers` and what all hosts offer (`offers`) may be given."""
    host = topology.host(name)
    slowdown, memory = changes.get("slowdown", 1.0), changes.get("memory", host.memory)
    peers = changes.get("peers", ("10.77.0.9",))
    assert isinstance(slowdown, float) and isinstance(memory, int) and isinstance(peers, tuple)
    hypervisor = FakeHypervisor()
    offered = changes.get("offers", OFFERS)
    assert isinstance(offered, frozenset)
    offers: Offers = dict.fromkeys((host.name for host in topology.hosts), offered)
    return Target(
        name=name,
        facts=make_facts(topology, host, memory, slowdown),
        shell=FakeShell(),
        probe_shell=FakeShell(),
        agent=FakeAgent(),
        power=hypervisor,
        drivers=dict.fromkeys(offered, hypervisor),
        offers=offers,
        echo=("127.0.0.1", 9),
        peers=peers,
    )


def make_facts(topology: Topology, host: Host, memory: int, slowdown: float = 1.0) -> HostFacts:
    """A host with the disks and interfaces of a guest."""
    disks = {"root": facts.Disk(path="/dev/vda", size=host.disk)}
    if host.scratch:
        disks["scratch"] = facts.Disk(path="/dev/vdc", size=host.scratch)
    if topology.shared_disk is not None and host.name in topology.shared_disk.hosts:
        disks["shared"] = facts.Disk(path="/dev/vdd" if host.scratch else "/dev/vdc", size=topology.shared_disk.size)
    interfaces = {"mgmt": Interface(name="eth0", address="10.0.2.15/24", driver="virtio_net")}
    for number, link in enumerate((link for link in topology.links if host.name in link.hosts), 1):
        address = f"{address_of(topology, link.name, host.name)}/{link.subnet.partition('/')[2]}"
        interfaces[link.name] = Interface(name=f"eth{number}", address=address, driver="virtio_net")
    return HostFacts(
        memory=memory,
        cpus=host.cpus,
        kernel="6.1.0-fake",
        slowdown=slowdown,
        disks=disks,
        interfaces=interfaces,
        disposable=True,
    )


def make_site(topology: Topology | None = None, **changes: object) -> Site:
    """A site of fakes; the changes hold for every target."""
    topology = topology or make_topology()
    targets = {host.name: make_target(topology, host.name, **changes) for host in topology.hosts}
    return Site(topology=topology, targets=targets)


def shell_of(target: Target) -> FakeShell:
    assert isinstance(target.shell, FakeShell)
    return target.shell


def agent_of(target: Target) -> FakeAgent:
    assert isinstance(target.agent, FakeAgent)
    return target.agent


def hypervisor_of(target: Target) -> FakeHypervisor:
    assert isinstance(target.power, FakeHypervisor)
    return target.power


# The type checker holds every fake to its protocol.
_CLOCK: Clock = FakeClock()
_SHELL: Shell = FakeShell()
_AGENT: AgentLink = FakeAgent()
_TRANSPORT: AgentTransport = FakeTransport()
_POWER: Power = FakeHypervisor()
_CONSOLE: Console = FakeHypervisor()
_PAUSABLE: Pausable = FakeHypervisor()
_LINK_CONTROL: LinkControl = FakeHypervisor()
_DISK_THROTTLE: DiskThrottle = FakeHypervisor()
_NMI_INJECTOR: NmiInjector = FakeHypervisor()
_REGISTERS: Registers = FakeHypervisor()
_KEYBOARD: Keyboard = FakeHypervisor()
_VCPU_ACCOUNTING: VcpuAccounting = FakeHypervisor()
_VMM_PROCESS: VmmProcess = FakeHypervisor()
_SWITCH: Switch = FakeSwitch(Path("net"))
