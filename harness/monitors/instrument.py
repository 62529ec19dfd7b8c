"""The protocol of an instrument, which runs beside the load of a trial and measures."""

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
    """An instrument: prepared while memory is plentiful, launched just before the load, asked for measures after it."""

    def describe(self) -> str:
        """The instrument in a few words."""

    def prepare(self, site: Site) -> None:
        """Put everything in place that the instrument will need."""

    def launch(self, site: Site) -> None:
        """Start the instrument; returns at once."""

    def measures(self, site: Site, evidence: Path) -> Sequence[Measure]:
        """See `Measuring.measures`."""

    def end(self, site: Site) -> None:
        """End everything that `prepare` and `launch` started, and wait for it; called after the load or a failure."""


def end_script(site: Site, role: str, board: str, match: str) -> None:
    """Order the script of `board` to stop, and wait until pgrep finds no process for `match`."""
    ask(site, role, "write", path=board, text=STOP.decode())
    gone = f"for i in $(seq 100); do pgrep {match} >/dev/null || break; sleep 0.1; done"
    site.role(role).shell.run(gone, deadline=site.deadline(END_S), check=False)


def ask(site: Site, role: str, verb: str, **arguments: object) -> str:
    """The answer of the agent on the host that plays `role`; raises InfraError if the agent cannot open a file."""
    target = site.role(role)
    answer: str = target.agent.ask(verb, deadline=site.deadline(ASK_S), **arguments)
    if verb == "open" and answer.strip():
        raise InfraError(f"{target.name}: {answer.strip().splitlines()[0]}")
    return answer
