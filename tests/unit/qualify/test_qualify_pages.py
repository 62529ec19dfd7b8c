"""The pages of a qualification, and the command that shows and compares them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from junitparser import Failure, JUnitXml, Skipped

from harness.cli import call
from harness.qualify import pages
from harness.qualify.checks import Check, Grade, StageName
from harness.qualify.qualification import STAGES
from harness.results.store import RunStore

Capture = pytest.CaptureFixture[str]
HOSTILE = "<script>alert(1)</script>\x1b[31m"
BANDWIDTH = Check(
    stage=StageName.LINKS,
    hosts=("a", "b"),
    link="fabric",
    what="bandwidth",
    grade=Grade.FAIL,
    measured="40 Mbit/s",
    expected="≥ 50 Mbit/s: 50% of the other direction, 100 Mbit/s",
    value=40.0,
    unit="Mbit/s",
    reason="slow from a to b",
    remedy="what sends on a",
)
SOAKED = Check(
    stage=StageName.SOAK,
    hosts=("a", "b"),
    link="fabric",
    what="outgoing soak",
    grade=Grade.PASS,
    measured="0 stalls in 8.00 h",
    excluded="a rate above 0.37 an hour is excluded, 95%",
    trial="soak outgoing",
)
INSPECTED = Check(stage=StageName.INSPECT, hosts=("a",), what="model", grade=Grade.NOT_SHOWN, reason=HOSTILE)


def make(results: Path, *checks: Check) -> RunStore:
    stages = {
        name.value: {"checks": [check.to_dict() for check in checks if check.stage is name], "seconds": 1.0}
        for name in StageName
    }
    asked = {"inventory": "/lab/rack.toml", "hosts": ["a", "b"], "hours": 8.0, "asked": [*STAGES], "golden": ""}
    return RunStore.create(results, manifest={"harness": "x", "qualify": {**asked, "stages": stages}})


def test_the_page_says_what_is_decided_before_what_is_to_be_repaired(tmp_path: Path) -> None:
    store = make(tmp_path, BANDWIDTH, SOAKED, INSPECTED)
    assert pages.write(store).grade is Grade.FAIL
    text = (store.path / pages.NAMES[0]).read_text()
    places = [text.index(words) for words in ("What the soak rules out", "For whoever repairs", "Every check")]
    assert places == sorted(places)
    assert "0.37 an hour is excluded" in text and "slow from a to b" in text
    assert 'href="trials/soak%20outgoing/"' not in text, "only what failed has its evidence linked"
    assert "<script" not in text and "\x1b" not in text, "what a host says stays text"


def test_the_data_have_every_check(tmp_path: Path) -> None:
    store = make(tmp_path, BANDWIDTH, SOAKED)
    pages.write(store)
    data = json.loads((store.path / pages.NAMES[1]).read_text())
    link = next(one for one in data["subjects"] if one["name"] == "a → b (fabric)")
    assert (data["grade"], link["grade"], len(link["checks"])) == ("FAIL", "FAIL", 2)
    assert data["first"] == [{"host": "a", "failed": 1}, {"host": "b", "failed": 1}]


def test_junit_has_a_suite_for_each_stage(tmp_path: Path) -> None:
    store = make(tmp_path, BANDWIDTH, SOAKED, INSPECTED)
    pages.write(store)
    report = JUnitXml.fromfile(str(store.path / pages.NAMES[2]))
    found = {case.name: case for suite in report for case in suite}
    assert [suite.name for suite in report] == [name.value for name in StageName]
    assert isinstance(found["bandwidth"].result[0], Failure)
    assert isinstance(found["model"].result[0], Skipped)
    assert found["outgoing soak"].result == [] and "0.37" in str(found["outgoing soak"].system_out)


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_two_qualifications_are_compared(elsewhere: Path, capsys: Capture) -> None:
    well = Check.from_dict({**BANDWIDTH.to_dict(), "grade": "PASS", "value": 100.0, "measured": "100 Mbit/s"})
    before, after = make(elsewhere / "results", well), make(elsewhere / "results", BANDWIDTH)
    assert call(["qualify", "--compare", str(before.path), str(after.path)]) == 1
    out = capsys.readouterr().out
    assert "PASS, 100 Mbit/s" in out and "FAIL, 40 Mbit/s" in out
    assert call(["qualify", "--compare", str(after.path), str(before.path), "--json"]) == 0, "it is better now"
    assert json.loads(capsys.readouterr().out)[0]["after"]["grade"] == "PASS"
    assert call(["qualify", "--compare", str(before.path), str(before.path)]) == 0
    assert capsys.readouterr().out == "nothing changed\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "name an inventory: harness qualify rack.toml"),
        (["nowhere.toml"], "nowhere.toml"),
        (["--resume", "x", "y.toml"], "leave out the inventory"),
        (["--resume", "nothing"], "no run 'nothing'"),
        (["rack.toml", "--hosts", "z"], "no host 'z'"),
        (["rack.toml", "--hours", "0"], "--hours"),
        (["rack.toml", "--golden", "nowhere.json"], "--golden nowhere.json: No such file"),
        (["rack.toml", "--golden", "rack.toml"], "make it with `harness fabric HOST --record"),
        (["rack.toml", "--stages", "links,soke"], "no stage soke; there are: inspect"),
    ],
)
def test_bad_input_is_one_line_and_makes_no_folder(
    elsewhere: Path, capsys: Capture, arguments: list[str], words: str
) -> None:
    (elsewhere / "rack.toml").write_text(
        '[[host]]\nname = "a"\nmemory = "128 MiB"\n[[topology]]\nname = "single"\nroles = { client = "a" }\n'
    )
    assert call(["qualify", *arguments, "--results", str(elsewhere / "kept")]) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1, error
    assert not (elsewhere / "kept").exists()


def test_a_run_of_something_else_is_not_gone_on_with(elsewhere: Path, capsys: Capture) -> None:
    other = RunStore.create(elsewhere / "results", manifest={})
    assert call(["qualify", "--resume", str(other.path)]) == 2
    assert "not a run of `harness qualify`" in capsys.readouterr().err
