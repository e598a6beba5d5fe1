"""Each exercise's check passes a right answer and tells every wrong one what is wrong, in words of its own.

`exercises/NAME.py` has the answers to the exercises of `notebooks/checks/NAME.py`. An answer of several parts is a
tuple.
"""

import importlib
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "notebooks"), str(ROOT / "tests")]
NAMES = sorted(path.stem for path in (ROOT / "notebooks" / "checks").glob("*.py") if path.stem != "__init__")
ANSWERS = {name: importlib.import_module(f"exercises.{name}").EXERCISES for name in NAMES}
CHECKS = {name: importlib.import_module(f"checks.{name}") for name in NAMES}
PAIRS = [(name, check) for name in NAMES for check in ANSWERS[name]]


def say(name, check, answer):
    return getattr(CHECKS[name], check)(*(answer if isinstance(answer, tuple) else (answer,)))


def not_attempted(*args, **options):
    raise NotImplementedError


@pytest.mark.parametrize("name", NAMES)
def test_every_check_has_answers(name):
    assert {each for each in vars(CHECKS[name]) if each.startswith("check_")} == set(ANSWERS[name])


@pytest.mark.parametrize(("name", "check"), PAIRS)
def test_a_right_answer_passes(name, check):
    right, wrong = ANSWERS[name][check]
    assert say(name, check, right).startswith("Right.")
    assert len(wrong) >= 3


@pytest.mark.parametrize(("name", "check"), PAIRS)
def test_every_wrong_answer_has_a_message_of_its_own(name, check):
    said = {mistake: say(name, check, answer) for mistake, answer in ANSWERS[name][check][1].items()}
    assert not [mistake for mistake, words in said.items() if words.startswith(("Right", "Not attempted"))], said
    assert not [mistake for mistake, words in said.items() if words.startswith("Your code raised")], said
    assert len(set(said.values())) == len(said), said


@pytest.mark.parametrize(("name", "check"), PAIRS)
def test_an_untouched_stub_is_not_attempted(name, check):
    right = ANSWERS[name][check][0]
    parts = right if isinstance(right, tuple) else (right,)
    untouched = tuple(not_attempted if callable(part) else None for part in parts)
    assert say(name, check, untouched).startswith("Not attempted")


def test_the_optional_call_may_be_left_out():
    ledger, _, ratio = ANSWERS["budget"]["check_whole"][0]
    assert say("budget", "check_whole", (ledger, not_attempted, ratio)).startswith("Right.")
