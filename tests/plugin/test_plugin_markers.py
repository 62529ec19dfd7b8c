"""Markers are checked at collection: one line that names the test and the way out, before anything boots."""

from __future__ import annotations

from collections.abc import Callable

import pytest

RunCases = Callable[..., pytest.RunResult]
WORKERS = pytest.mark.parametrize("workers", [0, 2])

# marker (on top of the topology "pair") -> what the line says
MISTAKES = {
    '@pytest.mark.topology("pear")': "no topology 'pear' in *inventory.toml; it has: pair",
    "@pytest.mark.topology()": "marker topology: missing 1 required positional argument: 'name'; its form is *",
    "@pytest.mark.topology(3)": "marker topology: the name must be a string, not 3; its form is *",
    '@pytest.mark.topology("pair", disk={})': "marker topology: got an unexpected keyword argument 'disk'; *",
    '@pytest.mark.topology("pair", memory="1G")': "marker topology: memory must be a dictionary by role, not '1G'; *",
    '@pytest.mark.topology("pair", memory={"cleint": "256M"})': (
        "marker topology: memory: no role 'cleint' in topology 'pair'; its roles are: client, target"
    ),
    '@pytest.mark.topology("pair", memory={"client": "much"})': "*\"small\": memory: 'much' is no size; *",
    '@pytest.mark.topology("pair", memory={"client": "900 TiB"})': '*"small": memory: 900 TiB is more than *',
    '@pytest.mark.topology("pair", modules={"client": ["./no.ko"]})': (
        "*\"small\": modules[[]0]: there is no file './no.ko'; *"
    ),
    '@pytest.mark.topology("pair", modules={"client": "nbd"})': '*"small": modules: must be a list, not a string*',
    '@pytest.mark.topology("pair", kernel={"target": "linux"})': "*\"server\": kernel: 'linux' is neither *",
    '@pytest.mark.topology("pair", modules={"client": ["nbd-no-memaloc"]})': (
        "no module variant 'nbd-no-memaloc' in vm-images/modules/; there are: *nbd-no-memalloc*"
    ),
    '@pytest.mark.reproduces("deadlok")': "marker reproduces: 'deadlok' is none of *; did you mean 'deadlock'[?]",
    '@pytest.mark.reproduces("oom", "deadlok")': "marker reproduces: 'deadlok' is none of *",
    "@pytest.mark.reproduces()": "marker reproduces: missing 1 required positional argument: 'word'; *",
    '@pytest.mark.topology("pair", cpus={"client": 0})': '*"small": cpus: 0 is out of range; it goes from 1 to 255',
    '@pytest.mark.cost("2")': "marker cost: '2' is no number of minutes; write how long one row takes",
    '@pytest.mark.profile("somke")': "marker profile: unknown profile 'somke'; did you mean 'smoke'[?]",
    '@pytest.mark.requires("kwm")': "marker requires: unknown feature 'kwm'; did you mean 'kvm'[?]",
}


@pytest.mark.parametrize("marker", MISTAKES)
def test_a_mistake_is_one_line(run_cases: RunCases, project: pytest.Pytester, marker: str) -> None:
    result = run_cases("SURVIVED", "DEADLOCKED", marker=marker)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert len([line for line in result.stderr.lines if line]) == 1
    result.stderr.fnmatch_lines([f"ERROR: test_a_mistake_is_one_line.py::test_case[[]SURVIVED]: {MISTAKES[marker]}"])
    assert "Traceback" not in result.stdout.str()
    assert not (project.path / "results").exists() or not list((project.path / "results").iterdir())


def test_a_mistake_in_a_worker_ends_the_session_the_same_way(run_cases: RunCases) -> None:
    result = run_cases("SURVIVED", workers=2, marker='@pytest.mark.reproduces("deadlok")')
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: *::test_case[[]SURVIVED]: marker reproduces: *"])
    assert "INTERNALERROR" not in result.stdout.str()


def test_a_trial_needs_a_topology(project: pytest.Pytester) -> None:
    project.makepyfile("def test_case(trial): pass")
    result = project.runpytest()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: *::test_case: the fixture trial needs a topology; add *"])


def test_a_trial_needs_an_inventory(run_cases: RunCases, project: pytest.Pytester) -> None:
    project.makeini("[pytest]")
    result = run_cases("SURVIVED", "DEADLOCKED")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: *SURVIVED]: no inventory; name one with --harness-inventory, *"])


def test_all_problems_of_an_inventory_are_told_once(run_cases: RunCases, project: pytest.Pytester) -> None:
    inventory = project.path / "inventory.toml"
    inventory.write_text(inventory.read_text().replace("memory", "memry"))
    result = run_cases("SURVIVED", "DEADLOCKED")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    lines = [line for line in result.stderr.lines if line]
    assert len(lines) == len(set(lines)) == 2  # one for each host


def test_what_is_deselected_is_not_checked(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import pytest

        @pytest.mark.topology("pear")
        def test_wrong(trial): pass

        def test_right(): pass
        """
    )
    project.runpytest("-k", "right").assert_outcomes(passed=1, deselected=1)


def test_changes_of_the_marker_reach_the_hosts(project: pytest.Pytester) -> None:
    (project.path / "mine.ko").touch()
    (project.path / "vmlinuz").touch()
    project.makepyfile(
        """
        from pathlib import Path
        import pytest

        @pytest.mark.topology(
            "pair",
            modules={"client": ["./mine.ko", "nbd-no-memalloc"]},
            memory={"client": "256M"},
            kernel={"target": "./vmlinuz"},
            cpus={"client": 3},
            cmdline={"client": "panic=-1"},
            scratch={"target": "1 GiB"},
        )
        def test_case(trial):
            here = Path(__file__).parent
            small, server = trial.topology.host("small"), trial.topology.host("server")
            assert small.modules == (str(here / "mine.ko"), "nbd-no-memalloc")
            assert small.memory == 256 * 1024 * 1024
            assert (small.cpus, small.cmdline, server.scratch) == (3, "panic=-1", 1024**3)
            assert server.kernel == str(here / "vmlinuz")
            assert (small.kernel, server.modules) == ("debian:12", ())
            assert trial.host("target") == "server"
            assert trial.budget == 0.25
            with pytest.raises(Exception, match="its roles are: client, target"):
                trial.host("clint")
        """
    )
    project.runpytest("--harness-budget=0.25").assert_outcomes(passed=1)


@WORKERS
def test_an_unmet_requirement_skips_with_the_reason(
    run_cases: RunCases, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    monkeypatch.setenv("PATH", "")
    result = run_cases("SURVIVED", workers=workers, marker='@pytest.mark.requires("vde")', arguments=("-rs",))
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["SKIPPED *requires vde: vde_switch is not installed; apt-get install vde2"])


def test_a_met_requirement_runs(run_cases: RunCases, project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = project.path / "bin" / "vde_switch"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tool.parent))
    run_cases("SURVIVED", marker='@pytest.mark.requires("vde")').assert_outcomes(passed=1)


def test_markers_are_documented(project: pytest.Pytester) -> None:
    project.runpytest("--markers").stdout.fnmatch_lines(
        [
            "@pytest.mark.topology(name, *",
            "@pytest.mark.reproduces(word, [*]others): *",
            "@pytest.mark.requires(*features): *",
        ]
    )
