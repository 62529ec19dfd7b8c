"""`harness explain`, and the diagnosis in a terminal."""

from __future__ import annotations

import io
import shlex
from collections.abc import Sequence
from pathlib import Path

import pytest
from diagnoses import LOOPBACK_NBD, LOOPBACK_NFS, UNKNOWN, UNREACHABLE
from histories import deadlock
from rich.console import Console

from harness.cli import call
from harness.cli.diagnosis_view import render
from harness.cli.explain import COMMANDS, commands
from harness.model.diagnosis import Cited, Diagnosis
from harness.model.history import Event, Kind
from harness.model.verdict import Verdict, VerdictKind
from harness.results.store import RunStore, TrialStore

Capture = pytest.CaptureFixture[str]
DEADLOCKED = Verdict(kind=VerdictKind.DEADLOCKED, summary="it stopped", onset_s=16.0, certain_s=21.0)
SURVIVED = Verdict(kind=VerdictKind.SURVIVED, summary="done")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to be in, with results of one's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("HARNESS_RESULTS", raising=False)
    (tmp_path / "pytest.ini").write_text("[pytest]\nharness_results = kept\n")
    return tmp_path


@pytest.fixture
def run(tmp_path: Path) -> RunStore:
    """A survivor and a deadlock."""
    store = RunStore.create(tmp_path / "kept", manifest={})
    survivor = store.trial("cases/test_x.py::test_stock")
    survivor.write_verdict(SURVIVED, {})
    survivor.write_diagnosis(None)
    hung = store.trial("cases/test_x.py::test_loop[a/b]", expected="deadlock")
    for event in deadlock().events:
        hung.append(event)
    hung.close()
    hung.write_verdict(DEADLOCKED, {})
    hung.write_diagnosis(LOOPBACK_NBD)
    hung.console("client").write_text("said\n")
    (hung.evidence / "client.sysrq-w.txt").write_text("shown\n")
    return store


def printed(diagnosis: Diagnosis, encoding: str = "utf-8") -> str:
    """What a terminal of that encoding is given; an unprintable letter raises."""
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict")
    Console(file=file, width=130).print(render(diagnosis))
    file.seek(0)
    return file.read()


def test_a_hang_is_explained_and_a_survivor_is_not(capsys: Capture, run: RunStore) -> None:
    assert call(["explain"]) == 0
    out = capsys.readouterr().out
    for words in (
        "test_loop[a/b]",
        "DEADLOCKED: it stopped",
        "16.0 s  c1: the storage under test stops;",
        "recovery probe: the workload is held",
        LOOPBACK_NBD.title,
        "↩ the circle is closed",
        "to look further:",
    ):
        assert words in out
    assert "test_stock" not in out


def test_known_hardware_stands_beside_the_verdict(capsys: Capture, tmp_path: Path) -> None:
    store = RunStore.create(tmp_path / "kept", manifest={})
    hung = store.trial("t", expected="deadlock")
    known = {"device": "mthca0", "what": "it stops", "way_out": "buy another", "source": "a page", "links": ["lan"]}
    for event in deadlock().add(Kind.HOST, "ib1", facts={"known_bad": [known, {**known, "links": []}]}).events:
        hung.append(event)
    hung.close()
    hung.write_verdict(DEADLOCKED, {})
    assert call(["explain"]) == 0
    said = [line for line in capsys.readouterr().out.splitlines() if "known hardware" in line]
    assert said == ["known hardware: ib1, link lan over mthca0: it stops; buy another [a page]"]


@pytest.mark.parametrize("name", ["test_x.test_stock", "cases/test_x.py::test_stock", "trials/test_x.test_stock/"])
def test_a_trial_is_named_by_folder_or_name(capsys: Capture, run: RunStore, name: str) -> None:
    for prefix in (run.name, str(run.path)):
        assert call(["explain", f"{prefix}/{name}"]) == 0
        out = capsys.readouterr().out
        assert "SURVIVED: done" in out
        assert "DEADLOCKED" not in out


def test_a_name_with_slashes(capsys: Capture, run: RunStore) -> None:
    assert call(["explain", f"{run.name}/cases/test_x.py::test_loop[a/b]"]) == 0
    assert "DEADLOCKED" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("{run}/nonsense", "no trial 'nonsense' in run {run}; there are: test_x.test_stock, test_x.test_loop-a-b"),
        ("nonsense", "no run 'nonsense', neither as a folder nor in "),
        ("nonsense/x", "no run 'nonsense/x', neither as a folder nor in "),
        ("kept", "not a run folder"),
    ],
)
def test_a_name_of_nothing_is_one_line(capsys: Capture, run: RunStore, name: str, message: str) -> None:
    assert call(["explain", name.format(run=run.name)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message.format(run=run.name) in line


def test_a_trial_in_place_of_a_run_is_told_so(capsys: Capture, run: RunStore) -> None:
    for name in (str(run.trials()[0].path), f"{run.name}/trials/{run.trials()[0].slug}"):
        assert call(["verdict", name]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert f"that is a trial; name its run, {run.name}" in line


def test_a_run_in_which_all_survived(capsys: Capture, tmp_path: Path) -> None:
    store = RunStore.create(tmp_path / "kept", manifest={})
    store.trial("t").write_verdict(SURVIVED, {})
    assert call(["explain"]) == 0
    assert "every trial survived; name one of t" in capsys.readouterr().out


def test_a_trial_that_was_killed(capsys: Capture, tmp_path: Path) -> None:
    store = RunStore.create(tmp_path / "kept", manifest={})
    trial = store.trial("t")
    trial.append(deadlock().events[0])
    trial.close()
    with trial.history_path.open("a") as file:
        file.write("garbage\n")
    assert call(["explain"]) == 0
    out = capsys.readouterr().out
    assert "NO VERDICT" in out
    assert "damaged lines: 1" in out


def test_a_run_older_than_diagnoses_is_diagnosed_now(
    capsys: Capture, run: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.trials()[1].diagnosis_path.unlink()
    seen: list[object] = []

    def now(trial: TrialStore, events: Sequence[Event]) -> Diagnosis:
        seen.append(trial.slug)
        return UNREACHABLE

    monkeypatch.setattr("harness.cli.explain.diagnose", now)
    assert call(["explain"]) == 0
    assert UNREACHABLE.title in capsys.readouterr().out
    assert seen == ["test_x.test_loop-a-b"]


def named_files(lines: list[str]) -> list[Path]:
    """The last word of each command."""
    return [Path(shlex.split(line)[-1]) for line in lines]


def test_commands_name_what_is_there_and_the_evidence_first(run: RunStore) -> None:
    trial = run.trials()[1]
    lines = commands(run, trial, LOOPBACK_NBD)
    assert len(lines) == COMMANDS
    assert lines[0].startswith("less +41 kept/")
    assert lines[0].endswith("/evidence/client.sysrq-w.txt")
    assert " scan " in lines[1] and " report " in lines[2]
    assert all(path.exists() for path in named_files(lines))


def test_commands_without_a_diagnosis(run: RunStore) -> None:
    first, second, third = commands(run, run.trials()[1], None)
    assert " scan " in first and "sysrq-w" in second and " report " in third


def test_commands_where_next_to_nothing_is_left(run: RunStore) -> None:
    survivor = run.trials()[0]
    lines = commands(run, survivor, UNKNOWN)
    assert len(lines) == COMMANDS
    assert [line.split()[-2].rpartition("/")[2] for line in lines] == ["report", "verdict", "less"]


def test_commands_of_a_path_with_blanks(tmp_path: Path) -> None:
    store = RunStore.create(tmp_path / "my results", manifest={})
    trial = store.trial("t")
    trial.console("a").write_text("x\n")
    assert all(path.exists() for path in named_files(commands(store, trial, None))[:2])


def test_a_chain_is_indented_and_the_circle_closed() -> None:
    lines = [line.strip("│ \n") for line in printed(LOOPBACK_NFS).splitlines()]
    start = lines.index("who waits for what")
    assert lines[start + 1].startswith("task bash (158426)")
    assert lines[start + 5] == "└── held by (for reading): task bash (158426) ↩ the circle is closed"
    assert "task systemd and others ×14, make a control group" in lines
    assert any("implied" in line for line in lines)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_without_unicode_gets_ascii(encoding: str) -> None:
    odd = Diagnosis(
        hang_class=UNKNOWN.hang_class,
        confidence=UNKNOWN.confidence,
        title="漢 ← …",
        nodes=LOOPBACK_NFS.nodes,
        edges=LOOPBACK_NFS.edges,
        cycle=LOOPBACK_NFS.cycle,
    )
    text = printed(odd, encoding)
    assert text.isascii()
    assert "\\u6f22 <- ..." in text
    assert "<- the circle is closed" in text
    assert "x14" in text


def test_what_a_guest_printed_does_not_drive_the_terminal() -> None:
    hostile = Diagnosis(
        hang_class=UNKNOWN.hang_class,
        confidence=UNKNOWN.confidence,
        title="\x1b[2Jgone\x07 [bold]",
        evidence=(Cited(source="console", line=1, text="\x1b]0;t\x07\u202e"),),
    )
    text = printed(hostile)
    assert "\x1b" not in text and "\u202e" not in text
    assert "[bold]" in text


def test_where_no_rule_fits_there_is_no_confidence() -> None:
    text = printed(UNKNOWN)
    assert "class: unknown, no rule fits " in text
    assert "confidence" not in text and "(unknown)" not in text


def test_where_the_chain_leaves_is_said() -> None:
    assert "where the chain ends: at the NFS server 192.168.7.2" in printed(UNREACHABLE)
