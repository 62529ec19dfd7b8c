"""The command line of a benchmark: the harness's own options, --json, exit codes.

Exit codes: 0 measured, 1 something could not be measured, 2 usage or environment, 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from harness.model.errors import HarnessError
from harness.model.options import OPTIONS, YES, resolve
from harness.model.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
SHARED = ("state", "cache", "uri", "accel", "cold", "mirror")
MEASURED, INCOMPLETE, TROUBLE, INTERRUPTED, TERMINATED = 0, 1, 2, 130, 143


def make_parser(doc: str | None) -> argparse.ArgumentParser:
    """A parser that explains itself with the script's docstring, with the options that all benchmarks share."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object of named figures with units")
    for option in OPTIONS:
        if option.name in SHARED:
            help_text = f"{option.help} [${option.environment}]"
            if option.flag:
                parser.add_argument(f"--{option.name}", action="store_const", const=YES, help=help_text)
            else:
                parser.add_argument(f"--{option.name}", metavar=option.metavar, help=help_text)
    return parser


def settings_of(given: argparse.Namespace, *, results: Path) -> Settings:
    """The settings in force, with results in `results`; raises UsageError."""
    texts: dict[str, str | None] = {name: getattr(given, name) for name in SHARED}
    texts["results"] = str(results)
    return resolve(texts, flag="--", environ=os.environ, ini={}, cwd=Path.cwd(), root=ROOT).settings


def arguments_of(settings: Settings) -> list[str]:
    """The same settings as options, for a process of its own; without those of results."""
    arguments = ["--state", str(settings.state), "--cache", str(settings.cache)]
    arguments += ["--uri", settings.uri, "--accel", settings.accelerator, *(["--cold"] if settings.cold else [])]
    return arguments + (["--mirror", settings.mirror] if settings.mirror else [])


def positive(text: str) -> int:
    """An argument that is a whole number above 0."""
    value = int(text) if text.isdecimal() else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return value


def guarded(work: Callable[[], int]) -> int:
    """The exit code of `work`; its errors in one line each. A termination request unwinds like Ctrl-C does."""
    signal.signal(signal.SIGTERM, _terminate)
    try:
        return work()
    except HarnessError as error:
        print(f"{Path(sys.argv[0]).name}: {error}", file=sys.stderr)
        return TROUBLE
    except KeyboardInterrupt:
        print(f"{Path(sys.argv[0]).name}: interrupted", file=sys.stderr)
        return INTERRUPTED


def _terminate(number: int, frame: FrameType | None) -> None:
    raise SystemExit(TERMINATED)
