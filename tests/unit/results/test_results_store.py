"""The run store: written as it happens, whole or not at all, readable after anything."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
from datetime import datetime
from pathlib import Path

import pytest
from diagnoses import VARIED
from hypothesis import given
from hypothesis import strategies as st

from harness.model.errors import HostEnvironmentError, UsageError
from harness.model.history import Event, Kind
from harness.model.verdict import Verdict, VerdictKind
from harness.results.files import DamagedResult, write_json
from harness.results.store import Entry, RunStore, TrialStore, folder_name, is_as_expected

SURVIVED = Verdict(kind=VerdictKind.SURVIVED, summary="all passes complete")


def note(text: str, t: float = 1.0) -> Event:
    return Event(t, Kind.NOTE, "client", {"text": text})


@pytest.fixture
def run(tmp_path: Path) -> RunStore:
    return RunStore.create(tmp_path / "results", manifest={"kernel": "6.1"})


@pytest.fixture
def trial(run: RunStore) -> TrialStore:
    return run.trial("testcases/test_nbd_swap.py::test_stock", expected="deadlock")


def test_a_run_is_named_after_the_time_and_never_shared(tmp_path: Path) -> None:
    now = datetime(2026, 1, 2, 3, 4, 5)
    runs = {RunStore.create(tmp_path, manifest={}, now=now).name for _ in range(3)}
    assert len(runs) == 3
    assert all(name.startswith("20260102-030405-") for name in runs)


def test_runs_are_listed_and_reopened(run: RunStore) -> None:
    (run.path.parent / "README.md").write_text("not a run")
    (run.path.parent / "empty").mkdir()
    assert [found.path for found in RunStore.runs(run.path.parent)] == [run.path]
    assert RunStore.open(run.path).read_manifest() == {"kernel": "6.1"}


def test_opening_something_else_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"not a run folder .*give a folder below results/"):
        RunStore.open(tmp_path)


def test_manifest_facts_are_merged(run: RunStore) -> None:
    run.merge_manifest({"modules": {"nbd.ko": "stock"}, "workers": 1})
    RunStore.open(run.path).merge_manifest({"modules": {"nfsd.ko": "variant"}, "workers": 2})
    assert run.read_manifest() == {
        "kernel": "6.1",
        "modules": {"nbd.ko": "stock", "nfsd.ko": "variant"},
        "workers": 2,
    }


def test_manifest_facts_from_several_processes_are_all_kept(run: RunStore) -> None:
    code = (
        "import sys; from pathlib import Path; from harness.results.store import RunStore\n"
        "run = RunStore.open(Path(sys.argv[1]))\n"
        "for n in range(15): run.merge_manifest({'facts': {f'{sys.argv[2]}{n}': n}})\n"
    )
    workers = [subprocess.Popen([sys.executable, "-c", code, str(run.path), name]) for name in "abc"]
    assert [worker.wait() for worker in workers] == [0, 0, 0]
    assert len(run.read_manifest()["facts"]) == 45


def test_a_damaged_manifest_is_reported(run: RunStore) -> None:
    (run.path / "manifest.json").write_text('{"kernel": "6.')
    with pytest.raises(DamagedResult, match=r"manifest\.json: damaged: not JSON"):
        run.read_manifest()
    (run.path / "manifest.json").write_text("[]")
    with pytest.raises(DamagedResult, match="not a JSON object"):
        run.read_manifest()


def test_trials_keep_their_names_apart_and_in_order(run: RunStore) -> None:
    names = ["b/test_z.py::test_x[1]", "b/test_z.py::test_x[1]", "a/test_z.py::test_x[1]", "c.py::test_a"]
    slugs = [run.trial(name).slug for name in names]
    assert len(set(slugs)) == 4
    assert [trial.name for trial in RunStore.open(run.path).trials()] == names


def test_trials_of_an_empty_run(run: RunStore) -> None:
    assert run.trials() == []


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("testcases/test_nbd_swap.py::test_stock[6.1-a b]", "test_nbd_swap.test_stock-6.1-a-b"),
        ("a/b.py::TestX::test_y", "b.TestX.test_y"),
        ("../../etc/passwd", "etc-passwd"),
        ("..", "unnamed"),
        ("", "unnamed"),
        ("größe", "gr-e"),
    ],
)
def test_folder_names(name: str, folder: str) -> None:
    assert folder_name(name) == folder


@given(st.text(st.characters(categories=None)))
def test_folder_names_are_always_safe(name: str) -> None:
    folder = folder_name(name)
    assert folder.isascii()
    assert 0 < len(folder) <= 100
    assert folder not in {".", ".."}
    assert not set(folder) & {"/", "\0", " "}
    assert not folder.startswith((".", "-"))


def test_history_is_on_disk_with_every_append(trial: TrialStore) -> None:
    trial.append(note("one"))
    assert [event.data["text"] for event in TrialStore(trial.path).read_history()] == ["one"]
    trial.append(note("two <\udc80\u202e\n>"))
    assert trial.read_history()[1] == note("two <\udc80\u202e\n>")
    assert len(trial.history_path.read_bytes().splitlines()) == 2


def test_a_trial_without_events_has_an_empty_history(trial: TrialStore) -> None:
    assert trial.read_history() == []
    assert trial.read_verdict() is None


def test_history_takes_appends_from_many_threads(trial: TrialStore) -> None:
    def append(name: int) -> None:
        for number in range(50):
            trial.append(note(f"{name}-{number}"))

    threads = [threading.Thread(target=append, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({event.data["text"] for event in trial.read_history()}) == 200


def test_history_survives_kill_nine(trial: TrialStore) -> None:
    code = (
        "import sys, time; from pathlib import Path\n"
        "from harness.model.history import Event, Kind; from harness.results.store import TrialStore\n"
        "trial = TrialStore(Path(sys.argv[1]))\n"
        "for n in range(100): trial.append(Event(n, Kind.NOTE, '', {'n': n}))\n"
        "print('ready', flush=True); time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(trial.path)], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        writer.send_signal(signal.SIGKILL)
    assert [event.data["n"] for event in trial.read_history()] == list(range(100))


def test_a_cut_last_line_is_ignored_and_does_not_spoil_the_next(trial: TrialStore) -> None:
    trial.append(note("whole"))
    trial.close()
    with trial.history_path.open("a") as file:
        file.write('{"t":2,"kind":"no')
    assert trial.read_history() == [note("whole")]
    trial.append(note("next"))
    assert [event.data["text"] for event in trial.read_history()] == ["whole", "next"]


@pytest.mark.parametrize(
    "line",
    [
        "gibberish",
        "[]",
        '{"t":1,"kind":"nonsense","host":"","data":{}}',
        '{"t":NaN,"kind":"note","host":"","data":{}}',
        '{"t":1e300,"kind":"note","host":"","data":{}}',
        '{"t":-1,"kind":"note","host":"","data":{}}',
        "[" * 100_000,
        '{"t":1' + "0" * 400 + ',"kind":"note","host":"","data":{}}',
    ],
)
def test_a_damaged_line_is_named(trial: TrialStore, line: str) -> None:
    trial.append(note("good"))
    with trial.history_path.open("a") as file:
        file.write(line + "\n")
    trial.append(note("also good"))
    events, damaged = trial.scan_history()
    assert (len(events), damaged) == (2, [2])
    with pytest.raises(DamagedResult, match=r"history\.jsonl: damaged: line 2 is not an event"):
        trial.read_history()


def test_full_disk_on_append_is_one_line_with_a_way_out(trial: TrialStore) -> None:
    trial.history_path.symlink_to("/dev/full")
    with pytest.raises(HostEnvironmentError, match=r"cannot write .*history\.jsonl: No space left") as caught:
        trial.append(note("x"))
    assert "df -h" in caught.value.remedy
    assert "\n" not in str(caught.value)


def test_an_append_that_fails_half_way_leaves_no_half_line(trial: TrialStore, monkeypatch: pytest.MonkeyPatch) -> None:
    trial.append(note("before"))
    with monkeypatch.context() as patch:
        real, calls = os.write, iter(range(2))

        def short_then_full(handle: int, data: bytes) -> int:
            if next(calls):
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(handle, data[:7])

        patch.setattr(os, "write", short_then_full)
        with pytest.raises(HostEnvironmentError):
            trial.append(note("lost"))
    trial.append(note("after"))
    assert [event.data["text"] for event in trial.read_history()] == ["before", "after"]


def test_full_disk_never_leaves_half_a_file(trial: TrialStore, monkeypatch: pytest.MonkeyPatch) -> None:
    trial.write_verdict(SURVIVED, {"wall_s": 1.0})
    before = trial.verdict_path.read_bytes()

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(HostEnvironmentError, match=r"cannot write .*verdict\.json: No space left"):
        trial.write_verdict(SURVIVED, {"wall_s": 2.0})
    assert trial.verdict_path.read_bytes() == before
    assert not list(trial.path.glob(".*.tmp"))


def test_a_results_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("in the way")
    with pytest.raises(HostEnvironmentError, match=r"cannot write .*results: "):
        RunStore.create(tmp_path / "results", manifest={})


def test_verdict_file(trial: TrialStore) -> None:
    verdict = Verdict(kind=VerdictKind.DEADLOCKED, summary="stopped", onset_s=18.2, reasons=("because",))
    trial.write_verdict(verdict, {"wall_s": 63.0, "attempt": 1})
    record = json.loads(trial.verdict_path.read_bytes())
    assert record == trial.read_verdict()
    assert Verdict.from_dict(record) == verdict
    assert record["name"] == "testcases/test_nbd_swap.py::test_stock"
    assert (record["expected"], record["as_expected"]) == ("deadlock", True)
    assert (record["wall_s"], record["attempt"]) == (63.0, 1)


def test_verdict_of_the_wrong_kind_is_not_as_expected(trial: TrialStore) -> None:
    trial.write_verdict(SURVIVED, {})
    record = trial.read_verdict()
    assert record is not None
    assert record["as_expected"] is False


def test_extra_cannot_change_the_verdict(trial: TrialStore) -> None:
    with pytest.raises(ValueError, match="belong to the verdict itself: verdict"):
        trial.write_verdict(SURVIVED, {"verdict": "CRASHED"})


def test_damaged_verdict_is_reported(trial: TrialStore) -> None:
    trial.verdict_path.write_text("")
    with pytest.raises(DamagedResult, match=r"verdict\.json"):
        trial.read_verdict()


@pytest.mark.parametrize(
    ("kind", "expected", "agrees"),
    [
        (VerdictKind.SURVIVED, "survives", True),
        (VerdictKind.STALLED, "survives", False),
        (VerdictKind.DEADLOCKED, "deadlock", True),
        (VerdictKind.INCONCLUSIVE, "deadlock", False),
        (VerdictKind.OOM_KILLED, "oom", True),
        (VerdictKind.CRASHED, "anything", True),
        (VerdictKind.LOST, "anything", False),
    ],
)
def test_as_expected(kind: VerdictKind, expected: str, agrees: bool) -> None:
    assert is_as_expected(kind, expected) is agrees


def test_an_unknown_expectation_names_the_words() -> None:
    with pytest.raises(ValueError, match="the words are: stall, livelock"):
        is_as_expected(VerdictKind.SURVIVED, "hang")


def test_a_trial_says_which_of_many_it_is(run: RunStore) -> None:
    made = run.of(Entry(side="b", number=3, case="test_x.py::test_y")).trial("test_x.py::test_y[b-3]")
    plain = run.trial("test_x.py::test_y")
    assert [(trial.side, trial.number, trial.case) for trial in (made, plain)] == [
        ("b", 3, "test_x.py::test_y"),
        ("", 1, "test_x.py::test_y"),
    ]
    (made.path / "trial.json").write_text('{"name": "older"}')
    assert (made.side, made.number, made.case) == ("", 1, "older")


def test_trials_of_a_name_are_no_others(run: RunStore) -> None:
    names = ["test_x.py::test_y", "test_x.py::test_y[a]", "test_x.py::test_y", "test_x.py::test_y_y"]
    first, _, third, _ = (run.trial(name) for name in names)
    assert [trial.path for trial in run.trials(names[0])] == [first.path, third.path]
    assert [trial.name for trial in run.trials()] == names


@pytest.mark.parametrize(
    ("text", "finished"),
    [
        (None, False),
        ("{", False),
        ('{"verdict": "SURVIVED"}', False),
        ('{"verdict": "SURVIVED", "summary": ""}', True),
        ('{"verdict": "DEADLOCKED", "summary": ""}', True),
        ('{"verdict": "LOST", "summary": ""}', False),
        ('{"verdict": "INCONCLUSIVE", "summary": ""}', False),
        ('{"verdict": "UNHEARD_OF", "summary": ""}', False),
    ],
)
def test_a_trial_is_finished_by_a_verdict_about_the_kernel(
    run: RunStore, trial: TrialStore, text: str | None, finished: bool
) -> None:
    if text is not None:
        trial.verdict_path.write_text(text)
    assert trial.is_finished is finished
    assert [found.path for found in [run.finished(trial.name)] if found] == [trial.path] * finished
    aside = run.set_aside_unfinished()
    assert aside == ([] if finished else [trial.path.with_name(f"{trial.slug}.unfinished")])
    assert len(run.trials()) == finished


def test_what_is_set_aside_is_never_deleted_or_counted_and_its_name_is_free(run: RunStore) -> None:
    for _ in range(3):
        run.trial("t").append(note("one"))
        run.set_aside_unfinished()
    assert sorted(path.name for path in run.path.glob("trials/*")) == [
        "t.unfinished",
        "t.unfinished-2",
        "t.unfinished-3",
    ]
    assert len(list(run.path.glob("trials/*/history.jsonl"))) == 3
    assert run.trials() == run.trials("t") == []


def test_a_folder_that_a_kill_left_without_a_name_is_set_aside(run: RunStore) -> None:
    (run.trial("t").path / "trial.json").unlink()
    assert [path.name for path in run.set_aside_unfinished()] == ["t.unfinished"]


def test_no_name_of_a_trial_looks_as_if_it_were_set_aside(run: RunStore) -> None:
    made = [run.trial("test_x.py::test_y[a.unfinished]") for _ in range(2)]
    assert [trial.path for trial in run.trials(made[0].name)] == [trial.path for trial in made]


def test_paths_of_consoles_and_evidence(trial: TrialStore) -> None:
    assert trial.console("client").relative_to(trial.path) == Path("consoles/client.log")
    assert trial.console("../x").parent == trial.path / "consoles"
    assert trial.evidence.is_dir()


def test_names_survive_a_missing_or_damaged_trial_file(trial: TrialStore) -> None:
    (trial.path / "trial.json").write_text("{")
    assert TrialStore(trial.path).name == trial.slug
    (trial.path / "trial.json").unlink()
    assert TrialStore(trial.path).expected == "survives"


def test_json_is_ascii_and_takes_any_text(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"text": "\udc80\u202e\x1b", "path": Path("a")})
    content = (tmp_path / "x.json").read_bytes()
    assert content.isascii()
    assert b"\x1b" not in content
    assert json.loads(content) == {"text": "\udc80\u202e\x1b", "path": "a"}


@pytest.mark.parametrize("name", VARIED)
def test_a_diagnosis_is_read_as_it_was_written(trial: TrialStore, name: str) -> None:
    trial.write_diagnosis(VARIED[name])
    assert TrialStore(trial.path).read_diagnosis() == VARIED[name]
    assert trial.diagnosis_path.read_bytes().isascii()


def test_nothing_to_explain_is_recorded_too(trial: TrialStore) -> None:
    assert trial.read_diagnosis() is None
    assert not trial.diagnosis_path.exists()
    trial.write_diagnosis(None)
    assert json.loads(trial.diagnosis_path.read_bytes()) is None
    assert trial.read_diagnosis() is None


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", '{"class": "x", "confidence": "high", "title": ""}', '{"class": 7}']
)
def test_a_damaged_diagnosis_is_reported(trial: TrialStore, content: str) -> None:
    trial.diagnosis_path.write_text(content)
    with pytest.raises(DamagedResult, match=r"diagnosis\.json: damaged: not"):
        trial.read_diagnosis()


def test_damage_deep_in_a_diagnosis_is_reported(trial: TrialStore) -> None:
    trial.write_diagnosis(VARIED["nfs"])
    record = json.loads(trial.diagnosis_path.read_bytes())
    damaged: list[object] = [7, [7], [{}], [{"kind": "gremlin"}]]
    for nodes in damaged:
        write_json(trial.diagnosis_path, {**record, "nodes": nodes})
        with pytest.raises(DamagedResult, match="not a diagnosis"):
            trial.read_diagnosis()


def test_the_texts_of_each_host(trial: TrialStore, tmp_path: Path) -> None:
    trial.console("alone").write_bytes(b"console \xff")
    trial.console("a").write_bytes(b"of a")
    (trial.evidence / "alone.sysrq-w.txt").write_bytes(b"w")
    (trial.evidence / "a.proc-vmstat.txt").write_bytes(b"v")
    (trial.evidence / "third.registers.txt").write_bytes(b"r")
    (tmp_path / "secret").write_text("not of this run")
    (trial.evidence / "a.link.txt").symlink_to(tmp_path / "secret")
    assert trial.texts() == {
        "a": [("consoles/a.log", b"of a"), ("evidence/a.proc-vmstat.txt", b"v")],
        "alone": [("consoles/alone.log", b"console \xff"), ("evidence/alone.sysrq-w.txt", b"w")],
        "third": [("evidence/third.registers.txt", b"r")],
    }


def test_a_trial_that_left_nothing_has_no_texts(trial: TrialStore) -> None:
    assert trial.texts() == {}
