"""scripts/demo.sh with stubs for the set-up and the harness: what it runs, and which exit code comes out."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
HARNESS = """#!/bin/sh
echo "harness $*" >>calls
read -r line && exit 99
exit "$(cat "$1.status")"
"""


def demonstrate(folder: Path, *arguments: str, **statuses: int) -> tuple[int, list[str], list[str]]:
    """Exit code, commands and own lines of the demonstration where each step ends with the status given."""
    statuses = {"setup": 0, "prepare": 0, "run": 0, **statuses}
    (folder / ".venv/bin").mkdir(parents=True)
    (folder / "scripts").mkdir()
    shutil.copy(TOP / "scripts/demo.sh", folder / "scripts")
    (folder / "scripts/setup.sh").write_text(f"exit {statuses.pop('setup')}\n")
    (folder / ".venv/bin/harness").write_text(HARNESS)
    (folder / ".venv/bin/harness").chmod(0o755)
    (folder / "calls").touch()
    for name, status in statuses.items():
        (folder / f"{name}.status").write_text(str(status))
    command = ["sh", str(folder / "scripts/demo.sh"), *arguments]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    return done.returncode, (folder / "calls").read_text().splitlines(), done.stdout.splitlines()


@pytest.mark.parametrize("code", [0, 1, 2, 130])
def test_the_demonstration_ends_as_its_trials_do(tmp_path: Path, code: int) -> None:
    status, calls, lines = demonstrate(tmp_path, "--budget", "0.5", run=code)
    assert status == code
    assert calls[0] == "harness prepare"
    assert calls[1].startswith("harness run testcases/test_nbd_swap.py --inventory inventories/local.toml -n 2")
    assert calls[1].endswith(" --budget 0.5")
    assert re.match(rf"demo: took \d+ min \d+ s; exit code {code}: ", lines[-1])


def test_an_unknown_failure_is_no_answer_about_a_kernel(tmp_path: Path) -> None:
    assert demonstrate(tmp_path, run=139)[0] == 2


def test_the_demonstration_ends_where_a_step_fails(tmp_path: Path) -> None:
    assert demonstrate(tmp_path / "one", setup=2)[:2] == (2, [])
    assert demonstrate(tmp_path / "two", prepare=2)[:2] == (2, ["harness prepare"])
    assert demonstrate(tmp_path / "three", setup=130)[:2] == (130, [])


def test_what_the_demonstration_names_is_there() -> None:
    script = (TOP / "scripts/demo.sh").read_text()
    named = re.findall(r"\b(?:testcases|inventories|scripts)/[\w.]+\w", script)
    assert len(named) >= 3
    assert [name for name in named if not (TOP / name).is_file()] == []
