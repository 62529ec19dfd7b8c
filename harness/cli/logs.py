"""`harness logs`: console output of the hosts that `harness up` booted."""

from __future__ import annotations

import click

from harness.cli.options import harness_options, resolve_options


@click.command()
@click.argument("host", required=False)
@click.option("-f", "--follow", is_flag=True, help="follow the output until Ctrl-C or `harness down`")
@harness_options("state")
def logs(host: str | None, follow: bool, **given: str | None) -> None:
    """Print the console of HOST, a name, a role, or TOPOLOGY/HOST; without it, those of all hosts that are up."""
    from harness.model.clock import SYSTEM_CLOCK
    from harness.sandbox.choose import consoles_of
    from harness.sandbox.logs import show
    from harness.state.state import StateDir

    found = consoles_of(StateDir.of(resolve_options(given).settings), host)
    show(
        {mark: sandbox.console(name) for mark, (sandbox, name) in found.items()},
        click.echo,
        going_on=lambda: follow and any(sandbox.alive for sandbox, _ in found.values()),
        clock=SYSTEM_CLOCK,
    )
