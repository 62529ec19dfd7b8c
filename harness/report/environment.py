"""Templates of pages: escaped, strict about names, and without what could reach out of the page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from harness.results.text import plain

TEMPLATES = Path(__file__).parent / "templates"


def page_environment(templates: Path = TEMPLATES) -> Environment:
    """The environment of the templates in a folder."""
    return Environment(
        loader=FileSystemLoader(templates),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def stylesheet() -> Markup:
    """The style that all pages share."""
    return Markup((TEMPLATES / "report.css").read_text(encoding="utf-8"))


def _finalize(value: Any) -> Any:
    """Make every value of the page safe text; the template's escaping does the rest."""
    return value if isinstance(value, Markup) else plain(str(value))
