"""Kernel settings that a trial changes and restores."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from zlib import crc32

from harness.model.errors import InfraError, UsageError
from harness.site.target import Site, Target

ORDER_S = 10.0
# The former values, on the host itself.
SAVED = "/run/harness/sysctl-{number}.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sysctl:
    """Sets sysctl `values` on the host that plays `role`; "x4" or "x0.5" multiplies the current value and rounds down.

    The agent opens the files beforehand and writes them, so it works under memory pressure as well.
    """

    role: str
    values: Mapping[str, int | str]
    at_s: float = 0.0
    heal_after_s: float | None = None

    def __post_init__(self) -> None:
        """Raises UsageError for a factor that is not a number."""
        for key, value in self.values.items():
            if isinstance(value, str) and value.startswith("x"):
                _factor(key, value)

    def describe(self) -> str:
        """See `Fault.describe`."""
        return f"{self.role}: " + ", ".join(f"{key} = {value}" for key, value in self.values.items())

    def prepare(self, site: Site) -> None:
        """See `Prepared.prepare`: saves the current values and opens the files to be written."""
        target = site.role(self.role)
        before = {key: _read(site, target, key) for key in self.values}
        text = json.dumps(before)
        target.shell.run("printf %%s %s >%s", text, self._saved, deadline=site.deadline(ORDER_S))
        _agent(site, target, "open", paths=[_path(key) for key in self.values], write=True)
        _agent(site, target, "open", paths=[self._saved])

    def inject(self, site: Site) -> None:
        """See `Fault.inject`."""
        target = site.role(self.role)
        before = self._before(site, target)
        for key, value in self.values.items():
            _write(site, target, key, _wanted(key, value, before[key]))

    def heal(self, site: Site) -> None:
        """See `Fault.heal`."""
        target = site.role(self.role)
        for key, value in self._before(site, target).items():
            _write(site, target, key, value)

    @property
    def _saved(self) -> str:
        return SAVED.format(number=f"{crc32(repr((self.role, *self.values, self.at_s)).encode()):08x}")

    def _before(self, site: Site, target: Target) -> dict[str, str]:
        before: dict[str, str] = json.loads(_agent(site, target, "read", path=self._saved))
        return before


def _path(key: str) -> str:
    return "/proc/sys/" + key.replace(".", "/")


def _factor(key: str, value: str) -> float:
    try:
        return float(value[1:])
    except ValueError as error:
        raise UsageError(f'sysctl {key}: {value!r} is no factor; write "x4" or "x0.5", or the value itself') from error


def _wanted(key: str, value: int | str, before: str) -> str:
    if isinstance(value, str) and value.startswith("x"):
        return str(int(int(before) * _factor(key, value)))
    return str(value)


def _read(site: Site, target: Target, key: str) -> str:
    return target.shell.run("cat %s", _path(key), deadline=site.deadline(ORDER_S)).stdout.strip()


def _write(site: Site, target: Target, key: str, value: str) -> None:
    _agent(site, target, "write", path=_path(key), text=value)


def _agent(site: Site, target: Target, verb: str, **arguments: object) -> str:
    answer: str = target.agent.ask(verb, **arguments, deadline=site.deadline(ORDER_S))
    if verb == "open" and answer.strip():
        raise InfraError(f"{target.name}: {answer.strip().splitlines()[0]}")
    return answer
