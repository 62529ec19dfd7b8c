"""`harness ssh`: the system's own ssh, on a host that `harness up` booted."""

from __future__ import annotations

import os

import click

from harness.cli.options import harness_options, resolve_options

PRINT = "--print-config"


@click.command(context_settings={"allow_interspersed_args": False, "ignore_unknown_options": True})
@click.argument("host")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.option(PRINT, "config", is_flag=True, help="print an ssh_config of its topology, for scp, sftp, rsync")
@harness_options("state")
def ssh(host: str, command: tuple[str, ...], config: bool, **given: str | None) -> None:
    """Log in to HOST, or run COMMAND there as ssh would: harness ssh client 'dmesg | tail'.

    HOST is a name, a role, or TOPOLOGY/HOST. Options after it are ssh's own: harness ssh client -t htop.
    """
    from harness.model.errors import HostEnvironmentError
    from harness.sandbox.choose import choose_host
    from harness.sandbox.secure_shell import command_line
    from harness.state.state import StateDir

    sandbox, name = choose_host(StateDir.of(resolve_options(given).settings), host)
    if config or command == (PRINT,):
        click.echo(sandbox.ssh_config.read_text(), nl=False)
        return
    try:
        os.execvp("ssh", command_line(sandbox.ssh_config, name, command))
    except FileNotFoundError as error:
        raise HostEnvironmentError("there is no ssh here", remedy="install openssh-client") from error
