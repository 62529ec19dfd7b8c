"""Lanes: processes that run trials one after the other, since a process can drive only one libvirt."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random

from harness.model.errors import HostEnvironmentError
from harness.model.settings import Settings
from harness.model.verdict import Verdict
from harness.results.store import RunStore
from harness.selftest.kinds import KINDS
from harness.selftest.rack import Rack
from harness.selftest.score import ERROR, kind_of
from harness.trial.plan import Plan

CLEAN_UP_S = 60.0  # time for an interrupted trial to take its guests down

Runner = Callable[..., Verdict]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One trial to run: its name, which with the seed determines the plan, and the place of its results.

    `rack` has the hosts that it runs on; None: the guests that its kind describes.
    """

    trial: str
    seed: int
    settings: Settings
    run: Path
    rack: Rack | None = None
    runner: Runner | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The end of a trial: the verdict's kind or ERROR, and its summary; `fatal` if all other trials would fail too."""

    trial: str
    outcome: str
    summary: str
    fatal: bool = False


def plan_of(trial: str, seed: int) -> Plan:
    """The plan of a trial: the same for the same name and seed in every process."""
    return KINDS[kind_of(trial)].named(trial, Random(f"{seed} {trial}"))


def _run_trial() -> Runner:
    from harness.trial.run import run_trial  # imported here: it loads libvirt, which only a lane's process needs

    return run_trial


def run_job(job: Job) -> Outcome:
    """Run one trial in this process; an exception becomes its outcome."""
    try:
        runner = job.runner or _run_trial()
        plan = plan_of(job.trial, job.seed)
        if job.rack is not None:
            plan = job.rack.put(plan)
        verdict = runner(plan, settings=job.settings, store=RunStore.open(job.run))
    except Exception as error:  # a missing verdict must be counted, whatever the reason
        why = f"{type(error).__name__}: {error}"
        return Outcome(trial=job.trial, outcome=ERROR, summary=why, fatal=isinstance(error, HostEnvironmentError))
    return Outcome(trial=job.trial, outcome=verdict.kind.value, summary=verdict.summary)


def _live_as_long_as(lifeline: Connection) -> None:
    """Set up a lane's process to end, even within a trial, when the other end of the connection is closed.

    The connection also closes when the campaign is killed. Ctrl-C on a terminal reaches every process of the group. A
    lane ignores it and waits for the campaign, so that nothing interrupts it twice while it takes its guests down.
    """

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    def follow() -> None:
        with contextlib.suppress(EOFError, OSError):
            lifeline.recv()
        os.kill(os.getpid(), signal.SIGUSR1)
        time.sleep(CLEAN_UP_S)
        os._exit(1)

    signal.signal(signal.SIGINT, lambda number, frame: None)  # not SIG_IGN: guests would inherit it
    signal.signal(signal.SIGUSR1, interrupt)
    threading.Thread(target=follow, name="lifeline", daemon=True).start()


class Lane:
    """One process for trials; restarted if it dies."""

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None
        self._lifeline: Connection | None = None
        self._future: Future[Outcome] | None = None

    def submit(self, job: Job) -> Future[Outcome]:
        """Run a trial in the process."""
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            theirs, self._lifeline = context.Pipe(duplex=False)
            self._pool = ProcessPoolExecutor(1, context, initializer=_live_as_long_as, initargs=(theirs,))
        self._future = self._pool.submit(run_job, job)
        return self._future

    def interrupt(self) -> None:
        """Interrupt the running trial; returns at once."""
        if self._lifeline is not None and self._future is not None and not self._future.done():
            self._lifeline.close()

    def close(self) -> None:
        """End the process and wait for its end."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
        if self._lifeline is not None:
            self._lifeline.close()
        self._pool = self._lifeline = None
