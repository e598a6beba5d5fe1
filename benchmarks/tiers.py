"""Every critic in the search, against parallel chains at the same budget, with the real model.

    python benchmarks/tiers.py --split dev --questions 120 --seeds 2

With plans given and with plans of the agent's own. What the model said is kept in a folder and replayed. The intervals
are 95 % bootstraps over questions, paired, with the seeds of a question averaged first. "actor tuned" breaks the
method's premise of a frozen actor: the critic's adapter reads by itself, one greedy chain.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bank import Bank, Remembered, RememberedHead
from scipy.stats import bootstrap
from tqdm.auto import tqdm

from bavt_minimal import (
    Budget,
    BudgetAware,
    BudgetAwareUCB,
    BudgetAwareValueTreeSearch,
    ConstantCritic,
    LogProbCritic,
    ParallelChains,
    Planner,
    SearchResult,
    greedy,
)
from bavt_minimal.agent import DualRoleLLMAgent
from bavt_minimal.benchmark.oracle import OracleCritic
from bavt_minimal.critics.adapter import load_adapter_critic
from bavt_minimal.critics.calibration import auc
from bavt_minimal.critics.fit import load_mix
from bavt_minimal.critics.mix import MixCritic
from bavt_minimal.models import load_model
from bavt_minimal.models.adapters import find_adapter
from bavt_minimal.residual import residual
from bavt_minimal.steps import normalize
from bavt_minimal.tasks.data import Gold, Question
from bavt_minimal.tasks.encyclopedia import RELATIONS, SPLITS, make_world
from bavt_minimal.tasks.lookup import Lookup

TIERS = ((32, 8), (64, 16), (128, 32), (256, 64))
PER_WORLD = 3  # questions
# What the README shows; "all" adds other scales, an overconfident critic, a planning vote and chains that share pages.
PUBLISHED = (
    "vote",
    "greedy chain",
    "rerank, logprob",
    "rerank, mix",
    "rerank, adapter",
    "bavt, logprob",
    "bavt, head",
    "bavt, mix",
    "bavt, adapter",
    "bavt, oracle",
    "alpha = 1, adapter",
    "greedy, adapter",
    "guide's UCB, adapter",
    "one page, adapter",
    "by value, adapter",
    "by value, one page, adapter",
    "actor tuned, greedy chain",
    "own plans: bavt, adapter",
)
FAULTS = ("planning", "never sampled", "critic", "selection", "budget")
ETAS = (0.1, 0.2, 0.3, 0.5)  # the default is 0.4
Row = dict[str, Any]


@dataclass(frozen=True)
class OnePage:
    """The same critic without the path: a right reading of a wrong page is as good as any.

    `overconfidence`: by how much its chance of a mistake is divided (guide, pitfalls); the ranking stays the same.
    """

    critic: Any
    overconfidence: float = 1.0
    scale: float = 0.4

    def __call__(self, steps: Any, ledger: Any) -> list[float]:
        said = self.critic.probabilities(steps, ledger)
        return [residual(1 - (1 - p) / self.overconfidence, self.scale) for p in said]


class ByValue(BudgetAwareValueTreeSearch):
    """The search with nodes drawn by V alone, whatever their children are."""

    def start(self, *args: Any) -> Any:
        tree = super().start(*args)
        tree.promise = lambda node: node.value
        return tree


@cache
def models(source: str | None) -> tuple[Any, Any, Any, MixCritic]:
    """The base model, its two adapters, and the head with its mix; once a process."""
    torch.set_num_threads(1)
    base = load_model(source)
    return base, base.with_adapter("critic"), base.with_adapter("planner"), load_mix(base)


def run_world(split: str, seed: int, draw: int, folder: Path, source: str | None, wanted: tuple[str, ...]) -> list[Row]:
    """All methods and budgets on one world's questions, with one seed of the search."""
    base, critic_view, planner_view, mix = models(source)
    bank = Bank(folder / f"{split}-{seed}-{draw}.json.gz")
    actor = Remembered(base, bank, mix.parts["head"])  # type: ignore[arg-type]
    tuned, plans = Remembered(critic_view, bank), Planner(Remembered(planner_view, bank))
    head = RememberedHead()
    mixed = MixCritic({**mix.parts, "head": head}, mix.weights, mix.intercept)
    alone = MixCritic({"head": head}, {"head": 1.0})
    adapter = load_adapter_critic(find_adapter("critic"), tuned)  # type: ignore[arg-type]
    halving = BudgetAware(decay=0.5)  # what drawing by V needs, lest it expand the same node again and again
    by_eta = (("mix", mixed), ("adapter", adapter))
    world, golds = make_world(seed, PER_WORLD)
    tool, rows = Lookup(world.pages), []
    for question in world.questions:
        gold = golds[question.id]
        for tokens, calls in TIERS:

            def tree(critic: Any, search: Any = BudgetAwareValueTreeSearch, **options: Any) -> Any:
                return search(actor, critic, Budget(tokens, calls), tool, seed=draw, **options)  # noqa: B023

            def chains(critic: Any = None, model: Any = actor, **options: Any) -> Any:
                return ParallelChains(model, critic, Budget(tokens, calls), tool, seed=draw, **options)  # noqa: B023

            methods = {
                "vote": chains(),
                "vote, pages shared": chains(share_pages=True),
                "greedy chain": chains(max_chains=1, temperature=0.0),
                "rerank, logprob": chains(LogProbCritic()),
                "rerank, mix": chains(mixed),
                "rerank, adapter": chains(adapter),
                "bavt, constant": tree(ConstantCritic()),
                "bavt, logprob": tree(LogProbCritic()),
                "bavt, head": tree(alone),
                "bavt, mix": tree(mixed),
                "bavt, adapter": tree(adapter),
                "bavt, oracle": tree(OracleCritic(gold.path)),
                "one page, adapter": tree(OnePage(adapter)),
                "by value, adapter": tree(adapter, ByValue, selection=halving),
                "by value, one page, adapter": tree(OnePage(adapter), ByValue, selection=halving),
                "by value, oracle": tree(OracleCritic(gold.path), ByValue, selection=halving),
                "alpha = 1, adapter": tree(adapter, selection=BudgetAware(alpha_max=1.0)),
                "greedy, adapter": tree(adapter, selection=greedy),
                "guide's UCB, adapter": tree(adapter, selection=BudgetAwareUCB(total_budget=tokens)),
                **{f"eta = {eta}, {name}": tree(replace(critic, scale=eta)) for name, critic in by_eta for eta in ETAS},
                "overconfident, adapter": tree(OnePage(adapter, overconfidence=10.0)),
                "actor tuned, greedy chain": chains(None, tuned, max_chains=1, temperature=0.0, examples=""),
                "own plans: vote": chains(planner=plans),
                "own plans: bavt, mix": tree(mixed, planner=plans),
                "own plans: bavt, adapter": tree(adapter, planner=plans),
            }
            for name, search in methods.items():
                if wanted and name not in wanted:
                    continue
                result = search.search(question.text, plan=None if name.startswith("own") else question.plan)
                spent = result.ledger.spent
                assert spent["tokens"] <= tokens and spent["tool_calls"] <= calls
                right = DualRoleLLMAgent.evaluate(result.answer, gold)
                rows.append(
                    {
                        "method": name,
                        "tokens": tokens,
                        "question": question.id,
                        "draw": draw,
                        "right": right,
                        "used": spent["tokens"],
                        "calls": spent["tool_calls"],
                        "prompt": result.ledger.prompt_tokens,
                        "reason": result.reason,
                        "planned": len(result.plan),
                        "fault": "" if right else fault(result, question, gold),
                        "judged": judged(result, gold) if name == "bavt, adapter" else [],
                    }
                )
    bank.save()
    return rows


def fault(result: SearchResult, question: Question, gold: Gold) -> str:
    """What a search that went wrong failed at, one of FAULTS."""
    if not result.plan:
        return "budget" if result.reason in ("tokens", "tool_calls") else "planning"
    if list(map(relation_of, result.plan)) != list(map(relation_of, question.plan)):
        return "planning"
    good = [node for node in steps_of(result) if on_path(node, gold)]
    if any(node.terminal for node in good):
        return "critic"  # it was there, and another was valued more
    start = result.node.path()[1] if is_plan(result) else result.root
    last = max(good, key=lambda node: node.depth, default=start)
    if last.expansions:
        return "never sampled"
    values = {node.id: node.value for node in walk(result.root)}
    known = last is result.root
    for event in result.trace.events:
        known |= event.kind == "added" and event.node == last.id
        if known and event.kind == "selected" and values[event.node] < last.value:
            return "selection"  # the right way on was valued more than what was drawn instead
    passed_over = any(value > last.value for id, value in values.items() if id != last.id)
    return "critic" if result.reason == "answered" or passed_over else "budget"


def judged(result: SearchResult, gold: Gold) -> list[tuple[int, float, bool]]:
    """Hop, residual, and whether it is right with all before it, of each step that the critic judged."""
    return [(len(n.state.answers) + 1, n.residual_value, on_path(n, gold)) for n in steps_of(result)]


def steps_of(result: SearchResult) -> list[Any]:
    """The nodes that are steps; a plan is none."""
    return [node for node in walk(result.root) if node.parent and hasattr(node.state, "answers")]


def on_path(node: Any, gold: Gold) -> bool:
    """Whether a step and all before it are on the gold path."""
    said = [normalize(text) for text in (*node.state.answers, node.text)]
    return said == [normalize(text) for text in gold.path[: len(said)]]


def relation_of(step: str) -> set[tuple[str, str]]:
    """What a sub-question asks for, and of whom, in any wording."""
    asks = [(name, *ask.split("{}")) for name, relation in RELATIONS.items() for ask in relation.asks]
    return {(name, step[len(a) : -len(b)]) for name, a, b in asks if step.startswith(a) and step.endswith(b)}


def is_plan(result: SearchResult) -> bool:
    """Whether the root's children are plans."""
    return "planner" in result.trace.header and result.node is not result.root


def walk(node: Any) -> Iterator[Any]:
    """A node and all below it."""
    yield node
    for child in node.children:
        yield from walk(child)


def interval(values: np.ndarray) -> tuple[float, float]:
    """95 % interval of the mean over questions."""
    if np.ptp(values) == 0:
        return float(values[0]), float(values[0])
    found = bootstrap((values,), np.mean, n_resamples=9999, method="percentile", rng=np.random.default_rng(0))
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def ratio_interval(one: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """95 % interval of the ratio of two means over the same questions."""
    found = bootstrap(
        (one, other),
        lambda a, b, axis=-1: a.mean(axis) / np.maximum(b.mean(axis), 1e-9),
        n_resamples=9999,
        method="percentile",
        paired=True,
        rng=np.random.default_rng(0),
    )
    return float(found.confidence_interval.low), float(found.confidence_interval.high)


def summarize(rows: list[Row]) -> None:
    """Print the tables of a finished run."""
    scores: dict[tuple[str, int], dict[str, list[float]]] = {}
    for row in rows:
        scores.setdefault((row["method"], row["tokens"]), {}).setdefault(row["question"], []).append(row["right"])
    mean = {key: np.array([np.mean(found[q]) for q in sorted(found)]) for key, found in scores.items()}
    names = list(dict.fromkeys(row["method"] for row in rows))
    print("\nAccuracy (tokens used, prompt tokens read)".ljust(30) + "".join(f"{t:>10}/{c:<8}" for t, c in TIERS))
    for name in names:
        cells = []
        for tokens, _ in TIERS:
            own = [row for row in rows if (row["method"], row["tokens"]) == (name, tokens)]
            used, read = np.mean([row["used"] for row in own]), np.mean([row["prompt"] for row in own])
            cells.append(f"  {mean[name, tokens].mean():.3f} ({used:3.0f}, {read:5.0f})")
        print(name.ljust(27) + "".join(cells))

    def compare(one: str, other: str, shift: int = 0) -> None:
        if one not in names or other not in names:
            return
        cells = []
        for (tokens, _), (more, _) in zip(TIERS, TIERS[shift:], strict=False):
            difference = mean[one, tokens] - mean[other, more]
            low, high = interval(difference)
            cells.append(f"  {difference.mean():+.3f} [{low:+.3f}, {high:+.3f}]")
        label = f"{one} - {other}" + (f" at {4 ** (shift // 2)}x" if shift else "")
        print(label.ljust(46) + "".join(cells))

    print("\nPaired differences, 95 %")
    for name in ("bavt, logprob", "bavt, head", "bavt, mix", "bavt, adapter"):
        compare(name, "vote")
    compare("bavt, mix", "rerank, mix")
    compare("bavt, adapter", "rerank, adapter")
    for name in (
        "by value, one page, adapter",
        "alpha = 1, adapter",
        "greedy, adapter",
        "guide's UCB, adapter",
        "actor tuned, greedy chain",
    ):
        compare("bavt, adapter", name)
    compare("own plans: bavt, adapter", "bavt, adapter")
    compare("own plans: bavt, adapter", "own plans: vote")
    for name in ("bavt, mix", "bavt, adapter"):
        compare(name, "vote", shift=2)
    if {"bavt, adapter", "bavt, oracle"} <= set(names):
        print("\nbavt, adapter / bavt, oracle, 95 %")
        for tokens, _ in TIERS:
            one, other = mean["bavt, adapter", tokens], mean["bavt, oracle", tokens]
            low, high = ratio_interval(one, other)
            print(f"  {tokens:>4} tokens: {one.mean() / other.mean():.3f} [{low:.3f}, {high:.3f}]")
    own = [row for row in rows if row["method"] == "own plans: bavt, adapter"]
    for tokens, _ in TIERS if own else ():
        drawn = [row for row in own if row["tokens"] == tokens and row["planned"]]
        planned, used = (np.mean([row[key] for row in drawn]) for key in ("planned", "calls"))
        print(f"own plans, {tokens} tokens: {len(drawn)} with a plan, {planned:.1f} lookups planned, {used:.1f} used")
    steps = np.array([step for row in rows if row["tokens"] == TIERS[-1][0] for step in row["judged"]])
    for hop in sorted(set(steps[:, 0])) if len(steps) else ():
        _, said, right = steps[steps[:, 0] == hop].T
        print(f"critic adapter in the search, hop {hop:.0f}: AUC {auc(said, right):.3f} of {len(said)} steps")
    print("\nWhere the wrong answers come from, % of them".ljust(47) + "".join(f"{name:>15}" for name in FAULTS))
    for name in ("bavt, logprob", "bavt, mix", "bavt, adapter", "own plans: bavt, adapter"):
        for tokens, _ in TIERS:
            wrong = [r for r in rows if (r["method"], r["tokens"]) == (name, tokens) and not r["right"]]
            if wrong:
                count = Counter(row["fault"] for row in wrong)
                shares = "".join(f"{100 * count[fault] / len(wrong):15.1f}" for fault in FAULTS)
                print(f"{name}, {tokens} tokens".ljust(35) + f"{len(wrong):6} wrong" + shares)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--split", default="dev", choices=tuple(SPLITS))
    parser.add_argument("--questions", type=int, default=120, help=f"a multiple of {PER_WORLD}")
    parser.add_argument("--skip-worlds", type=int, default=0, help="leave out the first worlds of the split")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--methods", default=";".join(PUBLISHED), help='names, with ; between, or "all"')
    parser.add_argument("--model", default=None)
    parser.add_argument("--jobs", type=int, default=2, help="processes, each with one thread and about 1.2 GB")
    parser.add_argument("--bank", type=Path, default=Path("bank"), help="folder of what the model said")
    parser.add_argument("--rows", type=Path, default=None, help="write every row here, as JSON")
    args = parser.parse_args()
    began = time.monotonic()
    wanted = () if args.methods == "all" else tuple(part.strip() for part in args.methods.split(";"))
    worlds = islice(SPLITS[args.split], args.skip_worlds, args.skip_worlds + -(-args.questions // PER_WORLD))
    jobs = [(args.split, seed, draw, args.bank, args.model, wanted) for seed in worlds for draw in range(args.seeds)]
    rows: list[Row] = []
    with ProcessPoolExecutor(args.jobs) as pool:
        futures = [pool.submit(run_world, *job) for job in jobs]
        for future in tqdm(futures, desc="worlds"):
            rows += future.result()
    if args.rows:
        args.rows.write_text(json.dumps(rows), encoding="utf-8")
    print(f"{args.split}: {args.questions} questions x {args.seeds} seeds, worlds from {args.skip_worlds} on")
    summarize(rows)
    print(f"\n{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
