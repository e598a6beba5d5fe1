"""Errors that name the argument, what it was and what would do."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

T = TypeVar("T")


def check_count(name: str, value: object, least: int = 0) -> int:
    """Return `value` if it is a whole number >= `least`; else raise an error that names the argument."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name} must be a whole number, got {value!r}")
    number: int = value.__index__()
    if number < least:
        raise ValueError(f"{name} must be at least {least}, got {number}")
    return number


def check_range(name: str, value: float, low: float, high: float) -> float:
    """Return `value` if it is a number in [low, high]; else raise an error that names the argument."""
    if not isinstance(value, Real) or not low <= value <= high:
        raise ValueError(f"{name} must be a number in [{low:g}, {high:g}], got {value!r}")
    return float(value)


def check_choice(name: str, value: str, choices: Sequence[str]) -> str:
    """Return `value` if it is one of `choices`; else raise an error that names the argument."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, got {value!r}")
    return value


def check_numbers(name: str, values: ArrayLike) -> NDArray[np.float64]:
    """Return `values` as an array (N,), N > 0, of finite numbers >= 0; else raise an error that names the argument."""
    try:
        array = np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be numbers, got {values!r}") from None
    if array.ndim != 1 or not array.size:
        raise ValueError(f"{name} must be a flat list and not empty, got shape {array.shape}")
    wrong = array[~(np.isfinite(array) & (array >= 0))]
    if wrong.size:
        raise ValueError(f"{name} must be finite and >= 0, got {wrong[0]}")
    return array


def check_list(name: str, values: Sequence[T]) -> Sequence[T]:
    """Return `values` if it is a list or tuple; else raise an error that names the argument."""
    if not isinstance(values, (list, tuple)):
        raise TypeError(f"{name} must be a list, got {values!r}")
    return values
