"""One process in which trials run, one after the other: a process drives one libvirt."""

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
from harness.selftest.score import ERROR, kind_of
from harness.trial.plan import Plan

CLEAN_UP_S = 60.0  # for a trial that is interrupted to take its guests down

Runner = Callable[..., Verdict]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One trial to run: its name, from which with the seed the plan follows, and where its results go."""

    trial: str
    seed: int
    settings: Settings
    run: Path
    runner: Runner | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a trial ended: the verdict's kind or ERROR, its summary; `fatal` if no other trial can do better here."""

    trial: str
    outcome: str
    summary: str
    fatal: bool = False


def plan_of(trial: str, seed: int) -> Plan:
    """The plan of a trial: the same for the same name and seed, whichever process asks."""
    return KINDS[kind_of(trial)].named(trial, Random(f"{seed} {trial}"))


def _run_trial() -> Runner:
    from harness.trial.run import run_trial  # and libvirt with it, which only the process of a lane needs

    return run_trial


def run_job(job: Job) -> Outcome:
    """Run one trial, in whatever process; what it raises is its outcome."""
    try:
        runner = job.runner or _run_trial()
        verdict = runner(plan_of(job.trial, job.seed), settings=job.settings, store=RunStore.open(job.run))
    except Exception as error:  # a verdict that is missing must be counted, whatever the reason
        why = f"{type(error).__name__}: {error}"
        return Outcome(trial=job.trial, outcome=ERROR, summary=why, fatal=isinstance(error, HostEnvironmentError))
    return Outcome(trial=job.trial, outcome=verdict.kind.value, summary=verdict.summary)


def _live_as_long_as(lifeline: Connection) -> None:
    """First thing in a lane's process: end, in the middle of a trial if there is one, when the other end is let go.

    That is also how it learns that the campaign was killed. Ctrl-C on a terminal reaches every process of the group; a
    lane waits for the campaign to act on it, so that nothing interrupts it twice while it takes its guests down.
    """

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    def follow() -> None:
        with contextlib.suppress(EOFError, OSError):
            lifeline.recv()
        os.kill(os.getpid(), signal.SIGUSR1)
        time.sleep(CLEAN_UP_S)
        os._exit(1)

    signal.signal(signal.SIGINT, lambda number, frame: None)  # not SIG_IGN, which guests would inherit
    signal.signal(signal.SIGUSR1, interrupt)
    threading.Thread(target=follow, name="lifeline", daemon=True).start()


class Lane:
    """One process for trials, started anew after it died."""

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None
        self._lifeline: Connection | None = None
        self._future: Future[Outcome] | None = None

    def submit(self, job: Job) -> Future[Outcome]:
        """Have a trial run."""
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            theirs, self._lifeline = context.Pipe(duplex=False)
            self._pool = ProcessPoolExecutor(1, context, initializer=_live_as_long_as, initargs=(theirs,))
        self._future = self._pool.submit(run_job, job)
        return self._future

    def interrupt(self) -> None:
        """End a trial that is under way; returns at once."""
        if self._lifeline is not None and self._future is not None and not self._future.done():
            self._lifeline.close()

    def close(self) -> None:
        """End the process; returns when it has."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
        if self._lifeline is not None:
            self._lifeline.close()
        self._pool = self._lifeline = None
