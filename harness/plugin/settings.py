"""The harness's options as pytest sees them: command line, environment, ini file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from harness.model.options import OPTIONS, YES, Option, Options, Origin, choose, parse_chosen

FLAG = "--harness-"


def add_options(parser: pytest.Parser) -> None:
    """Register every option of the table, on the command line and as an ini key."""
    group = parser.getgroup("harness", "kernel hangs under memory pressure (harness)")
    for option in OPTIONS:
        group.addoption(
            FLAG + option.word,
            dest=option.ini,
            default=None,
            **_form(option),
            help=f"{option.help} [${option.environment}, ini {option.ini}]",
        )
        parser.addini(option.ini, option.help, type="string", default="")


def _form(option: Option) -> dict[str, Any]:
    """The keyword arguments of `addoption` for an option."""
    if option.flag:
        return {"action": "store_const", "const": YES}
    return {"action": "append" if option.several else "store", "metavar": option.metavar}


def _text(given: str | list[str] | None) -> str | None:
    """One text of an option that was given several times."""
    return " ".join(given) if isinstance(given, list) else given


def read_options(config: pytest.Config) -> Options:
    """The options in force, or those of the resumed run; raises harness.model.errors.UsageError."""
    return parse_chosen(choose_options(config), environ=os.environ, root=_root(config))


def choose_options(config: pytest.Config) -> dict[str, tuple[str, Origin]]:
    """The text of every option that is set, and where it comes from; raises harness.model.errors.UsageError."""
    chosen = choose(
        {option.name: _text(config.getoption(option.ini)) for option in OPTIONS},
        flag=FLAG,
        environ=os.environ,
        ini={option.ini: str(config.getini(option.ini)) for option in OPTIONS},
        cwd=config.invocation_params.dir,
        root=_root(config),
    )
    if "resume" not in chosen:
        return chosen
    from harness.plugin.resume import as_begun

    return as_begun(chosen, FLAG)


def _root(config: pytest.Config) -> Path:
    return config.rootpath if config.inipath is None else config.inipath.parent
