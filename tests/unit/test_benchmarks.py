"""The parts of the benchmarks that compute: figures, replays of histories, readings. Nothing here boots or waits."""

from __future__ import annotations

import argparse
import base64
import json
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks import detection, overhead, startup, throughput
from benchmarks.common import virtme
from benchmarks.common.command import ROOT, arguments_of, guarded, make_parser, positive, settings_of
from benchmarks.common.figures import Figure, as_json, digits, figure_of, notes_of, ratios
from harness.artifacts.images import Image
from harness.guests.boot_spec import Machine
from harness.kernels.kernels import Kernel
from harness.model.errors import InfraError, UsageError
from harness.model.history import Event, Kind
from harness.model.measure import Measure
from harness.model.opinion import State
from harness.model.topology import MIB, Host
from harness.model.verdict import Verdict, VerdictKind
from harness.results.store import RunStore
from harness.verdicts.policy import Policy

# --- figures


def test_a_figure_is_the_median_of_its_samples() -> None:
    figure = figure_of("boot", "boot", "s", [9.0, 7.0, 30.0])
    assert figure.value == 9.0
    assert figure.samples == (9.0, 7.0, 30.0)


def test_json_is_one_object_of_named_figures_with_units() -> None:
    figures = [figure_of("boot", "boot", "s", [7.0]), Figure(name="n", what="n", unit="trials", value=None, note="why")]
    record = json.loads(as_json(figures))
    assert record == {
        "boot": {"value": 7.0, "unit": "s", "samples": [7.0]},
        "n": {"value": None, "unit": "trials", "note": "why"},
    }


def test_without_samples_there_is_no_value() -> None:
    figure = figure_of("x", "x", "s", [], note="vng is not there")
    assert figure.value is None
    assert digits(figure.value, "–") == "–"
    assert notes_of([figure, figure]) == ["x, x: vng is not there"]


def test_ratios_leave_out_what_has_no_partner() -> None:
    assert ratios([10.0, 12.0, 9.0], [5.0, 6.0]) == [2.0, 2.0]
    assert ratios([10.0], [0.0]) == []


@pytest.mark.parametrize(
    ("value", "shown"), [(3, "3"), (3.0, "3.00"), (2.345, "2.35"), (-0.5, "-0.50"), (53442.4, "53442")]
)
def test_digits(value: float, shown: str) -> None:
    assert digits(value) == shown


# --- command line


def test_settings_come_from_the_shared_options(tmp_path: Path) -> None:
    given = make_parser("doc").parse_args(
        ["--state", str(tmp_path / "s"), "--cache", str(tmp_path / "c"), "--accel", "tcg"]
    )
    settings = settings_of(given, results=tmp_path / "r")
    assert (settings.state, settings.cache, settings.results) == (tmp_path / "s", tmp_path / "c", tmp_path / "r")
    again = settings_of(make_parser("doc").parse_args(arguments_of(settings)), results=tmp_path / "r")
    assert again == settings


def test_an_option_that_cannot_be_is_a_usage_error(tmp_path: Path) -> None:
    given = make_parser("doc").parse_args(["--accel", "xen"])
    with pytest.raises(UsageError, match="--accel: 'xen' is none of auto, kvm, tcg"):
        settings_of(given, results=tmp_path)


@pytest.mark.parametrize("text", ["0", "-1", "x", "1.5", ""])
def test_a_count_is_a_whole_number_above_0(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="no whole number above 0"):
        positive(text)


@pytest.mark.parametrize(("error", "code"), [(UsageError("no such thing"), 2), (KeyboardInterrupt(), 130)])
def test_errors_become_exit_codes(
    error: BaseException, code: int, capsys: pytest.CaptureFixture[str], restored_sigterm: None
) -> None:
    def work() -> int:
        raise error

    assert guarded(work) == code
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert isinstance(error, KeyboardInterrupt) or str(error) in said
    assert guarded(lambda: 0) == 0


@pytest.fixture
def restored_sigterm() -> Iterator[None]:
    import signal

    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("script", [startup, detection, overhead, throughput])
def test_help_says_how_long_it_takes(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [str(script.__file__), "--help"])
    with pytest.raises(SystemExit, match="0"):
        script.main()
    shown = capsys.readouterr().out
    assert "Takes" in shown
    assert "--json" in shown


def test_a_script_runs_from_anywhere(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "detection.py"), str(tmp_path / "nothing")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 2
    assert done.stderr.startswith(f"detection.py: {tmp_path}/nothing: no history.jsonl in it")
    assert len(done.stderr.splitlines()) == 1


# --- startup


def trial_event(at: float, policy: Policy | None = None, started: float = 1000.0) -> Event:
    return Event(at, Kind.TRIAL, "", {"started": started, "policy": (policy or Policy()).to_dict()})


def progress(at: float, ops: int, finished: int = 0) -> Event:
    counts = {"ops": ops, "workers": 1, "finished": finished, "failed": 0, "alive": 1 - finished}
    return Event(at, Kind.PROGRESS, "client", counts)


def test_first_byte_is_wall_clock_of_the_first_operation() -> None:
    events = [
        trial_event(0.5),
        trial_event(9.0, started=9999.0),
        progress(10.0, 0),
        progress(10.5, 7),
        progress(11.0, 9),
    ]
    assert startup.first_byte(events) == 1010.0


def test_the_steps_to_the_first_operation_are_all_of_its_time() -> None:
    events = [trial_event(0.5)]
    at = 1.0
    for name, seconds in (("boot", 2.0), ("storage", 3.0), ("baseline", 4.0), ("load", 5.0)):
        events += [
            Event(at + end * seconds, Kind.PHASE, "", {"name": name, "state": state})
            for end, state in enumerate(("begin", "end"))
        ]
        at += seconds
    events.append(progress(at - 1.0, 1))
    found = startup.shares(events, 997.0)
    assert found == {"start": 3.0, "found": 0.5, "boot": 2.0, "storage": 3.0, "baseline": 4.0, "load": 4.0}
    assert startup.first_byte(events) == 997.0 + sum(found.values())


def test_no_operation_no_first_byte() -> None:
    assert startup.first_byte([trial_event(0.0), progress(1.0, 0)]) is None
    assert startup.first_byte([progress(1.0, 1)]) is None


@pytest.mark.parametrize(("accelerator", "disabled"), [("tcg", True), ("kvm", False)])
def test_virtme_gets_the_kernel_accelerator_and_size_of_our_guest(accelerator: str, disabled: bool) -> None:
    here = Path("/k")
    kernel = Kernel(
        name="debian:12",
        release="6.1",
        version="6.1",
        vmlinuz=here / "vmlinuz",
        modules_dir=here,
        modules_image=here,
        initrd=here,
        config=here,
        digest="",
    )
    image = Image(path=here, digest="", recipe=here, packages=here)
    machine = Machine(image=image, kernel=kernel, modules={}, accelerator=accelerator)
    arguments = virtme.arguments_for(machine, Host(name="alone", memory=256 * MIB, cpus=2))
    assert ("--disable-kvm" in arguments) == disabled
    assert arguments[-6:] == ("--cpus", "2", "--memory", "256M", "--run", "/k/vmlinuz")


# --- detection

POLICY = Policy(stop_s=5.0, patience_s=10.0)


def phase(at: float, name: str, state: str) -> Event:
    return Event(at, Kind.PHASE, "", {"name": name, "state": state})


def rung(at: float, blocked_s: float | None) -> Event:
    return Event(at, Kind.RUNG, "client", {"rung": "storage", "ok": True, "latency_s": 0.1, "blocked_s": blocked_s})


def beat(at: float) -> Event:
    return Event(at, Kind.HEARTBEAT, "client", {"seq": int(at), "uptime_s": at})


def loaded(*, until: float, stuck_from: float, policy: Policy = POLICY) -> list[Event]:
    """A load that begins at 10 s, works once a second, and stands still from `stuck_from` on; storage blocks then."""
    events = [trial_event(0.0, policy), phase(10.0, "load", "begin")]
    for second in range(11, int(until) + 1):
        at = float(second)
        events += [beat(at), rung(at, at - stuck_from if at > stuck_from else None)]
        events.append(progress(at, int(min(at, stuck_from))))
    return events


def deadlock() -> list[Event]:
    events = [*loaded(until=40, stuck_from=20.0), phase(40.0, "load", "end"), phase(40.0, "recovery", "begin")]
    events += [Event(50.0, Kind.RECOVERY, "client", {"step": step, "recovered": False}) for step in ("hold", "release")]
    return [*events, phase(60.0, "recovery", "end")]


def survivor() -> list[Event]:
    events = loaded(until=20, stuck_from=99.0)
    return [
        *events,
        beat(22.0),
        progress(23.0, 99, finished=1),
        progress(24.0, 99, finished=1),
        phase(25.0, "load", "end"),
    ]


def test_detection_is_from_last_progress_to_certainty() -> None:
    result = detection.replay(deadlock())
    assert result.verdict is VerdictKind.DEADLOCKED
    assert result.detection_s == pytest.approx(5.0)
    assert result.alarms == (State.STOPPED,)


def test_the_policy_that_is_scaled_to_the_target_counts() -> None:
    scaled = Policy(stop_s=9.0)
    events = deadlock()
    events.insert(1, trial_event(9.0, scaled))
    assert detection.policy_of(events) == scaled
    assert detection.replay(events).detection_s == pytest.approx(9.0)
    assert detection.policy_of([]) == Policy()


def test_a_survivor_has_no_alarm_and_its_longest_gap_ends_with_its_work() -> None:
    result = detection.replay(survivor())
    assert result.verdict is VerdictKind.SURVIVED
    assert (result.alarms, result.detection_s) == ((), None)
    assert result.longest_gap_s == pytest.approx(3.0)


def test_a_stop_that_ends_by_itself_is_an_alarm() -> None:
    events = [*loaded(until=30, stuck_from=20.0), rung(31.0, None), beat(31.0), progress(31.0, 50, finished=1)]
    result = detection.replay([*events, phase(32.0, "load", "end")])
    assert result.verdict is VerdictKind.STALLED
    assert result.alarms == (State.STOPPED,)
    assert result.longest_gap_s == pytest.approx(11.0)


def replayed(verdict: VerdictKind, seconds: float | None = None, alarm: bool = False, gap: float = 1.0) -> Any:
    alarms = (State.STOPPED,) if alarm else ()
    return detection.Replay(verdict=verdict, summary="why", detection_s=seconds, alarms=alarms, longest_gap_s=gap)


def test_figures_of_detection() -> None:
    counted = detection.tally(
        [
            ("a", "deadlock", replayed(VerdictKind.DEADLOCKED, 6.0, alarm=True)),
            ("b", "deadlock", replayed(VerdictKind.DEADLOCKED, 8.0, alarm=True)),
            ("c", "deadlock", replayed(VerdictKind.SURVIVED)),
            ("d", "survives", replayed(VerdictKind.SURVIVED, gap=2.0)),
            ("e", "survives", replayed(VerdictKind.DEADLOCKED, 5.0, alarm=True, gap=9.0)),
            ("f", "survives", replayed(VerdictKind.INCONCLUSIVE)),
        ]
    )
    figures = {figure.name: figure for figure in detection.figures_of(counted)}
    assert figures["detection"].value == 7.0
    assert figures["detection_worst"].value == 8.0
    assert (figures["deadlocks"].value, figures["survivors"].value) == (2, 2)
    assert figures["false_alarms"].value == 50.0
    assert figures["survivor_gap_worst"].value == 9.0
    assert figures["left_out"].note == "c: SURVIVED, why; f: INCONCLUSIVE, why"


def test_without_trials_nothing_is_made_up() -> None:
    figures = {figure.name: figure for figure in detection.figures_of(detection.tally([]))}
    assert figures["detection"].value is None
    assert figures["false_alarms"].value is None
    assert figures["false_alarms"].note


def test_trials_are_found_by_results_run_trial_and_history(tmp_path: Path) -> None:
    run = RunStore.create(tmp_path / "results", manifest={})
    trial = run.trial("case", expected="deadlock")
    trial.append(trial_event(0.0))
    trial.close()
    for path in (tmp_path / "results", run.path, trial.path, trial.history_path):
        assert [(found.path, found.expected) for found in detection.find_trials(path)] == [(trial.path, "deadlock")]
    with pytest.raises(UsageError, match="name a results folder, a run or a trial"):
        detection.find_trials(tmp_path / "elsewhere")


# --- overhead


def shared_file(*ops: int, extra: bytes = b"") -> bytes:
    slots = b"".join(struct.pack("=QQII", count, 4096 * count, 1, 7).ljust(64, b"\0") for count in ops)
    return b"HRNSPRG1".ljust(64, b"\0") + slots + extra


def encoded(uptime: bytes, shared: bytes) -> str:
    return base64.b64encode(uptime + shared).decode()


def test_a_reading_is_the_guests_clock_and_the_sum_of_its_workers() -> None:
    # 10 is a newline too: only the first one ends the clock's line
    reading = overhead.parse_reading(encoded(b"123.45 200.00\n", shared_file(10, 32)))
    assert reading == overhead.Reading(uptime_s=123.45, ops=42)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not base64!",
        encoded(b"123.45 1\n", b""),
        encoded(b"1.0 1\n", shared_file(1, extra=b"x")),
        encoded(b"\n", shared_file(1)),
    ],
)
def test_a_damaged_reading_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"no reading|no progress file"):
        overhead.parse_reading(text)


def test_cost_is_what_watching_takes_of_each_pair() -> None:
    before, after = overhead.Reading(uptime_s=10.0, ops=100), overhead.Reading(uptime_s=20.0, ops=1100)
    assert overhead.rate(before, after) == 100.0
    assert overhead.costs([100.0, 200.0], [98.0, 210.0]) == pytest.approx([2.0, -5.0])


def test_fields_of_proc_files() -> None:
    assert overhead.field_kib("Mlocked:  100 kB\nLocked: 4 kB\nLocked:   8 kB\n", "Locked") == 12
    with pytest.raises(ValueError, match="no line 'Locked'"):
        overhead.field_kib("Mlocked: 100 kB\n", "Locked")


def test_processor_time_counts_children_and_survives_odd_names() -> None:
    line = "12 (a) b (c) S 1 12 12 0 -1 4194560 100 0 0 0 150 50 25 75 20 0 1 0\n"
    assert overhead.cpu_seconds(line + line) == pytest.approx(6.0)


# --- throughput


def test_throughput_counts_verdicts_wrong_ones_and_the_median_of_what_was_withheld(tmp_path: Path) -> None:
    run = RunStore.create(tmp_path, manifest={})
    kinds = (VerdictKind.DEADLOCKED, VerdictKind.SURVIVED, VerdictKind.SURVIVED)
    for number, (kind, share) in enumerate(zip(kinds, (10, 70, 40), strict=True)):
        trial = run.trial(f"t{number}", expected="deadlock" if number < 2 else "survives")
        trial.write_verdict(Verdict(kind=kind, summary=""), {})
        trial.write_measures([Measure(name=throughput.STEAL_TIME, value=share, unit="%")])
    run.trial("killed")
    result = throughput.result_of(2, run.trials(), 180.0)
    assert result == throughput.Result(workers=2, verdicts=3, wrong=1, seconds=180.0, steal=40.0)
    assert [figure.value for figure in throughput.figures_of([result])] == [60.0, 1, 40.0]


def test_a_run_without_a_verdict_has_no_rate(tmp_path: Path) -> None:
    with pytest.raises(InfraError, match="2 workers came to no verdict"):
        throughput.result_of(2, RunStore.create(tmp_path, manifest={}).trials(), 60.0)
