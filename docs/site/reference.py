"""Reference pages of storages, workloads, faults and instruments, written from their classes.

The text is that of the docstrings. What a part needs, its bound and its tasks are asked of its example, which is taken
from the test cases, or else from the tests: so no example is one that does not work.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import get_args, get_type_hints

from harness.faults.base import Fault
from harness.model.errors import UsageError
from harness.model.topology import MIB, Host, Topology
from harness.monitors.instrument import Instrument
from harness.site.needs import needs_of
from harness.storage.base import Storage
from harness.workloads.base import Workload

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ("testcases", "harness/selftest", "tests/live", "tests/unit")  # where they are looked for, best first
MOST_KEYWORDS, MOST_COLUMNS = 3, 100  # of an example
ROLES = ("client", "server", "first", "second")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of parts: the package that they live in, and the protocol that makes a class one of them."""

    package: str
    protocol: type


KINDS = {
    "storages": Kind(package="harness.storage", protocol=Storage),
    "workloads": Kind(package="harness.workloads", protocol=Workload),
    "faults": Kind(package="harness.faults", protocol=Fault),
    "instruments": Kind(package="harness.monitors.instruments", protocol=Instrument),
}


def page(kind: Kind) -> str:
    """All parts of a kind in Markdown, and below them the classes that they refer to."""
    parts = parts_of(kind)
    others = referred_to(kind, parts)
    text = [*map(section, parts)]
    if others:
        text += ["## Referred to above\n", *(_section(other, find_example(other), "###") for other in others)]
    return "\n".join(text)


@cache
def classes_in(package: str) -> tuple[type, ...]:
    """The public dataclasses that the modules of a package define, by name."""
    return tuple(
        sorted((found for name in _modules(package) for found in _classes(name)), key=lambda found: found.__name__)
    )


def _modules(package: str) -> Iterator[str]:
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__, f"{package}."):
        if not module.ispkg:
            yield module.name
        elif not module.name.endswith(".guest"):  # scripts of a host under test
            yield from _modules(module.name)


def _classes(module: str) -> Iterator[type]:
    for name, value in vars(importlib.import_module(module)).items():
        if inspect.isclass(value) and value.__module__ == module and is_dataclass(value) and not name.startswith("_"):
            yield value


def parts_of(kind: Kind) -> list[type]:
    """The parts of a kind, by name."""
    return [found for found in classes_in(kind.package) if _offers(found, kind.protocol)]


def _offers(part: type, protocol: type) -> bool:
    """Whether the class has all that the protocol names; a base class that lacks some of it is no part."""
    wanted = {
        name
        for base in inspect.getmro(protocol)
        if getattr(base, "_is_protocol", False)
        for name in vars(base)
        if not name.startswith("_")
    }
    return not inspect.isabstract(part) and wanted <= set(dir(part)) | {field.name for field in fields(part)}


def referred_to(kind: Kind, parts: Iterable[type]) -> list[type]:
    """Classes of the kind's package that are no parts, but values of their parameters, or named in their docstrings."""
    asked = {annotation for part in parts for hint in get_type_hints(part).values() for annotation in _flat(hint)}
    protocols = [asking for asking in asked - {kind.protocol} if getattr(asking, "_is_protocol", False)]
    named = {name for part in parts for name in re.findall(r"`(\w+)", _text(part))}
    others = [found for found in classes_in(kind.package) if found not in parts and not inspect.isabstract(found)]
    return [
        found
        for found in others
        if found in asked or found.__name__ in named or any(_offers(found, protocol) for protocol in protocols)
    ]


def _text(part: type) -> str:
    """The docstring of a class, and below it those of the classes that it inherits its parameters from."""
    bases = [base for base in inspect.getmro(part) if is_dataclass(base)]
    return "\n\n".join(inspect.cleandoc(base.__doc__ or "") for base in bases)


def _flat(hint: object) -> Iterator[type]:
    if inspect.isclass(hint) and hint.__module__.startswith("harness."):
        yield hint
    for inner in get_args(hint):
        yield from _flat(inner)


def section(part: type) -> str:
    """One part: what it is, its parameters, what it needs, its bound, an example; raises LookupError without one."""
    example = find_example(part)
    if example is None:
        raise LookupError(f"{part.__name__}: no example; use it in testcases/ or tests/unit, with literals only")
    return _section(part, example, "##")


def _section(part: type, example: Example | None, heading: str) -> str:
    lines = [f"{heading} {part.__name__}", "", prose(_text(part)), "", *_parameters(part), ""]
    if example is not None:
        facts = [(title, ask(part, example.made)) for title, ask in FACTS.items()]
        lines += [*(f"- {title}: {text}" for title, text in facts if text), "", "```python"]
        lines += [f"from {part.__module__} import {part.__name__}", "", example.code, "```", ""]
    return "\n".join(lines)


def prose(text: str) -> str:
    """A docstring as Markdown: what is no code must not look like markup."""
    pieces = re.split(r"(`[^`]*`)", text)
    return "".join(piece if index % 2 else re.sub(r"([<*])", r"\\\1", piece) for index, piece in enumerate(pieces))


def _parameters(part: type) -> Iterator[str]:
    public = [field for field in fields(part) if field.init and not field.name.startswith("_")]
    public.sort(key=lambda field: not _required(field))
    if public:
        yield "| parameter | type | default |"
        yield "| --- | --- | --- |"
    for field in public:
        yield f"| `{field.name}` | `{_cell(str(field.type))}` | {_default(field)} |"


def _required(field: Field[object]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _default(field: Field[object]) -> str:
    if _required(field):
        return "required"
    return f"`{_written(field.default if field.default_factory is MISSING else field.default_factory())}`"


def _written(value: object) -> str:
    """A default as one would write it: without the parameters that are defaults themselves."""
    if not is_dataclass(value):
        return _cell(repr(value))
    changed = [field for field in fields(value) if field.init and getattr(value, field.name) != field.default]
    given = ", ".join(f"{field.name}={_written(getattr(value, field.name))}" for field in changed)
    return f"{type(value).__name__}({given})"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _needs(part: type, example: object) -> str:
    hosts = tuple(Host(name=role, memory=512 * MIB, modules=("harness-fault", "harness-net")) for role in ROLES)
    needs = needs_of(example, Topology(name="any", hosts=hosts, roles={role: role for role in ROLES}))
    return "; ".join(f"on {role} " + ", ".join(f"`{name}`" for name in names) for role, names in needs.items() if names)


def _bound(part: type, example: object) -> str:
    if not hasattr(example, "bound_s"):
        return ""
    seconds = f"{example.bound_s:g} s in the example" if example.bound_s else "none in the example"
    return seconds + _beyond(part, "bound_s")


def _tasks(part: type, example: object) -> str:
    return ", ".join(f"`{name}`" for name in getattr(example, "critical_tasks", ()))


def _measured(part: type, example: object) -> str:
    """The names that the class gives its measures, or else its module; where neither does, what the method says."""
    if not hasattr(part, "measures"):
        return ""
    sources = inspect.getsource(part), inspect.getsource(inspect.getmodule(part) or part)
    names = next(filter(None, map(_measure_names, sources)), [])
    return ", ".join(f"`{name}`" for name in names) or _beyond(part, "measures").removeprefix(": ")


def _measure_names(source: str) -> list[str]:
    """The names in `Measure(name=…)`, each once; what stands in braces in them is known in a trial only."""
    found = re.findall(r'Measure\(name=f?"([^"]+)"', source)
    return list(dict.fromkeys(re.sub(r"{[^}]*}", "…", name) for name in found))


FACTS: Mapping[str, Callable[[type, object], str]] = {
    "Needs of the kernel": _needs,
    "Bound": _bound,
    "Critical tasks": _tasks,
    "Measures": _measured,
}


def _beyond(part: type, name: str) -> str:
    """What a method says beyond that it is the protocol's: its docstring without "See `Protocol.method`"."""
    text = inspect.getdoc(inspect.getattr_static(part, name, None)) or ""
    rest = " ".join(re.sub(r"^See `\w+\.\w+`[.:;]?", "", text).split())
    return f": {prose(rest)}" if rest else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """Code that makes a part, and the part."""

    code: str
    made: object


@cache
def find_example(part: type) -> Example | None:
    """The best example that uses literals and other parts only, if there is one."""
    found = sorted(_calls().get(part.__name__, []), key=_rank)
    for code in [call.code for call in found] + [f"{part.__name__}()"]:
        try:
            return Example(code=code, made=eval(code, dict(_namespace())))
        except (NameError, TypeError, UsageError):  # it has names of the test's own, or is there to be refused
            continue
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call in one line of one of the folders EXAMPLES, by the folder's index."""

    folder: int
    code: str
    keywords: int


def _rank(call: Call) -> tuple[int, int, int, str]:
    return call.folder, -min(call.keywords, MOST_KEYWORDS), len(call.code), call.code


@cache
def _calls() -> dict[str, list[Call]]:
    """All calls in the folders of EXAMPLES, by the name that is called."""
    found: dict[str, list[Call]] = {}
    for index, folder in enumerate(EXAMPLES):
        for file in sorted((ROOT / folder).rglob("*.py")):
            source = file.read_text(encoding="utf-8")
            lines = source.splitlines()
            for node in ast.walk(ast.parse(source)):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.lineno == node.end_lineno:
                    code = lines[node.lineno - 1].encode()[node.col_offset : node.end_col_offset].decode()
                    if len(code) <= MOST_COLUMNS:
                        call = Call(folder=index, code=code, keywords=len(node.keywords))
                        found.setdefault(node.func.id, []).append(call)
    return found


@cache
def _namespace() -> dict[str, object]:
    """What an example may use: the classes of all kinds, and nothing else."""
    return {found.__name__: found for kind in KINDS.values() for found in classes_in(kind.package)}


if __name__ == "__main__":
    sys.stdout.write(page(KINDS[sys.argv[1]]))
