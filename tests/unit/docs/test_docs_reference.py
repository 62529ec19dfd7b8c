"""The reference pages: every public part is on its page, with parameters and an example, and nothing private."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path

import pytest
import reference

from harness.storage.nfs import NfsDisk

ROOT = Path(__file__).parents[3]
# Where the parts of a kind are defined, and two methods that none of another kind there has together.
KINDS = {
    "storages": ("harness/storage", {"set_up", "tear_down"}),
    "workloads": ("harness/workloads", {"prepare", "launch"}),
    "faults": ("harness/faults", {"inject", "heal"}),
    "instruments": ("harness/monitors/instruments", {"prepare", "launch"}),
}


def _public(folder: str, methods: set[str]) -> set[str]:
    """Names of the concrete classes below a folder that have both methods, found without the page's own code."""
    found = set()
    for file in (ROOT / folder).rglob("*.py"):
        if file.parent.name == "guest":
            continue
        module = importlib.import_module(".".join(file.relative_to(ROOT).with_suffix("").parts))
        for name in re.findall(r"^class (\w+)", file.read_text(encoding="utf-8"), re.MULTILINE):
            part = getattr(module, name)
            abstract = inspect.isabstract(part) or getattr(part, "_is_protocol", False)
            if methods <= set(dir(part)) and not abstract and not name.startswith("_"):
                found.add(name)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_every_public_part_is_on_its_page(kind: str) -> None:
    expected = _public(*KINDS[kind])
    assert expected
    assert expected == set(re.findall(r"^## (\w+)$", reference.page(reference.KINDS[kind]), re.MULTILINE))


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_has_nothing_private(kind: str) -> None:
    text = reference.page(reference.KINDS[kind])
    assert not re.search(r"^#+ _|^\| `_|`_\w+`", text, re.MULTILINE)


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_is_there_and_asks_for_its_kind(kind: str) -> None:
    assert f"<!-- parts: {kind} -->" in (ROOT / "docs/reference" / f"{kind}.md").read_text(encoding="utf-8")


def test_a_section_has_parameters_needs_bound_tasks_and_an_example() -> None:
    sections = dict(re.findall(r"^## (\w+)$(.*?)(?=^## |\Z)", reference.page(reference.KINDS["storages"]), re.M | re.S))
    text = sections["NbdSwap"]
    assert "| `ratio` | `float` | `5.0` |" in text
    assert "| `connection` | `NbdConnection` | `HandedOver()` |" in text
    assert "- Needs of the kernel: on client `nbd`, `CONFIG_SWAP`" in text
    assert "- Bound: none" in text
    assert "- Critical tasks: `nbd-server`, `pool`" in text
    assert "from harness.storage.nbd import NbdSwap\n\nNbdSwap(" in text
    assert "- Bound: 40 s" in sections["NbdDisk"]
    assert "| `on` | `Writable` | required |" in sections["Swap"]


def test_values_of_parameters_and_classes_named_in_docstrings_are_listed_below_the_parts() -> None:
    _, others = reference.page(reference.KINDS["storages"]).split("## Referred to above")
    assert {"HandedOver", "Kept", "Tgt", "Lio", "Folder"} <= set(re.findall(r"^### (\w+)$", others, re.MULTILINE))


def test_a_section_has_what_the_base_classes_say() -> None:
    assert "Files on a hard mount of the role `client`" in reference.section(NfsDisk)


def test_prose_of_a_docstring_is_no_markup() -> None:
    assert reference.prose("swap on /dev/<device>, `a < b`, 2 * 3") == r"swap on /dev/\<device>, `a < b`, 2 \* 3"


def test_a_part_without_an_example_is_refused_with_the_way_out() -> None:
    class Unheard:
        def __init__(self, role: str) -> None:
            self.role = role

    with pytest.raises(LookupError, match="Unheard: no example; use it in testcases/"):
        reference.section(Unheard)


def test_the_measures_of_every_trial_are_all_on_their_page() -> None:
    page = (ROOT / "docs/reference/measures.md").read_text(encoding="utf-8")
    verdicts = importlib.import_module("harness.verdicts.measures")
    sources = [
        (ROOT / f"harness/verdicts/{name}.py").read_text(encoding="utf-8") for name in ("measures", "steal_time")
    ]
    names = {name for source in sources for name in re.findall(r'Measure\(name="([^"]+)"', source)}
    assert {"time to hang", "steal time"} <= names
    assert not [name for name in names | set(verdicts.COUNTERS) if f"`{name}`" not in page]
