"""The sample bank: the same draws as the model's, each once, and a replay that needs no model."""

from __future__ import annotations

import json
import lzma
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bavt_minimal.benchmark.bank import DIGITS, SEEDS, Bank, Remembered, RememberedHead, cut, redraw
from bavt_minimal.budget import Ledger
from bavt_minimal.critic import ConstantCritic
from bavt_minimal.models import ScriptedModel
from bavt_minimal.steps import EXAMPLES, Sample, Step

WEIGHTS = {"Rome": 3.0, "New York": 2.0, "Oslo": 1.0}
OPTIONS: dict[str, Any] = {"temperature": 0.8, "top_k": 40}


class Counting(ScriptedModel):
    """Counts what it is asked for."""

    def __init__(self) -> None:
        super().__init__({}, WEIGHTS)
        self.drawn: Counter[tuple[str, int, int]] = Counter()
        self.scored: Counter[tuple[str, str]] = Counter()

    def sample(self, prompt: str, k: int, *, first: int = 0, seed: int = 0, **options: Any) -> list[Sample]:
        self.drawn.update((prompt, seed, number) for number in range(first, first + k))
        return super().sample(prompt, k, first=first, seed=seed, **options)

    def score(self, prompt: str, continuations: Any) -> list[tuple[float, ...]]:
        self.scored.update((prompt, text) for text in continuations)
        return super().score(prompt, continuations)


def whole(sample: Sample) -> tuple[Any, ...]:
    return sample.text, sample.tokens, tuple(round(x, DIGITS) for x in sample.logprobs), sample.finished


def test_a_step_longer_than_its_draws_is_an_error_and_not_cut_off_silently() -> None:
    remembered = Remembered(Bank(), Counting, most=12)
    remembered.sample("Where?", 1, max_new_tokens=12, **OPTIONS)
    with pytest.raises(ValueError, match="max_new_tokens must be at most 12, as in this bank, got 13"):
        remembered.sample("Where?", 1, max_new_tokens=13, **OPTIONS)
    with pytest.raises(ValueError, match="at most 8,"):
        Remembered(Bank(), Counting).sample("Where?", 1, max_new_tokens=9, **OPTIONS)


@given(calls=st.lists(st.tuples(st.integers(0, 2 * SEEDS), st.integers(0, 20), st.integers(1, 5)), max_size=12))
def test_draws_are_those_of_the_model_each_made_once_and_of_one_seed_only(calls: list[tuple[int, int, int]]) -> None:
    model, bank = Counting(), Bank()
    remembered, owners = Remembered(bank, lambda: model), {}
    for seed, first, k in calls:
        got = remembered.sample("Where?", k, first=first, seed=seed, **OPTIONS)
        for i, sample in enumerate(got, first):
            number = SEEDS * i + seed % SEEDS
            (wanted,) = ScriptedModel({}, WEIGHTS).sample("Where?", 1, first=number, seed=seed // SEEDS)
            assert whole(sample) == whole(wanted)
            assert owners.setdefault((seed // SEEDS, number), seed) == seed
    assert set(model.drawn.values()) <= {1}


def test_replay_from_the_file_needs_no_model(tmp_path: Path) -> None:
    path = tmp_path / "bank" / "test-1.json.xz"
    bank = Bank(path)
    live = Remembered(bank, Counting)
    before = [live.sample(EXAMPLES + "Where?", 5, seed=seed, **OPTIONS) for seed in range(3)]
    greedy = live.sample("Where?", 3, temperature=0)
    scores, count = live.score("Where?", [" Rome\n", " Oslo\n"]), live.count_tokens("a b c")
    bank.save()
    replayed = Remembered(Bank(path), None)
    assert [replayed.sample(EXAMPLES + "Where?", 5, seed=seed, **OPTIONS) for seed in range(3)] == before
    assert replayed.sample("Where?", 3, temperature=0) == greedy and {sample.text for sample in greedy} == {"Rome"}
    assert replayed.score("Where?", [" Oslo\n", " Rome\n"]) == scores[::-1]
    assert replayed.count_tokens("a b c") == count == 3
    for unknown in (
        lambda: replayed.sample("Where?", 1, seed=9, **OPTIONS),
        lambda: replayed.score("Where?", ["x"]),
        lambda: replayed.count_tokens("d"),
        lambda: replayed.encode(["d"], [1]),
    ):
        with pytest.raises(LookupError, match="give the model"):
            unknown()


def test_a_text_is_scored_once_and_with_what_was_drawn_there() -> None:
    model = Counting()
    remembered = Remembered(Bank(), lambda: model)
    remembered.sample(EXAMPLES + "Where?", 12, **OPTIONS)
    remembered.score("Where?", [" Rome\n"])
    remembered.score("Where?", [" Oslo\n", " Rome\n", " New York\n"])
    assert model.scored == {("Where?", f" {text}\n"): 1 for text in WEIGHTS}


def test_roles_seeds_and_settings_do_not_share_draws() -> None:
    model = Counting()
    bank = Bank()
    for role in ("", "critic"):
        for seed in (0, SEEDS):
            for temperature in (0.5, 0.8):
                view = Remembered(bank, lambda: model, role)
                view.sample("Where?", 1, seed=seed, temperature=temperature, top_k=40)
    assert len(list(bank.keys("draws"))) == 8


def test_a_cut_sample_is_unfinished() -> None:
    row = ["New York", 3, [-1.0, 0.0, -0.5], True, 0.25]
    assert cut(row, 3) == Sample("New York", 3, (-1.0, 0.0, -0.5), True, {-1: 0.25})
    assert cut(row, 2) == Sample("New York", 2, (-1.0, 0.0), False, {-1: 0.25})


class Head(ConstantCritic):
    """A critic with layers that is sure."""

    layers = (3,)

    def probabilities(self, steps: Any, ledger: Ledger) -> list[float]:
        return [0.125 for _ in steps]


def test_what_the_head_said_is_kept_with_the_sample() -> None:
    remembered = Remembered(Bank(), Counting, head=Head)
    (sample,) = remembered.sample("Where?", 1, **OPTIONS)
    assert RememberedHead().probabilities([Step("", "", "", "", sample, False)], Ledger()) == [0.125]
    (bare,) = Remembered(Bank(), Counting).sample("Where?", 1, **OPTIONS)
    with pytest.raises(LookupError, match="without the head"):
        RememberedHead().probabilities([Step("", "", "", "", bare, False)], Ledger())


def test_redraw_finds_what_is_not_the_models(tmp_path: Path) -> None:
    path = tmp_path / "bank.json.xz"
    bank = Bank(path)
    Remembered(bank, Counting).sample("Where?", 4, seed=1, **OPTIONS)
    bank.save()
    assert redraw(bank, lambda role: Counting(), random.Random(0)).identical
    (row,) = [bank.rows[key] for key in bank.rows if "draws" in key]
    row["texts"][0][2][0] += 0.001
    found = redraw(bank, lambda role: Counting(), random.Random(0))
    assert not found.identical and not found.text and found.apart == pytest.approx(0.001)
    row["texts"][0][0] = "Paris"
    assert "Paris" in redraw(bank, lambda role: Counting(), random.Random(0)).text


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"text",
        lzma.compress(b"text"),
        lzma.compress(b"[]"),
        lzma.compress(json.dumps({"format": 9, "rows": {}}).encode()),
        lzma.compress(json.dumps({"format": 1}).encode()),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bank.json.xz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"bank\.json\.xz is not a file of a sample bank"):
        Bank(path)


def test_nothing_is_written_when_nothing_is_new(tmp_path: Path) -> None:
    bank = Bank(tmp_path / "bank.json.xz")
    bank.save()
    assert list(tmp_path.iterdir()) == []
    Remembered(bank, Counting).count_tokens("a")
    bank.save()
    assert [path.name for path in tmp_path.iterdir()] == ["bank.json.xz"]
