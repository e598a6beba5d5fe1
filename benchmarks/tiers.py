"""BAVT against parallel chains at the same budget, on development questions, with the real model.

    python benchmarks/tiers.py --questions 120 --seeds 2

Every method draws from one deterministic bank of samples. What the model says in a state depends on (seed, prompt,
number) only, so the bank changes nothing but the time. It is kept in a file, and a second run replays from it. The
intervals are a paired bootstrap over questions, with the seeds of a question averaged first.
"""

from __future__ import annotations

import argparse
import gzip
import json
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import bootstrap
from tqdm.auto import tqdm

from bavt_minimal import (
    Budget,
    BudgetAware,
    BudgetAwareValueTreeSearch,
    ConstantCritic,
    LanguageModel,
    LogProbCritic,
    ParallelChains,
    Sample,
    greedy,
)
from bavt_minimal.agent import DualRoleLLMAgent
from bavt_minimal.benchmark.oracle import OracleCritic
from bavt_minimal.models import load_model
from bavt_minimal.steps import EXAMPLES
from bavt_minimal.tasks.encyclopedia import load_split
from bavt_minimal.tasks.lookup import Lookup

TIERS = ((32, 8), (64, 16), (128, 32), (256, 64))
DRAW = 8  # samples drawn at once for a state


class SampleBank:
    """A model whose samples are remembered. `score` and `encode` go to the model."""

    def __init__(self, model: LanguageModel, paths: Sequence[Path]):
        self.model, self.path, self.name = model, paths[0], model.name
        self.rows: dict[str, list[list[Any]]] = {}
        self.lengths: dict[str, int] = {}
        for path in paths:
            if path.exists():
                with gzip.open(path, "rt", encoding="utf-8") as file:
                    rows, lengths = json.load(file)
                self.rows |= rows
                self.lengths |= lengths

    def save(self) -> None:
        with gzip.open(self.path, "wt", encoding="utf-8", compresslevel=4) as file:
            json.dump([self.rows, self.lengths], file)

    def sample(self, prompt: str, k: int, *, first: int = 0, seed: int = 0, max_new_tokens: int = 8, **options: Any):
        state = prompt.removeprefix(EXAMPLES)
        key = json.dumps([seed, options.get("temperature"), options.get("top_k"), state])
        rows = self.rows.setdefault(key, [])
        while len(rows) < first + k:
            options["layers"] = ()
            drawn = self.model.sample(prompt, DRAW, first=len(rows), seed=seed, max_new_tokens=8, **options)
            rows += [[s.text, s.tokens, [round(x, 6) for x in s.logprobs], s.finished] for s in drawn]
        return [self.cut(row, max_new_tokens) for row in rows[first : first + k]]

    @staticmethod
    def cut(row: Sequence[Any], cap: int) -> Sample:
        text, tokens, logprobs, finished = row
        if tokens <= cap:
            return Sample(text, tokens, tuple(logprobs), finished)
        return Sample(text, cap, tuple(logprobs[:cap]), False)

    def count_tokens(self, text: str) -> int:
        state = text.removeprefix(EXAMPLES)
        if state not in self.lengths:
            self.lengths[state] = self.model.count_tokens(text)
        return self.lengths[state]

    def score(self, prompt: str, continuations: Sequence[str]) -> list[tuple[float, ...]]:
        return self.model.score(prompt, continuations)

    def encode(self, texts: Sequence[str], layers: Sequence[int]):
        return self.model.encode(texts, layers)


def methods(path: tuple[str, ...], scale: float) -> dict[str, Any]:
    """Each method as a function of (model, budget, tool, seed)."""

    def tree(critic: Any, **options: Any) -> Any:
        return lambda model, budget, tool, seed: BudgetAwareValueTreeSearch(
            model, critic, budget, tool, seed=seed, **options
        )

    def chains(critic: Any, **options: Any) -> Any:
        return lambda model, budget, tool, seed: ParallelChains(model, critic, budget, tool, seed=seed, **options)

    logprob = LogProbCritic(scale)
    return {
        "vote": chains(None),
        "vote, shared pages": chains(None, share_pages=True),
        "rerank, logprob": chains(logprob),
        "bavt, logprob": tree(logprob),
        "alpha = 1, logprob": tree(logprob, selection=BudgetAware(alpha_max=1.0)),
        "greedy, logprob": tree(logprob, selection=greedy),
        "bavt, budget hint": tree(logprob, budget_hint=True),
        "bavt, constant": tree(ConstantCritic()),
        "bavt, oracle": tree(OracleCritic(path, scale)),
    }


def interval(difference: np.ndarray) -> tuple[float, float]:
    """95 % interval of the mean over questions."""
    if not difference.any():
        return 0.0, 0.0
    found = bootstrap((difference,), np.mean, n_resamples=9999, method="percentile", rng=np.random.default_rng(0))
    return found.confidence_interval.low, found.confidence_interval.high


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--split", default="dev", choices=("train", "dev"))
    parser.add_argument("--questions", type=int, default=120)
    parser.add_argument("--skip-worlds", type=int, default=0, help="leave out the first worlds of the split")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--scale", type=float, default=0.4)
    parser.add_argument("--methods", default="", help="comma-separated parts of names; default all but the hint")
    parser.add_argument("--model", default=None)
    parser.add_argument(
        "--bank", type=Path, nargs="+", default=[Path("bank-dev.json.gz")], help="read all, write the first"
    )
    args = parser.parse_args()
    began = time.monotonic()
    model = SampleBank(load_model(args.model), args.bank)
    worlds = islice(load_split(args.split), args.skip_worlds, None)
    items = ((world, gold, question) for world, gold in worlds for question in world.questions)
    right: dict[tuple[str, int], list[list[float]]] = {}
    forced: dict[tuple[str, int], list[bool]] = {}
    used: dict[tuple[str, int], list[float]] = {}
    tools: dict[int, Lookup] = {}
    for number, (world, gold, question) in enumerate(tqdm(islice(items, args.questions), total=args.questions)):
        tool = tools.setdefault(id(world), Lookup(world.pages))
        answer = gold[question.id]
        for name, method in methods(answer.path, args.scale).items():
            if not any(part.strip() in name for part in args.methods.split(",")) or (
                not args.methods and "hint" in name
            ):
                continue
            for tokens, tool_calls in TIERS:
                scores = []
                for seed in range(args.seeds):
                    search = method(model, Budget(tokens, tool_calls), tool, seed)
                    result = search.search(question.text, plan=question.plan)
                    assert result.ledger.spent["tokens"] <= tokens and result.ledger.spent["tool_calls"] <= tool_calls
                    scores.append(DualRoleLLMAgent.evaluate(result.answer, answer))
                    forced.setdefault((name, tokens), []).append(result.forced)
                    used.setdefault((name, tokens), []).append(result.ledger.spent["tokens"])
                right.setdefault((name, tokens), []).append(scores)
        if number % 20 == 19:
            model.save()
    model.save()
    names = list(dict.fromkeys(name for name, _ in right))
    print(f"\nAccuracy, {args.questions} {args.split} questions x {args.seeds} seeds")
    print("(share without a finished answer; mean tokens used)")
    print("method".ljust(24) + "".join(f"{tokens:>11}/{calls:<7}" for tokens, calls in TIERS))
    for name in names:
        cells = [
            f"{np.mean(right[name, t]):7.3f} ({np.mean(forced[name, t]):.2f}; {np.mean(used[name, t]):3.0f})"
            for t, _ in TIERS
        ]
        print(name.ljust(24) + "".join(cells))
    for one, other in (
        ("bavt, logprob", "vote"),
        ("bavt, logprob", "rerank, logprob"),
        ("bavt, logprob", "greedy, logprob"),
    ):
        if (one, 32) not in right or (other, 32) not in right:
            continue
        print(f"\n{one} minus {other}, paired 95 % interval over questions")
        for tokens, tool_calls in TIERS:
            difference = np.mean(right[one, tokens], axis=1) - np.mean(right[other, tokens], axis=1)
            low, high = interval(difference)
            print(f"  {tokens:>4} tokens / {tool_calls:<2} calls: {difference.mean():+.3f} [{low:+.3f}, {high:+.3f}]")
    print(f"\n{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
