"""What runs beside the load of a trial and measures: canaries, a look at sockets, a packet capture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from harness.guest.board import STOP
from harness.model.errors import InfraError
from harness.model.measure import Measure
from harness.site.target import Site

ASK_S, END_S = 5.0, 15.0


class Instrument(Protocol):
    """Prepared while memory is plentiful, launched just before the load, asked after it (`targets.measuring`)."""

    def describe(self) -> str:
        """What it does, in a few words."""

    def prepare(self, site: Site) -> None:
        """Put everything in place that it will need."""

    def launch(self, site: Site) -> None:
        """Set it going; returns at once."""

    def measures(self, site: Site, evidence: Path) -> Sequence[Measure]:
        """See `Measuring.measures`."""

    def end(self, site: Site) -> None:
        """End what `prepare` and `launch` set going, and wait until it is gone: after the load, or a failure."""


def end_script(site: Site, role: str, board: str, match: str) -> None:
    """Tell the script that looks at `board` to stop, and wait until pgrep finds nothing by `match` any more."""
    ask(site, role, "write", path=board, text=STOP.decode())
    gone = f"for i in $(seq 100); do pgrep {match} >/dev/null || break; sleep 0.1; done"
    site.role(role).shell.run(gone, deadline=site.deadline(END_S), check=False)


def ask(site: Site, role: str, verb: str, **arguments: object) -> str:
    """What the agent of the host that plays `role` answers; raises InfraError for a file that it cannot open."""
    target = site.role(role)
    answer: str = target.agent.ask(verb, deadline=site.deadline(ASK_S), **arguments)
    if verb == "open" and answer.strip():
        raise InfraError(f"{target.name}: {answer.strip().splitlines()[0]}")
    return answer
