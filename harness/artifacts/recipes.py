"""Where the recipes of images, kernels and modules are, and how a recipe file is read."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from harness.model.errors import HostEnvironmentError, UsageError

VM_IMAGES = Path(__file__).resolve().parents[2] / "vm-images"


class Recipe(BaseModel):
    """Base class of recipes: unknown keys are errors, values are immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True)


R = TypeVar("R", bound=Recipe)


def vm_images() -> Path:
    """The folder of recipes beside the package; raises HostEnvironmentError if it is not there."""
    if not VM_IMAGES.is_dir():
        problem = f"no folder {VM_IMAGES}: the recipes of the guest images are not beside the package"
        raise HostEnvironmentError(problem, remedy="run the harness from a checkout (pip install -e .)")
    return VM_IMAGES


def read_recipe(path: Path, form: type[R]) -> R:
    """The recipe in the TOML file `path`; raises UsageError that names the place in it."""
    try:
        return form.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not TOML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "recipe"
        known = ", ".join(form.model_fields)
        raise UsageError(f"{path}: {place}: {first['msg']}; the keys are: {known}") from error
