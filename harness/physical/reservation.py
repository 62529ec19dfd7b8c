"""The reservation of a host, on the host itself: several machines may run trials on the same rack.

It is a file on a tmpfs, made in one step, whose age tells whether its holder lives. A kernel of a run has the run's
token on its command line, since the file does not survive kexec; the owner's kernel never has one.
"""

from __future__ import annotations

import getpass
import json
import os
import socket
import time
from dataclasses import asdict, dataclass, field
from typing import Any

from harness.drivers.protocols import Shell
from harness.model.clock import Deadline
from harness.model.errors import InfraError, UsageError
from harness.site.addressing import SEED

FILE = "/run/harness-reservation"
PARAMETER = "harness.run"  # on the command line of a kernel of a run
BEAT_S = 30.0
STALE_S = 180.0  # six beats: a busy host may miss some
LIMIT = 2000

# Four lines: the file's age in seconds, the token of the kernel's command line, whether files of a run are deployed,
# and the file itself. Builtins and coreutils only.
LOOK = f"""\
age=; [ -f {FILE} ] && age=$(( $(date +%s) - $(stat -c %Y {FILE}) ))
echo "$age"; sed -n 's/^\\(.* \\)\\?{PARAMETER.replace(".", "[.]")}=\\([^ ]*\\).*/\\2/p' /proc/cmdline | grep . || echo
grep -c ' {SEED} ramfs ' /proc/mounts; head -c {LIMIT} {FILE} 2>/dev/null | tr -d '\\n'; echo"""
# link(2) fails if the file is there, so only one of two controllers can succeed; the file is whole from the beginning.
TAKE = f"umask 022; printf '%%s\\n' %s >{FILE}.%s && ln {FILE}.%s {FILE} 2>/dev/null; s=$?; rm -f {FILE}.%s; exit $s"
BEAT = f"grep -qF %s {FILE} && touch -c {FILE}"
GIVE_BACK = f"grep -qF %s {FILE} && rm -f {FILE}; true"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """Who has a host: `since` and `until` in seconds since the epoch, by the holder's clock."""

    token: str
    who: str
    purpose: str = ""
    since: float = 0.0
    until: float = 0.0

    @classmethod
    def of_this_process(cls, token: str, purpose: str, until: float) -> Reservation:
        """The reservation of this process."""
        who = f"{_user()}@{socket.gethostname()} (pid {os.getpid()})"
        return cls(token=token, who=who, purpose=purpose[:200], since=time.time(), until=until)

    def __str__(self) -> str:
        since = time.strftime("%Y-%m-%d %H:%M", time.localtime(self.since)) if self.since else "an unknown time"
        return f"{self.who} since {since}" + (f" for {self.purpose}" if self.purpose else "")


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return f"uid {os.getuid()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """How a host stands: its reservation, if any, its age in seconds, and traces of a run.

    `run` is the token on the kernel's command line, "" for the owner's kernel. `deployed`: a run's files are there.
    """

    reservation: Reservation | None = None
    age_s: float = 0.0
    run: str = ""
    deployed: bool = field(default=False)

    @property
    def is_free(self) -> bool:
        """Whether nobody has it, and no run left anything on it."""
        return self.reservation is None and not self.run and not self.deployed

    @property
    def is_stale(self) -> bool:
        """Whether its holder has not been heard of for so long that it is dead or cut off."""
        return not self.is_free and (self.reservation is None or self.age_s > STALE_S)

    def is_of(self, token: str) -> bool:
        """Whether it is the run with this token that has it."""
        return token in (self.run, self.reservation.token if self.reservation else "")

    def __str__(self) -> str:
        if self.is_free:
            return "free"
        who = str(self.reservation) if self.reservation else f"run {self.run or 'unknown'}, whose reservation is gone"
        return f"{who}, not heard of for {self.age_s:.0f} s" if self.is_stale and self.reservation else who


def look(shell: Shell, deadline: Deadline) -> Holding:
    """How the host stands; raises ShellError if it does not answer."""
    lines = shell.run(LOOK, deadline=deadline, check=False).stdout.splitlines()
    age, run, deployed, text = (*lines, "", "", "", "")[:4]
    reservation = _parsed(text) if age else None
    return Holding(
        reservation=reservation,
        age_s=float(age) if age.lstrip("-").isdigit() else 0.0,
        run=_clean(run),
        deployed=deployed.strip() not in ("", "0"),
    )


def _parsed(text: str) -> Reservation:
    """The reservation in a file that anybody may have written."""
    try:
        record: dict[str, Any] = json.loads(text)
        return Reservation(
            token=_clean(str(record["token"])),
            who=_clean(str(record["who"])),
            purpose=_clean(str(record.get("purpose", ""))),
            since=float(record.get("since", 0.0)),
            until=float(record.get("until", 0.0)),
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        return Reservation(token="", who=f"somebody ({FILE} cannot be read)")


def _clean(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text[:200])


def take(shell: Shell, host: str, mine: Reservation, deadline: Deadline) -> None:
    """Reserve a free host; raises UsageError if another machine was quicker."""
    text = json.dumps(asdict(mine))
    done = shell.run(TAKE, text, mine.token, mine.token, mine.token, deadline=deadline, check=False)
    if done.exit_code == 0:
        return
    holding = look(shell, deadline)
    if holding.is_free:
        problem = f"host {host}: cannot write {FILE}: {_clean(done.stderr.strip()) or 'no reason given'}"
        raise UsageError(f"{problem}; free some space in its /run")
    if not holding.is_of(mine.token):
        raise UsageError(f"host {host} was just reserved by {holding}; wait, or choose another host")


def beat(shell: Shell, host: str, token: str, deadline: Deadline) -> None:
    """Show that the holder lives; raises InfraError if somebody else has taken the host over.

    A reservation that is gone is nobody else's: the host has booted by itself, as after a panic.
    """
    if not shell.run(BEAT, token, deadline=deadline, check=False).exit_code:
        return
    holding = look(shell, deadline)
    if holding.reservation is not None and not holding.is_of(token):
        raise InfraError(f"host {host} is no longer reserved for this run: {holding}")


def give_back(shell: Shell, token: str, deadline: Deadline) -> None:
    """Remove the reservation of the run with this token, and nobody else's."""
    shell.run(GIVE_BACK, token, deadline=deadline)
