"""Ways to hold the client's connection of a network block device: with and without a process, with reconnection."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from harness.model.errors import HarnessError, UsageError
from harness.model.measure import Measure
from harness.site.target import Site, Target
from harness.site.zipapp import pack
from harness.storage.base import PAGE
from harness.storage.nbd_server import EXPORT, PORT

KEEPER = Path(__file__).parent / "guest" / "nbd_keeper.py"
KEEPER_FOLDER = "/run/harness/storage"
LOG = f"{KEEPER_FOLDER}/log"
CLIENT = "nbd-client {address} {port} {device} -name {export} -block-size {block}"
PROCESS = "pid=$(pgrep -o -x %s) && cat /proc/$pid/status /proc/$pid/oom_score_adj"
MEASURE_S = 1.0  # on a host as fast as this machine; the host may hang by then
# The kernel shows the client's pid a moment after nbd-client has gone to the background.
SETTLED = "for i in $(seq 100); do [ -e /sys/block/{name}/pid ] && exit 0; sleep 0.1; done; exit 1"


class NbdConnection(Protocol):
    """A way to hold the connection."""

    @property
    def process(self) -> str:
        """Name of the process that holds the connection, "" if there is none."""

    @property
    def bound_s(self) -> float:
        """Seconds that requests may wait for a new connection; 0.0: they wait as long as TCP retries, or fail."""

    def describe(self) -> str:
        """The way in a few words."""

    def connect(self, client: Target, site: Site, device: str, address: str) -> None:
        """Connect `device` (a path) to the server at `address`; raises InfraError if that fails."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HandedOver:
    """nbd-client hands its socket to the kernel over netlink and ends: its default since 3.17.

    No process is left to be locked in memory, to be killed or to dial again, so `-swap` and `-persist` have no effect.
    With `timeout_s`, a request that takes longer kills the connection, and all waiting requests fail.
    """

    timeout_s: int = 0

    @property
    def process(self) -> str:
        """See `NbdConnection.process`."""
        return ""

    @property
    def bound_s(self) -> float:
        """See `NbdConnection.bound_s`."""
        return 0.0

    def describe(self) -> str:
        """See `NbdConnection.describe`."""
        return "handed over to the kernel" + _timeout_in_words(self.timeout_s)

    def connect(self, client: Target, site: Site, device: str, address: str) -> None:
        """See `NbdConnection.connect`."""
        options = ["-swap", *_timeout(self.timeout_s)]
        client.shell.run(f"modprobe nbd && {_client(address, device)} {' '.join(options)}", deadline=site.deadline(10))


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """nbd-client with `-nonetlink`: a process stays in ioctl(NBD_DO_IT) while the device is connected.

    With `swap` the process locks itself in memory and exempts itself from the OOM killer. With `fork`, the default, it
    then goes to the background, where it is no longer locked: a child of fork(2) inherits no locks (mlock(2)). With
    `persist` it dials again when the ioctl fails. `timeout_s` is that of `HandedOver`.
    """

    swap: bool = True
    fork: bool = True
    persist: bool = False
    timeout_s: int = 0

    @property
    def process(self) -> str:
        """See `NbdConnection.process`."""
        return "nbd-client"

    @property
    def bound_s(self) -> float:
        """See `NbdConnection.bound_s`."""
        return 0.0

    def describe(self) -> str:
        """See `NbdConnection.describe`."""
        return "held by nbd-client " + " ".join(self._options)

    def connect(self, client: Target, site: Site, device: str, address: str) -> None:
        """See `NbdConnection.connect`."""
        command = f"{_client(address, device)} {' '.join(self._options)}"
        if not self.fork:
            command = f"setsid {command} >{LOG} 2>&1 </dev/null &"
        settled = SETTLED.format(name=device.removeprefix("/dev/"))
        client.shell.run(f"mkdir -p {KEEPER_FOLDER} && modprobe nbd", deadline=site.deadline(10))
        client.shell.run(f"{command}\n{settled}", deadline=site.deadline(10))

    @property
    def _options(self) -> list[str]:
        flags = [("-swap", self.swap), ("-nofork", not self.fork), ("-persist", self.persist)]
        return ["-nonetlink", *(flag for flag, given in flags if given), *_timeout(self.timeout_s)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A process, guest/nbd_keeper.py, makes a new connection when one dies.

    Requests wait `dead_conn_timeout_s` for the new connection, then fail. A request in flight waits for `timeout_s`
    first; without a timeout it would not move to the new connection. `wait_s` replaces `dead_conn_timeout_s` in the
    bound, for a trial with a shorter outage; 0: the bound has all of it. Without `reconnect` no process dials. A
    `guarded` process is locked in memory, exempt from the OOM killer and an IO flusher (prctl(2)), so nothing that it
    needs waits for its own device.
    """

    timeout_s: int = 10
    dead_conn_timeout_s: int = 30
    wait_s: int = 0
    reconnect: bool = True
    guarded: bool = False

    def __post_init__(self) -> None:
        """Raises UsageError for times below 1 s, which the kernel takes for "never"."""
        for name, value in (("timeout", self.timeout_s), ("dead_conn_timeout", self.dead_conn_timeout_s)):
            if value < 1:
                raise UsageError(f"NBD: {name} of {value} s; it is 1 or more")

    @property
    def process(self) -> str:
        """See `NbdConnection.process`."""
        return "nbd-keeper" if self.reconnect else ""

    @property
    def bound_s(self) -> float:
        """See `NbdConnection.bound_s`."""
        return float(self.timeout_s + (self.wait_s or self.dead_conn_timeout_s))

    def describe(self) -> str:
        """See `NbdConnection.describe`."""
        guarded = " by a guarded process" if self.guarded else ""
        who = f", made anew{guarded}" if self.reconnect else ""
        return f"waits {self.dead_conn_timeout_s} s for a connection{who}"

    def connect(self, client: Target, site: Site, device: str, address: str) -> None:
        """See `NbdConnection.connect`."""
        script = f"{KEEPER_FOLDER}/{KEEPER.stem}.pyz"
        client.shell.run("modprobe nbd && mkdir -p %s", KEEPER_FOLDER, deadline=site.deadline(10))
        client.shell.put(pack(KEEPER), script, deadline=site.deadline(10))
        mode = "leave" if not self.reconnect else "guard" if self.guarded else "keep"
        times = (self.timeout_s, self.dead_conn_timeout_s)
        arguments = (script, device, address, PORT, EXPORT, PAGE, *times, mode, LOG)
        client.shell.run("python3 -I -S" + " %s" * len(arguments), *arguments, deadline=site.deadline(10))


def disconnect(client: Target, site: Site, device: str, *, swap: bool = False) -> None:
    """Disconnect the device as far as the host still answers; raises InfraError if it does not."""
    off = f"swapoff {device}; " if swap else ""
    end = f"{off}pkill -x nbd-keeper; nbd-client -d {device}; pkill -x nbd-client; rm -rf {KEEPER_FOLDER}; true"
    client.shell.run(end, deadline=site.deadline(20), check=False)


def held_by(client: Target, site: Site, connection: NbdConnection) -> list[Measure]:
    """The process that holds the connection, and how it is protected; raises InfraError if it is not there."""
    name = connection.process
    if not name:
        return [Measure(name="connection held by", value="the kernel alone")]
    lines = client.shell.run(PROCESS, name, deadline=site.deadline(10)).stdout.splitlines()
    locked = next((line.split()[1] for line in lines if line.startswith("VmLck:")), "0")
    return [
        Measure(name="connection held by", value=name),
        Measure(name="memory that it has locked", value=int(locked), unit="kB"),
        Measure(name="its OOM score adjustment", value=int(lines[-1]) if lines else 0),
    ]


def still_held(client: Target, site: Site, connection: NbdConnection) -> list[Measure]:
    """Whether the process is still there after the load, and how often it has reconnected."""
    name = connection.process
    if not name:
        return []
    try:
        reported = client.shell.run("pgrep -x %s; cat %s", name, LOG, deadline=site.deadline(MEASURE_S), check=False)
    except HarnessError:
        return [Measure(name="it is there at the end", value="no answer")]
    lines = reported.stdout.splitlines()
    found = [Measure(name="it is there at the end", value="yes" if lines and lines[0].isdigit() else "no")]
    if name == "nbd-keeper":
        again = sum("connected again" in line for line in lines)
        found.append(Measure(name="connections made anew", value=again))
    return found


def _client(address: str, device: str) -> str:
    return CLIENT.format(address=address, port=PORT, device=device, export=EXPORT, block=PAGE)


def _timeout(seconds: int) -> list[str]:
    if seconds < 0:
        raise UsageError(f"NBD: timeout of {seconds} s; it is 1 or more, or 0 for none")
    return ["-timeout", str(seconds)] if seconds else []


def _timeout_in_words(seconds: int) -> str:
    return f", requests fail after {seconds} s" if seconds else ""
