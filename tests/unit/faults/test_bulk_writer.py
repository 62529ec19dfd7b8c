"""A bulk write beside the load: it is started, told from one that has not ended, and killed."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest
from fakes import make_site, shell_of

from harness.faults.bulk import RUN, START, STOP, TELL, WRITE, BulkWriter
from harness.model.errors import InfraError, UsageError

BULK = BulkWriter(role="client", path="/mnt/x/bulk", mib=3)


def reported(text: str) -> dict[str, object]:
    site = make_site()
    shell_of(site.role("client")).answer(RUN, text)
    return {measure.name: measure.value for measure in BULK.measures(site, Path("evidence"))}


def test_how_far_the_dirty_pages_went_is_of_the_limit_of_that_moment() -> None:
    lines = ["nr_dirty 100", "nr_writeback 20", "nr_dirty_threshold 400"]
    lines += ["nr_dirty 90", "nr_writeback 30", "nr_dirty_threshold 40"]
    assert reported("\n".join(lines)) == {"bulk write ended": "no", "dirty pages at most, of what is allowed": 3.0}
    assert reported("\n".join(["copied 1", *lines]))["bulk write ended"] == "yes"
    with pytest.raises(InfraError, match="never began"):
        reported("")


def here(command: str, folder: Path) -> str:
    return command.replace(RUN, str(folder))


def test_it_writes_its_file_and_notes_what_is_dirty(tmp_path: Path) -> None:
    write = ["sh", "-c", here(WRITE, tmp_path), str(tmp_path / "file"), "48"]
    subprocess.run(write, check=True, stderr=subprocess.DEVNULL)
    assert (tmp_path / "file").stat().st_size == 48 * 65536
    text = subprocess.run(["sh", "-c", here(TELL, tmp_path)], capture_output=True, text=True, check=False).stdout
    assert reported(text)["bulk write ended"] == "yes"


def test_it_is_started_apart_and_killed_with_its_file(tmp_path: Path) -> None:
    site = make_site()
    BULK.inject(site)
    BULK.heal(site)
    start, stop = shell_of(site.role("client")).commands
    assert start == START % (shlex.quote(WRITE), "/mnt/x/bulk", "48") and stop == STOP % "/mnt/x/bulk"
    for command in (start, stop):
        subprocess.run(["sh", "-n", "-c", command], check=True)
    assert "3 MiB to /mnt/x/bulk" in BULK.describe()


def test_a_file_of_no_size_is_refused() -> None:
    with pytest.raises(UsageError, match="give 1 or more"):
        BulkWriter(role="client", path="/x", mib=0)
