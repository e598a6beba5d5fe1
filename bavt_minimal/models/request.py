"""Checks on what a model is asked, the same for the real and the scripted model."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..checks import check_count


def check_text(name: str, value: Any) -> str:
    """Return `value` if it is text that can be written as UTF-8."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, got {type(value).__name__}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"{name} is not valid Unicode at character {error.start}: replace lone surrogates first"
        ) from None
    return value


def check_texts(name: str, values: Any) -> list[str]:
    """Return `values` as a list of str; a bare str, a list of letters, is refused."""
    if isinstance(values, str) or not isinstance(values, Sequence):
        raise TypeError(f"{name} must be a list or tuple of str, got {values!r:.80}")
    return [check_text(f"{name}[{i}]", value) for i, value in enumerate(values)]


def check_sampling(
    prompt: str, k: int, first: int, seed: int, max_new_tokens: int, temperature: float, top_k: int, stop: Sequence[str]
) -> None:
    """Raise TypeError or ValueError, naming the argument, if a request to sample makes no sense."""
    check_text("prompt", prompt)
    for name, value in (("k", k), ("first", first), ("seed", seed)):
        check_count(name, value)
    for name, value in (("max_new_tokens", max_new_tokens), ("top_k", top_k)):
        check_count(name, value)
    if isinstance(temperature, bool) or not isinstance(temperature, (int, float, np.number)):
        raise TypeError(f"temperature must be a number, got {temperature!r}")
    if not math.isfinite(temperature) or temperature < 0:
        raise ValueError(f"temperature must be finite and 0 or more, got {temperature}")
    if "" in check_texts("stop", stop):
        raise ValueError("stop holds an empty string, which would end every sample at once")


def uniforms(seed: int, prompt: str, number: int, length: int) -> np.ndarray:
    """Return `length` uniform numbers in [0, 1), keyed by (seed, prompt, number) and nothing else.

    A shorter request is a prefix of a longer one: the generator is a counter read in order.
    """
    words = hashlib.blake2b(f"{seed}\0{number}\0{prompt}".encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(words, "big"))).random(length)
