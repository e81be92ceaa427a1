"""Templates of the pages, and what goes into them as it is."""

import json
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup


def environment() -> Environment:
    """Of the templates; texts are escaped."""
    return Environment(
        loader=PackageLoader("tqgd_jax.report.html"),
        autoescape=True,  # a patient's name may hold anything
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def part(name: str) -> Markup:
    """A file of the templates as it is."""
    path = Path(__file__).with_name("templates") / name
    return Markup(path.read_text("utf-8"))


def embedded(content: dict[str, Any]) -> Markup:
    """Plain data as JSON that no text inside can end early."""
    text = json.dumps(content, allow_nan=False)
    return Markup(text.replace("<", "\\u003c"))
