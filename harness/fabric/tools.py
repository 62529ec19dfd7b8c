"""The output of infiniband-diags as data, and what its tools complain of in one line.

None of them prints JSON. Read are the line form of iblinkinfo (`-l`), ibqueryerrors, ibnetdiscover, perfquery, sminfo.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from harness.fabric.view import End, Link, Manager, Node, PortErrors

# 0xGUID "name" LID PORT[ext] ==( 4X 10.0 Gbps Active/ LinkUp)==> 0xGUID LID PORT[ext] "name" ( Could be … )
LINK = re.compile(
    r'^(?P<guid>0x[0-9a-f]+) "\s*(?P<name>.*?)\s*"\s+\d+\s+(?P<port>\d+)\[[^]]*\]\s+==\(\s*(?P<how>.*?)\)==>\s*'
    r'(?:(?P<far>0x[0-9a-f]+)\s+\d+\s+(?P<far_port>\d+))?\[[^]]*\] "(?P<far_name>.*?)"\s*\((?P<could>.*)\)\s*$'
)
HOW = re.compile(r"(?:(?P<width>\d+X)\s+(?P<speed>.+?)\s+)?(?P<state>\w+)/\s*(?P<phys>\w+)")
ERRORS_OF = re.compile(r'^Errors for (0x[0-9a-f]+)(?: "(.*)")?')
ERRORS = re.compile(r"^\s+GUID (0x[0-9a-f]+) port (\d+):(.*)")  # "port ALL" has the sums of a switch
COUNTER = re.compile(r"\[(\w+) == (\d+)")
NODE = re.compile(r'^(Switch|Ca|Rt)\s+(\d+)\s+"[^"]*?-([0-9a-f]+)"\s*#\s*"(.*?)"')
FIELD = re.compile(r"^(\w+):\.*(\d+)\s*$")
MANAGER = re.compile(r"sm lid (\d+) sm guid (0x[0-9a-f]+), activity count \d+ priority (\d+) state \d+ SMINFO_(\w+)")
# Not counters, although perfquery prints them as such.
SELECTORS = ("PortSelect",)

NO_UMAD = "is ib_umad module loaded"
NO_PORT = ("can't open UMAD port", "can't open MAD port", "Failed to open")
NO_SUBNET = ("Query SA failed", "No SM/SA found")


def links_of(text: str) -> tuple[tuple[Link, ...], tuple[End, ...]]:
    """The links in the output of `iblinkinfo -l`, each once although both ends list it, and the ports without one."""
    links: dict[frozenset[tuple[str, int]], Link] = {}
    down: list[End] = []
    for near, far, found, how in _lines(text):
        if far is None:
            down.append(near)
        else:
            link = Link(
                ends=(near, far) if near.key <= far.key else (far, near),
                width=how["width"] or "",
                speed=how["speed"] or "",
                state=how["state"],
                could_be=" ".join(found["could"].replace("Could be", " ").split()),
            )
            links.setdefault(link.key, link)
    return tuple(sorted(links.values(), key=lambda link: sorted(link.key))), tuple(
        sorted(down, key=lambda end: end.key)
    )


def _lines(text: str) -> Iterator[tuple[End, End | None, re.Match[str], re.Match[str]]]:
    for line in text.splitlines():
        found = LINK.match(line)
        how = HOW.match(found["how"]) if found else None
        if found and how:
            near = End(guid=found["guid"], port=int(found["port"]), name=found["name"])
            far = found["far"]
            end = End(guid=far, port=int(found["far_port"]), name=found["far_name"]) if far else None
            yield near, end, found, how


def errors_of(text: str) -> tuple[PortErrors, ...]:
    """The counters in the output of ibqueryerrors, by port."""
    found, name = [], ""
    for line in text.splitlines():
        if head := ERRORS_OF.match(line):
            name = head[2] or ""
        elif port := ERRORS.match(line):
            counters = {counter: int(value) for counter, value in COUNTER.findall(port[3])}
            found.append(PortErrors(guid=port[1], port=int(port[2]), name=name, counters=counters))
    return tuple(found)


def nodes_of(text: str) -> tuple[Node, ...]:
    """The nodes in the output of ibnetdiscover."""
    matches = filter(None, map(NODE.match, text.splitlines()))
    return tuple(Node(guid=f"0x{one[3]}", kind=one[1], name=one[4], ports=int(one[2])) for one in matches)


def counters_of(text: str) -> dict[str, int]:
    """The counters in the output of perfquery: `PortXmitData` in units of four bytes."""
    matches = filter(None, map(FIELD.match, text.splitlines()))
    return {one[1]: int(one[2]) for one in matches if one[1] not in SELECTORS}


def manager_of(text: str) -> Manager | None:
    """The subnet manager in the output of sminfo; None if nobody answered."""
    found = MANAGER.search(text)
    return Manager(lid=int(found[1]), guid=found[2], priority=int(found[3]), state=found[4]) if found else None


def cannot_ask(tool: str, exit_code: int, stderr: str) -> str:
    """Why a tool could not ask anything, and the way out; "" if it could."""
    if exit_code == 127:
        return f"it lacks {tool}; install infiniband-diags there"
    if NO_UMAD in stderr:
        return f"{tool} cannot send MADs: ib_umad is not loaded, or there is no InfiniBand; try modprobe ib_umad there"
    if any(words in stderr for words in NO_PORT):
        return f"{tool} cannot send MADs: no port of InfiniBand is up, or /dev/infiniband/umad* may not be opened"
    return ""


def nobody_answers(stderr: str) -> bool:
    """Whether ibqueryerrors found nobody who answers for the subnet. Its exit code is 0 then, as in a healthy one."""
    return any(words in stderr for words in NO_SUBNET)
