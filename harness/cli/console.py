"""`harness console`: the serial console of a host that `harness up` booted."""

from __future__ import annotations

import click

from harness.cli.options import harness_options, resolve_options

KEYBOARD, SCREEN = 0, 1


@click.command()
@click.argument("host")
@harness_options("state")
def console(host: str, **given: str | None) -> None:
    """Attach this terminal to the serial console of HOST, a name, a role, or TOPOLOGY/HOST; Ctrl-] leaves it.

    A root shell reads the input. Several terminals may be attached at once.
    """
    from harness.sandbox.attach import ESCAPE_NAME, attach
    from harness.sandbox.choose import choose_host
    from harness.state.state import StateDir

    sandbox, name = choose_host(StateDir.of(resolve_options(given).settings), host)

    def joined() -> None:
        click.echo(f"console of {name} ({sandbox.name}); {ESCAPE_NAME} leaves it", err=True)

    left = attach(sandbox.port(name), KEYBOARD, SCREEN, joined)
    click.echo(f"\nleft the console of {name}" if left else f"\nthe console of {name} was closed", err=True)
