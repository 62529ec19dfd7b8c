"""Meets what a dead run owes for owned hosts: gives reservations back, and brings hosts home."""

from __future__ import annotations

import json

from harness.drivers.bmc import power_of
from harness.drivers.consoles.pty_command import end_sol
from harness.drivers.ssh import FabricShell
from harness.model.clock import Deadline
from harness.model.errors import HarnessError, InfraError
from harness.model.obligation import Obligation
from harness.physical import home, reservation
from harness.physical.channels import address_of
from harness.physical.hand_back import HandBack
from harness.physical.owed import CHANGES, RESERVATION, Debt
from harness.physical.survey import HostSurvey
from harness.state.hosts import HostFiles
from harness.state.obligations import owed
from harness.state.state import StateDir

LOCK_S = 600.0  # for a process that uses the host now


def meet_owed(obligation: Obligation, state: StateDir) -> list[str]:
    """Meet one obligation of a dead run; see `Provider.reap`."""
    if obligation.kind not in (RESERVATION, CHANGES):
        raise InfraError(f"nobody here knows how to end a {obligation.kind} of {obligation.provider!r}")
    debt = Debt.of(obligation)
    files = HostFiles(state, debt.host, debt.owned.host_key)
    if files.quarantine is not None:
        return []
    with files.held("clean", Deadline.after(LOCK_S), lambda _: None):
        if debt.owned.console.driver == "ipmi-sol" and debt.owned.power is not None:
            end_sol(debt.owned.power, debt.host)  # a BMC keeps the session of a dead run for a minute or more
        shell = FabricShell(address_of(debt.host, debt.owned))
        try:
            if obligation.kind == RESERVATION:
                return _give_back(debt, shell, obligation)
            return _bring_home(debt, shell, files, obligation)
        finally:
            shell.close()


def _give_back(debt: Debt, shell: FabricShell, obligation: Obligation) -> list[str]:
    """Remove the reservation, unless the host is to be booted, which removes it as well."""
    if any(other.kind == CHANGES and other.fields["host"] == debt.host for other in owed(obligation.run)):
        return []
    holding = reservation.look(shell, Deadline.after(home.SSH_S))
    if not holding.is_of(debt.token):
        return []
    reservation.give_back(shell, debt.token, Deadline.after(home.SSH_S))
    return [f"gave host {debt.host} back"]


def _bring_home(debt: Debt, shell: FabricShell, files: HostFiles, obligation: Obligation) -> list[str]:
    hung = False
    try:
        holding = reservation.look(shell, Deadline.after(home.SSH_S))
        if not holding.is_of(debt.token):
            return []  # it booted by itself, or somebody else has taken it over
    except HarnessError:
        hung = True
    lines: list[str] = []
    back = HandBack(
        host=debt.host,
        spec=debt.owned,
        shell=shell,
        power=power_of(debt.owned.power, debt.host) if debt.owned.power else None,
        kernel=debt.kernel,
        before=_before(debt, obligation),
        files=files,
        note=lines.append,
    )
    if back.boot(hung=hung):
        lines.append(f"host {debt.host} is back in its owner's kernel")
    return lines


def _before(debt: Debt, obligation: Obligation) -> HostSurvey | None:
    try:
        return HostSurvey.from_dict(json.loads((obligation.run / debt.before).read_bytes())) if debt.before else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
