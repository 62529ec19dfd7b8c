"""The records of hang classes and storage protocols: whole, unambiguous, and what the documentation says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.diagnosis.graph.host_context import serves
from harness.diagnosis.graph.waits import _ROWS
from harness.diagnosis.read.lines import notice_of
from harness.model.finding import FindingKind, NoticeKind
from harness.model.hang_classes import HANG_CLASSES, HangClass
from harness.model.storage_protocols import NVME_TCP, PROTOCOLS, StorageProtocol, protocol_named
from harness.verdicts.console.scanner import scan

TABLES, DOCS = (Path(__file__).parents[3] / "docs" / name for name in ("writing-a-testcase.md", "diagnosis.md"))
SECTIONS = {
    name: " ".join(body.split())
    for name, body in re.findall(r"^### (\w+)\n(.*?)(?=^##)", DOCS.read_text(), re.MULTILINE | re.DOTALL)
}


def test_every_class_has_a_record_and_a_section() -> None:
    assert set(HANG_CLASSES) == set(HangClass) == set(SECTIONS)


@pytest.mark.parametrize("hang_class", list(HangClass))
def test_the_section_of_a_class_says_what_its_record_does(hang_class: HangClass) -> None:
    record, section = HANG_CLASSES[hang_class], SECTIONS[hang_class]
    assert record.title and record.confirm
    assert section.startswith(record.meaning)
    assert [remedy.commit for remedy in record.remedies if remedy.commit not in section] == []


def in_code(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "–"


def test_the_documentation_lists_the_protocols_of_the_storages() -> None:
    text = TABLES.read_text()
    for protocol in (it for it in PROTOCOLS if it.bound):
        client, server = map(in_code, (protocol.client_modules, protocol.server_modules))
        assert f"| {protocol.name} | {client} | {server} | {protocol.port or '–'} | {protocol.bound} |" in text


def test_a_protocol_and_a_server_are_found_by_their_names() -> None:
    names = [protocol.name for protocol in PROTOCOLS]
    servers = [server for protocol in PROTOCOLS for server in protocol.servers]
    assert len(set(names)) == len(names) and len(set(servers)) == len(servers)
    assert all(protocol_named(protocol.name) is protocol for protocol in PROTOCOLS)
    assert all(serves(server[:15]) is protocol for protocol in PROTOCOLS for server in protocol.servers)
    assert protocol_named("") is None and serves("kworker/0:1") is None


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda it: it.name)
def test_what_a_protocol_is_waited_for_by_is_something_that_tasks_wait_for(protocol: StorageProtocol) -> None:
    known = {key for key, *_ in _ROWS} | {"swap"}
    assert [key for key in protocol.waits if key not in known and not key.startswith("driver:")] == []


@pytest.mark.parametrize(
    ("line", "finding", "notice"),
    [
        ("nvme nvme0: queue 1: timeout request 0x4 type 4", FindingKind.STORAGE_TIMEOUT, NoticeKind.BLOCK_STUCK),
        (
            "nvme nvme0: I/O tag 12 (100c) type 4 opcode 0x1 (Write) QID 1 timeout",
            FindingKind.STORAGE_TIMEOUT,
            NoticeKind.BLOCK_STUCK,
        ),
        ("nvme nvme0: starting error recovery", FindingKind.STORAGE_TIMEOUT, NoticeKind.LINK_DOWN),
        ("nvme nvme0: Reconnecting in 10 seconds...", FindingKind.STORAGE_TIMEOUT, NoticeKind.LINK_DOWN),
        ("nvme nvme0: Failed reconnect attempt 3/60", FindingKind.STORAGE_TIMEOUT, NoticeKind.LINK_DOWN),
        ("nvme nvme0: failed nvme_keep_alive_end_io error=10", FindingKind.STORAGE_TIMEOUT, None),
        ("nvmet: ctrl 1 keep-alive timer (15 seconds) expired!", FindingKind.STORAGE_TIMEOUT, None),
        ("block nvme0n1: no usable path - requeuing I/O", FindingKind.STORAGE_TIMEOUT, None),
        ("block nvme0n1: no available path - failing I/O", FindingKind.IO_ERROR, NoticeKind.BLOCK_ERROR),
        ("nvme nvme0: failfast expired", FindingKind.STORAGE_TIMEOUT, None),
        ("nvme nvme0: Removing controller...", FindingKind.STORAGE_TIMEOUT, None),
        ('nvme nvme0: Removing ctrl: NQN "nqn.2012-06.invalid.harness:disk"', None, None),
        ("nvme nvme0: Successfully reconnected (1 attempt)", None, None),
        ('nvme nvme0: new ctrl: NQN "nqn.2012-06.invalid.harness:disk", addr 127.0.0.1:4420', None, None),
        ("nvmet: adding nsid 1 to subsystem nqn.2012-06.invalid.harness:disk", None, None),
        ("nvmet_tcp: enabling port 1 (0.0.0.0:4420)", None, None),
        ("nvme nvme0: I/O tag 12 (100c) opcode 0x2 (I/O Cmd) QID 1 timeout", FindingKind.STORAGE_TIMEOUT, None),
    ],
)
def test_what_nvme_over_tcp_says(line: str, finding: FindingKind | None, notice: NoticeKind | None) -> None:
    found = scan(f"[   12.345678] {line}\n".encode())
    assert [one.kind for one in found] == ([finding] if finding else [])
    said = notice_of(line)
    assert (said[0] if said else None) is notice


def test_attempts_to_connect_again_are_told_once_with_their_cause() -> None:
    lines = "starting error recovery", "Reconnecting in 10 seconds...", "Failed reconnect attempt 1"
    text = "".join(f"[   1{number}.000000] nvme nvme0: {line}\n" for number, line in enumerate(lines))
    assert [finding.title for finding in scan(text.encode())] == ["nvme nvme0: starting error recovery"]


def test_a_connection_of_nvme_to_the_host_itself_is_seen() -> None:
    line = f"   3: 0100007F:9C40 0100007F:{NVME_TCP.port:04X} 01 00000000:00000000 00:00000000 00000000"
    assert notice_of(line) == (NoticeKind.SELF_CONNECTED, "1144")
