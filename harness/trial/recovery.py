"""The recovery probe: does a stop end once the pressure is gone?

Hold: the workload is stopped (SIGSTOP), so it asks for no more memory, but nothing is freed. Overload ends then; a
circular wait does not.
Kill: the workload dies and its memory is freed, which gives one of the waiting tasks memory and so breaks a circular
wait for memory. Whether that helps shows how to get such a machine back, not whether it was deadlocked.
"""

from __future__ import annotations

from harness.model.clock import Clock, Deadline
from harness.model.errors import HarnessError
from harness.model.events import RecoveryStep
from harness.monitors.recorder import Recorder
from harness.site.target import Target
from harness.verdicts.hosts import BLOCKED_S
from harness.verdicts.watch import Watch

AGENT_S = 5.0
LOOK_S = 0.25
SETTLED_S = 2.0  # rungs must answer for so long: one sample may slip through


def probe_recovery(target: Target, watch: Watch, recorder: Recorder, clock: Clock) -> None:
    """Take both steps; each result is a `recovery` event."""
    for step, verb, seconds in (("hold", "hold", watch.policy.hold_s), ("release", "kill", watch.policy.release_s)):
        begun = clock.monotonic()
        refused = _order(target, verb, clock)
        recovered = not refused and _comes_back(step, seconds, watch, recorder, clock)
        recorder.emit(
            RecoveryStep(
                step=step,
                done=not refused,
                recovered=recovered,
                after_s=round(clock.monotonic() - begun, 1),
                detail=refused or ", ".join(watch.blocked(recorder.now, BLOCKED_S)),
            ),
            target.name,
        )
        if recovered:
            return


def _order(target: Target, verb: str, clock: Clock) -> str:
    try:
        target.agent.ask(verb, deadline=Deadline.after(AGENT_S, clock))
    except HarnessError as error:
        return str(error)
    return ""


def _comes_back(step: str, seconds: float, watch: Watch, recorder: Recorder, clock: Clock) -> bool:
    deadline = Deadline.after(seconds, clock)
    settled: float | None = None
    while not deadline.passed:
        clock.sleep(LOOK_S)
        now = clock.monotonic()
        if not _is_back(step, watch, recorder.now):
            settled = None
        elif settled is None:
            settled = now
        elif now - settled >= SETTLED_S:
            return True
    return False


def _is_back(step: str, watch: Watch, now: float) -> bool:
    """Whether every rung answers again; after a kill, the workload must be gone too."""
    if watch.blocked(now, BLOCKED_S):
        return False
    if step == "hold":
        stop = watch.open_stop
        return stop is not None and bool(stop.blocked)  # rungs that never blocked cannot come back
    return all(host.alive == 0 for host in watch.hosts.values())
