"""What only the owner of a host can say: answered by options, asked on a terminal, or left at its default."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import click

from harness.cli.enrol_parts import WHERE, Table, part_of, table_of
from harness.inventory.owned_schema import CONSOLE_KEYS, EXAMPLES, POWER_KEYS
from harness.model.errors import UsageError
from harness.physical.proposal import (
    check_link,
    chosen_disk,
    expectations,
    free_disks,
    host_name,
    link_cards,
    link_names,
)
from harness.physical.survey import HostSurvey
from harness.results.text import plain_line

NONE = "-"
Check = Callable[[Table], None]  # raises UsageError if a table has no place in the inventory


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What the options say; None: nothing, so it is asked."""

    name: str | None
    disposable: bool | None
    scratch: str | None
    links: Sequence[str]
    power: str | None
    console: str | None
    agent: str | None
    boot_s: int | None


class Asker(Protocol):
    """Gets answers."""

    def ask(self, question: str, default: str = "") -> str:
        """One line; "" or "-" for nothing."""

    def confirm(self, question: str) -> bool:
        """Yes, or no, which is the default."""

    def again(self, problem: UsageError) -> None:
        """An answer was wrong: return to ask again, or raise."""


class Owner:
    """Somebody at a terminal; the table goes to standard output, so what is asked does not."""

    def ask(self, question: str, default: str = "") -> str:
        """See `Asker.ask`."""
        text: str = click.prompt(plain_line(question, 500), default=default, show_default=bool(default), err=True)
        return "" if text.strip() == NONE else text.strip()

    def confirm(self, question: str) -> bool:
        """See `Asker.confirm`."""
        return click.confirm(plain_line(question, 500), default=False, err=True)

    def again(self, problem: UsageError) -> None:
        """See `Asker.again`."""
        for line in str(problem).splitlines():
            click.echo(plain_line(line, 500), err=True)


class Nobody:
    """No terminal: all that no option says keeps its default."""

    def ask(self, question: str, default: str = "") -> str:
        """See `Asker.ask`."""
        return default

    def confirm(self, question: str) -> bool:
        """See `Asker.confirm`."""
        return False

    def again(self, problem: UsageError) -> None:
        """See `Asker.again`."""
        raise problem


def complete(known: Table, found: HostSurvey, answers: Answers, asker: Asker, check: Check) -> Table:
    """The table of a host: `known` is how it is reached, the rest is proposed or asked. Raises UsageError."""
    reached = {key: value for key, value in known.items() if key not in ("name", "kind")}

    def named(text: str) -> Table:
        return {"name": text, "kind": "physical", **reached}

    def add(to: Table, given: str | None, question: Callable[[], Table], parse: Callable[[str], Table]) -> Table:
        return _valid(lambda: {**to, **(question() if given is None else parse(given))}, given is None, asker, check)

    table = add({}, answers.name, lambda: named(asker.ask("name in the inventory", host_name(found))), named)
    doubt = "may it be wrecked: load, faults, other kernels, power cycles (disposable)?"
    table["disposable"] = asker.confirm(doubt) if answers.disposable is None else answers.disposable
    table = add(table, answers.scratch, lambda: _ask_scratch(found, asker), lambda text: _scratch(text, found))
    for key, given, ask in (
        ("power", answers.power, _ask_power),
        ("console", answers.console, _ask_console),
        ("agent", answers.agent, _ask_agent),
    ):
        table = add(table, given, _part(key, ask, asker), _given(key))
    boot = str(answers.boot_s) if answers.boot_s is not None else None
    table = add(table, boot, lambda: _seconds(asker.ask("seconds from power on to SSH (boot_s)", "900")), _seconds)
    links = "\n".join(answers.links) or None
    table = add(table, links, lambda: _ask_links(found, asker), lambda text: _links(text.splitlines(), found))
    return _valid(lambda: {**table, "expect": expectations(found)}, False, asker, check)


def _valid(make: Callable[[], Table], is_asked: bool, asker: Asker, check: Check) -> Table:
    """The table that `make` returns, once it is one; only what was asked can be asked again."""
    while True:
        try:
            table = make()
            check(table)
            return table
        except UsageError as error:
            if not is_asked:
                raise
            asker.again(error)


def _part(key: str, ask: Callable[[Asker], Table], asker: Asker) -> Callable[[], Table]:
    return lambda: {key: found} if (found := ask(asker)) else {}


def _given(key: str) -> Callable[[str], Table]:
    return lambda text: {key: part_of(text, f"--{key}")}


def _seconds(text: str) -> Table:
    if not (text.isascii() and text.isdigit()):
        raise UsageError(f"boot_s: {text!r} is no number of seconds; write such as 900")
    return {"boot_s": int(text)}


def _ask_scratch(found: HostSurvey, asker: Asker) -> Table:
    names = ", ".join(disk.name for disk in free_disks(found))
    return (
        _scratch(asker.ask(f"scratch disk, whose data will be lost: {names}; empty for none"), found) if names else {}
    )


def _scratch(text: str, found: HostSurvey) -> Table:
    return chosen_disk(text, found).keys() if text and text != NONE else {}


def _ask_links(found: HostSurvey, asker: Asker) -> Table:
    cards = link_cards(found)
    proposed = {card: link for link, card in link_names(cards).items()}
    names = []
    for card in cards:
        addresses = ", ".join(card.addresses) or "no address"
        question = f"link over {card.name} ({card.driver}, {addresses}): its name, {NONE} for none"
        if link := asker.ask(question, proposed.get(card.name, "")):
            names.append(f"{link}={card.name}")
    return _links(names, found)


def _links(texts: Sequence[str], found: HostSurvey) -> Table:
    links: dict[str, str] = {}
    for text in texts:
        if text == NONE:
            continue
        link, equals, interface = text.partition("=")
        if not equals or link in links:
            problem = f"{link} is there twice" if equals else f"{text!r} is no NAME=INTERFACE"
            raise UsageError(f"--link: {problem}; write such as fabric=ib0")
        check_link(interface, found)
        links[link] = interface
    return {"links": links} if links else {}


def _ask_power(asker: Asker) -> Table:
    driver = asker.ask(f"power source: {', '.join(POWER_KEYS)}; empty for none")
    return table_of([("driver", driver), *_ask_keys(driver, POWER_KEYS, asker)], "power") if driver else {}


def _ask_console(asker: Asker) -> Table:
    drivers = ", ".join(name for name in CONSOLE_KEYS if name != "none")
    driver = asker.ask(f"console: {drivers}; empty for none")
    return table_of([("driver", driver), *_ask_keys(driver, CONSOLE_KEYS, asker)], "console") if driver else {}


def _ask_agent(asker: Asker) -> Table:
    channel = asker.ask("channel of the agent: a UDP port, a serial port such as /dev/ttyS1; empty for SSH")
    if not channel.startswith("/"):
        return table_of([("udp", channel)], "agent") if channel else {}
    driver = asker.ask(f"what reaches the other end of {channel}: {', '.join(CONSOLE_KEYS)}")
    over = [("driver", driver), *_ask_keys(driver, CONSOLE_KEYS, asker)]
    return table_of([("port", channel), *((f"over-{key}", text) for key, text in over)], "agent")


def _ask_keys(
    driver: str, drivers: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]], asker: Asker
) -> list[tuple[str, str]]:
    """Keys and answers for a driver; an unknown driver has none, and is refused with the whole table."""
    required, optional = drivers.get(driver, ((), ()))
    pairs = []
    for key in (*required, *optional):
        if key == "password":
            kind, _, name = asker.ask(f"where its password is: {WHERE}, and its name, such as env IB1_BMC").partition(
                " "
            )
            pairs.append((f"password-{kind}", name.strip()))
            continue
        example = EXAMPLES.get(key, "").partition(" = ")[2].replace('"', "")
        hint = f", such as {example}" if example else ""
        if text := asker.ask(f"{driver}: {key}{hint if key in required else '; empty for none'}"):
            pairs.append((key, text))
    return pairs
