"""What a model said in a state, kept: every method of a benchmark meets the same samples, and a replay needs no model.

A bank is a folder with one file for each world. A state is a role of the model, its sampling settings and a prompt; its
draws are numbered, and those of seed s are number s, s + SEEDS, s + 2 SEEDS ...: seeds never share a draw, and one
call draws for all of them.
"""

from __future__ import annotations

import json
import lzma
import os
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ..budget import Ledger
from ..critics.mix import Judge
from ..steps import EXAMPLES, LanguageModel, Sample, Step

FORMAT = 1
SEEDS = 3  # that share the draws of a state
STEP, PLAN = (12, 8), (3, 96)  # draws made at once for a state, and the most tokens of one
DIGITS = 5  # of a log-probability
Key = tuple[Any, ...]


class Bank:
    """The file of one world. `path` None keeps it in memory. Raises ValueError if the file is damaged."""

    path: Path | None
    rows: dict[str, Any]
    fresh: bool

    def __init__(self, path: Path | None = None):
        self.path, self.rows, self.fresh = path, dict[str, Any](), False
        self.said: dict[str, list[str]] = {}  # prompt, shortened -> texts drawn now, for a judge that reads all at once
        if path is None or not path.exists():
            return
        try:
            found = json.loads(lzma.decompress(path.read_bytes()))
            if found["format"] != FORMAT:
                raise ValueError(f"format {found['format']!r}, this code reads format {FORMAT}")
            self.rows = found["rows"]
            if not isinstance(self.rows, dict):
                raise TypeError("rows must be an object")
        except (OSError, EOFError, lzma.LZMAError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise ValueError(f"{path} is not a file of a sample bank: {type(error).__name__}: {error}") from error

    def row(self, kind: str, *key: Any) -> Any:
        """What is kept under a key, {} if nothing is."""
        return self.rows.setdefault(json.dumps((kind, *key)), {})

    def keys(self, kind: str) -> Iterator[Key]:
        """The keys of a kind: "draws" (role, settings, prompt), "scores" (role, prompt) or "tokens"."""
        for text in self.rows:
            found, *key = json.loads(text)
            if found == kind:
                yield tuple(key)

    def save(self) -> None:
        """Write the file, in one move, if there is anything new."""
        if self.fresh and self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            draft = self.path.with_name(f"{self.path.name}.{os.getpid()}.tmp")
            text = json.dumps({"format": FORMAT, "rows": self.rows}, separators=(",", ":"))
            draft.write_bytes(lzma.compress(text.encode(), preset=6))
            os.replace(draft, self.path)
        self.fresh = False


class Remembered:
    """A `LanguageModel` that asks its bank first and the model only for what is not there.

    `model`: a function that loads it, called when it is first needed; None: the bank must have everything, else
    LookupError. `head`: what it says of a sample is kept with the sample, in place of the hidden states. `most`: tokens
    of a step, to which all are drawn: a bank is for one length.
    """

    bank: Bank
    make: Callable[[], LanguageModel] | None
    adapter: str
    make_head: Callable[[], Judge] | None
    name: str
    most: int

    def __init__(
        self,
        bank: Bank,
        model: Callable[[], LanguageModel] | None,
        role: str = "",
        head: Callable[[], Judge] | None = None,
        name: str = "bank",
        most: int = STEP[1],
    ):
        self.bank, self.make, self.adapter, self.make_head, self.name = bank, model, role, head, name
        self.most = most

    @cached_property
    def model(self) -> LanguageModel:
        """The model behind the bank."""
        if self.make is None:
            raise LookupError(f"the bank ({self.bank.path}) has not recorded this; give the model, to draw it now")
        return self.make()

    @cached_property
    def head(self) -> Any:
        """The critic that judges samples as they are drawn, or None."""
        return None if self.make_head is None else self.make_head()

    def sample(
        self, prompt: str, k: int, *, first: int = 0, seed: int = 0, max_new_tokens: int = 8, **options: Any
    ) -> list[Sample]:
        """As of a model with other noise: seed s has every `SEEDS`-th draw of the state.

        Raises ValueError for more tokens than the bank's draws have.
        """
        stop = tuple(options.get("stop", ("\n",)))
        if max_new_tokens > (most := self.longest(stop)):
            raise ValueError(f"max_new_tokens must be at most {most}, as in this bank, got {max_new_tokens}")
        base, lane = divmod(seed, SEEDS)
        settings = (base, options.get("temperature"), options.get("top_k"), *stop)
        row = self.bank.row("draws", self.adapter, settings, *shorten(prompt))
        if options.get("temperature") == 0:  # all draws are the same
            numbers = [0] * k
        else:
            numbers = [SEEDS * i + lane for i in range(first, first + k)]
        if numbers and len(row.get("draws", ())) <= max(numbers):
            self.draw(row, prompt, max(numbers) + 1, base, stop, options)
        return [cut(row["texts"][row["draws"][number]], max_new_tokens) for number in numbers]

    def draw(self, row: dict[str, Any], prompt: str, least: int, seed: int, stop: Key, options: dict[str, Any]) -> None:
        """Make at least so many draws of a state, by blocks. Equal ones are written once."""
        at_once = (PLAN if "\n\n" in stop else STEP)[0]
        texts, draws = row.setdefault("texts", []), row.setdefault("draws", [])
        wanted = at_once
        while wanted < least:
            wanted *= 2
        wanted = 1 if options.get("temperature") == 0 else wanted
        options = {**options, "layers": getattr(self.head, "layers", ())}
        for sample in self.model.sample(
            prompt, wanted - len(draws), first=len(draws), seed=seed, max_new_tokens=self.longest(stop), **options
        ):
            kept = [sample.text, sample.tokens, [round(x, DIGITS) for x in sample.logprobs], sample.finished]
            known = next((i for i, text in enumerate(texts) if text[:4] == kept), len(texts))
            if known == len(texts):
                texts.append([*kept, self.judge(sample)])
                self.bank.said.setdefault(shorten(prompt)[1], []).append(f" {sample.text}\n")
            draws.append(known)
        self.bank.fresh = True

    def longest(self, stop: Key) -> int:
        """The most tokens of a draw."""
        return PLAN[1] if "\n\n" in stop else self.most

    def judge(self, sample: Sample) -> float | None:
        """The head's probability for a sample that brought its hidden states."""
        if self.head is None or not sample.hidden:
            return None
        step = Step("", "", "", "", sample, False)
        return round(self.head.probabilities([step], Ledger())[0], DIGITS)

    def score(self, prompt: str, continuations: Sequence[str]) -> list[tuple[float, ...]]:
        """Each continuation of a prompt is scored once, and with it what the actor has said there."""
        row = self.bank.row("scores", self.adapter, *shorten(prompt))
        new = [text for text in dict.fromkeys(continuations) if text not in row]
        new += [text for text in self.bank.said.get(shorten(prompt)[1], ()) if new and text not in (*row, *new)]
        for text, logprobs in zip(new, self.model.score(prompt, new) if new else [], strict=True):
            row[text] = [round(x, DIGITS) for x in logprobs]
            self.bank.fresh = True
        return [tuple(row[text]) for text in continuations]

    def count_tokens(self, text: str) -> int:
        """Each text is counted once."""
        row = self.bank.row("tokens", *shorten(text))
        if not row:
            row["count"] = self.model.count_tokens(text)
            self.bank.fresh = True
        return int(row["count"])

    def encode(self, texts: Sequence[str], layers: Sequence[int]) -> list[dict[int, Any]]:
        """Not kept."""
        return self.model.encode(texts, layers)


class RememberedHead:
    """What the real head said when the sample was drawn, as a part of a mix."""

    def probabilities(self, steps: Sequence[Step], ledger: Ledger) -> list[float]:
        """One number in [0, 1] for each step. Raises LookupError for a sample that was drawn without the head."""
        found: list[Any] = [step.sample.hidden.get(-1) for step in steps]
        if None in found:
            raise LookupError("a sample in the bank was drawn without the head; record the bank again")
        return [float(chance) for chance in found]


def shorten(prompt: str) -> tuple[bool, str]:
    """The worked examples are nearly always there, and long."""
    return prompt.startswith(EXAMPLES), prompt.removeprefix(EXAMPLES)


def lengthen(worked: bool, prompt: str) -> str:
    """The prompt that `shorten` took apart."""
    return EXAMPLES + prompt if worked else prompt


def cut(text: Sequence[Any], cap: int) -> Sample:
    """A remembered sample under a cap: if it is longer, its first tokens, and unfinished."""
    said, tokens, logprobs, finished, chance = text
    hidden = {} if chance is None else {-1: chance}
    if tokens <= cap:
        return Sample(said, tokens, tuple(logprobs), finished, hidden)
    return Sample(said, cap, tuple(logprobs[:cap]), False, hidden)


@dataclass
class Difference:
    """How a state that was drawn anew differs from what the bank has of it."""

    text: str = ""  # the first draw with other words, if there is one
    apart: float = 0.0  # the most that a log-probability of the same words differs

    @property
    def identical(self) -> bool:
        """To the last digit that the bank keeps."""
        return not self.text and not self.apart


def redraw(bank: Bank, models: Callable[[str], LanguageModel], rng: random.Random) -> Difference:
    """Draw a random state of a bank anew, with `models(role)`."""
    role, settings, *prompt = rng.choice(list(bank.keys("draws")))
    row, (seed, temperature, top_k, *stop) = bank.row("draws", role, settings, *prompt), settings
    found = Difference()
    for number, sample in enumerate(
        models(role).sample(
            lengthen(*prompt),
            len(row["draws"]),
            seed=seed,
            max_new_tokens=(PLAN if "\n\n" in stop else STEP)[1],
            temperature=temperature,
            top_k=top_k,
            stop=stop,
        )
    ):
        text, tokens, logprobs, finished, _ = row["texts"][row["draws"][number]]
        if (text, tokens, finished) != (sample.text, sample.tokens, sample.finished):
            found.text = f"draw {number} of {prompt[1][-60:]!r}: {text!r} before, {sample.text!r} now"
            return found
        new = [round(x, DIGITS) for x in sample.logprobs]
        found.apart = max([found.apart, *(abs(a - b) for a, b in zip(new, logprobs, strict=True))])
    return found
