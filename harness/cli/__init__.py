"""The `harness` command.

Exit codes: 0 as expected; 1 an expectation failed; 2 usage, environment or infrastructure, with one line that
says what to do; 130 interrupted.
"""

from __future__ import annotations

import errno
import sys
import traceback
from collections.abc import Sequence
from typing import Any

import click

import harness
from harness.model.errors import HarnessError

__all__ = ["call", "main"]

FAILED = 2
INTERRUPTED = 130
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)

# Module and help line of each command, in groups. Commands import what they need when they are called:
# `harness --version` and `harness --help` need neither pytest nor libvirt.
_GROUPS = {
    "Run": {
        "run": ("harness.cli.run", "Run test cases"),
        "selftest": ("harness.cli.selftest", "Measure how often verdicts are right, by injected faults"),
    },
    "Look at results": {
        "explain": ("harness.cli.explain", "Explain what happened in the trials of a run, and why"),
        "report": ("harness.cli.runs", "Write the report of a run again"),
        "verdict": ("harness.cli.runs", "Judge a run again, from its files alone"),
        "scan": ("harness.cli.scan", "Report what happened on any kernel console, and why it hung"),
    },
    "Guests by hand": {
        "up": ("harness.cli.up", "Boot guests and leave them to you, or run one command on them"),
        "ssh": ("harness.cli.ssh", "Log in to a guest, or run a command there"),
        "console": ("harness.cli.console", "Attach this terminal to a guest's serial console"),
        "logs": ("harness.cli.logs", "Print the consoles of guests"),
        "down": ("harness.cli.down", "End guests"),
    },
    "Hosts that somebody owns": {
        "enrol": ("harness.cli.enrol", "Write a host's table for an inventory, from what it shows"),
        "hosts": ("harness.cli.hosts", "List hosts, their state, and who has them"),
        "inspect": ("harness.cli.inspect", "Show what a host is, and what speaks against using it"),
        "qualify": ("harness.cli.qualify", "Decide whether hosts and their links can be trusted"),
        "fabric": ("harness.cli.fabric", "Show what is wrong with the InfiniBand fabric of a host"),
    },
    "Kernels": {
        "compare": ("harness.cli.compare", "Does a case hang more often on one kernel than on another?"),
        "bisect": ("harness.cli.bisect", "Find the first bad commit, kernel or patch"),
        "bisect-step": ("harness.cli.bisect", "One step for `git bisect run`"),
    },
    "Upkeep": {
        "doctor": ("harness.cli.upkeep", "Report what this machine lacks, and the command that fixes it"),
        "prepare": ("harness.cli.upkeep", "Build images, kernels and modules now"),
        "clean": ("harness.cli.upkeep", "Remove what killed runs left"),
    },
}
_COMMANDS = {name: module for commands in _GROUPS.values() for name, (module, _) in commands.items()}


class _Failure(click.ClickException):
    exit_code = FAILED


class _Group(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        module = __import__(_COMMANDS[cmd_name], fromlist=[name])
        command: click.Command = getattr(module, name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a section for each group, without importing any command."""
        for heading, commands in _GROUPS.items():
            with formatter.section(heading):
                formatter.write_dl([(f"{name:11}", line) for name, (_, line) in commands.items()])

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            known = ", ".join(sorted(_COMMANDS))
            raise click.UsageError(f"{error.format_message()} The commands are: {known}.", ctx) from error

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        try:
            return super().make_context(*args, **extra)
        except BrokenPipeError as error:  # of --help
            raise click.exceptions.Exit(_closed(error)) from error

    def invoke(self, ctx: click.Context) -> Any:
        try:
            status = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError as error:
            return _closed(error)
        except HarnessError as error:
            if ctx.params["debug"]:
                traceback.print_exc()
            raise _Failure(_shown(error)) from error
        return status


def _closed(error: BrokenPipeError) -> int:
    """The exit code after the reader of the output closed it, as `head` does; any other closed pipe is a bug."""
    from harness.cli.terminal import discard_output, reader_is_gone

    if not reader_is_gone():
        raise RuntimeError("a connection was closed") from error  # click turns a BrokenPipeError into exit code 1
    discard_output()
    return 0


@click.group(
    cls=_Group,
    context_settings={"help_option_names": ["--help", "-h"]},
    epilog="`harness COMMAND --help` has the options; environment and ini file: docs/options.md",
)
@click.version_option(harness.__version__, prog_name="harness")
@click.option("--debug", is_flag=True, help="show a traceback with an error")
def _group(debug: bool) -> None:
    """Reproduce kernel hangs under memory pressure on network storage, and classify them."""


def call(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code."""
    try:
        status = _group.main(args=arguments, prog_name="harness", standalone_mode=False)
    except (click.Abort, KeyboardInterrupt):
        click.echo("harness: interrupted", err=True)
        return INTERRUPTED
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return FAILED
    except click.ClickException as error:
        click.echo(f"harness: {_message(error)}", err=True)
        return FAILED
    except Exception as error:
        # Not 1: that means that an expectation about a kernel failed.
        if isinstance(error, OSError) and error.errno in DISK_FULL:  # such as pytest's, which writes junit.xml
            click.echo("harness: the disk is full; free some space, or name another folder with --results", err=True)
            return FAILED
        traceback.print_exc()
        click.echo("harness: internal error, see above", err=True)
        return FAILED
    return status if isinstance(status, int) else 0


def main() -> None:
    """Entry point of the command."""
    sys.exit(call())


def _message(error: click.ClickException) -> str:
    context = error.ctx if isinstance(error, click.UsageError) else None
    hint = f" See '{context.command_path} --help'." if context is not None else ""
    return error.format_message() + hint


def _shown(error: HarnessError) -> str:
    from harness.results.text import plain

    return plain(str(error))
