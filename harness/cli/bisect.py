"""`harness bisect` and `harness bisect-step`: the first bad side of a hang that shows in only some runs."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from harness.cli.find import find_run
from harness.cli.options import harness_options, resolve_options
from harness.model.errors import HarnessError, UsageError
from harness.model.options import OPTIONS

if TYPE_CHECKING:
    from harness.bisect.candidates import Candidate, Candidates
    from harness.bisect.record import Plan
    from harness.bisect.state import Conclusion, State
    from harness.results.store import RunStore, TrialStore

FOUND, NOT_FOUND = 0, 1
STOP = 128
WHOLE_KERNEL = "kernel=."
CONFIDENCE = 0.95
# Options for each run. The bisection itself decides which runs there are, and how they are shown.
GIVEN = tuple(option.name for option in OPTIONS if option.name not in ("run", "resume", "repeat", "profile", "live"))

F = TypeVar("F", bound=Callable[..., Any])


def _certainty(command: F) -> F:
    share = click.FloatRange(min=0.0, max=1.0, min_open=True, max_open=True)
    for option in (
        click.option(
            "--confidence", type=share, default=CONFIDENCE, show_default=True, help="how sure the answer must be"
        ),
        click.option(
            "--probability",
            "rate",
            type=click.FloatRange(min=0.0, max=1.0, min_open=True),
            metavar="P",
            help="estimated share of a bad side's runs that hang (default: unknown, at least 0.1)",
        ),
    ):
        command = option(command)
    return command


@click.command()
@click.argument("case", required=False, metavar="CASE")
@click.option("--good", metavar="REV", help="where it does not hang: a commit, or a number (default: the first)")
@click.option("--bad", metavar="REV", help="where it hangs: a commit, or a number (default: the last)")
@click.option("--tree", type=click.Path(path_type=Path), metavar="DIR", help="bisect the commits of a git tree")
@click.option("--build", metavar="COMMAND", help="command that builds a commit, in a separate worktree")
@click.option(
    "--side",
    default=WHOLE_KERNEL,
    show_default=True,
    metavar="TEXT",
    help="how a built commit is run, such as module=drivers/block/nbd.ko",
)
@click.option("--first-parent", is_flag=True, help="only the commits of the main line, including merges")
@click.option("--list", "listed", type=click.Path(path_type=Path), metavar="FILE", help="bisect sides, one per line")
@click.option("--patches", type=click.Path(path_type=Path), metavar="DIR", help="bisect a series of patches")
@click.option("--signature", metavar="TEXT", help="the hang or crash to look for (default: that of the bad end)")
@click.option("--resume", metavar="RUN", help="go on with a bisection that was interrupted")
@_certainty
@harness_options(*GIVEN)
def bisect(case: str | None, resume: str | None, results: str | None, **options: Any) -> int:
    """Find the first bad commit, kernel or patch of a hang that shows in only some runs of CASE.

    Each run goes to the side from which most information is expected, until the answer has the confidence asked for.
    Crashes of another kind and kernels that do not boot do not count.

    Exit codes: 0 found, 1 not found, 2 usage or environment, 130 interrupted.
    """
    if resume is not None:
        _only_resume(case, options)
        return _go_on(find_run(resume, results))
    if case is None:
        raise UsageError("name the case that hangs, such as testcases/test_nbd_swap.py::test_stock")
    given = {name: options.pop(name) for name in GIVEN if name != "results"}
    return _go_on(_begin(case, {**given, "results": results}, options))


class _Step(click.Command):
    """A command whose exit codes are for git: to git, 2 means a bad commit, and 128 stops the bisection."""

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        try:
            return super().make_context(*args, **extra)
        except (click.UsageError, HarnessError) as error:
            _tell_git(error.format_message() if isinstance(error, click.UsageError) else str(error))
            raise click.exceptions.Exit(STOP) from error

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except HarnessError as error:
            _tell_git(str(error))
        except Exception:
            traceback.print_exc()
        return STOP


def _tell_git(text: str) -> None:
    click.echo(f"harness: {text}", err=True)


@click.command("bisect-step", cls=_Step)
@click.argument("case", metavar="CASE")
@click.option("--signature", metavar="TEXT", required=True, help="what is bad, such as 'DEADLOCKED, swap_over_network'")
@_certainty
@harness_options(*GIVEN)
def bisect_step(case: str, signature: str, confidence: float, rate: float | None, **given: str | None) -> int:
    """Run CASE for `git bisect run`: exit code 0 good, 1 bad, 125 skip.

    CASE runs until it hangs, but no more often than a bad commit needs to hang with the confidence asked for:

        git bisect run sh -c 'make -j8 || exit 125; harness bisect-step --kernel . --signature DEADLOCKED CASE'

    Any other failure ends with 128, which stops git; Ctrl-C ends with 130.
    """
    from harness.bisect.signature import read_signature
    from harness.bisect.step import step

    sought = read_signature(signature)
    store = _new_run(given, {"case": case})
    run = partial(_run_one, case, _texts(given), store.path, "stock")
    return step(run, click.echo, sought=sought, rate=rate, confidence=confidence)


def _only_resume(case: str | None, options: dict[str, Any]) -> None:
    context = click.get_current_context()
    sources = (click.core.ParameterSource.COMMANDLINE, click.core.ParameterSource.ENVIRONMENT)
    named = [name for name in options if context.get_parameter_source(name) in sources]
    if case is not None or named:
        raise UsageError("--resume goes on as it was begun; leave out everything else but --results")


def _begin(case: str, given: dict[str, str | None], asked: dict[str, Any]) -> RunStore:
    """Make a new run's folder, with the plan in it."""
    from harness.bisect.record import Plan, write_plan

    tree: Path | None = asked["tree"]
    plan = Plan(
        case=case,
        folder=str(Path.cwd()),
        candidates=_candidates(asked),
        confidence=asked["confidence"],
        rate=asked["rate"],
        signature=asked["signature"] or "",
        tree="" if tree is None else str(tree.resolve()),
        build=asked["build"] or "",
        side="" if tree is None else asked["side"],
        given=_texts(given),
    )
    assert plan.setting  # reports an unreadable signature before anything is made
    store = _new_run(given, {"case": case})
    write_plan(store.path, plan)
    return store


def _candidates(asked: dict[str, Any]) -> Candidates:
    from harness.bisect.candidates import read_list, read_series
    from harness.bisect.tree import GitTree

    good, bad, build = asked["good"], asked["bad"], (asked["build"] or "").strip()
    sources = [name for name in ("tree", "listed", "patches") if asked[name] is not None]
    if len(sources) != 1:
        raise UsageError("say what to bisect, with one of --tree DIR, --list FILE or --patches DIR")
    if sources != ["tree"] and (build or asked["first_parent"]):
        raise UsageError("--build and --first-parent are for a --tree")
    if asked["listed"] is not None:
        return read_list(asked["listed"], good=good, bad=bad)
    if asked["patches"] is not None:
        return read_series(asked["patches"], good=good, bad=bad)
    if good is None or bad is None or not build:
        raise UsageError("--tree needs --good REV, --bad REV and --build COMMAND, such as --build 'make -j8'")
    return GitTree(asked["tree"]).candidates(good, bad, first_parent=asked["first_parent"])


def _go_on(store: RunStore) -> int:
    from harness.bisect.record import read_plan
    from harness.results.run_lock import take_over

    plan = read_plan(store.path)
    with take_over(store.path):
        try:
            os.chdir(plan.folder)
        except OSError as error:
            raise UsageError(f"{store.path}: begun in {plan.folder}, which is gone: {error.strerror}") from error
        return _bisect(store, plan)


def _bisect(store: RunStore, plan: Plan) -> int:
    from harness.bisect.bench import CaseBench
    from harness.bisect.log import NAME, BisectLog
    from harness.bisect.loop import Bisection
    from harness.bisect.state import End, State
    from harness.bisect.words import conclude

    log = BisectLog(store.path / NAME)
    state = State(plan.candidates, plan.setting)
    bench = CaseBench(plan, store.path, partial(_run_one, plan.case, plan.given, store.path))
    click.echo(f"{len(plan.candidates.sides)} sides, log in {log.path}")
    try:
        conclusion: Conclusion = Bisection(state, log, store, bench, click.echo).run()
    except KeyboardInterrupt:
        click.echo(f"interrupted; go on with: harness bisect --resume {store.path}", err=True)
        raise
    text = conclude(state, conclusion, commits=bool(plan.tree))
    log.finish(text, _culprit(state, conclusion))
    bench.clear()
    click.echo(text)
    return FOUND if conclusion.end is End.FOUND else NOT_FOUND


def _culprit(state: State, conclusion: Conclusion) -> Candidate | None:
    culprits = conclusion.answer.culprits
    sure = conclusion.end.value == "found" and len(culprits) == 1
    return state.candidates.sides[culprits[0]] if sure else None


def _run_one(case: str, given: Mapping[str, str], run: Path, side_text: str) -> TrialStore:
    from harness.plugin.repeat import run_one

    return run_one(case, side_text=side_text, given_options=given, run_folder=run)


def _texts(given: dict[str, str | None]) -> dict[str, str]:
    return {name: text for name, text in given.items() if text is not None}


def _new_run(given: dict[str, str | None], facts: dict[str, Any]) -> RunStore:
    from harness.results.store import RunStore

    started = datetime.now(UTC).isoformat(timespec="seconds")
    return RunStore.create(resolve_options(given).settings.results, manifest={**facts, "started": started})
