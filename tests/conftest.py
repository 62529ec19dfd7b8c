"""What all tests share."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# pytest takes this in a conftest.py that it loads at its start only, which that of a subfolder is not.
pytest_plugins = ["pytester"]

# How long an example takes says nothing on a busy machine.
settings.register_profile("harness", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("harness")

LIVE = Path(__file__).with_name("live")


@pytest.fixture(autouse=True)
def own_queue(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[None]:
    """Not the queue for the memory of the machine, where commands clear up after the dead; guests need that one."""
    with pytest.MonkeyPatch.context() as patch:  # of its own: a test may undo what it patched itself
        if LIVE not in request.path.parents:
            patch.setenv("HARNESS_LEASES", str(tmp_path / "leases"))
        yield


@pytest.fixture(autouse=True)
def no_process_outlives_its_test() -> Iterator[None]:
    """What a test leaves running is killed and collected, and fails that test: not a later one, with a ResourceWarning.

    A failed assertion must not leave a process behind either.
    """
    started: list[subprocess.Popen[Any]] = []
    begin = subprocess.Popen.__init__

    def begin_and_note(process: subprocess.Popen[Any], *args: Any, **options: Any) -> None:
        begin(process, *args, **options)
        started.append(process)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess.Popen, "__init__", begin_and_note)
        yield
    left = [process for process in started if process.poll() is None]
    for process in left:
        process.kill()
    for process in started:
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()
        process.wait()
    assert not left, f"left running: {[process.args for process in left]}"
