"""The scripted model: exact probabilities, and the real model's contract."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from bavt_minimal.models.scripted import ScriptedModel

TABLE = {"Q: a\nA:": {" Lund": 3, " Graz am See": 1}, "A:": {" end": 1}, "B:": {"x": 2.0, "y": 0.0}}
WORDS = st.lists(st.text("abc", min_size=1, max_size=3), min_size=0, max_size=4).map(" ".join)


def test_frequencies_follow_the_weights() -> None:
    n = 8000
    texts = [s.text for s in ScriptedModel(TABLE).sample("Q: a\nA:", n, seed=5)]
    assert chisquare([texts.count("Lund"), texts.count("Graz am See")], [0.75 * n, 0.25 * n]).pvalue > 1e-3


def test_the_longest_fitting_key_is_used() -> None:
    model = ScriptedModel(TABLE, default={"other": 1})
    assert model.probabilities("Q: a\nA:") == {" Lund": 0.75, " Graz am See": 0.25}
    assert model.probabilities("examples\n\nQ: a\nA:") == {" Lund": 0.75, " Graz am See": 0.25}
    assert model.probabilities("Q: b\nA:") == {" end": 1.0}
    assert model.probabilities("B:") == {"x": 1.0}
    assert model.probabilities("C:") == {"other": 1.0}
    with pytest.raises(ValueError, match="ends with 'C:'"):
        ScriptedModel(TABLE).sample("first\nC:", 1)


def test_a_function_may_be_the_table() -> None:
    model = ScriptedModel(lambda prompt: {prompt[-1]: 1} if prompt[-1] != "?" else None, default={"what": 1})
    assert [model.sample(p, 1)[0].text for p in ("ab", "b?")] == ["b", "what"]


@given(
    weights=st.dictionaries(WORDS, st.floats(0.01, 10), min_size=1, max_size=5),
    seed=st.integers(0, 2**70),
    first=st.integers(0, 10**12),
    k=st.integers(0, 6),
    caps=st.tuples(st.integers(0, 6), st.integers(0, 6)),
)
def test_the_contract(weights: dict[str, float], seed: int, first: int, k: int, caps: tuple[int, int]) -> None:
    model, total = ScriptedModel({"p": weights}), sum(weights.values())
    low, high = sorted(caps)
    whole = model.sample("p", k, first=first, seed=seed, max_new_tokens=high, layers=[3])
    for j, sample in enumerate(whole):
        (alone,) = model.sample("p", 1, first=first + j, seed=seed, max_new_tokens=high, layers=[3])
        assert replace(alone, hidden={}) == replace(sample, hidden={})
        assert {n: h.tolist() for n, h in alone.hidden.items()} == {n: h.tolist() for n, h in sample.hidden.items()}
        assert sample.tokens == len(sample.logprobs) <= high
        assert sample.tokens == model.count_tokens(sample.text) + sample.finished
        (short,) = model.sample("p", 1, first=first + j, seed=seed, max_new_tokens=low)
        assert sample.text.startswith(short.text) and short.tokens == min(low, sample.tokens)
        assert short.logprobs == sample.logprobs[:low]
        assert set(sample.hidden) == ({3} if high else set())
        if sample.finished:
            assert sum(sample.logprobs) == pytest.approx(math.log(weights[sample.text] / total))
            scored = model.score("p", [sample.text])[0]
            assert sum(scored) == pytest.approx(sum(sample.logprobs) if sample.text else 0)


def test_greedy_score_and_encode() -> None:
    model = ScriptedModel(TABLE, hidden_size=5)
    assert {s.text for s in model.sample("Q: a\nA:", 20, temperature=0)} == {"Lund"}
    assert model.score("B:", ["x", "y", "z w", ""]) == [(0.0,), (-math.inf,), (-math.inf, 0.0), ()]
    one, empty, again = model.encode(["a b c", "", "a b c"], [0, 7])
    assert one[7].shape == (3, 5) and one[7].dtype == np.float32 and empty[0].shape == (0, 5)
    assert np.array_equal(one[7], again[7]) and not np.array_equal(one[0], one[7])


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        ({"k": -1}, "k must"),
        ({"stop": "\n"}, "stop"),
        ({"stop": [""]}, "stop"),
        ({"max_new_tokens": 1.5}, "max_new_tokens"),
        ({"temperature": math.inf}, "temperature"),
        ({"prompt": 3}, "prompt"),
        ({"seed": -2}, "seed"),
        ({"layers": [-1]}, "layers"),
    ],
)
def test_bad_requests_name_the_argument(request_: dict[str, Any], says: str) -> None:
    with pytest.raises((TypeError, ValueError), match=says):
        ScriptedModel(TABLE).sample(**{"prompt": "B:", "k": 1, **request_})


@pytest.mark.parametrize("weights", [{}, {"a": -1}, {"a": 0}, {"a": math.nan}, {"a": math.inf}, [("a", 1)]])
def test_bad_tables(weights: Any) -> None:
    with pytest.raises(ValueError, match="weights after 'p'"):
        ScriptedModel({"p": weights})
    with pytest.raises(TypeError, match="table"):
        ScriptedModel(3)  # type: ignore[arg-type]
