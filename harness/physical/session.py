"""One owned host for the time of a trial: reserved, checked, booted, deployed to, and brought home."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.agent.agent import ECHO_PORT
from harness.drivers.agent_link import FramedAgentLink
from harness.drivers.bmc import power_of
from harness.drivers.bmc.base import ASK_S, PowerDriver
from harness.drivers.consoles import open_console
from harness.drivers.protocols import AgentLink, Console, Power, Shell
from harness.drivers.serial.bounded_file import BoundedFile
from harness.drivers.ssh import FabricShell
from harness.model.clock import SYSTEM_CLOCK, Deadline
from harness.model.errors import BootError, HarnessError, InfraError, UsageError
from harness.model.obligation import Obligation
from harness.model.observe import Progress
from harness.model.owned_host import OWN_KERNEL
from harness.model.power import PowerState
from harness.model.settings import Settings
from harness.model.topology import Host
from harness.physical import channels, home, interlocks, reservation
from harness.physical.boot_facts import BootFacts, read_boot_facts
from harness.physical.deploy import Deployment
from harness.physical.hand_back import HandBack
from harness.physical.keeper import LEASH_S, Keeper
from harness.physical.kexec import arrived, kexec_into
from harness.physical.kexec_boot import INSTALLED, KexecBoot, installed_boot, make_boot
from harness.physical.kexec_refusal import refusal
from harness.physical.links import Address, give_addresses
from harness.physical.offers import NoPower, owned
from harness.physical.owed import CHANGES, RESERVATION, Debt
from harness.physical.proof import prove_console
from harness.physical.run_kernel import RunKernel
from harness.physical.survey import HostSurvey, survey
from harness.site.capabilities import Offers
from harness.site.own_speed import own_speed
from harness.site.provider import Listener
from harness.site.target import Target
from harness.state.hosts import HostFiles
from harness.state.obligations import meet, owe
from harness.state.state import RunDir, StateDir

SSH_S = 60.0  # for a login and a command, on a host that is well
SURVEY_S = 120.0
CONSOLE_S = 30.0
START_S = 120.0  # for the agent to answer
SPEED_S = 60.0
BACK_S = 60.0  # for services to start once SSH answers
LOOK_S = 5.0
WAIT_POLL_S = 5.0
WATCHDOG_S = 600  # longer than evidence of a host that is locked up takes
ECHO_S = 5.0
TAIL = 1500
HAS_MODULE = 'modprobe -n -q %s || grep -q "/%s[.]ko" /lib/modules/$(uname -r)/modules.builtin'


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What the sessions of one trial share; `programs` are those that its parts need, by host."""

    settings: Settings
    run: RunDir
    token: str
    purpose: str
    listener: Listener
    notes: Progress
    on_wait: Callable[[str], None]
    wait: Deadline
    programs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    modules: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    links: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def note(self, text: str) -> None:
        """Note one line in the trial's history."""
        self.notes.step(text)


class Session:
    """The host, from its reservation to its hand-back. Call the steps in the order in which they stand here."""

    def __init__(self, ground: Ground, host: Host, console: BoundedFile) -> None:
        self.ground, self.host, self.name = ground, host, host.name
        self.spec = owned(host)
        self._console_file = console
        self._files = HostFiles(StateDir.of(ground.settings), self.name, self.spec.host_key)
        self._tail = bytearray()
        self._stack = ExitStack()
        address = channels.address_of(self.name, self.spec)
        self.shell, self.probe_shell = FabricShell(address), FabricShell(address)
        self._keeping_shell = FabricShell(address)
        self.power: Power = power_of(self.spec.power, self.name) if self.spec.power else NoPower(self.name)
        self._keeper: Keeper | None = None
        self._console: Any = None
        self._agent: FramedAgentLink | None = None
        self._deployment = Deployment(self.name, self.shell)
        self._addresses: list[Address] = []
        self._owed: dict[str, Obligation] = {}
        self._away = False  # it did not come home
        self._boot: KexecBoot | None = None
        self._boot_facts: BootFacts | None = None
        self.before: HostSurvey | None = None
        self.now: HostSurvey | None = None

    # --- reserve

    def reserve(self) -> None:
        """Reserve it; wait for another run. Raises UsageError if it is in quarantine, or its holder is dead."""
        if (quarantine := self._files.quarantine) is not None:
            raise UsageError(
                f"host {self.name} is in quarantine: {quarantine.reason}; look at it, "
                f"then `harness hosts --release {self.name}`"
            )
        said = ""
        while not (holding := reservation.look(self.shell, self._within(SSH_S))).is_free:
            if holding.is_stale:
                self._steal(holding)
                continue
            if self.ground.wait.passed:
                raise InfraError(f"host {self.name} did not become free in time: {holding}")
            if str(holding) != said:
                self.ground.on_wait(f"waiting: host {self.name} is reserved by {holding}")
                said = str(holding)
            SYSTEM_CLOCK.sleep(WAIT_POLL_S)
        self._owe(RESERVATION)
        mine = reservation.Reservation.of_this_process(self.ground.token, self.ground.purpose, time.time() + LEASH_S)
        reservation.take(self.shell, self.name, mine, self._within(SSH_S))
        self._keeper = Keeper(self.name, self._keeping_shell, self.ground.token)

    def _steal(self, holding: reservation.Holding) -> None:
        if not self.ground.settings.steal:
            raise UsageError(
                f"host {self.name} is reserved by {holding}; if that run is dead, take the host over with --steal"
            )
        self.ground.note(f"{self.name}: taken over from {holding}")
        if holding.run or holding.deployed:
            if not self._hand_back().boot(hung=False):
                raise UsageError(f"host {self.name} did not come back to its owner's kernel; it is in quarantine now")
        elif holding.reservation is not None:
            reservation.give_back(self.shell, holding.reservation.token, self._within(SSH_S))

    # --- check

    def check(self) -> Sequence[str]:
        """Survey it; returns why it must not be used, one line for each reason. Changes nothing."""
        if reason := self._power_problem():
            return [reason]
        self.before = self.now = self._survey()
        (self.ground.run.path / self._before_file).write_text(json.dumps(self.before.to_dict()))
        found = interlocks.refusals(
            self.name,
            self.spec,
            self.before,
            bmc_uuid=self._bmc_uuid(),
            own_machine=_own_uuid(),
            in_use=self.ground.settings.though_in_use,
            programs=self.ground.programs.get(self.name, ()),
            links=self.ground.links.get(self.name, ()),
        )
        if self.host.kernel != OWN_KERNEL:
            self._boot_facts = read_boot_facts(self.shell, deadline=self._within(SSH_S))
            installed = self.host.kernel.startswith(INSTALLED)
            if reason := refusal(self._boot_facts, installed=installed, cmdline=self.host.cmdline):
                found.append(f"host {self.name}: {reason}")
        else:
            found += kernel_lacks(self.name, self.shell, self.ground.modules.get(self.name, ()), self._within(SSH_S))
        if not found and self.spec.console.driver != "none":
            found = self._open_console()
        return found

    def _power_problem(self) -> str:
        """Why its power source cannot be used; "" if it answers. Found now, and not once the host hangs."""
        if not isinstance(self.power, PowerDriver):
            return ""
        try:
            state = self.power.ask(self._within(ASK_S))
        except HarnessError as error:
            return str(error)
        return (
            "" if state is PowerState.ON else f"{self.power.source} says that host {self.name} is {state}, yet it runs"
        )

    def _survey(self) -> HostSurvey:
        return survey(
            self.shell, self.name, programs=self.ground.programs.get(self.name, ()), deadline=self._within(SURVEY_S)
        )

    @property
    def _before_file(self) -> str:
        return f"{self.name}.before.json"

    def _bmc_uuid(self) -> str:
        identity = getattr(self.power, "identity", None)
        return identity(deadline=self._within(SSH_S)) if identity is not None else ""

    def _open_console(self) -> list[str]:
        try:
            self._console = open_console(
                self.spec.console, self.name, self.spec.power, self._on_console, deadline=self._within(CONSOLE_S)
            )
            self._stack.callback(self._console.close)
            prove_console(self.name, self.shell, self.spec.console, lambda: bytes(self._tail), self._within(CONSOLE_S))
        except HarnessError as error:
            return [str(error)]
        return []

    def _on_console(self, data: bytes) -> None:
        self._console_file.write(data)
        self._tail.extend(data)
        del self._tail[:-TAIL]
        self.ground.listener.on_console(self.name, data)

    # --- boot

    def boot(self, run: RunKernel | None) -> None:
        """Put it under the kernel of the run, unless it stays on its owner's; raises BootError if that fails."""
        if self._boot_facts is None:
            return
        boot = self._boot = self._make_boot(run, self._boot_facts)
        self._owe(CHANGES)
        deadline = Deadline.after(self.spec.boot_s)
        self.ground.note(f"{self.name}: kexec into {boot.release}")
        try:
            kexec_into(self.shell, boot, self._boot_facts, host=self.name, deadline=deadline)
            arrived(
                self.shell,
                boot,
                self._boot_facts.boot_id,
                host=self.name,
                deadline=deadline,
                console_tail=self._console_tail,
            )
        except UsageError:
            self._boot = None  # the host refused it, and is as it was: no boot is needed to bring it home
            raise
        except BootError:
            raise
        except HarnessError as error:
            raise self._error(f"it did not arrive in {boot.release}: {error}") from error
        reservation.take(
            self.shell,
            self.name,
            reservation.Reservation.of_this_process(self.ground.token, self.ground.purpose, time.time() + LEASH_S),
            self._within(SSH_S),
        )
        self.now = self._survey()

    def _make_boot(self, run: RunKernel | None, facts: BootFacts) -> KexecBoot:
        if run is None:
            release = self.host.kernel.removeprefix(INSTALLED)
            return installed_boot(release, facts, token=self.ground.token, cmdline=self.host.cmdline)
        return make_boot(
            self.ground.settings,
            run.kernel,
            run.modules,
            run.own_modules,
            facts,
            self.ground.notes,
            token=self.ground.token,
            leash_s=int(self.spec.boot_s),
            cmdline=self.host.cmdline,
            modules_from=self.host.modules_from,
        )

    # --- start

    def give_addresses(self, wanted: Mapping[str, str], beside: Collection[str]) -> dict[str, str]:
        """The address of the host on each link, with its prefix: its own, or the one `wanted`, which it gets.

        On the links `beside`, which guests are on, it gets the wanted one beside its own.
        """
        assert self.now is not None, "checked first"
        self._owe(CHANGES)
        found, self._addresses = give_addresses(self.shell, self.spec, self.now, wanted, self._within(SSH_S), beside)
        return found

    def start(self, peers: Sequence[str], own_modules: Mapping[str, Path], addresses: Mapping[str, str]) -> None:
        """Deploy and start the agent; raises BootError if it does not answer."""
        assert self.now is not None, "checked first"
        self._owe(CHANGES)
        self._peers, self._link_addresses = tuple(peers), dict(addresses)
        config = channels.agent_config(self.spec, self.now, peers, self.ground.token, self.shell, self._within(SSH_S))
        config["leash_s"] = LEASH_S
        if self.now.watchdogs:
            config["watchdog"] = {"device": self.now.watchdogs[0], "timeout_s": WATCHDOG_S}
        self._deployment.put(config, own_modules, self._within(SSH_S))
        try:
            self._agent = channels.start_agent(
                self.name, self.spec, self.shell, self.ground.token, self._on_record, self._within(START_S)
            )
            self._stack.callback(self._agent.close)
            self._agent.ask("leash", seconds=LEASH_S, deadline=self._within(START_S))
            self.shell.run("touch %s", channels.LEASH_FILE, deadline=self._within(SSH_S))
        except HarnessError as error:
            raise self._error(f"its agent does not answer: {error}") from error
        assert self._keeper is not None, "reserved first"
        self._keeper.watch(self._agent)

    def _on_record(self, record: dict[str, Any]) -> None:
        self.ground.listener.on_record(self.name, record)

    def target(self, offered: Offers) -> Target:
        """The live host, with its speed measured now."""
        assert self._agent is not None and self.now is not None, "started first"
        link: AgentLink = self._agent
        seconds = float(link.ask("calibrate", deadline=self._within(SPEED_S)))
        drivers: dict[type, object] = dict.fromkeys(offered[self.name], self.power)
        if Console in drivers:
            drivers[Console] = self._console
        return Target(
            name=self.name,
            facts=channels.facts_of(
                self.spec, self.now, self._link_addresses, slowdown=round(seconds / own_speed(), 2)
            ),
            shell=self.shell,
            probe_shell=self.probe_shell,
            agent=link,
            power=self.power,
            drivers=drivers,
            offers=offered,
            echo=self._echo(),
            peers=self._peers,
        )

    def _echo(self) -> tuple[str, int] | None:
        """Where its agent's echo answers, if this machine reaches it: a firewall may not let it."""
        address = (self.spec.address, ECHO_PORT)
        try:
            with socket.create_connection(address, timeout=ECHO_S) as connection:
                connection.sendall(b"h")
                if connection.recv(1):
                    return address
        except OSError:
            pass
        if not self._peers:
            self.ground.note(f"{self.name}: no echo at {address[0]}:{ECHO_PORT}; the network rung is left out")
        return None

    @property
    def failure(self) -> Exception | None:
        """Why its silence proves nothing any more, if a thread of this session failed."""
        reader = self._agent.error if self._agent is not None else None
        console = self._console.error if self._console is not None else None
        return (self._keeper.error if self._keeper is not None else None) or reader or console

    # --- home

    def close(self) -> None:
        """Bring it home and give it back, or put it into quarantine; never raises."""
        if CHANGES in self._owed:
            self._come_home()
        if self._keeper is not None:
            self._keeper.close()
        if RESERVATION in self._owed:
            if self._away:
                meet(self._owed[RESERVATION])
            else:
                self._give_back()
        self._stack.close()
        for shell in (self.shell, self.probe_shell, self._keeping_shell):
            shell.close()

    def _come_home(self) -> None:
        if self._keeper is not None and self._keeper.error is not None:
            self.ground.note(f"{self.name}: left to whoever took it over")
        else:
            back = self._hand_back()
            hung = not self._is_well()
            if hung or self._boot is not None or not self._undo(back):
                self._stop_agent_link()
                self._away = not back.boot(hung=hung, evidence=str(self._console_file.path))
        meet(self._owed[CHANGES])

    def _hand_back(self) -> HandBack:
        return HandBack(
            host=self.name,
            spec=self.spec,
            shell=self.shell,
            power=None if isinstance(self.power, NoPower) else self.power,
            kernel=self.before.kernel if self.before is not None else "",
            before=self.before,
            files=self._files,
            note=self.ground.note,
            boot_id=self.now.boot_id if self.now is not None else "",
        )

    def _is_well(self) -> bool:
        try:
            return self.shell.run("true", deadline=self._within(home.SSH_S)).exit_code == 0
        except HarnessError:
            return False

    def _undo(self, back: HandBack) -> bool:
        """Undo every change without a boot; returns whether the host is as it was."""
        try:
            if self._agent is not None:
                self._agent.ask("quit", deadline=self._within(home.SSH_S))
            self._stop_agent_link()
            for address in self._addresses:
                address.take_away(self.shell, self._within(home.SSH_S))
            self._deployment.remove(self._within(home.SSH_S))
            rest = back.rest()
        except HarnessError as error:
            rest = (str(error).splitlines()[0],)
        for line in rest:
            self.ground.note(f"{self.name}: {line}")
        return not rest

    def _stop_agent_link(self) -> None:
        if self._keeper is not None:
            self._keeper.watch(None)
        if self._agent is not None:
            self._agent.close()

    def _give_back(self) -> None:
        try:
            reservation.give_back(self.shell, self.ground.token, self._within(home.SSH_S))
        except HarnessError as error:
            self.ground.note(f"{self.name}: its reservation was not removed: {str(error).splitlines()[0]}")
        meet(self._owed[RESERVATION])

    # --- small

    def _owe(self, kind: str) -> None:
        if kind in self._owed:
            return
        kernel = self.before.kernel if self.before is not None else ""
        debt = Debt(
            host=self.name,
            token=self.ground.token,
            owned=self.spec,
            kernel=kernel,
            before=self._before_file if self.before is not None else "",
        )
        obligation = debt.as_obligation(self.ground.run.path, kind)
        owe(obligation)
        self._owed[kind] = obligation

    def _within(self, seconds: float) -> Deadline:
        return Deadline.after(seconds)

    def _error(self, problem: str) -> BootError:
        return BootError(host=self.name, problem=problem, console_tail=self._console_tail())

    def _console_tail(self) -> str:
        tail = bytes(self._tail).decode("utf-8", "replace")
        return "\n".join(tail.splitlines()[-12:])


def kernel_lacks(host: str, shell: FabricShell, names: Sequence[str], deadline: Deadline) -> list[str]:
    """What a case needs of the owner's kernel, and it lacks, one line each."""
    return [
        f"host {host}: its kernel has no module {name}, which this case needs; name another kernel"
        for name in missing_modules(shell, names, deadline)
    ]


def missing_modules(shell: Shell, names: Sequence[str], deadline: Deadline) -> list[str]:
    """Those of `names` that the kernel which runs there lacks; options (CONFIG_…) are not looked up."""
    modules = [name for name in names if not name.startswith("CONFIG_")]
    return [name for name in modules if shell.run(HAS_MODULE, name, name, deadline=deadline, check=False).exit_code]


def _own_uuid() -> str:
    """The UUID of this machine; "" if only root may read it."""
    try:
        return Path("/sys/class/dmi/id/product_uuid").read_text().strip()
    except OSError:
        return ""
