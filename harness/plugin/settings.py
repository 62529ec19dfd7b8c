"""The harness's options as pytest sees them: command line, environment, ini file."""

from __future__ import annotations

import os

import pytest

from harness.model.options import OPTIONS, Options, resolve

FLAG = "--harness-"


def add_options(parser: pytest.Parser) -> None:
    """Register every option of the table, on the command line and as an ini key."""
    group = parser.getgroup("harness", "kernel hangs under memory pressure (harness)")
    for option in OPTIONS:
        group.addoption(
            FLAG + option.name,
            dest=option.ini,
            metavar=option.metavar,
            default=None,
            action="append" if option.several else "store",
            help=f"{option.help} [${option.environment}, ini {option.ini}]",
        )
        parser.addini(option.ini, option.help, type="string", default="")


def _text(given: str | list[str] | None) -> str | None:
    """One text of an option that was given several times."""
    return " ".join(given) if isinstance(given, list) else given


def read_options(config: pytest.Config) -> Options:
    """The options in force; raises harness.model.errors.UsageError."""
    root = config.rootpath if config.inipath is None else config.inipath.parent
    return resolve(
        {option.name: _text(config.getoption(option.ini)) for option in OPTIONS},
        flag=FLAG,
        environ=os.environ,
        ini={option.ini: str(config.getini(option.ini)) for option in OPTIONS},
        cwd=config.invocation_params.dir,
        root=root,
    )
