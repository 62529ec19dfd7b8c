"""A first look at a host that no inventory has yet: its key, a login, its survey. Changes nothing there."""

from __future__ import annotations

from dataclasses import dataclass

from harness.drivers.ssh import FabricShell, fetch_host_key
from harness.model.clock import Deadline
from harness.model.errors import InfraError, ShellError, UsageError
from harness.model.owned_host import OwnedHost
from harness.physical import channels
from harness.physical.survey import HostSurvey, survey

KEY_S = 30.0
LOGIN_S = 60.0
SURVEY_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownKey:
    """The key that a host showed, as `ssh-ed25519 AAAA…`, and its fingerprint; nothing proves that it is its own."""

    key: str
    fingerprint: str

    def __str__(self) -> str:
        """As ssh-keygen -l prints it, without the size."""
        return f"{self.fingerprint} ({self.key.split()[0]})"

    def must_be(self, fingerprint: str) -> None:
        """Raises UsageError unless that is its fingerprint."""
        if fingerprint != self.fingerprint:
            raise UsageError(f"--host-key-fingerprint: the host shows {self}, not {fingerprint}; is it the right host?")


def shown_key(spec: OwnedHost) -> ShownKey:
    """The key that the host shows now; raises UsageError."""
    try:
        key, fingerprint = fetch_host_key(channels.address_of(spec.address, spec), deadline=Deadline.after(KEY_S))
    except InfraError as error:
        raise UsageError(f"{error}; is it up, and are address, --port and --jump right?") from error
    return ShownKey(key=key, fingerprint=fingerprint)


def first_look(spec: OwnedHost) -> HostSurvey:
    """Log in with the pinned key and survey the host; raises UsageError."""
    shell = FabricShell(channels.address_of(spec.address, spec))
    try:
        shell.run("true", deadline=Deadline.after(LOGIN_S))
        return survey(shell, spec.address, programs=(), deadline=Deadline.after(SURVEY_S))
    except ShellError as error:
        raise UsageError(f"{spec.address}: {error.problem}") from error
    except InfraError as error:
        raise UsageError(str(error).splitlines()[0]) from error
    finally:
        shell.close()
