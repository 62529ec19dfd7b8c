"""`harness down`: ends the guests that `harness up` booted."""

from __future__ import annotations

import click

from harness.cli.options import harness_options, resolve_options
from harness.results.text import plain_line


@click.command()
@click.argument("topology", required=False)
@harness_options("state", "uri")
def down(topology: str | None, **given: str | None) -> None:
    """End the guests of TOPOLOGY, or of the only topology that is up, and print what was ended.

    Also removes what a killed supervisor left.
    """
    from harness.model.clock import SYSTEM_CLOCK
    from harness.providers import clean
    from harness.sandbox.choose import choose_sandbox
    from harness.sandbox.end import end
    from harness.state.sandboxes import sandboxes
    from harness.state.state import StateDir

    settings = resolve_options(given).settings
    state = StateDir.of(settings)
    was_left = topology in [sandbox.name for sandbox in sandboxes(state, alive=False)]
    removed = clean(settings)
    for line in removed:
        click.echo(plain_line(line))
    if was_left or (topology is None and not sandboxes(state)):
        if not removed:
            click.echo("nothing is up")
        return
    for line in end(settings, choose_sandbox(state, topology), SYSTEM_CLOCK):
        click.echo(plain_line(line))
