"""What a storage protocol is to everybody who asks: the console, the diagnosis, the storage under test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.model.finding import FindingKind, NoticeKind

__all__ = ["Message", "Sign", "StorageProtocol"]


@dataclass(frozen=True, slots=True)
class Message:
    """A line of a console that is a finding.

    `token` is a literal that the line holds, `regex` matches from its start on; its group `device` tells lines about
    one device from those about another. `flags` are those of `verdicts.console.headline.line`.
    """

    kind: FindingKind
    token: str
    regex: str
    flags: str = "s"


@dataclass(frozen=True, slots=True)
class Sign:
    """A line of a console that the diagnosis takes into account; `token` and `regex` as with `Message`.

    The group `about` is the device or the server that the line is about.
    """

    kind: NoticeKind
    token: str
    regex: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageProtocol:
    """One protocol. Strings that are patterns hold several, separated by blanks, matched from the start of a name on.

    `client_modules` and `server_modules` are the kernel's, `symbols` the options that make them; `servers` programs
    that serve it from user space, by the names of their tasks; `port` is IANA's. `bound` names the settings that
    end a wait, `loopback` says whether its server can sit on its client. `device` is a part of the paths of its
    devices, and `shares_device` says that local devices have the same. Functions of its block driver hold
    `function` in their names.

    `waits` are the resources of `diagnosis.graph.waits` that whoever waits for a server of it waits for. As patterns:
    `receivers`, tasks of the client; `senders`, functions that send a request; `drivers` and `driver_modules`,
    functions and modules of its block driver.
    """

    name: str
    client_modules: tuple[str, ...] = ()
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
