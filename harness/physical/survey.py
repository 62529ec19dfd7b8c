"""The survey of a host: what it is and what uses it, before anything is changed, and again when it is given back."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from harness.drivers.protocols import Shell
from harness.fabric.hca import RdmaFacts
from harness.model.clock import Deadline
from harness.model.errors import InfraError

SCRIPT = Path(__file__).parent.parent / "guest/survey.py"
RDMA = Path(__file__).parent.parent / "guest/rdma.py"
LIMIT = 4 * 1024 * 1024
LONGEST = 300  # characters of a text that a host says
# Places and units that come and go by themselves.
RESTLESS_MOUNTS = ("/run/user/", "/run/credentials/", "/proc/sys/fs/binfmt_misc", "/run/harness")
RESTLESS_SERVICES = (
    "user@",
    "user-runtime-dir@",
    "session-",
    "systemd-hostnamed",
    "systemd-timedated",
    "getty@",
    "serial-getty@",
)

# The kernel computes these from the memory that is free when it boots, which is never quite the same.
SIZED_AT_BOOT = ("vm.user_reserve_kbytes", "vm.admin_reserve_kbytes", "vm.min_free_kbytes")

# What malformed JSON, or JSON of another shape, raises.
NOT_UNDERSTOOD = (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError)

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class SurveyedDisk:
    """A disk: `uses` says what uses it or a partition of it, one text each; `signature` what is on it, or ""."""

    name: str
    ids: tuple[str, ...]
    size: int
    serial: str
    model: str
    partitions: tuple[str, ...]
    uses: tuple[str, ...]
    signature: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SurveyedInterface:
    """A network interface; `type` is the kernel's ARPHRD number, `is_management`: SSH comes over it."""

    name: str
    mac: str
    driver: str
    firmware: str
    speed: str
    type: str
    up: bool
    addresses: tuple[str, ...]
    is_management: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSurvey:
    """What a host says of itself; sizes in bytes, `clock` in seconds since the epoch. All of it is the host's word."""

    kernel: str
    boot_id: str
    cmdline: str
    uuid: str
    model: str
    hostname: str
    uptime_s: float
    clock: float
    kdump: bool
    lockdown: str
    memory: int
    memory_available: int
    run_free: int
    cpus: int
    processor: str
    mounts: tuple[tuple[str, ...], ...]
    swaps: tuple[str, ...]
    modules: tuple[str, ...]
    disks: tuple[SurveyedDisk, ...]
    interfaces: tuple[SurveyedInterface, ...]
    rdma: RdmaFacts
    users: tuple[str, ...]
    settings: Mapping[str, str]
    services: Mapping[str, tuple[str, ...]]
    watchdogs: tuple[str, ...]
    programs: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The survey as JSON has it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> HostSurvey:
        """The survey of `to_dict`; raises ValueError, KeyError or TypeError if a host says something else."""
        parts = {"disks": SurveyedDisk, "interfaces": SurveyedInterface}
        made: dict[str, Any] = {field.name: _clean(values[field.name]) for field in fields(cls)}
        for name, part in parts.items():
            made[name] = tuple(_made(part, entry) for entry in values[name])
        made["rdma"] = RdmaFacts.from_dict(_clean(values["rdma"]))
        made["services"] = {_text(state): tuple(map(_text, units)) for state, units in values["services"].items()}
        made["settings"] = {_text(key): _text(value) for key, value in values["settings"].items()}
        found = cls(**made)
        for name in ("memory", "memory_available", "run_free", "cpus", "clock", "uptime_s"):
            if not isinstance(value := getattr(found, name), int | float) or not math.isfinite(value):
                raise TypeError(f"{name} is no number")
        if not all(isinstance(disk.size, int) for disk in found.disks):
            raise TypeError("the size of a disk is no whole number")
        return found

    def disk(self, stable_name: str) -> SurveyedDisk | None:
        """The disk with a name below /dev/disk/by-id, or whose path that is."""
        wanted = stable_name.rpartition("/")[2]
        return next((disk for disk in self.disks if wanted in disk.ids), None)


def _made(part: type[T], entry: Any) -> T:
    return part(**{field.name: _clean(entry[field.name]) for field in fields(part)})  # type: ignore[arg-type]


def _clean(value: Any) -> Any:
    """A value of JSON with printable texts of bounded length, and tuples for lists."""
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, list):
        return tuple(_clean(entry) for entry in value)
    if isinstance(value, dict):
        return {_text(key): _clean(entry) for key, entry in value.items()}
    return value


def _text(value: Any) -> str:
    return "".join(char if char.isprintable() else "?" for char in str(value)[:LONGEST])


def survey(shell: Shell, host: str, *, programs: Sequence[str], deadline: Deadline) -> HostSurvey:
    """Survey a host over its shell, as root, and look which of `programs` it has. Changes nothing.

    Raises ShellError, or InfraError if what it says cannot be understood.
    """
    told = _told(shell, host, SCRIPT, *programs, deadline=deadline)
    devices = _told(shell, host, RDMA, deadline=deadline)
    try:
        return HostSurvey.from_dict({**told, "rdma": devices})
    except NOT_UNDERSTOOD as error:
        raise InfraError(f"host {host}: its survey is not understood: {_text(error)}") from error


def survey_rdma(shell: Shell, host: str, *, deadline: Deadline) -> RdmaFacts:
    """The RDMA devices of a host alone. Changes nothing; raises as `survey` does."""
    devices = _told(shell, host, RDMA, deadline=deadline)
    try:
        return RdmaFacts.from_dict(_clean(devices))
    except NOT_UNDERSTOOD as error:
        raise InfraError(f"host {host}: what it says of its RDMA devices is not understood: {_text(error)}") from error


def _told(shell: Shell, host: str, script: Path, *arguments: str, deadline: Deadline) -> Any:
    """What a script prints on a host, which may have printed a message of the day before."""
    command = "python3 -I -S -c %s" + " %s" * len(arguments)
    done = shell.run(command, script.read_text(encoding="utf-8"), *arguments, deadline=deadline, check=False)
    if done.exit_code:
        reason = _text((done.stderr.strip() or "no reason given").splitlines()[-1])
        raise InfraError(f"host {host} cannot be surveyed: {reason}; it needs Python 3.7 or later")
    try:
        return json.loads(done.stdout[:LIMIT].splitlines()[-1])
    except NOT_UNDERSTOOD as error:
        raise InfraError(f"host {host}: its survey is not understood: {_text(error)}") from error


def differences(before: HostSurvey, after: HostSurvey) -> tuple[str, ...]:
    """How a host differs from what it was, one line each; what changes by itself does not count."""
    lines = [] if before.kernel == after.kernel else [f"it runs kernel {after.kernel}, not {before.kernel}"]
    sets = (
        ("mount", _mounts(before), _mounts(after)),
        ("swap", set(before.swaps), set(after.swaps)),
        ("module", set(before.modules), set(after.modules)),
        ("address", _addresses(before), _addresses(after)),
        ("service", _services(before), _services(after)),
    )
    for what, old, new in sets:
        lines += [f"{what} {entry} is new" for entry in sorted(new - old)]
        lines += [f"{what} {entry} is gone" for entry in sorted(old - new)]
    for key in sorted(before.settings.keys() & after.settings.keys()):
        if key in SIZED_AT_BOOT and before.boot_id != after.boot_id:
            continue
        if before.settings[key] != after.settings[key]:
            lines.append(f"{key} is {after.settings[key]}, and was {before.settings[key]}")
    return tuple(lines)


def _mounts(found: HostSurvey) -> set[str]:
    return {" ".join(mount) for mount in found.mounts if not mount[1].startswith(RESTLESS_MOUNTS)}


def _addresses(found: HostSurvey) -> set[str]:
    return {f"{one.name} {address}" for one in found.interfaces for address in one.addresses}


def _services(found: HostSurvey) -> set[str]:
    return {
        f"{unit} {state}"
        for state, units in found.services.items()
        for unit in units
        if not unit.startswith(RESTLESS_SERVICES)
    }
