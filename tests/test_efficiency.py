"""The benchmark's jobs and rows: the same meter for all, a user's own parts, and variants that are what they say."""

from __future__ import annotations

import pickle
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_run import NO_DASK

from bavt_minimal import Budget, LogProbCritic
from bavt_minimal.benchmark.efficiency import (
    BEYOND,
    GUIDE,
    PAPER,
    PRESETS,
    TIERS,
    Bench,
    benchmark_budget_efficiency,
    make_jobs,
    questions_of,
)
from bavt_minimal.benchmark.methods import (
    ABLATIONS,
    BAVT,
    CHARGED,
    METHODS,
    RERANK,
    VOTE,
    Absolute,
    Method,
    OnePage,
    Parts,
    chains,
    overconfident,
    tree,
)
from bavt_minimal.benchmark.run import process_executor
from bavt_minimal.benchmark.simulator import QUESTION, Judge, Setting, World
from bavt_minimal.benchmark.store import Store, check_row
from bavt_minimal.budget import Ledger
from bavt_minimal.critics.path import path_residuals
from bavt_minimal.models import ScriptedModel
from bavt_minimal.residual import residual
from bavt_minimal.steps import Sample, Step
from bavt_minimal.tasks.data import Gold, Question
from bavt_minimal.tasks.data import World as Data

SETTING = Setting(depth=3, p=0.6, auc=0.95, whole_path=False)


class Sure(Judge):
    """The simulator's critic as the real ones are made: chances of single steps, residuals of the whole path."""

    def __call__(self, steps: Any, ledger: Ledger) -> list[float]:
        return path_residuals(self.probabilities(steps, ledger), self.scale, steps)

    def probabilities(self, steps: Any, ledger: Ledger) -> list[float]:
        return [self.world.state(step.text).chance for step in steps]


def scripted(seed: int = 3, setting: Setting = SETTING, questions: int = 2) -> Bench:
    world = World(setting, seed)
    names = [f"q{number}" for number in range(questions)]
    data = Data({"a": "b"}, tuple(Question(name, QUESTION, world.plan) for name in names))
    gold = dict.fromkeys(names, Gold(world.answer, tuple("s" + "0" * i for i in range(1, setting.depth + 1))))
    critics = {"adapter": Sure(world), "mix": Sure(world), "head": Sure(world)}
    return Bench(data=(data, gold), tool=world.page, parts=Parts(world, critics, world))


def without_seconds(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def test_every_method_keeps_to_every_budget_and_the_rows_are_whole() -> None:
    plan = {name: (*TIERS, (0, 0), (1, 1), (5, None)) for name in METHODS if not METHODS[name].own_plans}
    rows = benchmark_budget_efficiency(scripted(), plan, seeds=1)
    assert len(rows) == len(plan) * 7 * 2
    for row in rows:
        check_row(row)
        assert row["used"] <= row["tokens"] and row["tool_calls_used"] <= (row["tool_calls"] or 99)
        by_role = list(zip(*row["by_role"].values(), strict=True)) or [(0,), (0,), (0,)]
        charged = row["prompt_tokens"] if row["method"] in CHARGED else 0
        assert row["used"] == sum(by_role[0]) + charged
        assert (row["tool_calls_used"], row["prompt_tokens"]) == (sum(by_role[1]), sum(by_role[2]))
        assert (row["fault"] == "") == (row["right"] == 1.0)
        assert (row["answer"] == "s000") == (row["right"] == 1.0)


def test_the_oracle_is_never_worse_and_a_constant_critic_never_ahead_of_it() -> None:
    right: dict[str, list[float]] = {}
    for seed in range(40):
        plan = dict.fromkeys(("bavt, oracle", BAVT, "bavt, constant", VOTE), ((48, 12),))
        for row in benchmark_budget_efficiency(scripted(seed), plan, ["q0"], seeds=1):
            right.setdefault(row["method"], []).append(row["right"])
    mean = {name: np.mean(found) for name, found in right.items()}
    assert mean["bavt, oracle"] >= mean[BAVT] > mean["bavt, constant"]


def test_a_store_is_gone_on_with(tmp_path: Path) -> None:
    bench, plan = scripted(), {BAVT: TIERS, VOTE: TIERS[:1]}
    told: list[tuple[int, int]] = []
    with Store(tmp_path / "rows.sqlite") as store:
        first = benchmark_budget_efficiency(bench, {VOTE: TIERS[:1]}, seeds=2, store=store)
        both = benchmark_budget_efficiency(
            bench, plan, seeds=2, store=store, progress=lambda done, total: told.append((done, total))
        )
    assert len(first) == 4 and len(both) == 20
    assert told[0] == (4, 20) and told[-1] == (20, 20)
    again = benchmark_budget_efficiency(scripted(), plan, seeds=2)
    assert without_seconds(both) == without_seconds(again)


def test_a_model_of_ones_own_needs_nothing_else() -> None:
    model = ScriptedModel({}, {"Rome": 2.0, "Oslo": 1.0})
    data = Data({"a": "b"}, (Question("q", "Where?", ("Where?",)), Question("no answer", "When?", ())))
    bench = Bench(model, (data, {"q": Gold("Rome")}))
    rows = benchmark_budget_efficiency(bench, questions=["q"], seeds=2)
    names = {VOTE, "greedy chain", "rerank, logprob", "bavt, logprob", "rerank, prompted", "bavt, prompted"}
    assert {row["method"] for row in rows} == names
    # Here the likelier text is right, so log-probability and greedy choice are, wherever there is a token to spend.
    assert all(row["right"] for row in rows if row["method"] in ("greedy chain", "bavt, logprob"))
    assert all(row["fault"] == "" for row in rows)  # nothing is known of the steps
    fresh = benchmark_budget_efficiency(Bench(model, bench.data, fresh=True), questions=["q"], seeds=1)
    assert len(fresh) == len(rows) // 2
    with pytest.raises(ValueError, match="'no answer' has no answer"):
        benchmark_budget_efficiency(bench)


def test_a_bank_keeps_what_ones_own_model_said_apart_from_another_ones(tmp_path: Path) -> None:
    asked: list[str] = []

    class Counting(ScriptedModel):
        def sample(self, prompt: str, k: int, **options: Any) -> list[Sample]:
            asked.append(self.name)
            return super().sample(prompt, k, **options)

    data = Data({"a": "b"}, (Question("any/name?", "Where?", ("Where?",)),)), {"any/name?": Gold("Rome")}
    rows = []
    for name, city in (("one", "Rome"), ("one", "Rome"), ("other", "Oslo")):
        bench = Bench(Counting({}, {city: 1.0}, name=name), data, bank=tmp_path)
        rows.append(benchmark_budget_efficiency(bench, {VOTE: TIERS[:2]}, seeds=2))
        asked.append("|")
    assert without_seconds(rows[0]) == without_seconds(rows[1])
    assert [row["answer"] for row in rows[2]] == ["Oslo"] * 4
    assert "".join(asked).count("one") and "".join(asked).split("|")[1] == ""
    assert len(list(tmp_path.iterdir())) == 2


def test_steps_may_be_longer_and_a_bank_is_for_one_length(tmp_path: Path) -> None:
    long = "the city of Rome on the river Tiber in Italy"  # 11 tokens
    data = Data({"a": "b"}, (Question("q", "Where?", ("Where?",)),)), {"q": Gold(long)}
    right = {}
    for most, folder in ((8, tmp_path), (12, tmp_path), (12, None)):
        bench = Bench(ScriptedModel({}, {long: 1.0}), data, bank=folder, max_new_tokens=most)
        rows = benchmark_budget_efficiency(bench, {VOTE: TIERS[1:2], "bavt, logprob": TIERS[1:2]}, seeds=2)
        right[most, folder] = [row["right"] for row in rows]
    assert right == {(8, tmp_path): [False] * 4, (12, tmp_path): [True] * 4, (12, None): [True] * 4}
    assert len(list(tmp_path.iterdir())) == 2
    short = Bench(ScriptedModel({}, {long: 1.0}), data, methods={VOTE: chains(max_new_tokens=3)}, max_new_tokens=12)
    (row,) = benchmark_budget_efficiency(short, {VOTE: TIERS[:1]}, seeds=1)
    assert not row["right"] and row["used"] % 3 in (0, 2)  # a method's own word goes first
    with pytest.raises(ValueError, match="max_new_tokens must be at least 1, got 0"):
        Bench(max_new_tokens=0)


def test_a_method_of_ones_own_keeps_its_name() -> None:
    built: list[Any] = []

    def mine(*args: Any, **options: Any) -> Any:
        built.append(args)
        return METHODS[VOTE].search(args[0], None, *args[2:], **options)

    scripts = scripted()
    bench = Bench(data=scripts.data, tool=scripts.tool, parts=scripts.parts, methods={BAVT: Method(mine, "adapter")})
    assert bench.methods[BAVT].search is mine and "bavt, mix" in bench.methods
    benchmark_budget_efficiency(bench, {BAVT: TIERS[:1]}, seeds=1)
    assert len(built) == 2


def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match="a method must be one of"):
        benchmark_budget_efficiency(scripted(), {"voting": TIERS})
    with pytest.raises(ValueError, match="there is no question 'q9'"):
        benchmark_budget_efficiency(scripted(), questions=["q9"])
    for name in ("test", "test-5-0", "prod-20000-0", "test-20000-9", "test-x-0"):
        with pytest.raises(ValueError, match="there is no question"):
            benchmark_budget_efficiency(Bench(), {VOTE: TIERS}, questions=[name])
    with pytest.raises(ValueError, match="seeds must be"):
        benchmark_budget_efficiency(scripted(), seeds=0)
    with pytest.raises(ValueError, match="questions must be"):
        questions_of("dev", 0)
    with pytest.raises(ValueError, match="questions must be"):
        questions_of("dev", 4, skip_worlds=999)
    with pytest.raises(ValueError, match="split must be"):
        questions_of("train?", 3)
    world = World(SETTING)
    with pytest.raises(LookupError, match="a critic 'adapter'"):
        METHODS[BAVT](Parts(world), Budget(1), None, 0, None)
    with pytest.raises(LookupError, match="a planner"):
        METHODS["own plans: vote"](Parts(world), Budget(1), None, 0, None)
    with pytest.raises(LookupError, match="gold answers"):
        METHODS["bavt, oracle"](Parts(world), Budget(1), None, 0, Gold("x"))


def test_questions_of_a_split() -> None:
    assert questions_of("test", 4, 64) == ["test-20064-0", "test-20064-1", "test-20064-2", "test-20065-0"]
    jobs = make_jobs({VOTE: TIERS, BAVT: TIERS[:2]}, ["a", "b"], 3)
    assert len(set(jobs)) == len(jobs) == (4 + 2) * 2 * 3


def test_presets_are_those_of_the_paper_and_the_guide() -> None:
    tiers, paper, guide = (PRESETS[name](METHODS) for name in ("tiers", "paper", "guide"))
    assert set(tiers) == set(METHODS) - set(CHARGED)
    assert tiers[VOTE] == tiers[RERANK] == (*TIERS, *BEYOND) and tiers[BAVT] == TIERS
    for tokens, calls in TIERS:
        assert (4 * tokens, 4 * calls) in tiers[VOTE]
    assert [calls for _, calls in PAPER] == [5, 10, 20] and paper[BAVT] == PAPER
    for tokens, calls in PAPER:
        for times in (1, 2, 4, 10):
            assert (times * tokens, times * calls) in paper[VOTE]
    assert [tokens for tokens, _ in GUIDE] == [250, 500, 1000]
    assert guide == {"bavt, adapter, prompt charged": GUIDE, "vote, prompt charged": ((1000, None), (10_000, None))}


def test_a_bench_can_be_sent_to_another_process() -> None:
    sent = pickle.loads(pickle.dumps(Bench(bank=Path("bank"), offline=True)))
    assert sent.bank == Path("bank") and set(sent.methods) == set(METHODS)
    with process_executor(1) as pool:
        assert pool.submit(questions_of, "dev", 1).result() == ["dev-10000-0"]


def test_dask_gives_the_table_of_one_process() -> None:
    distributed = pytest.importorskip("distributed", reason=NO_DASK)
    from bavt_minimal.benchmark.run import dask_executor

    bench, plan = scripted(), {BAVT: TIERS, VOTE: TIERS}
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        rows = benchmark_budget_efficiency(
            bench, plan, seeds=2, executor=partial(dask_executor, cluster.scheduler_address)
        )
    assert without_seconds(rows) == without_seconds(benchmark_budget_efficiency(scripted(), plan, seeds=2))


# Variants


def steps(world: World, *paths: str, residuals: tuple[float, ...] = ()) -> list[Step]:
    return [Step("", "", "", "", Sample(path, 4, (0.0,), True), False, residuals=residuals) for path in paths]


def test_one_page_and_overconfidence_keep_the_ranking() -> None:
    world = World(SETTING, 1)
    some = steps(world, "s0", "s1", "s2")
    said = Sure(world).probabilities(some, Ledger())
    assert OnePage(Sure(world))(some, Ledger()) == pytest.approx([residual(p, 0.4) for p in said])
    sure = overconfident(Sure(world))(some, Ledger())
    assert np.argsort(sure).tolist() == np.argsort(said).tolist()
    assert sure == pytest.approx([residual(1 - (1 - p) / 10, 0.4) for p in said])


def test_absolute_values_are_the_chance_of_the_whole_path() -> None:
    """V(child) = V(parent) + residual is p_1, then p_1 p_2, by an own count of V."""
    world = World(SETTING, 1)
    critic = Absolute(Sure(world))
    (p1,) = Sure(world).probabilities(steps(world, "s0"), Ledger())
    (p2,) = Sure(world).probabilities(steps(world, "s00"), Ledger())
    (first,) = critic(steps(world, "s0"), Ledger())
    (second,) = critic(steps(world, "s00", residuals=(first,)), Ledger())
    assert 0.5 + first == pytest.approx(p1)
    assert 0.5 + first + second == pytest.approx(p2 * max(p1, 0.05))


@pytest.mark.parametrize("name", sorted(ABLATIONS))
def test_an_ablation_changes_some_search_and_is_no_copy(name: str) -> None:
    """Settings that can matter at all: over forty worlds, some event differs from the default search."""
    differs = 0
    for seed in range(40):
        bench = scripted(seed, Setting(depth=4, p=0.3, auc=0.8, spread=0.3, whole_path=False))
        parts, gold, budget = bench.parts, Gold("s0000"), Budget(64, 16)
        assert parts is not None
        traces = []
        for method in (METHODS[BAVT], ABLATIONS[name]):
            result = method(parts, budget, bench.tool, seed, gold).search(QUESTION, plan=World(SETTING).plan)
            traces.append([(event.kind, event.node, event.data.get("text")) for event in result.trace.events])
        differs += traces[0] != traces[1]
    assert differs


def test_a_method_is_built_from_its_parts() -> None:
    world = World(SETTING)
    parts = Parts(world, {"mine": LogProbCritic(0.3)})
    search = tree("mine", num_candidates=2)(parts, Budget(8), None, 7, None)
    assert search.critic.scale == 0.3 and search.num_candidates == 2 and search.generator.seed == 7
    vote = chains()(parts, Budget(8), None, 0, None)
    assert vote.max_chains == 4096 and vote.answer_rule == "majority"
    assert isinstance(METHODS[VOTE], Method)
