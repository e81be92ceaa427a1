"""Checks and conversions of settings trees."""

import dataclasses
import difflib
import math
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar, get_args, get_origin

T = TypeVar("T")
ITEMS = {float: "numbers", int: "whole numbers", str: "quoted words"}


def one_of(name: str, value: object, allowed: Iterable[object]) -> None:
    """Raises ValueError naming the setting, the value, what is allowed and the nearest."""
    allowed = tuple(allowed)
    if value not in allowed:
        near = difflib.get_close_matches(str(value), [str(a) for a in allowed], 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        choices = ", ".join(str(a) for a in allowed if a != "")
        choices += ", or '' for none" if "" in allowed else ""
        raise ValueError(f"{name}: unknown value {value!r}; there are: {choices}{hint}")


def at_least(section: str, settings: object, least: float, *names: str) -> None:
    """Raises ValueError naming the first setting below `least`, or not finite."""
    for name in names:
        value = getattr(settings, name)
        if not least <= value < math.inf:
            rule = f"{least} and finite" if value >= least else least
            raise ValueError(f"{section}.{name} must be at least {rule}, got {value}")


def above_0(section: str, settings: object, *names: str) -> None:
    """Raises ValueError naming the first setting not above 0, or not finite."""
    for name in names:
        value = getattr(settings, name)
        if not 0 < value < math.inf:
            rule = "above 0 and finite" if value > 0 else "above 0"
            raise ValueError(f"{section}.{name} must be {rule}, got {value}")


def finite(section: str, settings: object, *names: str) -> None:
    """Raises ValueError naming the first setting that is, or holds, no finite number."""
    for name in names:
        value = getattr(settings, name)
        if not all(map(math.isfinite, value if isinstance(value, tuple) else (value,))):
            raise ValueError(f"{section}.{name} must be finite, got {value}")


def fraction(
    section: str, settings: object, *names: str, below_1: bool = False
) -> None:
    """Raises ValueError naming the first setting that is not in [0, 1], or [0, 1)."""
    for name in names:
        value = getattr(settings, name)
        if not 0 <= value <= 1 or (below_1 and value == 1):
            end = ")" if below_1 else "]"
            raise ValueError(f"{section}.{name} must be in [0, 1{end}, got {value}")


def items_typed(settings: Any, section: str = "") -> None:
    """Raises ValueError naming the first tuple with an item of another type.

    The command line types numbers and texts, but of a tuple only that it is one.
    """
    for field in dataclasses.fields(settings):
        value: Any = getattr(settings, field.name)
        name, kind = f"{section}{field.name}", field.type
        if get_origin(kind) is tuple:
            item = get_args(kind)[0]
            allowed = (int, float) if item is float else (item,)
            for x in value:
                if type(x) not in allowed:
                    raise ValueError(
                        f"{name} must be a tuple of {ITEMS[item]}, got {value}; {x!r} "
                        "is none"
                    )
        elif dataclasses.is_dataclass(value):
            items_typed(value, f"{name}.")


def checked(config: T) -> T:
    """A copy of a settings tree with every check run again.

    Overrides from the command line set fields after `__post_init__`.
    """
    assert dataclasses.is_dataclass(config)
    items_typed(config)
    values = {f.name: getattr(config, f.name) for f in dataclasses.fields(config)}
    return type(config)(
        **{
            k: checked(v) if dataclasses.is_dataclass(v) else v
            for k, v in values.items()
        }
    )


def from_dict(kind: type[T], values: Mapping[str, Any], path: str = "config") -> T:
    """A settings tree from plain data, such as a `config.json`.

    Raises:
      ValueError: a field that `kind` does not have; the nearest one is named.
    """
    assert dataclasses.is_dataclass(kind)
    fields = {f.name: f for f in dataclasses.fields(kind)}
    made = {}
    for name, value in values.items():
        one_of(f"{path}: field", name, fields)
        default = fields[name].default_factory
        if dataclasses.is_dataclass(default):
            value = from_dict(default, value, f"{path}.{name}")
        made[name] = tuple(value) if isinstance(value, list) else value
    return kind(**made)


def differences(a: object, b: object, path: str = "") -> dict[str, tuple[Any, Any]]:
    """Dotted names of the fields in which two settings trees differ, with both values."""
    assert dataclasses.is_dataclass(a)
    changed = {}
    for f in dataclasses.fields(a):
        x, y = getattr(a, f.name), getattr(b, f.name)
        name = f"{path}{f.name}"
        if dataclasses.is_dataclass(x):
            changed |= differences(x, y, f"{name}.")
        elif x != y:
            changed[name] = (x, y)
    return changed
