"""Where packages of a Debian suite come from: this machine's own apt configuration, or the mirror of the settings.

No archive's name is built in: whatever apt on this machine uses (a mirror, a snapshot, a proxy) is used as well,
and other suites are found on the same servers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.artifacts.run_tool import read_tool
from harness.model.errors import HostEnvironmentError, UsageError

CODENAMES = {"11": "bullseye", "12": "bookworm", "13": "trixie", "14": "forky", "sid": "sid"}
WITHOUT_PARTS = "sid"  # it has no suites for updates or security: new packages go to the suite itself

_FIELDS = ("CREATED_BY", "REPO_URI", "RELEASE", "COMPONENT", "ORIGIN", "CODENAME", "SOURCESENTRY")
_FORMAT = "|".join(f"$({name})" for name in _FIELDS)
_SUITE_NAMES = {*CODENAMES.values(), "oldoldstable", "oldstable", "stable", "testing", "unstable", "sid"}
_PARTS = ("", "updates", "security")
_OPTION = re.compile(r"^(Acquire::(?:https?|ftp|Retries|Check-Valid-Until|Check-Date)\b[^ ]*) \"(.+)\";$")
_SERIES = re.compile(r"-(\d+\.\d+)$")
_REMEDY = "set --harness-mirror to the address of a Debian mirror"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Package sources of the suite `codename`: lines of a sources.list, and apt options as `Name=value`."""

    codename: str
    lines: tuple[str, ...]
    options: tuple[str, ...] = ()

    @property
    def sources_list(self) -> str:
        """The text of a sources.list."""
        return "".join(f"{line}\n" for line in self.lines)


@dataclass(frozen=True, slots=True)
class _Target:
    uri: str
    release: str
    origin: str
    entry: str


def suite_of(kernel: str) -> tuple[str, str]:
    """Codename and series of `debian:12-6.12`; the series of `debian:12` is "", the suite's own. Raises UsageError."""
    found = _SERIES.search(kernel)
    return (codename_of(kernel[: found.start()]), found[1]) if found else (codename_of(kernel), "")


def codename_of(name: str) -> str:
    """The codename of `debian:12` or `debian:bookworm`; raises UsageError on anything else."""
    distribution, _, release = name.partition(":")
    codename = CODENAMES.get(release, release)
    if distribution != "debian" or codename not in CODENAMES.values():
        known = ", ".join(f"debian:{number}" for number in CODENAMES)
        raise UsageError(f"no distribution {name!r}; there are: {known}")
    return codename


def find_sources(mirror: str | None, codename: str) -> Sources:
    """Package sources of `codename`; raises HostEnvironmentError if this machine has no Debian sources.

    `mirror` is a comma-separated list of archive addresses; one that ends in "security" holds `<codename>-security`,
    every other one `<codename>` and `<codename>-updates`.
    """
    options = tuple(_apt_options(read_tool(["apt-config", "dump"])))
    lines = tuple(_of_mirror(mirror, codename)) if mirror else tuple(_of_machine(codename))
    if not lines:
        raise HostEnvironmentError("apt on this machine has no Debian package source", remedy=_REMEDY)
    return Sources(codename=codename, lines=lines, options=options)


def _of_mirror(mirror: str, codename: str) -> Iterator[str]:
    for uri in filter(None, (part.strip() for part in mirror.split(","))):
        if not re.match(r"^((https?|ftp)://[^\s/]|file:/)\S*$", uri):
            raise UsageError(f"mirror {uri!r} is no address of a package archive; it should read http://host/debian")
        suffixes = ("-security",) if uri.rstrip("/").endswith("security") else ("", "-updates")
        known = (suffix for suffix in suffixes if not suffix or codename != WITHOUT_PARTS)
        yield from (f"deb {uri} {codename}{suffix} main" for suffix in known)


def _of_machine(codename: str) -> Iterator[str]:
    seen = set()
    for target in _debian_targets():
        part = target.release.partition("-")[2]
        suite = f"{codename}-{part}" if part else codename
        known = part in _PARTS and not (part and codename == WITHOUT_PARTS)
        if known and (target.uri, suite) not in seen:
            seen.add((target.uri, suite))
            keyring = _signed_by(target)
            yield f"deb {f'[signed-by={keyring}] ' if keyring else ''}{target.uri} {suite} main"


def _debian_targets() -> list[_Target]:
    """Sources whose release file says Debian; before the first `apt-get update`, those that look like it."""
    known = _targets(read_tool(["apt-get", "indextargets", "--format", _FORMAT]))
    if known:
        return [target for target in known if target.origin == "Debian"]
    unread = _targets(read_tool(["apt-get", "indextargets", "--no-release-info", "--format", _FORMAT]))
    return [target for target in unread if target.release.partition("-")[0] in _SUITE_NAMES]


def _targets(listing: str) -> list[_Target]:
    targets = []
    for line in listing.splitlines():
        fields = line.split("|")
        if len(fields) == len(_FIELDS) and fields[0] == "Packages" and fields[3] == "main":
            targets.append(_Target(fields[1], fields[2], fields[4], fields[6]))
    return targets


def _signed_by(target: _Target) -> str:
    """The key ring that this machine's own entry names for `target`; "" leaves it to apt's trusted keys."""
    path = Path(target.entry.rpartition(":")[0])
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    entries = re.split(r"\n\s*\n", text) if path.suffix == ".sources" else text.splitlines()
    for entry in entries:
        named = re.search(r"(?im)(?:^signed-by:\s*|\bsigned-by=)(/[^\s\],]+)", entry)
        if named and target.uri.rstrip("/") in entry and target.release in entry:
            return named[1]
    return ""


def _apt_options(dump: str) -> Iterator[str]:
    """Proxies, certificates and clock checks: what a second apt needs to reach the same servers."""
    for line in dump.splitlines():
        option = _OPTION.match(line)
        if option:
            yield f"{option[1]}={option[2]}"
