"""Stage 1: what each host is, against what the inventory expects, and against the other hosts."""

from __future__ import annotations

from harness.fabric.known_bad import Suspect, suspects
from harness.model.topology import Host
from harness.physical.inspection import Inspection, inspect_all
from harness.qualify.checks import Check, Grade, StageName
from harness.qualify.ground import Ground
from harness.qualify.odd_one_out import compare, facts_of

WHAT = "fit for use, and as the inventory expects"


def inspect(ground: Ground) -> list[Check]:
    """The checks of all hosts; guests are made by the harness, and have nothing to inspect."""
    owned = [host for host in ground.hosts if host.owned is not None]
    found = {one.name: one for one in inspect_all(owned, in_use=ground.settings.though_in_use)}
    checks = [check for host in ground.hosts for check in _of_host(host, found.get(host.name))]
    facts = {
        host.name: facts_of(survey, host.owned.links)
        for host in owned
        if host.owned is not None and (survey := found[host.name].survey) is not None
    }
    return [*checks, *compare(facts)]


def _of_host(host: Host, found: Inspection | None) -> list[Check]:
    if found is None:
        return [_check(host, Grade.PASS, "a guest, made as the inventory says")]
    known = [_known_bad(host, one) for one in suspects(found.survey.rdma, found.survey.kernel)] if found.survey else []
    if found.is_usable:
        kernel = found.survey.kernel if found.survey is not None else ""
        return [_check(host, Grade.PASS, f"kernel {kernel}, {found.power}"), *known]
    return [*(_check(host, Grade.FAIL, reason=line) for line in found.against), *known]


def _known_bad(host: Host, suspect: Suspect) -> Check:
    """Hardware that others had trouble with fails nobody, and passes nobody either."""
    return Check(
        stage=StageName.INSPECT,
        hosts=(host.name,),
        what=f"known hardware: {suspect.device}",
        grade=Grade.NOT_SHOWN,
        measured=suspect.name,
        reason=f"{suspect.what} ({suspect.source})",
        remedy=suspect.way_out,
    )


def _check(host: Host, grade: Grade, measured: str = "", reason: str = "") -> Check:
    return Check(stage=StageName.INSPECT, hosts=(host.name,), what=WHAT, grade=grade, measured=measured, reason=reason)
