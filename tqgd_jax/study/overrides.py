"""Settings that are replaced by their dotted names."""

import ast
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from tqgd_jax.config import Config, from_dict, one_of


def parsed(config: Config, words: Sequence[str]) -> dict[str, Any]:
    """Settings from words SETTING=VALUE, each VALUE of the type that the setting has now.

    Raises:
      ValueError: a word without "=".
    """
    settings = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals:
            raise ValueError(f"--config.SETTING=VALUE, got --config.{word}")
        before: Any = config
        for part in name.split("."):
            before = getattr(before, part, None)
        try:
            value = text if isinstance(before, str) else ast.literal_eval(text)
        except (SyntaxError, ValueError):
            value = text  # `overridden` refuses it with what is wanted
        settings[name] = value
    return settings


def overridden(config: Config, settings: Mapping[str, Any], where: str) -> Config:
    """The settings with some replaced, by dotted name.

    Raises:
      ValueError: begins with `where`, and names the setting, the value and the rule.
    """
    values = dataclasses.asdict(config)
    for name, value in settings.items():
        *sections, last = name.split(".")
        inner = values
        for section in sections:
            sections_here = [k for k, v in inner.items() if isinstance(v, dict)]
            one_of(f"{where}: {name}: section", section, sections_here)
            inner = inner[section]
        one_of(f"{where}: {name}: setting", last, inner)
        before = inner[last]
        number = isinstance(before, float) and type(value) is int
        if not (number or isinstance(value, type(before))) or isinstance(before, dict):
            raise ValueError(
                f"{where}: {name} is a {type(before).__name__}, got {value!r}"
            )
        inner[last] = float(value) if number else value
    try:
        return from_dict(Config, values)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
