"""The `harness` command: exit codes, one line for a mistake, and what it makes of a run's files."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import click
import pytest
from diagnoses import LOOPBACK_NBD
from rich.console import Console

import harness
from harness.cli import _group, call
from harness.cli.options import Workers
from harness.cli.progress import Bars
from harness.doctor.doctor import Check
from harness.model.diagnosis import Diagnosis
from harness.model.errors import BootError
from harness.model.history import Event, Kind
from harness.model.observe import Progress
from harness.model.settings import Settings
from harness.model.verdict import Stall, Verdict, VerdictKind
from harness.results.store import RunStore

Capture = pytest.CaptureFixture[str]
SURVIVED = Verdict(kind=VerdictKind.SURVIVED, summary="done", stalls=(Stall(1.0, 5.0, True),))


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to be in, and home folders of one's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")  # no row of a table is broken
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
        (["cleen"], "The commands are: bisect, bisect-step, clean, "),
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


def test_without_a_command_the_help_is_shown(capsys: Capture) -> None:
    assert call([]) == 2
    err = capsys.readouterr().err
    assert err.startswith("Usage: harness ")
    assert "selftest" in err


HOSTS = ["Hosts that somebody owns:"]


def test_the_help_has_a_line_for_each_command_in_groups(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert call(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    headings = [line for line in lines if line.endswith(":") and not line.startswith(" ")]
    assert headings == ["Options:", "Run:", "Look at results:", "Guests by hand:", *HOSTS, "Kernels:", "Upkeep:"]
    listed = [line.split()[0] for line in lines[lines.index("Run:") :] if line[:3].strip() and line.startswith("  ")]
    names = _group.list_commands(click.Context(_group))
    assert sorted(name for name in listed if name in names) == names


def test_the_help_of_run_fits_on_a_screen(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert call(["run", "--help"]) == 0
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert len(lines) <= 39, "and the prompt below it"
    assert max(map(len, lines)) <= 80
    assert "HARNESS_" not in out and "ini harness_" not in out


def test_n_means_the_same_in_every_command() -> None:
    context = click.Context(_group)
    commands = {name: _group.get_command(context, name) for name in _group.list_commands(context)}
    options = [option for command in commands.values() if command is not None for option in command.params]
    parallel = [option for option in options if "-n" in option.opts]
    assert len(parallel) == 3
    assert {(option.name, option.metavar, type(option.type)) for option in parallel} == {("workers", "N|auto", Workers)}


@pytest.mark.parametrize(
    "command", [["selftest", "--list"], ["explain"], ["verdict"], ["doctor", "--help"], ["--help"]]
)
def test_a_reader_that_has_had_enough_is_no_failure(command: list[str], tmp_path: Path) -> None:
    make_run(tmp_path / "kept")
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([sys.executable, "-m", "harness.cli", *command], stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_pipe_that_is_not_the_output_is_a_bug(
    capsys: Capture, module: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.cli.terminal.reader_is_gone", lambda: False)
    module("harness.doctor.doctor", check=failing(BrokenPipeError(errno.EPIPE, "Broken pipe")))
    assert call(["doctor"]) == 2
    assert "internal error" in capsys.readouterr().err


def test_a_trials_name_is_whole_where_there_is_no_terminal(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("COLUMNS")
    run = make_run(tmp_path / "kept")
    name = "cases/test_stress.py::test_swap_over_a_network_block_device[small-guest/two-servers]"
    run.trial(name)
    call(["verdict", run.name])
    assert name in capsys.readouterr().out


def test_a_folder_that_is_no_run(capsys: Capture, tmp_path: Path) -> None:
    assert call(["report", str(tmp_path)]) == 2
    assert "not a run folder" in capsys.readouterr().err


def test_report_of_the_newest_run_of_the_ini_files_results(
    capsys: Capture, module: Callable[..., None], tmp_path: Path
) -> None:
    run = make_run(tmp_path / "kept")
    module("harness.report", write_report=lambda path: path / "report.html")
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
        (replace(SURVIVED, stalls=(Stall(1.00004, 5.0, True),), summary="said otherwise"), 0, " yes "),
        (replace(SURVIVED, stalls=(Stall(1.0, 5.5, True),)), 1, "stalls differ"),
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


@pytest.mark.parametrize(
    ("recorded", "again", "status", "cell"),
    [
        (LOOPBACK_NBD, LOOPBACK_NBD, 0, " the same "),
        (LOOPBACK_NBD, replace(LOOPBACK_NBD, title="in other words", evidence=()), 0, " the same "),
        (LOOPBACK_NBD, replace(LOOPBACK_NBD, cycle=()), 1, "now local_storage_server: cycle differ"),
        (LOOPBACK_NBD, None, 1, "now none: class, confidence, nodes, edges, cycle differ"),
        (None, None, 0, " the same "),
        (None, LOOPBACK_NBD, 1, "now local_storage_server: class"),
    ],
)
def test_diagnosis_is_computed_again_and_compared(
    capsys: Capture,
    module: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    recorded: Diagnosis | None,
    again: Diagnosis | None,
    status: int,
    cell: str,
) -> None:
    run = make_run(tmp_path / "kept")
    run.trials()[0].write_diagnosis(recorded)
    run.trials()[0].console("small").write_bytes(b"said")
    seen: list[object] = []

    def now(events: list[Event], texts: object) -> Diagnosis | None:
        seen.append(texts)
        return again

    module("harness.verdicts.judge", judge=lambda events: SURVIVED)
    module("harness.diagnosis", diagnose_trial=now)
    assert call(["verdict", run.name]) == status
    assert cell in capsys.readouterr().out
    assert seen == [{"small": [("consoles/small.log", b"said")]}]


def test_a_run_older_than_diagnoses_does_not_differ(
    capsys: Capture, module: Callable[..., None], tmp_path: Path
) -> None:
    run = make_run(tmp_path / "kept")
    module("harness.verdicts.judge", judge=lambda events: SURVIVED)
    assert call(["verdict", run.name]) == 0
    assert "not recorded" in capsys.readouterr().out


def test_verdict_of_damaged_files(capsys: Capture, module: Callable[..., None], tmp_path: Path) -> None:
    run = make_run(tmp_path / "kept")
    run.trials()[0].verdict_path.write_text("{}")
    module("harness.verdicts.judge", judge=lambda events: SURVIVED)
    assert call(["verdict", str(run.path)]) == 1
    assert "damaged" in capsys.readouterr().out


VDE = Check(name="VDE", ok=False, detail="no vde_switch", remedy="apt-get install vde2")


@pytest.mark.parametrize(
    ("checks", "status", "mark"),
    [
        ([Check(name="QEMU", ok=True, detail="7.2")], 0, "ok "),
        ([VDE], 2, "missing "),
        ([replace(VDE, required=False)], 0, "better "),
    ],
)
def test_doctor_says_what_is_missing_and_the_way_out(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, checks: list[Check], status: int, mark: str
) -> None:
    asked: list[bool] = []

    def check(settings: Settings, *, quick: bool, progress: Progress) -> list[Check]:
        progress.step("looking")
        asked.append(quick)
        return checks

    monkeypatch.setattr("harness.doctor.doctor.check", check)
    assert call(["doctor", "--quick"]) == status
    out = capsys.readouterr().out
    assert out.startswith(mark)
    assert ("apt-get install vde2" in out) == (not checks[0].ok)
    assert asked == [True]


def test_clean_of_an_empty_state(capsys: Capture, tmp_path: Path) -> None:
    assert call(["clean", "--state", str(tmp_path / "s")]) == 0
    assert capsys.readouterr().out == "nothing to remove\n"


def failing(error: BaseException) -> Callable[..., None]:
    def prepare(settings: Settings, progress: object, *, refresh: bool) -> None:
        raise error

    return prepare


def test_an_error_is_lines_without_traceback(capsys: Capture, module: Callable[..., None]) -> None:
    error = BootError(host="small", problem="silent", console_tail="\x1b[31mpanic")
    module("harness.guests.boot_spec", prepare=failing(error))
    assert call(["prepare"]) == 2
    assert capsys.readouterr().err == "harness: small: silent; last console lines:\npanic\n"
    assert call(["--debug", "prepare"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_ctrl_c(capsys: Capture, module: Callable[..., None]) -> None:
    module("harness.guests.boot_spec", prepare=failing(KeyboardInterrupt()))
    assert call(["prepare"]) == 130
    assert "Traceback" not in capsys.readouterr().err


def test_a_bug_is_not_taken_for_a_failed_expectation(capsys: Capture, module: Callable[..., None]) -> None:
    module("harness.guests.boot_spec", prepare=failing(ZeroDivisionError()))
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


def test_verdict_with_the_real_rules(capsys: Capture, tmp_path: Path) -> None:
    run = make_run(tmp_path / "kept")
    trial = run.trial("test_x.py::test_broken")
    trial.append(Event(0.0, Kind.TRIAL, data={"name": "broken"}))
    trial.append(Event(1.0, Kind.INFRA, data={"error": "no shell"}))
    trial.close()
    trial.write_verdict(Verdict(kind=VerdictKind.SURVIVED, summary="a lie"), {})
    assert call(["verdict", run.name]) == 1
    (row,) = [line for line in capsys.readouterr().out.splitlines() if "test_broken" in line]
    assert "INCONCLUSIVE" in row and "kind" in row


def test_a_full_disk_is_one_line_wherever_it_shows(capsys: Capture, module: Callable[..., None]) -> None:
    module("harness.guests.boot_spec", prepare=failing(OSError(errno.ENOSPC, "No space left on device")))
    assert call(["prepare"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("harness: the disk is full; ")
