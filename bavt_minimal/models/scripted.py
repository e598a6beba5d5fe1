"""A model that follows a table: same verbs as the real one, exact probabilities, no weights."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ..checks import check_count
from ..steps import Sample
from .request import check_sampling, check_text, check_texts, uniforms

Weights = Mapping[str, float]
Table = Mapping[str, Weights] | Callable[[str], Weights | None]


class ScriptedModel:
    r"""Continues a prompt with a text drawn from a table of weights.

    `table` maps a prompt to `{continuation: weight}`; the weights need not sum to 1. A key matches
    the prompt that equals it, else the longest key that the prompt ends with does: prompts carry
    long worked examples. `table` may also be a function from prompt to weights or None. A prompt
    that matches nothing gets `default`; without it, a ValueError shows the prompt's last line.

    One token is a word with the white space before it, and the stop is one token more. The first
    token of a continuation carries the log of its probability, the others 0: their sum is exact.
    `temperature`, `top_k` and `stop` are checked as by the real model; they change nothing, except
    that at `temperature=0` the heaviest continuation is taken. `layers` go up to any number; hidden
    states are vectors of length `hidden_size`, drawn from a normal distribution keyed by the text.

    >>> model = ScriptedModel({"Where was Ada born?\nAnswer:": {"London": 3, "Paris": 1}}, default={"nobody knows": 1})
    >>> prompt = "Page: Ada was born in London.\nQuestion: Where was Ada born?\nAnswer:"
    >>> model.sample(prompt, 1, temperature=0)[0].text, model.sample("Why?", 1)[0].tokens
    ('London', 3)
    """

    table: Table
    default: Weights | None
    name: str

    def __init__(
        self, table: Table, default: Weights | None = None, *, hidden_size: int = 8, name: str = "scripted"
    ) -> None:
        if not callable(table) and not isinstance(table, Mapping):
            raise TypeError(f"table must be a mapping or a function, got {type(table).__name__}")
        self.table, self.default, self.name = table, default, name
        self.hidden_size: int = check_count("hidden_size", hidden_size)
        for key, weights in ({} if callable(table) else table).items():
            _probabilities(check_text("table key", key), weights)

    def sample(
        self,
        prompt: str,
        k: int,
        *,
        first: int = 0,
        seed: int = 0,
        max_new_tokens: int = 8,
        temperature: float = 0.8,
        top_k: int = 40,
        stop: Sequence[str] = ("\n",),
        layers: Sequence[int] = (),
    ) -> list[Sample]:
        """Draw continuations number `first` .. `first + k - 1`; see `HFModel.sample`."""
        check_sampling(prompt, k, first, seed, max_new_tokens, temperature, top_k, stop)
        chosen = [check_count("layers", layer) for layer in layers]
        chances = self.probabilities(prompt)
        texts, bounds = list(chances), np.cumsum(list(chances.values()))
        samples = []
        for number in range(first, first + k):
            # Drawn even for an empty request, so that a longer one starts with the same text.
            draw = uniforms(seed, prompt, number, 1)[0] * bounds[-1]
            text = texts[min(int(np.searchsorted(bounds, draw, "right")), len(texts) - 1)]
            if temperature == 0:
                text = max(chances, key=lambda each: chances[each])
            words = text.split()
            tokens = min(len(words) + 1, max_new_tokens)
            said = " ".join(words[:tokens]) if tokens <= len(words) else text.strip()
            logprobs = (math.log(chances[text]), *[0.0] * len(words))[:tokens]
            hidden = {n: self._states(prompt + said, n, 1)[0] for n in chosen if tokens}
            samples.append(Sample(said, tokens, logprobs, tokens > len(words), hidden))
        return samples

    def score(self, prompt: str, continuations: Sequence[str]) -> list[tuple[float, ...]]:
        """Return the log-probability of each token; -inf first for a text that is not in the table.

        Texts are compared without the white space around them; an empty one gives ().

        >>> ScriptedModel({}, default={"yes": 1, "no": 0}).score("Right?", ["yes", "no"])
        [(0.0,), (-inf,)]
        """
        chances: dict[str, float] = {}
        for text, chance in self.probabilities(check_text("prompt", prompt)).items():
            chances[text.strip()] = chances.get(text.strip(), 0.0) + chance
        found = []
        for text in check_texts("continuations", continuations):
            chance, words = chances.get(text.strip(), 0.0), len(text.split())
            first = math.log(chance) if chance else -math.inf
            found.append((first, *[0.0] * (words - 1)) if words else ())
        return found

    def encode(self, texts: Sequence[str], layers: Sequence[int]) -> list[dict[int, np.ndarray]]:
        """Return for each text a dict layer -> (T, hidden_size), float32, T its words.

        >>> ScriptedModel({}, default={"yes": 1}).encode(["two words"], layers=[20])[0][20].shape
        (2, 8)
        """
        chosen = [check_count("layers", layer) for layer in layers]
        return [
            {n: self._states(text, n, self.count_tokens(text)) for n in chosen} for text in check_texts("texts", texts)
        ]

    def count_tokens(self, text: str) -> int:
        """Return the number of words."""
        return len(check_text("text", text).split())

    def probabilities(self, prompt: str) -> dict[str, float]:
        """Return the exact probability of each continuation of `prompt`, for oracles.

        >>> ScriptedModel({}, default={"London": 3, "Paris": 1}).probabilities("Where was Ada born?")
        {'London': 0.75, 'Paris': 0.25}
        """
        if callable(self.table):
            weights = self.table(prompt)
        else:
            weights = self.table.get(prompt)
            if weights is None:
                keys = [key for key in self.table if prompt.endswith(key)]
                weights = self.table[max(keys, key=len)] if keys else None
        weights = self.default if weights is None else weights
        if weights is None:
            line = prompt.splitlines()[-1:] or [""]
            raise ValueError(
                f"no entry of the table fits a prompt that ends with {line[0]!r}:"
                " add one (a key may be the end of the prompt), or give a default"
            )
        return _probabilities(prompt, weights)

    def _states(self, text: str, layer: int, count: int) -> np.ndarray:
        words = hashlib.blake2b(f"{layer}\0{text}".encode(), digest_size=16).digest()
        noise = np.random.default_rng(int.from_bytes(words, "big"))
        return noise.standard_normal((count, self.hidden_size), dtype=np.float32)


def _probabilities(prompt: str, weights: Weights) -> dict[str, float]:
    if not isinstance(weights, Mapping) or not weights:
        raise ValueError(f"weights after {prompt[-40:]!r} must map texts to numbers: {weights!r}")
    total = math.fsum(weights.values())
    if any(not weight >= 0 for weight in weights.values()) or not 0 < total < math.inf:
        raise ValueError(f"weights after {prompt[-40:]!r} must be 0 or more and sum to more than 0: {weights!r}")
    return {check_text("text", t): w / total for t, w in weights.items() if w > 0}
