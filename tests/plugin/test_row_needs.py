"""What the rows of cases need of their hosts, without a trial."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.drivers.protocols import Power
from harness.model.errors import UsageError
from harness.physical.fitness import Part
from harness.plugin.row_needs import rows_of

CASES = """
import pytest
from pathlib import Path
from harness.faults.guest import PowerOff
from harness.storage.nfs import NfsDisk
from harness.storage.nbd import NbdSwap

def test_no_case():
    Path("ran").write_text("")

@pytest.mark.parametrize("faults", [(), (PowerOff(role="server"),)], ids=["calm", "cut"])
@pytest.mark.topology("pair", kernel={"client": "debian:13"})
def test_nfs(trial, faults):
    trial.run(storage=NfsDisk(scratch=True), workload=None, faults=faults)
    Path("ran").write_text("")

@pytest.mark.profile("soak")
@pytest.mark.topology("pair", modules={"client": ["nbd-no-memalloc"]})
def test_swap(trial):
    trial.run(storage=NbdSwap(), workload=None)

@pytest.mark.topology("pair")
def test_broken(trial):
    raise ValueError("before its trial")
"""
PAIR = """
[[host]]
name = "small"
memory = "128 MiB"
[[host]]
name = "big"
memory = "128 MiB"
[[topology]]
name = "pair"
roles = { client = "small", server = "big" }
links = [{ name = "cluster", hosts = ["small", "big"] }]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of cases, with the inventory that their ini file names."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HARNESS_INVENTORY", str(tmp_path / "other.toml"))  # that of the hosts, not of the cases
    (tmp_path / "other.toml").write_text(PAIR.replace("pair", "other"))
    (tmp_path / "lab.toml").write_text(PAIR)
    (tmp_path / "pytest.ini").write_text("[pytest]\nharness_inventory = lab.toml\naddopts = -n2\n")
    (tmp_path / "test_rows.py").write_text(CASES)
    yield tmp_path
    sys.modules.pop("test_rows", None)  # the next folder has another file of that name


def test_every_row_tells_its_needs_and_none_runs(folder: Path) -> None:
    rows = {row.name.partition("::")[2]: row for row in rows_of(["."], folder / "other.toml")}
    assert set(rows) == {"test_nfs[calm]", "test_nfs[cut]", "test_swap", "test_broken"}
    client, server = rows["test_nfs[cut]"].parts
    assert client == Part(
        roles=("client",), programs=("mount.nfs",), modules=("nfs", "nfsv4"), links=1, own_kernel=True
    )
    assert server.capabilities == (Power,) and server.scratch and "rpc.nfsd" in server.programs
    assert rows["test_nfs[calm]"].parts[1].capabilities == ()
    assert [part.own_modules for part in rows["test_swap"].parts] == [True, False]
    assert rows["test_broken"].unknown == "ValueError: before its trial" and not rows["test_broken"].parts
    assert not {"ran", "results", "junit.xml", ".pytest_cache"} & {path.name for path in folder.iterdir()}


def test_the_given_inventory_is_for_cases_that_name_none(folder: Path) -> None:
    (folder / "pytest.ini").write_text("[pytest]\n")
    assert len(rows_of(["test_rows.py::test_swap"], folder / "lab.toml")) == 1
    with pytest.raises(UsageError, match="no topology 'pair'"):
        rows_of(["test_rows.py::test_swap"], folder / "other.toml")


@pytest.mark.parametrize(
    ("text", "problem"),
    [("raise OSError", "test_rows.py: cannot be collected: OSError"), ("def test(): pass", "no test case there")],
)
def test_cases_that_are_none(folder: Path, text: str, problem: str, capfd: pytest.CaptureFixture[str]) -> None:
    (folder / "test_rows.py").write_text(text)
    with pytest.raises(UsageError, match=problem) as caught:
        rows_of(["test_rows.py"], folder / "lab.toml")
    assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match="nowhere"):
        rows_of(["nowhere"], folder / "lab.toml")
    assert capfd.readouterr().out == ""
