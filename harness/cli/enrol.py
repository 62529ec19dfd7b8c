"""`harness enrol`: the table of a host that somebody owns, for an inventory; nothing on the host is changed."""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from harness.cli.enrol_parts import Table, absolute
from harness.model.errors import HostEnvironmentError, UsageError
from harness.model.owned_host import OwnedHost
from harness.physical.survey import HostSurvey
from harness.results.text import plain_line

NOWHERE = Path("the new inventory")


@click.command()
@click.argument("address")
@click.option("--user", default="", help="log in as this user; one other than root needs sudo without a password")
@click.option("--port", type=click.IntRange(1, 65535), help="port of its SSH server")
@click.option("--identity", metavar="FILE", default="", help="private key to log in with")
@click.option("--jump", metavar="HOST", default="", help="jump host, user@host:port")
@click.option("--host-key-fingerprint", metavar="SHA256:…", help="the right one; without it, you are asked")
@click.option("--name", help="name in the inventory (default: from its host name)")
@click.option("--disposable/--not-disposable", default=None, help="load, faults and kernels may be put on it")
@click.option("--scratch", metavar="DISK", help="the disk that may be overwritten: vdb, or a name in /dev/disk/by-id")
@click.option(
    "--link", "links", metavar="NAME=IFACE", multiple=True, help="interface of a link; may repeat; - for none"
)
@click.option("--power", metavar="KEY=VALUE,…", help="driver=ipmi,address=…,user=…,password-env=NAME")
@click.option("--console", metavar="KEY=VALUE,…", help="driver=ipmi-sol")
@click.option("--agent", metavar="KEY=VALUE,…", help="udp=7777, or port=/dev/ttyS1,over-driver=…")
@click.option("--boot-s", type=int, help="seconds from power on to SSH (default: 900)")
@click.option("--append", "file", metavar="FILE", type=click.Path(path_type=Path), help="add it to this inventory")
def enrol(address: str, host_key_fingerprint: str | None, file: Path | None, **given: object) -> None:
    """Write the inventory's table of the host at ADDRESS, from what it shows and what you say of it.

    ADDRESS is a name, an IP address, or a Host of ~/.ssh/config. Without a terminal nothing is asked: what no option
    says keeps its default, and --host-key-fingerprint is required.
    """
    from harness.cli.enrol_questions import Answers, Nobody, Owner, complete
    from harness.physical.enrol import first_look, shown_key

    reach = {key: given.pop(key) for key in ("port", "user", "identity", "jump")}
    asker = Owner() if has_terminal() else Nobody()
    if host_key_fingerprint is None and isinstance(asker, Nobody):
        how = "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub shows it there"
        raise UsageError(f"no terminal to ask on whether its key is right; add --host-key-fingerprint SHA256:…, {how}")
    text = _text(file)
    spec = _reached(address, reach, "")
    shown = shown_key(spec)
    if host_key_fingerprint is not None:
        shown.must_be(host_key_fingerprint)
    elif not asker.confirm(f"{address} shows the host key {shown}. Is that right?"):
        raise UsageError(f"{address}: its key was not confirmed; ssh-keygen -lf shows fingerprints of keys on the host")
    _check_new(text, file, shown.key)
    found = first_look(_reached(address, reach, shown.key))
    _show(found)
    known: Table = {"address": address, **_given_only(reach), "host_key": shown.key}
    answers = Answers(**given)  # type: ignore[arg-type]  # click has checked them
    table = complete(known, found, answers, asker, lambda table: _check(text, table, file))
    _write(table, file)


def has_terminal() -> bool:
    """Whether somebody can be asked."""
    return sys.stdin.isatty()


def _given_only(reach: Table) -> Table:
    """The keys of the inventory that say how to log in, as far as they were given."""
    found = {key: value for key, value in reach.items() if value}
    return {key: absolute(str(value)) if key == "identity" else value for key, value in found.items()}


def _reached(address: str, reach: Table, key: str) -> OwnedHost:
    port, identity = reach["port"], reach["identity"]
    return OwnedHost(
        address=address,
        host_key=key,
        user=str(reach["user"]),
        ssh_port=port if isinstance(port, int) else None,
        identity=str(Path(str(identity)).expanduser()) if identity else "",
        jump=str(reach["jump"]),
    )


def _show(found: HostSurvey) -> None:
    """What an owner decides upon: the disks and cards of the host, whether or not anything is asked."""
    from harness.physical.proposal import free_disks, link_cards

    lines = [f"{found.hostname}: {found.model or 'unknown machine'}, kernel {found.kernel}"]
    lines += [f"disk that nothing uses: {disk}" for disk in free_disks(found)] or ["no disk that nothing uses"]
    for card in link_cards(found):
        lines.append(
            f"card that does not carry SSH: {card.name}, {card.driver}, {', '.join(card.addresses) or 'no address'}"
        )
    for line in lines:
        click.echo(plain_line(line, 500), err=True)


def _text(file: Path | None) -> str:
    """The inventory so far."""
    from harness.inventory.inventory import read_text

    if file is None or not file.exists():
        return ""
    text = read_text(file)
    return text if not text or text.endswith("\n") else f"{text}\n"


def _appended(text: str, table: Table) -> str:
    from harness.inventory.owned_text import host_text

    return f"{text}\n{host_text(table)}" if text else host_text(table)


def _check(text: str, table: Table, file: Path | None) -> None:
    """Raises UsageError if the inventory would not be one."""
    from harness.inventory.inventory import inventory_of
    from harness.providers import limits

    inventory_of(_appended(text, table), file or NOWHERE, limits=limits())


def _check_new(text: str, file: Path | None, key: str) -> None:
    """Raises UsageError if the inventory is none, or has a host with that key."""
    from harness.inventory.inventory import inventory_of
    from harness.providers import limits

    if not text.strip() or file is None:
        return
    for host in inventory_of(text, file, limits=limits()).hosts.values():
        if host.owned is not None and host.owned.host_key.split()[:2] == key.split()[:2]:
            raise UsageError(f"{file}: host {host.name} has this key; a machine is in an inventory once")


def _write(table: Table, file: Path | None) -> None:
    from harness.inventory.owned_text import host_text
    from harness.results.files import write_atomic

    name = table["name"]
    if file is None:
        click.echo(host_text(table), nl=False)
        return
    place = file.resolve()
    try:
        with _alone(place.parent):
            text = _text(place)  # again: somebody else may have written since
            _check_new(text, file, str(table["host_key"]))
            _check(text, table, file)
            write_atomic(place, _appended(text, table).encode(), mode=_mode(place))
    except HostEnvironmentError as error:
        raise UsageError(f"{error.problem}; name another file with --append") from error
    click.echo(f"{file}: host {name} added; next: harness inspect {name} --inventory {file}", err=True)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder against others that enrol into it; a lock on the file would not outlive its replacement."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise UsageError(f"{folder}: {error.strerror}; --append makes a file, no folder") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _mode(path: Path) -> int:
    return path.stat().st_mode & 0o777 if path.exists() else 0o644
