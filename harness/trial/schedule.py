"""The schedule of a trial: its faults and tunings with their times, and the actions that undo them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from harness.faults.base import Expelling, Fault, Prepared
from harness.model.errors import DeadlineExceeded, HarnessError
from harness.model.events import FaultStep, Fence, Note
from harness.monitors.recorder import Recorder
from harness.site.target import Site

# TCP waits up to 120 s between two retransmissions (TCP_RTO_MAX), but never longer than the outage has lasted so far.
RETRANSMISSION_S = 120.0
HURRY = 0.1  # after a host did not answer: deadlines are this share of the usual ones
Step = tuple[float, Callable[[], None]]


class Schedule:
    """Faults at their times, tunings before everything else; `entitled_s`: recovery from a heal may take until then."""

    def __init__(self, site: Site, recorder: Recorder) -> None:
        self._site, self._recorder = site, recorder
        self._undos: list[Callable[[Site], None]] = []
        self.entitled_s = 0.0

    def tune(self, tunings: Sequence[Fault]) -> None:
        """Apply all tunings now; `undo` heals them."""
        for tuning in tunings:
            if isinstance(tuning, Prepared):
                tuning.prepare(self._site)
            self.undo_later(tuning.heal)
            self._step(tuning, "inject", 0.0)()

    def steps(self, faults: Sequence[Fault], begun: float) -> list[Step]:
        """The actions of the faults with their times, in order of time."""
        steps: list[Step] = []
        for fault in faults:
            steps.append((begun + fault.at_s, self._step(fault, "inject", 0.0)))
            if fault.heal_after_s is not None:
                at_s = begun + fault.at_s + fault.heal_after_s
                steps.append((at_s, self._step(fault, "heal", fault.heal_after_s)))
        return sorted(steps, key=lambda step: step[0])

    def undo_later(self, undo: Callable[[Site], None]) -> None:
        """Add an undo action."""
        self._undos.append(undo)

    def undo(self) -> None:
        """Run the undo actions, newest first, as far as the hosts still answer.

        After the first host that does not answer, deadlines are shorter: a reset of the hosts undoes the rest.
        """
        site = self._site
        while self._undos:
            try:
                self._undos.pop()(site)
            except HarnessError as error:
                self._recorder.emit(Note(text=f"tear-down: {error}"))
                if isinstance(error, DeadlineExceeded):
                    site = replace(self._site, patience=HURRY)

    def _step(self, fault: Fault, action: str, outage_s: float) -> Callable[[], None]:
        def act() -> None:
            begun = self._recorder.now
            if action == "inject" and isinstance(fault, Expelling):
                self._recorder.emit(Fence(), fault.expels(self._site))
            getattr(fault, action)(self._site)
            now = self._recorder.now
            if action == "heal":
                self.entitled_s = now + min(outage_s, RETRANSMISSION_S)
            self._recorder.emit(FaultStep(name=fault.describe(), action=action, took_s=round(now - begun, 3)))

        return act
