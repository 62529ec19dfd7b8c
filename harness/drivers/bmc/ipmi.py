"""Power over IPMI 2.0, with ipmitool: a process can be killed when a BMC does not answer, a library's thread cannot."""

from __future__ import annotations

import re
from collections.abc import Sequence

from harness.drivers.bmc.base import ASK_S, PowerDriver
from harness.drivers.commands import Output, run_command
from harness.drivers.secrets import password_of
from harness.model.clock import Deadline
from harness.model.errors import InfraError, UsageError
from harness.model.owned_host import PowerSpec
from harness.model.power import PowerState

PORT = 623
PASSWORD = "IPMI_PASSWORD"  # ipmitool -E; with -P, every user of this machine could read it in the process list
STATES = {"on": PowerState.ON, "off": PowerState.OFF}
# What ipmitool says, and what it means for the user. The last one stands beside most of the others.
PROBLEMS = (
    ("SOL payload already active", "has a console session of somebody else; end it there"),
    ("SOL payload disabled", "has serial over LAN switched off; enable it there"),
    ("Address lookup|Invalid hostname", "has an address that cannot be resolved"),
    ("password is longer than", "takes a password of at most 20 bytes"),
    (
        "algorithm|[Cc]ipher suite",
        "refuses cipher suite {cipher}; name another, such as 3",
    ),
    ("HMAC is invalid|[Uu]nauthorized name|Privilege [Ll]evel .* failed|[Pp]assword", "refuses the user or password"),
    ("no response from RAKP 1", "does not answer a login; perhaps it has no user {user}"),
    ("Unable to establish|timed? ?out|[Nn]o response", "does not answer"),
)
# What ipmitool prints beside the reason, without harm: its list of vendors, and questions that some BMCs do not know.
NOISE = re.compile("IANA PEN registry|Running Get VSO|Invalid completion code received|Discovered IPMB", re.IGNORECASE)


def arguments(spec: PowerSpec) -> list[str]:
    """ipmitool with the address of a BMC; the password is not among them."""
    return [
        *("ipmitool", "-I", "lanplus", "-C", str(spec.cipher), "-H", spec.address, "-p", str(spec.port or PORT)),
        *("-U", spec.user, "-E"),
    ]


def environment(spec: PowerSpec, host: str, deadline: Deadline) -> dict[str, str]:
    """The environment with the password."""
    return {PASSWORD: password_of(spec, host, deadline)}


def explain(spec: PowerSpec, host: str, output: Output) -> str:
    """One line for what ipmitool said."""
    lines = [line for line in (output.err + "\n" + output.out).splitlines() if not NOISE.search(line)]
    text = "\n".join(lines)
    output = Output(output.exit_code, "", text)
    meaning = next((said for pattern, said in PROBLEMS if re.search(pattern, text)), f"says: {output.reason}")
    return f"the BMC of {host} at {spec.address} {meaning.format(cipher=spec.cipher, user=spec.user)}"


class IpmiPower(PowerDriver):
    """The chassis of a BMC."""

    source = "IPMI"

    def ask(self, deadline: Deadline) -> PowerState:
        """See `PowerDriver.ask`."""
        said = self._run(["chassis", "power", "status"], deadline).out.rsplit(None, 1)
        return STATES.get(said[-1].strip().lower() if said else "", PowerState.UNKNOWN)

    def act(self, action: str, deadline: Deadline) -> None:
        """See `PowerDriver.act`."""
        self._run(["chassis", "power", action], deadline)

    def identity(self, *, deadline: Deadline) -> str:
        """See `PowerDriver.identity`."""
        try:
            text = self._run(["mc", "guid"], deadline).out
        except InfraError:
            return ""  # many BMCs have none
        found = re.search(r"System GUID\s*:\s*([0-9A-Fa-f-]{36})", text)
        return found[1] if found else ""

    def inject_nmi(self) -> None:
        """See `NmiInjector.inject_nmi`; many BMCs refuse it."""
        self._run(["chassis", "power", "diag"], Deadline.after(ASK_S))

    def _run(self, words: Sequence[str], deadline: Deadline) -> Output:
        within = deadline.within(ASK_S)
        try:
            secret = environment(self.spec, self.host, within)
            # Verbose: only then it says why a login failed.
            output = run_command([*arguments(self.spec), "-v", *words], deadline=within, environment=secret)
        except UsageError:
            raise
        except InfraError as error:
            raise InfraError(f"the BMC of {self.host} at {self.spec.address} does not answer") from error
        if output.exit_code:
            raise InfraError(explain(self.spec, self.host, output))
        return output
