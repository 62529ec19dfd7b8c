"""The HTML report of a run, made from the run's files alone."""

from __future__ import annotations

from pathlib import Path

__all__ = ["write_report"]


def write_report(run_dir: Path) -> Path:
    """Write `report.html` into the run folder `run_dir` from the files there, and return its path.

    It works offline, at any later time, and for runs that were killed. Raises UsageError if `run_dir` is no
    run folder, HostEnvironmentError if the report cannot be written.
    """
    # Drawing needs a library that takes a second to load, so it is imported only here.
    from harness.report.page import render_run
    from harness.results.files import write_atomic
    from harness.results.store import RunStore

    path = run_dir / "report.html"
    write_atomic(path, render_run(RunStore.open(run_dir)).encode("utf-8"))
    return path
