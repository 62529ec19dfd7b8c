"""Package sources: what apt of this machine uses, for any suite, without a name of an archive in the code."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.artifacts import mirror
from harness.artifacts.mirror import codename_of, find_sources, suite_of
from harness.model.errors import HostEnvironmentError, UsageError

DUMP = """\
APT::Architecture "amd64";
Acquire::http::Proxy "http://proxy.example:3128";
Acquire::https::CaInfo "/etc/ssl/own.pem";
Acquire::Check-Valid-Until "false";
Acquire::Changelogs::URI::Origin::Debian "https://elsewhere.example/";
Acquire::http "";
"""


class FakeApt:
    """Answers as apt-config and apt-get do."""

    def __init__(self, known: str = "", unread: str = "", dump: str = "") -> None:
        self.known, self.unread, self.dump = known, unread, dump

    def __call__(self, argv: Sequence[str]) -> str:
        if argv[0] == "apt-config":
            return self.dump
        return self.unread if "--no-release-info" in argv else self.known


def target(uri: str, release: str, *, origin: str = "Debian", component: str = "main", entry: str = "/none:1") -> str:
    return f"Packages|{uri}|{release}|{component}|{origin}|bookworm|{entry}\n"


MACHINE = (
    target("http://a.example/debian/", "bookworm")
    + target("http://a.example/debian/", "bookworm", component="contrib")
    + target("http://a.example/debian/", "bookworm-updates")
    + target("http://a.example/debian/", "bookworm-backports")
    + target("http://a.example/debian-security/", "bookworm-security")
    + target("http://b.example/node/", "nodistro", origin=". nodistro")
    + "Translations|http://a.example/debian/|bookworm|main|Debian|bookworm|/none:1\n"
)


def use(monkeypatch: pytest.MonkeyPatch, apt: FakeApt) -> None:
    monkeypatch.setattr(mirror, "read_tool", apt)


def test_the_machines_own_suite(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, FakeApt(known=MACHINE))
    assert find_sources(None, "bookworm").lines == (
        "deb http://a.example/debian/ bookworm main",
        "deb http://a.example/debian/ bookworm-updates main",
        "deb http://a.example/debian-security/ bookworm-security main",
    )


def test_another_suite_is_found_on_the_same_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, FakeApt(known=MACHINE.replace("|bookworm", "|stable", 1)))
    assert find_sources(None, "trixie").sources_list == (
        "deb http://a.example/debian/ trixie main\n"
        "deb http://a.example/debian/ trixie-updates main\n"
        "deb http://a.example/debian-security/ trixie-security main\n"
    )


def test_before_the_first_update_suites_are_known_by_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    unread = target("http://a.example/debian/", "bookworm", origin="$(ORIGIN)")
    use(monkeypatch, FakeApt(unread=unread + unread + target("http://b.example/", "nodistro", origin="$(ORIGIN)")))
    assert find_sources(None, "bookworm").lines == ("deb http://a.example/debian/ bookworm main",)


def test_no_debian_source_is_an_error_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, FakeApt(known=target("http://u.example/", "noble", origin="Ubuntu")))
    with pytest.raises(HostEnvironmentError, match=r"no Debian package source; set --harness-mirror"):
        find_sources(None, "bookworm")


def test_proxies_and_certificates_are_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, FakeApt(known=MACHINE, dump=DUMP))
    assert find_sources(None, "bookworm").options == (
        "Acquire::http::Proxy=http://proxy.example:3128",
        "Acquire::https::CaInfo=/etc/ssl/own.pem",
        "Acquire::Check-Valid-Until=false",
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("own.list", "deb [arch=amd64 signed-by=/keys/own.gpg] http://a.example/debian bookworm main\n"),
        ("own.sources", "Types: deb\nURIs: http://a.example/debian\nSuites: bookworm\nSigned-By: /keys/own.gpg\n"),
    ],
)
def test_the_key_ring_is_the_one_that_the_entry_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str
) -> None:
    other = "Types: deb\nURIs: http://c.example/x\nSuites: x\nSigned-By: /keys/other.gpg\n\n"
    (tmp_path / name).write_text((other if name.endswith("sources") else "") + text)
    use(monkeypatch, FakeApt(known=target("http://a.example/debian/", "bookworm", entry=f"{tmp_path / name}:1")))
    (line,) = find_sources(None, "trixie").lines
    assert line == "deb [signed-by=/keys/own.gpg] http://a.example/debian/ trixie main"


def test_a_mirror_of_the_settings_replaces_the_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, FakeApt(known=MACHINE))
    assert find_sources("http://m.example/debian, http://m.example/debian-security", "bullseye").lines == (
        "deb http://m.example/debian bullseye main",
        "deb http://m.example/debian bullseye-updates main",
        "deb http://m.example/debian-security bullseye-security main",
    )


def test_sid_has_neither_updates_nor_security(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, FakeApt(known=MACHINE))
    assert find_sources(None, "sid").lines == ("deb http://a.example/debian/ sid main",)
    mirror = "http://m.example/debian,http://m.example/debian-security"
    assert find_sources(mirror, "sid").lines == ("deb http://m.example/debian sid main",)


@pytest.mark.parametrize("bad", ["m.example/debian", "http://", "http://m.example/de bian", "http://x\ndeb http://y"])
def test_a_mirror_that_is_no_address_is_refused(monkeypatch: pytest.MonkeyPatch, bad: str) -> None:
    use(monkeypatch, FakeApt())
    with pytest.raises(UsageError, match="no address of a package archive"):
        find_sources(bad, "bookworm")


def test_a_kernel_may_be_of_a_series_in_a_suite() -> None:
    assert suite_of("debian:12-6.12") == suite_of("debian:bookworm-6.12") == ("bookworm", "6.12")
    assert suite_of("debian:12") == ("bookworm", "")
    for bad in ("debian:3-6.12", "debian:12-", "debian:12-6", "debian:-6.12", "debian:12-6.12-rt"):
        with pytest.raises(UsageError, match="there are: debian:11, debian:12"):
            suite_of(bad)


def test_names_of_distributions() -> None:
    assert codename_of("debian:12") == codename_of("debian:bookworm") == "bookworm"
    assert codename_of("debian:sid") == "sid"
    for bad in ("debian", "debian:3", "ubuntu:12", "12", ""):
        with pytest.raises(UsageError, match="there are: debian:11, debian:12"):
            codename_of(bad)
