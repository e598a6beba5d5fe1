"""Each exercise's check passes the reference solution and fails every wrong answer with a message of its own."""

import importlib.util
from pathlib import Path

import numpy as np

PATH = Path(__file__).parents[1] / "notebooks" / "checks.py"
spec = importlib.util.spec_from_file_location("checks", PATH)
assert spec and spec.loader
checks = importlib.util.module_from_spec(spec)
spec.loader.exec_module(checks)


def normalized(weights):
    weights = np.asarray(weights, dtype=float)
    return weights / weights.sum()


def not_attempted(values, r):
    raise NotImplementedError


WRONG = {
    "weights": lambda values, r: np.power(values, 1 / r),
    "exponent r": lambda values, r: normalized(np.power(values, r)),
    "no exponent": lambda values, r: normalized(values),
    "greedy": lambda values, r: np.asarray(values) == max(values),
    "not normalized": lambda values, r: np.asarray(values) / 2,
    "softmax": lambda values, r: normalized(np.exp(np.asarray(values) / r)),
    "one number": lambda values, r: max(values),
    "not attempted": not_attempted,
}


def test_reference_passes():
    assert checks.check_selection(lambda values, r: normalized(np.power(values, 1 / r))) == "Right."


def test_every_wrong_answer_has_its_own_message():
    messages = {name: checks.check_selection(rule) for name, rule in WRONG.items()}
    assert "Right." not in messages.values()
    assert len(set(messages.values())) == len(messages), messages
