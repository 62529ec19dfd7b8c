"""Files and rooms that the documentation names: each is there."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

import harness

ROOT = Path(__file__).parents[3]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("*/README.md"), *ROOT.glob("docs/**/*.md")])
FOLDERS = ("harness", "tests", "testcases", "benchmarks", "scripts", "vm-images", "inventories", "docs/site")
FILES = [f"/{file.relative_to(ROOT)}" for folder in FOLDERS for file in (ROOT / folder).rglob("*.*")]
ELSEWHERE = {"pyproject.toml", "test_mine.py"}  # at the top, or an example of what a reader would write
HISTORY = {"CHANGELOG.md"}  # says what files were called


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_that_a_page_names_is_there(page: Path) -> None:
    named = set(re.findall(r"`([\w./-]+\.(?:py|sh|toml))`", page.read_text(encoding="utf-8"))) - ELSEWHERE
    if page.name not in HISTORY:
        assert not [name for name in named if not any(file.endswith(f"/{name}") for file in FILES)]


def test_every_room_is_in_the_table() -> None:
    text = (ROOT / "docs/how-it-works.md").read_text(encoding="utf-8")
    table = text[text.index("## Where things live") : text.index("### One run through the files")]
    named = set(re.findall(r"^\| (.*?) \|", table, re.MULTILINE))
    rooms = {folder.parent.name for folder in (ROOT / "harness").glob("*/__init__.py")}
    assert not [room for room in rooms if not any(f"`{room}/`" in cell for cell in named)]


def test_the_order_of_imports_is_the_one_that_the_linter_holds() -> None:
    text = (ROOT / "docs/how-it-works.md").read_text(encoding="utf-8")
    shown = re.search(r"```\n(cli\n.*?)\n```", text, re.DOTALL)
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layers = config["tool"]["importlinter"]["contracts"][0]["layers"]
    assert shown
    assert shown[1].splitlines() == [re.sub(r"harness\.|[()]", "", layer) for layer in layers]


def test_the_changelog_begins_with_this_version() -> None:
    first = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert first and first[1] in (harness.__version__, "Unreleased")
