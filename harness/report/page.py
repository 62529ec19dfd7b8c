"""The page of a run: every trial's view and timeline in the template."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from harness.model.hang_classes import HANG_CLASSES
from harness.model.history import Rung
from harness.report.draw.graph import draw_graph
from harness.report.draw.palette import BANDS, BLOCKED_HATCH, COLOURS, CURVES, LINES, ROWS, UNKNOWN
from harness.report.draw.survival import draw_survival
from harness.report.draw.timeline import draw_timeline
from harness.report.environment import page_environment, stylesheet
from harness.report.read import words
from harness.report.read.chain_words import cited_lines, node_words, waits
from harness.report.read.comparison import Comparison, read_comparison
from harness.report.read.lanes import SLOW_S, VERY_SLOW_S, State
from harness.report.read.sides import spelled, tables
from harness.report.read.trial_view import TrialView, read_trial
from harness.results.files import DamagedResult
from harness.results.store import RunStore
from harness.results.text import plain_line

# Shown in full at the end of the page.
_BULK = frozenset({"trials", "arguments", "folder", "options", "selected"})
_FACTS = 16


def render_run(run: RunStore) -> str:
    """The whole page as HTML; safe to encode as UTF-8, whatever the guests printed."""
    manifest, problem = _manifest(run)
    comparison, comparison_problem = _comparison(run)
    trials = [read_trial(store) for store in run.trials()]
    return _environment().get_template("report.html.j2").render(
        run=run.name,
        headline=_headline(trials, manifest),
        facts=_facts(manifest),
        manifest=json.dumps(manifest, indent=2, ensure_ascii=True, default=str),
        manifest_problem=problem,
        comparison=comparison,
        comparison_problem=comparison_problem,
        survival=_survival(comparison),
        trials=trials,
        tables=tables(trials),
        graphs={trial.slug: draw_graph(trial.diagnosis) for trial in trials if trial.diagnosis is not None},
        timelines={trial.slug: _timeline(number, trial) for number, trial in enumerate(trials)},
        css=stylesheet(),
        rungs=[(rung.value, words.RUNGS[rung]) for rung in Rung],
    )  # fmt: skip


def _environment() -> Environment:
    environment = page_environment()
    environment.globals.update(
        seconds=words.seconds,
        instant=words.instant,
        tone=words.tone,
        meanings=words.MEANINGS,
        state_colours={state.name: colour for state, colour in COLOURS.items()},
        states=State,
        hatch=BLOCKED_HATCH,
        unknown=UNKNOWN,
        bands=BANDS,
        lines=LINES,
        curves=CURVES,
        rows=ROWS,
        slow=SLOW_S,
        very_slow=VERY_SLOW_S,
        line=plain_line,
        hang_classes=HANG_CLASSES,
        confidence=words.CONFIDENCE,
        cited=cited_lines,
        node_words=node_words,
        waits=waits,
        spelled=spelled,
    )
    return environment


def _timeline(number: int, trial: TrialView) -> Markup | None:
    if not trial.lanes and not trial.marks and not trial.phases and not trial.story.panels:
        return None
    title = plain_line(f"Timeline of {trial.name}")
    return Markup(draw_timeline(trial.story, prefix=f"t{number}-", title=title))


def _manifest(run: RunStore) -> tuple[dict[str, Any], str]:
    try:
        return run.read_manifest(), ""
    except DamagedResult as error:
        return {}, str(error)


def _comparison(run: RunStore) -> tuple[Comparison | None, str]:
    try:
        return read_comparison(run.path), ""
    except DamagedResult as error:
        return None, str(error)


def _survival(comparison: Comparison | None) -> Markup:
    if comparison is None:
        return Markup()
    title = plain_line(f"Share of runs of {comparison.case} still without a hit, by side")
    return Markup(draw_survival(comparison.sides, prefix="ab-", title=title))


def _headline(trials: list[TrialView], manifest: Mapping[str, Any]) -> str:
    """One sentence: how many trials, on which kernel, how many as expected."""
    counted = Counter(trial.judgement.as_expected for trial in trials)
    kernel = manifest.get("kernel")
    where = f" on kernel {kernel}" if isinstance(kernel, str) else ""
    head = f"{len(trials)} trial{'s' if len(trials) != 1 else ''}{where}: {counted[True]} as expected"
    if counted[False]:
        head += f", {counted[False]} not as expected"
    return head + (f", {counted[None]} without a verdict." if counted[None] else ".")


def _facts(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Facts of the run, one line each: the guests' kernels and images, then the short entries of the manifest."""
    facts = _guests(manifest.get("trials"))
    reported = {key: _in_words(_short(key, value)) for key, value in manifest.items()}
    facts += [(key.replace("_", " "), plain_line(value, 300)) for key, value in reported.items()]
    return [fact for fact in facts if fact[1] and fact[0] not in _BULK][:_FACTS]


def _short(key: str, value: Any) -> Any:
    """A self-test's plan as its seed and number of trials, as it lists hundreds."""
    if key != "selftest" or not isinstance(value, Mapping):
        return value
    trials = value.get("trials")
    return {"seed": value.get("seed"), "trials": len(trials) if isinstance(trials, list) else None}


def _guests(trials: Any) -> list[tuple[str, str]]:
    """Every kernel, replaced module, image and accelerator of the run's guests, and the machines that it had."""
    hosts = [
        (name, host)
        for trial in (trials.values() if isinstance(trials, Mapping) else ())
        for name, host in (trial.get("hosts", {}).items() if isinstance(trial, Mapping) else ())
        if isinstance(host, Mapping)
    ]
    guests = [host for _, host in hosts if host.get("kind") != "physical"]
    machines = [(name, host) for name, host in hosts if host.get("kind") == "physical"]
    found = {
        "guests' kernel": [f"{host.get('kernel')} (package {host.get('kernel_package')})" for host in guests],
        "replaced modules": [str(name) for _, host in hosts for name in host.get("variants", ())],
        "guests' image": [str(host.get("image_digest"))[:16] for host in guests],
        "accelerator": [str(host.get("accelerator")) for host in guests],
        "machines": [f"{name} at {host.get('address')}, {_kernel_of(host)}" for name, host in machines],
    }
    return [(name, plain_line(", ".join(dict.fromkeys(values)), 300)) for name, values in found.items() if values]


def _kernel_of(host: Mapping[str, Any]) -> str:
    wanted = host.get("kernel_from")
    return "its owner's kernel" if wanted == "owner" else f"kernel {host.get('kernel') or wanted}"


def _in_words(value: Any) -> str:
    if isinstance(value, Mapping):
        return "; ".join(f"{key}: {_in_words(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(_in_words(item) for item in value)
    return "" if value is None else str(value)
