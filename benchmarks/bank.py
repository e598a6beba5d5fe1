"""What a model said, remembered: every method draws from the same samples, and a second run replays from a file.

A sample depends on (seed, prompt, number) only, and a score on its prompt and text, so a bank changes nothing but the
time. One file holds one world and one seed.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bavt_minimal.budget import Ledger
from bavt_minimal.critics.head import CriticHead
from bavt_minimal.steps import EXAMPLES, LanguageModel, Sample, Step

STEP, PLAN = (8, 8), (1, 96)  # samples drawn at once for a state, and the most tokens of one


class Bank:
    """The rows of one world and one seed, for all the roles of a model."""

    def __init__(self, path: Path):
        self.path, self.rows, self.fresh = path, {}, False
        if path.exists():
            with gzip.open(path, "rt", encoding="utf-8") as file:
                self.rows = json.load(file)

    def row(self, *key: Any) -> list[Any]:
        """The list kept under a key; new keys get an empty one."""
        return self.rows.setdefault(json.dumps(key), [])

    def save(self) -> None:
        """Write the file if there is anything new."""
        if self.fresh:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with gzip.open(self.path, "wt", encoding="utf-8", compresslevel=4) as file:
                json.dump(self.rows, file)
            self.fresh = False


class Remembered:
    """A `LanguageModel` that asks its bank first. `head`: what it says of each sample is kept with the sample."""

    def __init__(self, model: LanguageModel, bank: Bank, head: CriticHead | None = None):
        self.model, self.bank, self.head, self.name = model, bank, head, model.name
        self.role = getattr(model, "adapter", "")

    def sample(self, prompt: str, k: int, *, first: int = 0, seed: int = 0, max_new_tokens: int = 8, **options: Any):
        stop = tuple(options.get("stop", ("\n",)))
        at_once, most = STEP if stop == ("\n",) else PLAN
        settings = (seed, options.get("temperature"), options.get("top_k"), *stop)
        rows = self.bank.row("sample", self.role, settings, prompt.removeprefix(EXAMPLES), prompt.startswith(EXAMPLES))
        while len(rows) < first + k:
            options |= {"layers": self.head.layers if self.head and at_once > 1 else ()}
            drawn = self.model.sample(prompt, at_once, first=len(rows), seed=seed, max_new_tokens=most, **options)
            rows += [[s.text, s.tokens, [round(x, 6) for x in s.logprobs], s.finished, self.judge(s)] for s in drawn]
            self.bank.fresh = True
        return [cut(row, max_new_tokens) for row in rows[first : first + k]]

    def judge(self, sample: Sample) -> float | None:
        """The head's probability for a sample that brought its hidden states."""
        if self.head is None or not sample.hidden:
            return None
        step = Step("", "", "", "", sample, False)
        return round(self.head.probabilities([step], Ledger())[0], 6)

    def score(self, prompt: str, continuations: Sequence[str]) -> list[tuple[float, ...]]:
        found = {text: self.bank.row("score", self.role, prompt, text) for text in continuations}
        new = [text for text, row in found.items() if not row]
        for text, logprobs in zip(new, self.model.score(prompt, new) if new else [], strict=True):
            found[text] += [round(x, 6) for x in logprobs]
            self.bank.fresh = True
        return [tuple(found[text]) for text in continuations]

    def count_tokens(self, text: str) -> int:
        row = self.bank.row("count", text.removeprefix(EXAMPLES), text.startswith(EXAMPLES))
        if not row:
            row.append(self.model.count_tokens(text))
            self.bank.fresh = True
        return int(row[0])

    def encode(self, texts: Sequence[str], layers: Sequence[int]):
        return self.model.encode(texts, layers)


class RememberedHead:
    """What the real head said when the sample was drawn, as a critic and as a part of a mix."""

    def probabilities(self, steps: Sequence[Step], ledger: Ledger) -> list[float]:
        return [step.sample.hidden[-1] for step in steps]


def cut(row: Sequence[Any], cap: int) -> Sample:
    """A remembered sample under a smaller cap: its first tokens, and unfinished."""
    text, tokens, logprobs, finished, chance = row
    hidden = {} if chance is None else {-1: chance}
    if tokens <= cap:
        return Sample(text, tokens, tuple(logprobs), finished, hidden)
    return Sample(text, cap, tuple(logprobs[:cap]), False, hidden)
