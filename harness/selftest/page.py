"""The documentation page with a self-test's figures."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.results.files import write_atomic
from harness.selftest.score import Row
from harness.selftest.tables import Aim, Table, aims_table, by_kind, confusion, misses
from harness.selftest.truth import Truth

SERIES = re.compile(r"\d+\.\d+")
FIGURE = re.compile(r"[-–·0-9.,/% ]*(of [0-9]+)?")
HEAD = """\
# Self-test

`harness selftest` (or `make selftest`) boots real guests, injects faults whose right verdict is known, at random
instants and in random order, and compares. `harness selftest --score RUN… --page FILE` writes this page from the runs
named at its end; every verdict is computed again from the recorded histories.

- **Latency** is from the beginning of the injection to the moment at which the watch is certain. Where nothing is
  injected (swap over loopback NBD), it begins with the last progress; where a protocol may rightly wait, with the end
  of that time. The kernel's own hung-task detector (T = 120 s) reports a full stop 120 to 240 s after its onset, and
  never a crawl, since every context switch restarts its count.
- **Onset error** is how far the verdict's onset lies outside the time that the injection took; negative is too early.
- **Duration error** of a stall is against the time from the fault to the first request that the block device of the
  storage completes after the healing, as its own counters say (`/sys/block/*/stat`, once or twice a second).
- A trial that raised an error in place of a verdict is `ERROR`, and so is one whose fault was never injected: both are
  wrong, whatever was true. A verdict that was certain before the fault is wrong as well, and so is one whose onset is
  more than 15 s × the factor away from it (of kinds that have an aim for their latency).
- Latency and errors are of the right verdicts only. The **slowdown** is how many times slower than the machine the
  guests were, measured at boot; it stretches the policy's times by a factor between 1 and 2.
"""


def page(
    rows: Sequence[Row], aims: Sequence[Aim], truths: Iterable[Truth], runs: Mapping[str, Mapping[str, Any]]
) -> str:
    """The page in Markdown; `runs` has the manifests by name of the run."""
    truths = list(truths)
    tables = [aims_table(aims), confusion(rows), by_kind(rows), misses(rows)]
    parts = [
        HEAD,
        *(markdown(table) for table in tables if table.rows),
        markdown(kinds_table(truths)),
        _origin(runs, sorted({truth.name for truth in truths} - {row.truth.name for row in rows})),
    ]
    return "\n".join(parts)


def write_page(
    path: Path,
    rows: Sequence[Row],
    aims: Sequence[Aim],
    truths: Iterable[Truth],
    runs: Mapping[str, Mapping[str, Any]],
) -> None:
    """Write the page; raises HostEnvironmentError if that fails."""
    write_atomic(path, page(rows, aims, truths, runs).encode())


def markdown(table: Table) -> str:
    """A table below its heading."""
    rule = ["---"] + ["---:" if _is_figure(table, place) else "---" for place in range(1, len(table.columns))]
    lines = [table.columns, rule, *table.rows]
    return f"## {table.title}\n\n" + "".join(f"| {' | '.join(_cell(cell) for cell in line)} |\n" for line in lines)


def _is_figure(table: Table, place: int) -> bool:
    return all(FIGURE.fullmatch(row[place]) for row in table.rows)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def kinds_table(truths: Iterable[Truth]) -> Table:
    """A table of the kinds: their fault and the right verdicts."""
    rows = tuple((truth.name, truth.expected, truth.about) for truth in truths)
    return Table(title="What is done", columns=("kind", "true", "what"), rows=rows)


def _origin(runs: Mapping[str, Mapping[str, Any]], absent: Sequence[str]) -> str:
    lines = [f"- {_run(name, manifest)}\n" for name, manifest in runs.items()]
    lines += [f"- Kinds that no run has: {', '.join(absent)}.\n"] if absent else []
    return "## Where the figures are from\n\n" + "".join(lines)


def _run(name: str, manifest: Mapping[str, Any]) -> str:
    host = manifest.get("host", {})
    trials = manifest.get("trials", {}).values()
    guests = [guest for trial in trials for guest in trial.get("hosts", {}).values()]
    kernels = sorted({f"{guest['kernel']} ({guest['accelerator']})" for guest in guests})
    return (
        f"run {name}, seed {manifest['selftest']['seed']}, harness {manifest.get('harness')}: "
        f"guests with {', '.join(kernels) or 'no kernel'}, {manifest.get('lanes')} trial(s) at a time "
        f"on {host.get('processors')} processors ({host.get('machine')}, Linux {_series(host.get('kernel'))})"
    )


def _series(release: object) -> str:
    """`6.18` of `6.18.44-1-generic`: the build identifies the machine and does not matter for the figures."""
    series = SERIES.match(str(release))
    return series.group() if series else "of an unknown version"
