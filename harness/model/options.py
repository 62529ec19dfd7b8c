"""Every option of the harness, in one table that the pytest plugin and the `harness` command share.

An option called `state` is `--harness-state` for pytest, `--state` for the command, `HARNESS_STATE` in the environment
and `harness_state` in a pytest ini file; the first of them that is set wins, in this order. Relative paths start at the
working directory; in an ini file, at the folder of that file.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from harness.model.errors import UsageError
from harness.model.overrides import NAMES as SIDE_NAMES
from harness.model.overrides import STOCK, MachineOverrides, make_overrides
from harness.model.settings import EMBEDDED, Settings

LIVE = ("auto", "ladder", "lines", "off")
PROFILES = SMOKE, NIGHTLY, SOAK = ("smoke", "nightly", "soak")
LEASES = Path("/run/lock/harness")  # every user of a machine may write to /run/lock (Filesystem Hierarchy Standard)
ACCELERATORS = ("auto", "kvm", "tcg")
YES, NO = "yes", "no"


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where an option's text comes from: `name` as the user spells it; relative paths start at `base`."""

    name: str
    base: Path


Parser = Callable[[str, Origin], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One option: `parse` turns its text into a value or raises UsageError.

    An option with `several` may be given several times; its values form one text of words, as a shell splits them. A
    `flag` takes no value on the command line, where it means YES; elsewhere its value is YES or NO.
    """

    name: str
    metavar: str
    help: str
    parse: Parser
    several: bool = False
    flag: bool = False

    @property
    def word(self) -> str:
        """Its name on the command line, after the dashes and a prefix."""
        return self.name.replace("_", "-")

    @property
    def environment(self) -> str:
        """The variable that sets it."""
        return f"HARNESS_{self.name.upper()}"

    @property
    def ini(self) -> str:
        """The key that sets it in a pytest ini file."""
        return f"harness_{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Resolved options; `run` is a run directory to use, `live` one of LIVE, `profile` one of PROFILES if named.

    `resume` is a run to continue. `repeat` is a file that says how often, and on which sides, each case is run. `side`
    changes kernel, modules, command line, memory and processors of every case.
    """

    settings: Settings
    inventory: Path | None = None
    run: Path | None = None
    resume: Path | None = None
    repeat: Path | None = None
    live: str = "auto"
    profile: str | None = None
    side: MachineOverrides = STOCK


def nearest(word: str, known: tuple[str, ...] | list[str]) -> str:
    """`, did you mean 'x'?` for the closest of `known`, or nothing."""
    close = get_close_matches(word, known, n=1)
    return f", did you mean '{close[0]}'?" if close else ""


def _path(text: str, origin: Origin) -> Path:
    return origin.base / Path(text).expanduser()


def _text(text: str, origin: Origin) -> str:
    return text


def _choice(*words: str) -> Parser:
    def parse(text: str, origin: Origin) -> str:
        if text in words:
            return text
        known = ", ".join(words)
        raise UsageError(f"{origin.name}: '{text}' is none of {known}{nearest(text, words)}")

    return parse


def _of_side(name: str) -> Parser:
    def parse(text: str, origin: Origin) -> MachineOverrides:
        return make_overrides({name: text}, base=origin.base, place=lambda name: origin.name)

    return parse


def _flag(text: str, origin: Origin) -> bool:
    return _choice(YES, NO)(text, origin) == YES


def _factor(text: str, origin: Origin) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise UsageError(f"{origin.name}: '{text}' is no factor; give a number above 0, such as 0.5")
    return value


OPTIONS = (
    Option(name="inventory", metavar="FILE", help="topologies and hosts, a TOML file", parse=_path),
    Option(name="state", metavar="DIR", help="sockets and overlays of live runs", parse=_path),
    Option(name="cache", metavar="DIR", help="files built once: images, kernels, modules", parse=_path),
    Option(name="results", metavar="DIR", help="folder for the results of runs", parse=_path),
    Option(name="run", metavar="DIR", help="use this folder, not a new one in results", parse=_path),
    Option(name="resume", metavar="RUN", help="go on with this run where it stopped, as it was begun", parse=_path),
    Option(name="repeat", metavar="FILE", help="JSON file: run each case many times, on several sides", parse=_path),
    Option(
        name="leases",
        metavar="DIR",
        help=f"where all users of this machine queue for its memory (default: {LEASES})",
        parse=_path,
    ),
    Option(name="uri", metavar="URI", help="libvirt URI, or 'embedded' (default)", parse=_text),
    Option(
        name="accel",
        metavar="|".join(ACCELERATORS),
        help="default: auto, KVM if a guest boots with it",
        parse=_choice(*ACCELERATORS),
    ),
    Option(
        name="cold",
        metavar=f"{YES}|{NO}",
        help="boot every guest; use no snapshots",
        parse=_flag,
        flag=True,
    ),
    Option(
        name="steal",
        metavar=f"{YES}|{NO}",
        help="take over a host of a dead run",
        parse=_flag,
        flag=True,
    ),
    Option(
        name="though_in_use",
        metavar=f"{YES}|{NO}",
        help="use a host though somebody is logged in",
        parse=_flag,
        flag=True,
    ),
    Option(name="budget", metavar="FLOAT", help="scales time and passes of cases (default: 1)", parse=_factor),
    Option(
        name="profile",
        metavar="|".join(PROFILES),
        help="quick cases, all but long (default), or all",
        parse=_choice(*PROFILES),
    ),
    Option(
        name="live",
        metavar="|".join(LIVE),
        help="what a running trial shows (default: auto)",
        parse=_choice(*LIVE),
    ),
    Option(
        name="kernel",
        metavar="KERNEL",
        help="debian:13, built tree, boot image, or .deb",
        parse=_of_side("kernel"),
    ),
    Option(
        name="modules",
        metavar="DIR|TAR",
        help="for a boot image that has none beside it",
        parse=_of_side("modules"),
    ),
    Option(
        name="module",
        metavar="FILE.ko",
        help="replaces a module of the kernel; may repeat",
        parse=_of_side("module"),
        several=True,
    ),
    Option(
        name="patch",
        metavar="FILE",
        help="rebuilds the modules it touches; may repeat",
        parse=_of_side("patch"),
        several=True,
    ),
    Option(name="cmdline", metavar="TEXT", help="added to the kernel's command line", parse=_of_side("cmdline")),
    Option(name="memory", metavar="SIZE", help="of every guest, such as 512M", parse=_of_side("memory")),
    Option(name="cpus", metavar="N", help="processors of every guest", parse=_of_side("cpus")),
    Option(name="role", metavar="ROLE", help="change only the guest of this role", parse=_of_side("role")),
    Option(name="mirror", metavar="URL", help="package mirror, not this machine's sources", parse=_text),
)


def resolve(
    given: Mapping[str, str | None],
    *,
    flag: str,
    environ: Mapping[str, str],
    ini: Mapping[str, str],
    cwd: Path,
    root: Path,
) -> Options:
    """The options set by `given` (command line, by name), `environ` and `ini` (by key).

    `flag` is the prefix on the command line (`--harness-`), `root` the folder that holds the ini file. Raises
    UsageError, one line that names the place, if the text of an option is invalid.
    """
    chosen = choose(given, flag=flag, environ=environ, ini=ini, cwd=cwd, root=root)
    return parse_chosen(chosen, environ=environ, root=root)


def choose(
    given: Mapping[str, str | None],
    *,
    flag: str,
    environ: Mapping[str, str],
    ini: Mapping[str, str],
    cwd: Path,
    root: Path,
) -> dict[str, tuple[str, Origin]]:
    """The text of every option that is set, and its origin; arguments as for `resolve`."""
    chosen: dict[str, tuple[str, Origin]] = {}
    for option in OPTIONS:
        sources = (
            (given.get(option.name), Origin(name=flag + option.word, base=cwd)),
            (environ.get(option.environment), Origin(name=option.environment, base=cwd)),
            (ini.get(option.ini), Origin(name=f"{option.ini} (ini)", base=root)),
        )
        for text, origin in sources:
            if text:
                chosen[option.name] = (text, origin)
                break
    return chosen


def parse_chosen(chosen: Mapping[str, tuple[str, Origin]], *, environ: Mapping[str, str], root: Path) -> Options:
    """The options parsed from the chosen texts; raises UsageError as `resolve` does."""
    values = {option.name: option.parse(*chosen[option.name]) for option in OPTIONS if option.name in chosen}
    return _assemble(values, environ, root)


def _assemble(values: Mapping[str, object], environ: Mapping[str, str], root: Path) -> Options:
    def path(name: str, default: Path) -> Path:
        value = values.get(name, default)
        assert isinstance(value, Path)
        return value

    budget = values.get("budget", 1.0)
    assert isinstance(budget, float)
    mirror = values.get("mirror")
    settings = Settings(
        state=path("state", _xdg(environ, "XDG_STATE_HOME", ".local/state")),
        cache=path("cache", _xdg(environ, "XDG_CACHE_HOME", ".cache")),
        results=path("results", root / "results"),
        uri=str(values.get("uri", EMBEDDED)),
        accelerator=str(values.get("accel", "auto")),
        budget=budget,
        leases=path("leases", LEASES) if "leases" in values or LEASES.parent.is_dir() else None,
        mirror=None if mirror is None else str(mirror),
        cold=values.get("cold") is True,
        steal=values.get("steal") is True,
        though_in_use=values.get("though_in_use") is True,
    )
    return Options(
        settings=settings,
        **{name: path(name, root) for name in ("inventory", "run", "resume", "repeat") if name in values},
        live=str(values.get("live", "auto")),
        profile=str(values["profile"]) if "profile" in values else None,
        side=_side(values),
    )


def _side(values: Mapping[str, object]) -> MachineOverrides:
    """The overrides of all single options, together."""
    parts = {name: values[name] for name in SIDE_NAMES if name in values}
    return MachineOverrides(**{name: getattr(part, name) for name, part in parts.items()})


def _xdg(environ: Mapping[str, str], variable: str, fallback: str) -> Path:
    # The specification says that relative paths in these variables are ignored.
    folder = Path(environ.get(variable, ""))
    if not folder.is_absolute():
        folder = Path(environ.get("HOME") or Path.home()) / fallback
    return folder / "harness"
