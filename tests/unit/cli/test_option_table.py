"""One table of options: what wins, where paths start, and what a mistake says."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cli.run import run
from harness.model.errors import UsageError
from harness.model.options import OPTIONS, Options, resolve
from harness.plugin.invoke import pytest_arguments

CWD, ROOT = Path("/cwd"), Path("/root-of-ini")


def resolved(
    given: dict[str, str | None] | None = None,
    environ: dict[str, str] | None = None,
    ini: dict[str, str] | None = None,
) -> Options:
    environment = {"HOME": "/home/u", **(environ or {})}
    return resolve(given or {}, flag="--", environ=environment, ini=ini or {}, cwd=CWD, root=ROOT)


def test_defaults() -> None:
    options = resolved()
    settings = options.settings
    assert (options.inventory, options.run, options.live) == (None, None, "auto")
    assert settings.state == Path("/home/u/.local/state/harness")
    assert settings.cache == Path("/home/u/.cache/harness")
    assert settings.results == ROOT / "results"
    assert (settings.uri, settings.accelerator, settings.budget, settings.mirror) == ("embedded", "auto", 1.0, None)


def test_xdg_folders_are_used_if_absolute() -> None:
    assert resolved(environ={"XDG_STATE_HOME": "/s"}).settings.state == Path("/s/harness")
    assert resolved(environ={"XDG_STATE_HOME": "s"}).settings.state == Path("/home/u/.local/state/harness")


def test_command_line_then_environment_then_ini() -> None:
    ini, environ, given = {"harness_budget": "3"}, {"HARNESS_BUDGET": "2"}, "1.5"
    assert resolved(ini=ini).settings.budget == 3
    assert resolved(environ=environ, ini=ini).settings.budget == 2
    assert resolved({"budget": given}, environ, ini).settings.budget == 1.5


def test_an_empty_variable_is_not_set() -> None:
    assert resolved(environ={"HARNESS_URI": ""}, ini={"harness_uri": "qemu:///system"}).settings.uri == "qemu:///system"


def test_where_relative_paths_start() -> None:
    assert resolved({"inventory": "a.toml"}).inventory == CWD / "a.toml"
    assert resolved(environ={"HARNESS_STATE": "s"}).settings.state == CWD / "s"
    assert resolved(ini={"harness_results": "r"}).settings.results == ROOT / "r"
    assert resolved({"run": "/abs"}).run == Path("/abs")


@pytest.mark.parametrize("text", ["x", "0", "-1", "nan", "inf"])
def test_a_budget_that_is_none(text: str) -> None:
    with pytest.raises(UsageError, match=f"^--budget: '{text}' is no factor; give a number above 0"):
        resolved({"budget": text})


def test_a_mistake_names_its_place() -> None:
    with pytest.raises(UsageError, match=r"^HARNESS_ACCEL: 'kwm' is none of auto, kvm, tcg, did you mean 'kvm'"):
        resolved(environ={"HARNESS_ACCEL": "kwm"})
    with pytest.raises(UsageError, match=r"^harness_live \(ini\): 'loud' is none of auto, ladder, lines, off"):
        resolved(ini={"harness_live": "loud"})


def test_a_value_that_is_overruled_is_not_looked_at() -> None:
    assert resolved({"budget": "1"}, environ={"HARNESS_BUDGET": "x"}).settings.budget == 1


def test_every_option_says_what_it_is() -> None:
    assert len({option.name for option in OPTIONS}) == len(OPTIONS)
    assert all(option.help and option.metavar for option in OPTIONS)


def test_every_option_is_documented_and_no_other() -> None:
    page = Path(__file__).parents[3] / "docs" / "options.md"
    rows = [line.split("`")[1] for line in page.read_text().splitlines() if line.startswith("| `")]
    assert sorted(rows) == sorted(option.name for option in OPTIONS)


@pytest.mark.parametrize(("text", "cold"), [("yes", True), ("no", False), (None, False)])
def test_a_flag_is_yes_or_no_wherever_it_has_a_text(text: str | None, cold: bool) -> None:
    assert resolved({"cold": text}).settings.cold is cold
    assert resolved(environ={"HARNESS_COLD": text or ""}).settings.cold is cold
    assert resolved({"cold": text}, ini={"harness_cold": "yes"}).settings.cold is (text != "no")


def test_a_flag_that_is_neither() -> None:
    with pytest.raises(UsageError, match=r"^HARNESS_COLD: 'true' is none of yes, no"):
        resolved(environ={"HARNESS_COLD": "true"})


def test_a_flag_takes_no_text_on_a_command_line() -> None:
    assert pytest_arguments({"cold": "yes", "uri": "x", "mirror": None}) == ["--harness-cold", "--harness-uri=x"]
    context = run.make_context("run", ["--cold", "cases"])
    assert (context.params["cold"], context.params["paths"]) == ("yes", ("cases",))
    assert run.make_context("run", ["cases"]).params["cold"] is None
