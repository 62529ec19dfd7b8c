"""The packet capture: bounded, and fetched when the load is over."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from fakes import make_site, shell_of

from harness.model.errors import UsageError
from harness.monitors.instruments.capture import Capture


def test_the_ring_is_bounded_and_holds_headers_alone() -> None:
    site = make_site()
    capture = Capture(link="lan", files=3, megabytes=4)
    capture.prepare(site)
    capture.launch(site)
    launch = shell_of(site.role("client")).commands[-1]
    assert "tcpdump -i eth1 -s 96 " in launch and " -C 4 -W 3 -w /run/harness/capture/ring " in launch
    assert "the last 12 MB of headers" in capture.describe()


def test_what_was_captured_is_in_the_evidence(tmp_path: Path) -> None:
    site = make_site()
    shell = shell_of(site.role("client"))
    shell.answer("kill $(cat", "log\npid\nring0\nring1\ntcpdump: listening\n")
    shell.answer("base64 /run/harness/capture/ring0", base64.b64encode(b"\xd4\xc3" * 1024).decode() + "\n")
    shell.answer("base64 /run/harness/capture/ring1", base64.b64encode(b"more" * 256).decode())
    (found,) = Capture(link="lan").measures(site, tmp_path)
    assert (found.name, found.value, found.unit) == ("packets captured", 3, "kB")
    assert (tmp_path / "c1-ring0.pcap").read_bytes() == b"\xd4\xc3" * 1024
    assert (tmp_path / "c1-ring1.pcap").read_bytes() == b"more" * 256


def test_a_host_that_is_not_on_the_link_is_told() -> None:
    with pytest.raises(UsageError, match="host 'c1' has no link 'cluster'"):
        Capture().prepare(make_site())


@pytest.mark.parametrize("given", [{"files": 1}, {"megabytes": 0}, {"snap": 0}])
def test_a_ring_that_is_none_is_refused(given: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="Capture: a ring has 2 files"):
        Capture(**given)  # type: ignore[arg-type]
