"""Sessions of pytest inside of pytest, with trials that are fakes."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from io import FileIO
from pathlib import Path

import pytest

import harness.plugin
import harness.report
from harness.results.store import RunStore

# A session inside of this one forgets the modules that it was the first to import, and the next one would import
# them anew beside what still holds the old ones: two classes of every name. So they are all imported here.
for _module in pkgutil.iter_modules(harness.plugin.__path__, "harness.plugin."):
    importlib.import_module(_module.name)
for _name in ("harness.inventory.inventory", "harness.trial", "psutil", "rich.console"):
    importlib.import_module(_name)

INI = """
[pytest]
addopts = -p no:hypothesispytest
filterwarnings = error
harness_inventory = inventory.toml
"""
INVENTORY = """
[[host]]
name = "small"
memory = "128 MiB"

[[host]]
name = "server"
memory = "128 MiB"

[[topology]]
name = "pair"
roles = { client = "small", target = "server" }
links = [{ name = "cluster", hosts = ["small", "server"] }]
"""

CASE = """
import pytest

@pytest.mark.topology("pair")
@pytest.mark.parametrize("word", {words})
def test_case(trial, word):
    trial.run(storage=None, workload=word)
"""


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A folder with an inventory, fake trials, and nothing from the outer environment."""
    monkeypatch.setattr(harness.report, "write_report", _no_drawing)  # which would take a second each time
    for name in ("HARNESS_INVENTORY", "HARNESS_RESULTS", "HARNESS_RUN", "HARNESS_LIVE", "HARNESS_BUDGET"):
        monkeypatch.delenv(name, raising=False)
    # What dead runs left on this machine is not for the sessions under test to find.
    monkeypatch.setenv("HARNESS_STATE", str(pytester.path / "state"))
    # Without hypothesis, of which no session here has a use: importing it takes longer than all the rest of one.
    pytester.makeini(INI)
    pytester.path.joinpath("inventory.toml").write_text(INVENTORY)
    pytester.makeconftest(Path(__file__).with_name("fake_trial.py").read_text())
    return pytester


@pytest.fixture
def read_terminal() -> Callable[..., str]:
    """Read a pseudo terminal until the last process closes it, or until `until` was seen."""

    def read(stream: FileIO, until: str = "") -> str:
        data = b""
        while not (until and until.encode() in data):
            try:
                chunk = stream.read(65536)
            except OSError:  # EIO: nobody has the terminal open any more
                break
            if not chunk:
                break
            data += chunk
        return data.decode(errors="replace")

    return read


def _no_drawing(run_dir: Path) -> Path:
    path = run_dir / "report.html"
    path.write_text("<html>")
    return path


@pytest.fixture
def run_cases(project: pytest.Pytester) -> Callable[..., pytest.RunResult]:
    """Run one parametrized test whose trials end with the given words."""

    def run(*words: str, workers: int = 0, marker: str = "", arguments: tuple[str, ...] = ()) -> pytest.RunResult:
        text = CASE.format(words=repr(list(words)))
        project.makepyfile(text.replace("\ndef test", f"\n{marker}\ndef test") if marker else text)
        return project.runpytest(f"-n{workers}", *arguments)

    return run


@pytest.fixture
def only_run(project: pytest.Pytester) -> Callable[[], RunStore]:
    """The run that the session left behind; there must be exactly one."""

    def find() -> RunStore:
        (run,) = RunStore.runs(project.path / "results")
        return run

    return find
