"""Check that replaced modules are the ones loaded: with the stock module, a trial would prove nothing."""

from __future__ import annotations

from collections.abc import Mapping

from harness.model.errors import InfraError
from harness.site.provider import PreparedHost
from harness.site.target import Site

ABSENT = "absent"
ASK = "[ -d /sys/module/%s ] || { echo %s; exit 0; }; cat /sys/module/%s/srcversion 2>/dev/null || true"
ASK_S = 5.0


def check_modules(site: Site, prepared: Mapping[str, PreparedHost]) -> None:
    """Raises InfraError if a host runs another module than the replaced one, or if none of them is loaded.

    A host need not load all of them: modules for one role may be given to all hosts.
    """
    found = {
        (host, module): _runs(site, host, module, version)
        for host, machine in prepared.items()
        for module, version in machine.modules.items()
    }
    if found and not any(found.values()):
        places = ", ".join(f"{module} on {host}" for host, module in found)
        raise InfraError(f"no replaced module is loaded ({places}): this case does not use them")


def _runs(site: Site, host: str, module: str, wanted: str) -> bool:
    """Whether the module is loaded; raises InfraError if it is another. Without a source version it is not checked."""
    answer = site.targets[host].shell.run(ASK, module, ABSENT, module, deadline=site.deadline(ASK_S)).stdout.strip()
    if answer == ABSENT:
        return False
    if wanted and answer != wanted:
        raise InfraError(f"{host}: module {module} runs from source {answer or 'without a version'}, not {wanted}")
    return True
