"""The documentation as a site: the Markdown pages of this repository as they are, at the places where they are.

The folder of sources is the repository, so that every relative link means the same here and on a git host. Two things
are added while a page is read: the contents to the README, and the reference pages' text in place of their comments.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).parent))

import reference

import harness

project = "harness"
version = release = harness.__version__
extensions = ["myst_parser"]
root_doc = "README"
include_patterns = ["*.md", "*/README.md", "docs/**.md"]
exclude_patterns = [".*", "build", "results/*/**"]
myst_heading_anchors = 4
highlight_language = "none"
html_theme = "furo"
html_title = f"harness {version}"
html_extra_path = ["index.html"]
html_copy_source = False

PARTS = re.compile(r"<!-- parts: (\w+) -->")
CONTENTS = {
    "Use": [
        "docs/how-it-works",
        "docs/verdicts/README",
        "docs/diagnosis",
        "docs/scan",
        "docs/by-hand",
        "docs/kernels",
        "docs/compare",
        "docs/bisect",
        "docs/resume",
        "docs/warm-starts",
        "docs/physical-hosts",
        "docs/qualify",
        "docs/physical-drivers",
        "docs/kexec",
        "docs/infiniband",
        "docs/options",
    ],
    "Cases": ["testcases/README", "docs/writing-a-testcase", "docs/reference/*", "inventories/README"],
    "Inside": [
        "docs/agent",
        "docs/selftest",
        "docs/testbed",
        "docs/adding-a-backend",
        "docs/decisions",
        "vm-images/README",
    ],
    "Project": ["results/README", "benchmarks/README", "CONTRIBUTING", "CHANGELOG"],
}


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("source-read", read)


def read(app: Sphinx, page: str, source: list[str]) -> None:
    """Complete the text of one page."""
    source[0] = PARTS.sub(lambda comment: reference.page(reference.KINDS[comment[1]]), source[0])
    if page == root_doc:
        source[0] += "".join(map(_tree, CONTENTS))
    elif page == "docs/verdicts/README":
        source[0] += _toctree(":glob:", "[!R]*")


def _tree(title: str) -> str:
    return _toctree(":glob:", f":caption: {title}", *CONTENTS[title])


def _toctree(*lines: str) -> str:
    return "\n".join(["", "```{toctree}", ":hidden:", *lines, "```", ""])
