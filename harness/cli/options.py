"""The harness's options on the command line of `harness`, resolved with environment and ini file.

The table is `harness.model.options`. pytest finds and reads the ini file, in a session that ends before it collects.
So `harness clean` and `pytest` in the same folder use the same state folder.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click
import pytest

from harness.model.errors import UsageError
from harness.model.options import OPTIONS, YES, Option, Options, Origin
from harness.plugin.invoke import PLUGIN, pytest_arguments

F = TypeVar("F", bound=Callable[..., Any])

# A session that only reads options ignores problems with anything else in the file.
_ASKED = ("-W", "ignore::pytest.PytestConfigWarning")


class Workers(click.ParamType[str]):
    """A number of trials at the same time, or `auto`."""

    name = "workers"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """See `click.ParamType`."""
        if str(value) != "auto" and not (str(value).isascii() and str(value).isdigit()):
            self.fail(f"{value!r} is neither a number of trials nor auto", param, ctx)
        return str(value)


def workers_option(default: str | None = None) -> Callable[[F], F]:
    """A decorator that adds `-n` to a command, with the same meaning in each."""
    text = "run N trials at the same time" + ("" if default is None else f" (default: {default})")
    return click.option("-n", "--workers", type=Workers(), default=default, metavar="N|auto", help=text)


def harness_options(*names: str) -> Callable[[F], F]:
    """A decorator that adds the named options to a command, in the order of the table."""

    def decorate(command: F) -> F:
        for option in reversed(OPTIONS):
            if option.name in names:
                command = _click_option(option)(command)
        return command

    return decorate


def resolve_options(given: Mapping[str, str | None]) -> Options:
    """The options in force in this folder; raises UsageError."""
    question = _Question()
    status = pytest.main([*PLUGIN, *_ASKED, "--noconftest", *pytest_arguments(given)], plugins=[question])
    if question.problem is not None:
        raise question.problem
    if question.answer is None:
        raise UsageError(f"pytest cannot read its configuration in {Path.cwd()} (status {int(status)}, see above)")
    return question.answer


class _Question:
    answer: Options | None = None
    problem: UsageError | None = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_cmdline_main(self, config: pytest.Config) -> int:
        try:
            self.answer = config.hook.pytest_harness_options(config=config)
        except UsageError as error:
            self.problem = error
        return 0


def _click_option(option: Option) -> Callable[[F], F]:
    def check(context: click.Context, parameter: click.Parameter, given: str | tuple[str, ...] | None) -> str | None:
        text = (shlex.join(given) or None) if isinstance(given, tuple) else given
        if text is not None:
            option.parse(text, Origin(name=f"--{option.word}", base=Path.cwd()))
        return text

    if option.flag:
        return click.option(f"--{option.word}", help=option.help, is_flag=True, flag_value=YES, type=str, default=None)
    return click.option(
        f"--{option.word}", metavar=option.metavar, help=option.help, callback=check, multiple=option.several
    )
