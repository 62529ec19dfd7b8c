"""The `harness` command: exit codes, one line for a mistake, and what it makes of a run's files."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

import harness
from harness.cli import call
from harness.cli.progress import Bars
from harness.model.errors import BootError
from harness.model.history import Event, Kind
from harness.model.settings import Settings
from harness.model.verdict import Verdict, VerdictKind
from harness.results.store import RunStore

Capture = pytest.CaptureFixture[str]
SURVIVED = Verdict(kind=VerdictKind.SURVIVED, summary="done")


@dataclass
class Check:
    name: str
    ok: bool
    detail: str
    remedy: str = ""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to be in, and home folders of one's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("XDG_STATE_HOME", "XDG_CACHE_HOME", "HARNESS_STATE", "HARNESS_RESULTS"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "pytest.ini").write_text("[pytest]\nharness_results = kept\n")
    return tmp_path


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Put functions in place of a module's."""

    def put(name: str, **functions: object) -> None:
        monkeypatch.setitem(sys.modules, name, SimpleNamespace(**functions))

    return put


def make_run(folder: Path) -> RunStore:
    store = RunStore.create(folder, manifest={})
    trial = store.trial("test_x.py::test_swap")
    trial.append(Event(0.0, Kind.TRIAL, data={"name": "x"}))
    trial.close()
    trial.write_verdict(SURVIVED, {"wall_s": 3.0})
    return store


def test_version(capsys: Capture) -> None:
    assert call(["--version"]) == 0
    assert harness.__version__ in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["cleen"], "The commands are: clean, doctor, prepare, report, run, verdict."),
        (["run", "--bugdet", "1"], "--budget"),
        (["run", "--budget", "x"], "--budget: 'x' is no factor"),
        (["run", "--accel", "kwm"], "--accel: 'kwm' is none of auto, kvm, tcg"),
        (["run", "-n", "-1"], "-1"),
        (["report"], "no runs there; name a run's folder, or the results folder with --results"),
        (["report", "--results", "/nowhere"], "/nowhere: no runs there"),
    ],
)
def test_a_mistake_is_one_line(capsys: Capture, arguments: list[str], message: str) -> None:
    assert call(arguments) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("harness: ")
    assert message in captured.err


def test_a_folder_that_is_no_run(capsys: Capture, tmp_path: Path) -> None:
    assert call(["report", str(tmp_path)]) == 2
    assert "not a run folder" in capsys.readouterr().err


def test_report_of_the_newest_run_of_the_ini_files_results(
    capsys: Capture, module: Callable[..., None], tmp_path: Path
) -> None:
    run = make_run(tmp_path / "kept")
    module("harness.results.report", write_report=lambda path: path / "report.html")
    assert call(["report"]) == 0
    assert capsys.readouterr().out.strip() == str(run.path / "report.html")
    assert call(["report", "other"]) == 2
    assert f"the newest there is {run.name}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("again", "status", "cell"),
    [
        (SURVIVED, 0, " yes "),
        (replace(SURVIVED, kind=VerdictKind.LOST), 1, "kind differ"),
        (replace(SURVIVED, onset_s=1.0), 1, "onset_s differ"),
    ],
)
def test_verdict_is_computed_again_and_compared(
    capsys: Capture, module: Callable[..., None], tmp_path: Path, again: Verdict, status: int, cell: str
) -> None:
    run = make_run(tmp_path / "kept")
    module("harness.verdicts.judge", judge=lambda events: again if len(events) == 1 else None)
    assert call(["verdict", run.name]) == status
    out = capsys.readouterr().out
    assert again.kind.value in out
    assert cell in out


def test_verdict_of_damaged_files(capsys: Capture, module: Callable[..., None], tmp_path: Path) -> None:
    run = make_run(tmp_path / "kept")
    run.trials()[0].verdict_path.write_text("{}")
    module("harness.verdicts.judge", judge=lambda events: SURVIVED)
    assert call(["verdict", str(run.path)]) == 1
    assert "damaged" in capsys.readouterr().out


def test_doctor_says_what_is_missing_and_the_way_out(capsys: Capture, module: Callable[..., None]) -> None:
    seen: list[bool] = []

    def check(settings: Settings, *, quick: bool) -> list[Check]:
        seen.append(quick)
        return [Check("QEMU", True, "7.2"), Check("VDE", False, "no vde_switch", "apt-get install vde2")]

    module("harness.targets.doctor", check=check)
    assert call(["doctor", "--quick"]) == 2
    out = capsys.readouterr().out
    assert "QEMU" in out and "apt-get install vde2" in out
    module("harness.targets.doctor", check=lambda settings, quick: [Check("QEMU", True, "7.2")])
    assert call(["doctor"]) == 0
    assert seen == [True]


def test_clean_of_an_empty_state(capsys: Capture, tmp_path: Path) -> None:
    assert call(["clean", "--state", str(tmp_path / "s")]) == 0
    assert capsys.readouterr().out == "nothing to remove\n"


def failing(error: BaseException) -> Callable[..., None]:
    def prepare(settings: Settings, progress: object) -> None:
        raise error

    return prepare


def test_an_error_is_lines_without_traceback(capsys: Capture, module: Callable[..., None]) -> None:
    error = BootError(host="small", problem="silent", console_tail="\x1b[31mpanic")
    module("harness.targets.machines", prepare=failing(error))
    assert call(["prepare"]) == 2
    assert capsys.readouterr().err == "harness: small: silent; last console lines:\npanic\n"
    assert call(["--debug", "prepare"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_ctrl_c(capsys: Capture, module: Callable[..., None]) -> None:
    module("harness.targets.machines", prepare=failing(KeyboardInterrupt()))
    assert call(["prepare"]) == 130
    assert "Traceback" not in capsys.readouterr().err


def test_a_bug_is_not_taken_for_a_failed_expectation(capsys: Capture, module: Callable[..., None]) -> None:
    module("harness.targets.machines", prepare=failing(ZeroDivisionError()))
    assert call(["prepare"]) == 2
    assert "ZeroDivisionError" in capsys.readouterr().err


def bars(*steps: tuple[str, float | None], terminal: bool) -> str:
    file = io.StringIO()
    with Bars(Console(file=file, force_terminal=terminal, width=100)) as progress:
        for what, done in steps:
            progress.step(what, done)
    return file.getvalue()


def test_progress_without_a_terminal_is_a_line_for_each_step() -> None:
    steps = [("guest image", 0.0), ("guest image", 0.5), ("[bold]module\x1b[2J", None)]
    assert bars(*steps, terminal=False) == "guest image …\n[bold]module …\n"


def test_progress_on_a_terminal_has_a_bar() -> None:
    text = bars(("guest image", 0.5), ("module", None), terminal=True)
    assert "guest image" in text and "100%" in text
