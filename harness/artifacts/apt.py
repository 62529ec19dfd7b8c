"""A private apt: finds and downloads packages of any Debian suite without touching the system's own apt state."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from harness.artifacts.mirror import Sources
from harness.artifacts.run_tool import CommandFailed, read_tool, run_tool
from harness.model.errors import HostEnvironmentError
from harness.model.observe import Progress

_STATUS = re.compile(r"^dlstatus:[^:]*:([0-9.]+):")


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A binary package of an archive; `depends` as its control file spells it."""

    name: str
    version: str
    depends: str

    def dependency(self, pattern: str) -> str | None:
        """The first package name in `depends` that matches `pattern` as a whole."""
        names = (part.split()[0] for part in re.split(r"[,|]", self.depends) if part.strip())
        return next((name for name in names if re.fullmatch(pattern, name)), None)


class PrivateApt:
    """apt with its own sources, lists and downloads under `root`; its output goes to `log`."""

    def __init__(self, root: Path, sources: Sources, progress: Progress, log: Path) -> None:
        self._root = root
        self._sources = sources
        self._progress = progress
        self._log = log
        for folder in ("lists/partial", "archives/partial"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        (root / "status").touch()
        (root / "sources.list").write_text(sources.sources_list, encoding="utf-8")

    def update(self) -> None:
        """Fetch the lists of packages; raises HostEnvironmentError if the archive does not answer."""
        self._run(f"fetching the package lists of {self._sources.codename}", ["update"])

    def show(self, name: str) -> Package:
        """The newest version of package `name`; raises HostEnvironmentError if the suite has none."""
        try:
            text = read_tool(["apt-cache", *self._options(), "show", "--no-all-versions", name])
        except CommandFailed as error:
            problem = f"no package {name} in {self._sources.codename}: {error.last}"
            raise HostEnvironmentError(problem, remedy="see whether the mirror holds that suite") from error
        fields = dict(re.findall(r"(?m)^(Package|Version|Depends): (.*)$", text))
        return Package(name=name, version=fields["Version"], depends=fields.get("Depends", ""))

    def download(self, name: str, version: str, folder: Path) -> Path:
        """The package file of `name` at `version` (also of architecture all), checked by apt, in `folder`."""
        before = set(folder.glob("*.deb"))
        self._run(f"downloading {name} {version}", ["download", f"{name}={version}"], cwd=folder)
        (found,) = set(folder.glob("*.deb")) - before
        return found

    def _run(self, what: str, command: list[str], cwd: Path | None = None) -> None:
        self._progress.step(what)
        try:
            argv = ["apt-get", *self._options(), "-o", "APT::Status-Fd=1", *command]
            run_tool(argv, log=self._log, cwd=cwd, on_line=lambda line: self._follow(what, line))
        except CommandFailed as error:
            remedy = "check the network and `apt-get update`, or choose another mirror with --harness-mirror"
            raise HostEnvironmentError(f"{what} failed: {error.last}", remedy=remedy) from error

    def _follow(self, what: str, line: str) -> None:
        status = _STATUS.match(line)
        if status:
            self._progress.step(what, min(1.0, float(status[1]) / 100))

    def _options(self) -> list[str]:
        """Options that move all that apt would read or write elsewhere under the root; trusted keys stay the host's."""
        root = self._root
        settings = {
            "Dir::State": str(root),
            "Dir::State::lists": str(root / "lists"),
            "Dir::State::status": str(root / "status"),
            "Dir::Cache": str(root),
            "Dir::Cache::archives": str(root / "archives"),
            "Dir::Etc::sourcelist": str(root / "sources.list"),
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::Etc::preferences": "/dev/null",
            "Dir::Etc::preferencesparts": "/dev/null",
            "APT::Architecture": "amd64",
            "APT::Architectures": "amd64",
            # The folder is the caller's own; apt's unprivileged user could not write there.
            "APT::Sandbox::User": "",
            "Acquire::Languages": "none",
            "APT::Update::Error-Mode": "any",
        }
        return [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
