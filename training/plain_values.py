"""Plain values, as YAML gives them -> a dataclass: every key known, every type right, errors that name the key."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from typing import Any, Union

from dataset_builder.contract import StageError


def fill(kind: type[Any], values: Any, where: str) -> Any:
    """Fill a dataclass from a mapping, in depth.

    Args:
        kind: the dataclass; its fields may be dataclasses, tuples, mappings and plain types.
        values: what was read.
        where: names the values in errors.

    Raises:
        StageError: an unknown key (the known ones are named), a missing one, or a value of another type.
    """
    if not isinstance(values, dict):
        raise StageError(f"{where}: expected keys and values, got {values!r}")
    hints = typing.get_type_hints(kind)
    unknown = [str(key) for key in values if key not in hints]
    if unknown:
        raise StageError(f"{where}: unknown key {unknown[0]!r}", f"Known keys here: {', '.join(hints)}")
    filled = {key: _value(hints[key], value, f"{where}: {key}") for key, value in values.items()}
    required = [item.name for item in dataclasses.fields(kind) if _has_no_default(item)]
    missing = [name for name in required if name not in filled]
    if missing:
        raise StageError(f"{where}: key {missing[0]!r} is missing")
    try:
        return kind(**filled)
    except StageError as error:
        raise StageError(f"{where}: {error}") from None


def _has_no_default(item: dataclasses.Field[Any]) -> bool:
    return item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING


def _value(hint: Any, value: Any, where: str) -> Any:
    """Check one value against its type; lists become tuples, whole numbers pass as floats."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        return None if value is None else _value(next(kind for kind in inner if kind is not type(None)), value, where)
    if dataclasses.is_dataclass(hint):
        return fill(typing.cast(type[Any], hint), value if value is not None else {}, where)
    if origin is tuple and isinstance(value, list | tuple):
        return tuple(_value(inner[0], item, f"{where}[{number}]") for number, item in enumerate(value))
    if origin is dict and isinstance(value, dict):
        return {str(key): _value(inner[1], item, f"{where}.{key}") for key, item in value.items()}
    if hint is float and isinstance(value, str):
        value = _number(value)  # YAML reads 2e-5, without a point, as text
    if hint is float and isinstance(value, float) and not math.isfinite(value):
        raise StageError(f"{where}: expected a finite number, got {value}")
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if isinstance(hint, type) and isinstance(value, hint) and not (hint is int and isinstance(value, bool)):
        return value
    wanted = {tuple: "a list", dict: "keys and values"}.get(origin or hint, getattr(hint, "__name__", str(hint)))
    raise StageError(f"{where}: expected {wanted}, got {value!r}")


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text
