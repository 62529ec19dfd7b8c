"""The record of a storage protocol, read by the console parser, the diagnosis and the storage under test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.model.finding import FindingKind, NoticeKind

__all__ = ["Message", "Sign", "StorageProtocol"]


@dataclass(frozen=True, slots=True)
class Message:
    """A console line that is a finding.

    `token` is a literal that the line contains; `regex` matches from the start of the message. Its group `device`
    separates lines about different devices. `flags` are those of `verdicts.console.headline.line`.
    """

    kind: FindingKind
    token: str
    regex: str
    flags: str = "s"


@dataclass(frozen=True, slots=True)
class Sign:
    """A console line that the diagnosis uses; `token` and `regex` as in `Message`.

    The group `about` is the device or the server that the line is about.
    """

    kind: NoticeKind
    token: str
    regex: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageProtocol:
    """One protocol. Pattern strings contain patterns separated by blanks, each matched from the start of a name.

    `client_modules` and `server_modules` are kernel modules, `symbols` the options that build them. `client_programs`
    and `server_programs` must be installed on a host that plays that part. `servers` are task names of user-space
    servers; `port` is IANA's. `bound` names the settings that end a wait; `loopback` says whether
    server and client can be on one host. `device` is a part of the paths of its devices; `shares_device`: local devices
    have the same part. Functions of its block driver have `function` in their names.

    `waits` are the resources of `diagnosis.graph.waits` that tasks wait for when they wait for its server. Patterns:
    `receivers`, tasks of the client; `senders`, functions that send a request; `drivers` and `driver_modules`,
    functions and modules of its block driver.
    """

    name: str
    client_modules: tuple[str, ...] = ()
    client_programs: tuple[str, ...] = ()
    server_programs: tuple[str, ...] = ()
    server_modules: tuple[str, ...] = ()
    symbols: Mapping[str, str] = field(default_factory=dict, hash=False)
    servers: tuple[str, ...] = ()
    port: int | None = None
    bound: str = ""
    loopback: bool = True
    device: str = ""
    shares_device: bool = False
    function: str = ""
    waits: tuple[str, ...] = ()
    receivers: str = ""
    senders: str = ""
    drivers: str = ""
    driver_modules: str = ""
    messages: tuple[Message, ...] = ()
    signs: tuple[Sign, ...] = ()
