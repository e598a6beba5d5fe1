"""Errors that name the argument, what it was and what would do."""

from __future__ import annotations


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
    if not isinstance(value, (int, float)) or not low <= value <= high:
        raise ValueError(f"{name} must be a number in [{low:g}, {high:g}], got {value!r}")
    return float(value)
