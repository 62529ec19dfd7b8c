"""Stage 2: the InfiniBand fabric, as the first host sees it that may, by itself or against a golden one."""

from __future__ import annotations

from harness.drivers.ssh import FabricShell
from harness.fabric.golden import Golden, compare, health
from harness.fabric.view import Fabric
from harness.model.clock import Deadline
from harness.model.errors import HarnessError
from harness.model.topology import Host
from harness.physical.channels import address_of
from harness.physical.fabric import look
from harness.physical.offers import owned
from harness.physical.survey import survey
from harness.qualify.checks import Check, Grade, StageName
from harness.qualify.ground import Ground

LOOK_S = 300.0  # of a large fabric, each port is asked
SURVEY_S = 120.0
ERRORS = frozenset({"errors"})  # counters count since they were cleared: old errors fail nobody without a golden fabric


def look_at_fabric(ground: Ground) -> list[Check]:
    """Checks of the fabric; none if no host has an InfiniBand port."""
    reasons: list[Check] = []
    for host in ground.hosts:
        if host.owned is None:
            continue
        shell = FabricShell(address_of(host.name, owned(host)))
        try:
            if not has_infiniband(shell, host):
                continue
            ground.say(f"fabric: as {host.name} sees it")
            return checks_of(host.name, look(shell, host.name, deadline=Deadline.after(LOOK_S)), ground.golden)
        except HarnessError as error:
            reasons.append(_check(host.name, Grade.NOT_SHOWN, reason=str(error).splitlines()[0]))
        finally:
            shell.close()
    return reasons


def has_infiniband(shell: FabricShell, host: Host) -> bool:
    """Whether one of its ports is InfiniBand; Ethernet ports of RDMA devices have no fabric to ask."""
    found = survey(shell, host.name, programs=(), deadline=Deadline.after(SURVEY_S))
    return any(port.link_layer == "InfiniBand" for hca in found.rdma.hcas for port in hca.ports)


def checks_of(host: str, seen: Fabric, golden: Golden | None) -> list[Check]:
    """A failed check for each difference, or one that passed."""
    found = compare(golden, seen) if golden is not None else health(seen)
    expected = "as the golden fabric" if golden is not None else "a fabric that is well"
    checks = [
        _check(
            host,
            Grade.NOT_SHOWN if one.kind in ERRORS and golden is None else Grade.FAIL,
            what=f"fabric: {one.kind}",
            expected=expected,
            reason=one.text,
        )
        for one in found
    ]
    return checks or [_check(host, Grade.PASS, measured=str(seen), expected=expected)]


def _check(
    host: str, grade: Grade, *, what: str = "fabric", measured: str = "", expected: str = "", reason: str = ""
) -> Check:
    return Check(
        stage=StageName.FABRIC,
        hosts=(host,),
        what=what,
        grade=grade,
        measured=measured,
        expected=expected,
        reason=reason,
    )
