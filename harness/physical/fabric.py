"""Asks one host over its shell what it sees of its fabric; changes nothing."""

from __future__ import annotations

from harness.drivers.protocols import Completed, Shell
from harness.fabric.tools import (
    cannot_ask,
    counters_of,
    errors_of,
    links_of,
    manager_of,
    nobody_answers,
    nodes_of,
)
from harness.fabric.view import Fabric
from harness.model.clock import Deadline
from harness.model.errors import UsageError

# A user's PATH may lack the place of the tools.
TOOL = 'PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin" {} {}'
# Its own thresholds hide small counts; with an empty file of them it prints every counter that is not 0.
EVERY_COUNTER = "--threshold-file /dev/null"


def look(shell: Shell, host: str, *, deadline: Deadline) -> Fabric:
    """The fabric of a host, by infiniband-diags there.

    Raises UsageError if the tools are missing or cannot send MADs, ShellError if the host cannot be reached.
    """
    links, down = links_of(_run(shell, host, "iblinkinfo", "-l", deadline).stdout)
    nodes = nodes_of(_run(shell, host, "ibnetdiscover", "", deadline).stdout)
    manager = manager_of(_run(shell, host, "sminfo", "", deadline).stdout)
    traffic = counters_of(_run(shell, host, "perfquery", "-x", deadline).stdout) if manager is not None else {}
    errors = _run(shell, host, "ibqueryerrors", EVERY_COUNTER, deadline)
    known = manager is not None and not nobody_answers(errors.stderr)
    return Fabric(
        nodes=nodes,
        links=links,
        down=down,
        errors=errors_of(errors.stdout) if known else None,
        manager=manager,
        traffic=traffic,
    )


def _run(shell: Shell, host: str, tool: str, options: str, deadline: Deadline) -> Completed:
    done = shell.run(TOOL.format(tool, options).strip(), deadline=deadline, check=False)
    if why := cannot_ask(tool, done.exit_code, done.stderr):
        raise UsageError(f"host {host}: {why}")
    return done
