"""`bavt pays`: what it measures on worlds whose numbers are known, and what it forecasts, against direct simulation."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import betabinom

from bavt_minimal import ConstantCritic, Ledger, Sample, Step
from bavt_minimal.benchmark.measure import (
    Case,
    Measured,
    Seen,
    State,
    Text,
    cases_of,
    look,
    measure,
    overconfidence,
    ranking,
    sees_path,
    short,
    step_chance,
    wrong_texts,
)
from bavt_minimal.benchmark.pays import (
    BAVT,
    CHAIN,
    GREEDY,
    METHODS,
    OTHERS,
    RERANK,
    VOTE,
    Forecast,
    Recalled,
    forecast,
    methods,
    outcomes,
)
from bavt_minimal.benchmark.scores import Interval
from bavt_minimal.benchmark.simulator import METHODS as SIMULATED
from bavt_minimal.benchmark.simulator import QUESTION, Judge, Setting, World, simulate
from bavt_minimal.cli import pays as cli
from bavt_minimal.cli.main import UsageError, UserError
from bavt_minimal.critics.path import path_residuals
from bavt_minimal.models import ScriptedModel
from bavt_minimal.residual import chance, residual
from bavt_minimal.tasks.data import Gold, Question, load_data

KNOWN = Setting(depth=3, p=0.6, spread=0.4, wrong=4, tilt=0.5, auc=0.9, dead=0.3, overconfidence=3.0)
NAMES = {BAVT: "V^(1/r)", GREEDY: "greedy", VOTE: "vote", RERANK: "rerank", CHAIN: "greedy chain"}


def gold(world: World, path: bool = True) -> Gold:
    steps = tuple("s" + "0" * n for n in range(1, world.setting.depth + 1))
    return Gold(world.answer, steps if path else ())


@dataclass(frozen=True)
class Product:
    """A critic of the shipped ones' form: the chance of a step by itself, times that of all before it."""

    judge: Judge
    scale: float

    def __call__(self, steps: Sequence[Step], ledger: Ledger) -> list[float]:
        return path_residuals([chance(r, self.scale) for r in self.judge(steps, ledger)], self.scale, steps)


def seen_of(setting: Setting, count: int, path: bool = True, draws: int = 8) -> Measured:
    """Questions of a simulated task: each is a world, its model, its tool and its critic."""
    seen = []
    for seed in range(count):
        world = World(replace(setting, whole_path=False), seed)
        critic: Any = Product(world.judge, setting.scale) if setting.whole_path else world.judge
        case = Case(Question(f"{seed}", QUESTION, world.plan), gold(world, path), world.page)
        cap = setting.tokens_per_step
        seen.append(look(world, critic, case, draws=draws, examples="", max_new_tokens=cap))
    return Measured(tuple(seen), setting.scale, setting.tokens_per_step)


def shares(setting: Setting) -> list[float]:
    mass = [setting.tilt**i for i in range(setting.wrong)]
    return [x / sum(mass) for x in mass]


def judged(chance: float, right: bool, copies: int = 1) -> Text:
    return Text(right, copies, 4, chance=chance)


def made(right: int, wrong: tuple[int, ...]) -> State:
    return State((Text(True, right, 4), *(Text(False, copies, 4) for copies in wrong)))


def prompt(path: str) -> str:
    return f"Question: {f'Then {path}?' if path != 's' else 'Where to?'}\nAnswer:"


# Measuring


def test_the_numbers_of_a_known_task_are_recovered() -> None:
    found = seen_of(KNOWN, 250)
    assert found.setting.p == pytest.approx(KNOWN.p, abs=0.04)
    assert found.setting.spread == pytest.approx(KNOWN.spread, abs=0.06)
    assert found.setting.auc == pytest.approx(KNOWN.auc, abs=0.02)
    assert found.setting.overconfidence == pytest.approx(KNOWN.overconfidence, rel=0.15)
    assert found.setting.dead == pytest.approx(KNOWN.dead, abs=0.08)
    assert shares(found.setting)[:4] == pytest.approx(shares(KNOWN), abs=0.06)
    assert (found.setting.depth, found.setting.tokens_per_step, found.setting.whole_path) == (3, 4, True)
    numbers = found.intervals
    for name in ("p", "spread", "auc", "dead", "overconfidence"):
        slack = 0.25 * (numbers[name].high - numbers[name].low)  # 95 % intervals of five numbers
        assert numbers[name].low - slack <= getattr(KNOWN, name) <= numbers[name].high + slack, name
    assert (numbers["depth"].low, numbers["depth"].high) == (3, 3)
    assert "250 questions of 3 to 3 steps, of 4.0 tokens" in str(found) and "sees the whole path" in str(found)


def test_a_critic_that_judges_each_step_for_itself_is_noticed() -> None:
    assert not seen_of(Setting(auc=0.95, whole_path=False, p=0.7), 80).setting.whole_path
    assert seen_of(Setting(auc=0.95, p=0.7), 80).setting.whole_path


def test_without_the_gold_path_steps_are_labeled_by_the_chains_through_them() -> None:
    known, guessed = (seen_of(Setting(depth=3, p=0.7, auc=0.9), 120, path) for path in (True, False))
    assert guessed.setting.p == pytest.approx(known.setting.p, abs=0.05)
    assert guessed.setting.auc == pytest.approx(known.setting.auc, abs=0.03)
    same = [a == b for a, b in zip(known.seen, guessed.seen, strict=True)]
    assert np.mean(same) > 0.9  # the right way is the only one that reaches the answer
    never = seen_of(Setting(depth=2, p=1e-6), 3, path=False).seen[0]
    assert [state.right for state in never.states] == [0] and not never.states[0].judged and not never.off


def test_the_likeliest_way_is_taken_and_its_siblings_count_as_right() -> None:
    table = {
        "Question: Which?\nAnswer:": {"ann": 0.5, "bob": 0.3, "cy": 0.2},
        "Question: Then ann?\nAnswer:": {"Yes": 1.0},
        "Question: Then bob?\nAnswer:": {"yes.": 1.0},
        "Question: Then cy?\nAnswer:": {"no": 1.0},
    }
    case = Case(Question("1", "Is it?", ("Which?", "Then #1?")), Gold("yes"), None)
    found = look(ScriptedModel(table), ConstantCritic(), case, draws=40, examples="")
    first, second = found.states
    assert len(first.wrong) == 1 and first.right > 25 and second.right == 40
    assert {each.right for each in first.judged} == {True, False} and len(first.judged) == 3
    off, none = found.off
    assert off is not None and off.right == 0 and [each.copies for each in off.wrong] == [40] and none is None
    assert first.greedy is not None and first.greedy.right and off.greedy is not None and not off.greedy.right


@given(st.floats(0.1, 0.9), st.floats(0.0, 0.8), st.integers(0, 9))
@settings(max_examples=20, deadline=None)
def test_the_moments_of_a_beta_binomial(p: float, spread: float, seed: int) -> None:
    rng, size = np.random.default_rng(seed), 1 / max(spread, 1e-6) - 1
    draws = rng.integers(4, 12, size=3000)
    right = betabinom(draws, p * size, (1 - p) * size).rvs(random_state=rng)
    found = step_chance(right.tolist(), draws.tolist())
    assert found[0] == pytest.approx(p, abs=0.05) and found[1] == pytest.approx(spread, abs=0.07)


def test_small_samples_have_no_spread_and_no_error() -> None:
    assert step_chance([], []) == (0.0, 0.0) and step_chance([3], [4]) == (0.75, 0.0)
    assert step_chance([4, 4], [4, 4]) == (1.0, 0.0) and step_chance([0, 4], [4, 4]) == (0.5, 0.95)
    assert wrong_texts([]) == wrong_texts([(1,), ()]) == (Setting.wrong, Setting.tilt)
    assert wrong_texts([(8,), (5,)]) == (1, 1.0)
    assert wrong_texts([(1,) * 9] * 5)[0] == 9


def test_ranking_and_overconfidence() -> None:
    good, bad = judged(0.9, True, 3), judged(0.2, False)
    assert ranking([good] * 5) == ranking([]) == 0.5 and ranking([good, bad]) == 0.75
    assert 0.99 < ranking([good] * 99 + [bad] * 99) < 1.0
    assert ranking([judged(0.2, True), judged(0.9, False)] * 50) < 0.02
    assert overconfidence([good, bad]) == 1.0  # 1.1 mistakes expected, one made
    assert overconfidence([judged(0.9, True, 5), judged(0.9, False, 5)]) == pytest.approx(5.0)
    assert overconfidence([judged(1.0, False, 5)]) == 1000.0 and overconfidence([]) == 1.0
    assert sees_path([], [], 0.5) and sees_path([good, bad], [bad], 0.9) and not sees_path([good, bad], [good], 0.9)


def test_what_a_state_says_of_its_texts() -> None:
    empty = Text(False, 5, 2, adds=False)
    state = State((judged(0.2, False, 1), empty, judged(0.9, True, 3), judged(0.1, False, 2)))
    assert (state.draws, state.right, state.tokens) == (11, 3, 34) and not state.useless
    assert [each.copies for each in state.wrong] == [2, 1, 5]
    assert [each.chance for each in state.judged] == [0.2, 0.9, 0.1] and State((empty,)).useless


def test_equal_calls_are_equal_and_another_seed_is_not() -> None:
    world = ScriptedModel({"Question: Who?\nAnswer:": {"Ann": 0.6, "Bob": 0.4}})
    cases = [Case(Question(f"{i}", "Who?", ("Who?",)), Gold("Ann"), None) for i in range(10)]
    one, two, other = (measure(world, ConstantCritic(), cases, draws=80, seed=seed) for seed in (0, 0, 1))
    assert one == two != other and one.scale == 1.0 and one.cap == 8 and one.judge_tokens == 0


# Errors


def wrong_critic(value: object) -> Callable[[Sequence[Step], Ledger], Any]:
    return lambda steps, ledger: value


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (None, TypeError),
        (0.5, TypeError),
        (["a"], TypeError),
        ([math.nan], ValueError),
        ([2.0], ValueError),
        ([0.1] * 7, ValueError),
    ],
)
def test_nonsense_of_a_critic(value: object, error: type[Exception]) -> None:
    model = ScriptedModel({"Question: Who?\nAnswer:": {"Ann": 1.0}})
    cases = [Case(Question(f"{i}", "Who?", ("Who?",)), Gold("Ann"), None) for i in range(10)]
    with pytest.raises(error, match=r"critic must return one number in \[-1, 1\]"):
        measure(model, wrong_critic(value), cases)


def test_too_few_questions_and_other_arguments() -> None:
    model, plan = ScriptedModel({}, default={"Ann": 1.0}), ("Who?",)
    cases = [Case(Question(f"{i}", "Who?", plan if i < 9 else ()), Gold("Ann"), None) for i in range(20)]
    with pytest.raises(ValueError, match="cases must be at least 10 .* got 20 with an answer, 9 of them with a plan"):
        measure(model, ConstantCritic(), cases)
    case = Case(Question("q", "Who?", plan), Gold("Ann", ("Bob", "Ann")), None)
    with pytest.raises(ValueError, match="gold path of 'q' must have 1 answers"):
        look(model, ConstantCritic(), case)
    with pytest.raises(ValueError, match="draws must be at least 2"):
        look(model, ConstantCritic(), cases[0], draws=1)
    measured = Measured((Seen(1, (made(1, (1,)),)),) * 10)
    for options, said in (({"repeats": 0}, "repeats"), ({"budgets": ()}, "budgets")):
        with pytest.raises(ValueError, match=said):
            forecast(measured, **options)  # type: ignore[arg-type]


# Forecasting


def recalled(states: Sequence[State], off: Sequence[State | None] = (), **options: Any) -> Recalled:
    """The first of eleven questions. The others have one state each, where draws are always right or always wrong."""
    others = [Seen(1, (made(10 * (i % 2), (10 * (1 - i % 2),)),)) for i in range(10)]
    seen = Seen(len(states), tuple(states), tuple(off)), *others
    return Recalled(Measured(seen, cap=9), 0, (64, 16), **options)


def test_a_recalled_state_is_drawn_from_as_it_was() -> None:
    """The texts have the shares that they had: other states differ much, so its own chance is hardly theirs."""
    state, counts = made(4, (6, 2)), np.zeros(3)
    for seed in range(400):
        for sample in recalled([state], seed=seed).sample(prompt("s"), 10):
            counts[int(sample.text[-1])] += 1
    assert counts[1] / counts[2] == pytest.approx(3.0, rel=0.15)
    assert counts[0] / counts.sum() == pytest.approx(4 / 12, abs=0.05)
    always = Measured((Seen(1, (made(10, ()),)),) * 10)
    assert {each.text for each in Recalled(always, 0, (64, 16)).sample(prompt("s"), 50)} == {"s0"}


def test_a_recalled_way_off_the_right_one_stays_wrong() -> None:
    dead = State((Text(False, 8, 3, adds=False),))
    first = State((judged(0.9, True, 4), judged(0.4, False, 4)))
    world = recalled([first, made(10, ())], [dead, None])
    assert {(each.text, each.tokens) for each in world.sample(prompt("s1"), 9)} == {("", 3)}
    assert "" not in {each.text for each in world.sample(prompt("s0"), 9)}
    # No state after another wrong text was measured: someone's is taken, and there is only this one.
    assert {each.text for each in world.sample(prompt("s2"), 9)} == {""}


@pytest.mark.parametrize("text", [Text(True, 0, 4), Text(False, 0, 4), Text(False, 0, 7, adds=False)])
def test_the_likeliest_text_is_what_was_measured(text: Text) -> None:
    (found,) = recalled([made(4, (4,))._replace(greedy=text)]).sample(prompt("s"), 1, temperature=0.0)
    assert (found.text, found.tokens) == ({True: "s0", False: "s1"}[text.right] if text.adds else "", text.tokens)


def test_a_recalled_critic_says_what_it_said() -> None:
    first = State((judged(0.9, True, 4), judged(0.4, False, 4)))
    second = State((judged(0.3, False, 8),), before=0.4)  # a chance of the whole way, .4 x .75
    world = recalled([first, made(10, ())], [second, None])
    steps = [Step("", "", "", "", Sample(text, 4, (), True), False) for text in ("s0", "s1")]
    assert [chance(each, 1.0) for each in world.judge(steps, Ledger())] == pytest.approx([0.9, 0.4])
    after = replace(steps[1], sample=Sample("s11", 4, (), True), residuals=(residual(0.4, 1.0),))
    assert chance(world.judge([after], Ledger())[0], 1.0) == pytest.approx(0.3)


@pytest.mark.parametrize("whole", [False, True])
def test_a_forecast_is_what_direct_simulation_shows(whole: bool) -> None:
    """Other worlds of the task that was measured: two independent samples of the same searches.

    The simulator's own critic of whole paths is of another form, Bayes' rule instead of a product, and close to it.
    """
    setting = Setting(depth=2, p=0.6, spread=0.4, auc=0.95, whole_path=whole, tokens=48, tool_calls=12)
    measured, count = seen_of(setting, 200, draws=12), 400
    right = outcomes(measured, (48, 12), 2)
    assert right.shape == (200, len(METHODS)) and set(np.unique(right)) <= {0.0, 0.5, 1.0}
    rows = simulate(setting, {name: SIMULATED[own] for name, own in NAMES.items()}, count, seed=5)
    for i, name in enumerate(METHODS):
        direct = np.mean([row.right for row in rows if row.method == name])
        error = math.sqrt(right[:, i].var() / len(right) + direct * (1 - direct) / count)
        assert right[:, i].mean() == pytest.approx(direct, abs=3.5 * error + 0.02), name


@pytest.fixture(scope="module")
def small() -> Forecast:
    return forecast(seen_of(Setting(depth=2, p=0.6, spread=0.3, auc=0.97), 40), ((16, 4), (64, 16)), repeats=2)


def test_intervals_and_tables(small: Forecast) -> None:
    for budget in small.right:
        for method in METHODS:
            value, low, high, n = small.accuracy(method, budget)
            assert 0 <= low <= value <= high <= 1 and n == 40
            gain, back = small.gain(BAVT, method, budget), small.gain(method, BAVT, budget)
            assert gain.value == pytest.approx(small.accuracy(BAVT, budget).value - value)
            assert (gain.low, gain.high) == pytest.approx((-back.high, -back.low))
        assert small.gain(BAVT, BAVT, budget)[:3] == (0, 0, 0)
    assert small.best_other((64, 16)) in OTHERS
    rows = json.loads(json.dumps(small.to_json()))
    assert len(rows["forecast"]) == 2 * len(METHODS) and rows["questions"] == 40 and len(rows["said"]) == 3
    assert set(rows["measured"]) >= {"p", "auc", "depth"} and str(small).endswith(small.sentences()[-1])
    with pytest.raises(KeyError):
        small.accuracy(BAVT, (1, 1))


def by_hand(accuracy: Sequence[Sequence[float]], auc: float = 0.9, better: Any = None) -> list[str]:
    """The sentences of a forecast with these accuracies: a row a budget, in the order of METHODS."""
    texts = [judged(p, (i % 10 < auc * 10) == (p > 0.5)) for i in range(10) for p in (0.9, 0.1)]
    measured = Measured((Seen(1, (State(tuple(texts)),)),) * 12)
    budgets = [(32 * 2**i, 8 * 2**i) for i in range(len(accuracy))]
    right = {
        budget: np.array([[float(i < 1000 * share) for share in row] for i in range(1000)])
        for budget, row in zip(budgets, accuracy, strict=True)
    }
    return Forecast(measured, right, better).sentences()


def test_what_is_said_follows_from_the_numbers() -> None:
    first, second, verdict = by_hand([[0.3, 0.3, 0.3, 0.3, 0.5], [0.8, 0.8, 0.4, 0.6, 0.5]])
    assert first == (
        "At 32 tokens (8 lookups) BAVT is forecast to be level with voting (+.00 [.00, .00]) and reranking "
        "(+.00 [.00, .00]) and to lose to one greedy chain (-.20 [-.23, -.18])."
    )
    assert "to beat voting (+.40 [" in second and "reranking (+.20 [" in second
    assert verdict.startswith(
        "At under 64 tokens (16 lookups) nothing beats one greedy chain here. The search will pay"
    )
    assert "at 64 tokens (16 lookups): " in verdict and "others, reranking, by +.20 [" in verdict
    assert by_hand([[0.5, 0.5, 0.5, 0.5, 0.9]])[-1] == (
        "Nothing is forecast to beat one greedy chain at any of these budgets. "
        "The search is not forecast to pay: BAVT is nowhere clearly ahead of the best of the others."
    )

    def better(bavt: float) -> Any:
        return np.array([[float(i < 1000 * share) for share in (bavt, 0.5, 0.5, 0.4, 0.3)] for i in range(1000)])

    said = by_hand([[0.5] * 5], 0.5, better(0.8))[-1]
    assert "Your critic ranks steps no better than chance (AUC .50 [.50, .50]); with one of AUC .95 BAVT would" in said
    assert said.endswith("voting (+.30 [.27, .33]) at 32 tokens (8 lookups).")
    assert "would still not clearly beat" in by_hand([[0.5] * 5], 0.5, better(0.5))[-1]


def test_a_critic_of_no_use_is_told_so() -> None:
    measured = seen_of(Setting(depth=2, p=0.6, auc=0.5), 30)
    found = forecast(measured, ((32, 8),), repeats=1)
    assert measured.intervals["auc"].low <= 0.5 and found.better is not None and found.better.shape == (30, 5)
    assert "no better than chance" in found.sentences()[-1]


def test_numbers_in_words() -> None:
    assert short(Interval(0.214, 0.1, 0.3, 9), True) == "+.21 [.10, .30]"
    assert short(Interval(-0.001, -0.2, 1.0, 9)) == ".00 [-.20, 1.00]"
    assert short(Interval(12.3456, -3.0, 0.0, 9)) == "12.35 [-3.00, .00]"


def test_a_critic_that_generates_is_charged() -> None:
    measured = seen_of(Setting(depth=2, p=0.5, auc=0.95), 20)
    dear = Measured(measured.seen, measured.scale, measured.cap, judge_tokens=8)
    cheap, paid = (outcomes(each, (48, 12), 5) for each in (measured, dear))
    vote, bavt = METHODS.index(VOTE), METHODS.index(BAVT)
    assert (cheap[:, vote] == paid[:, vote]).all() and paid[:, bavt].mean() < cheap[:, bavt].mean() - 0.1
    for number in range(20):  # 48 tokens are four steps of 4 with a judgment of 8 each: enough for two hops
        world = Recalled(dear, number, (48, 12))
        result = methods(dear.cap)[BAVT](world).search(QUESTION, 2, world.plan)
        assert result.node.terminal and result.ledger.spent["tokens"] <= 48


def test_a_budget_may_have_no_tokens_in_it() -> None:
    assert outcomes(seen_of(Setting(depth=2), 10), (None, 4), 1).shape == (10, len(METHODS))


# The command


def arguments(**options: Any) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    cli.add_parser(parser.add_subparsers())
    words = ["pays", *(word for key, value in options.items() for word in (f"--{key}", str(value)))]
    return parser.parse_args(words)


def write(folder: Path, count: int, **fields: Any) -> Path:
    asked = {"question": "Who runs the capital of X?", "plan": ["What is the capital of X?", "Who runs #1?"]}
    data = {"pages": {"X": "The capital of X is Rome.", "Rome": "Ann runs Rome."}}
    questions = [{**asked, "answer": "Ann", **fields} for _ in range(count)]
    path = folder / "data.json"
    path.write_text(json.dumps({**data, "questions": [{k: v for k, v in q.items() if v} for q in questions]}))
    return path


def test_the_command_prints_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = {
        "Question: What is the capital of X?\nAnswer:": {"Rome": 0.6, "Paris": 0.4},
        "Question: Who runs Rome?\nAnswer:": {"Ann": 0.8, "Cy": 0.2},
        "Question: Who runs Paris?\nAnswer:": {"Bob": 0.9, "Di": 0.1},
    }
    out = tmp_path / "out.json"
    args = arguments(data=write(tmp_path, 12), tokens="16,8", out=out)
    model, budgets = ScriptedModel(table), cli.read_tokens(args.tokens)
    assert budgets == [(8, 2), (16, 4)]
    data, golds = load_data(args.data)
    assert (
        cli.pays(args, model, cli.load_critic(arguments(critic="logprob"), model), cases_of(data, golds), budgets) == 0
    )
    printed = capsys.readouterr().out
    assert "scripted: a step is right by whether a drawn chain through it reaches the answer" in printed
    assert "12 questions of 2 to 2 steps" in printed and "At 16 tokens (4 lookups) BAVT" in printed
    assert printed.splitlines()[-1] == json.loads(out.read_text())["said"][-1]


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"tokens": "32,x"}, UsageError, "--tokens must be like 32,64, .* got 'x'"),
        ({"tokens": ""}, UsageError, "got ''"),
        ({"tokens": "0"}, UsageError, "got '0'"),
        ({"questions": 9}, UsageError, "--questions must be at least 10, got 9"),
        ({"data": "nowhere.json"}, UserError, "--data nowhere.json: No such file"),
        ({"out": "no/where.json"}, UserError, "--out no/where.json: there is no such folder"),
    ],
)
def test_wrong_options(
    options: dict[str, Any], error: type[Exception], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=said):
        cli.run(arguments(**options))


@pytest.mark.parametrize(
    ("count", "fields", "said"),
    [
        (9, {}, "of 9 questions 9 have an answer, and 9 of these a plan"),
        (12, {"plan": None}, "of 12 questions 12 have an answer, and 0 of these a plan"),
        (12, {"answer": None}, "of 12 questions 0 have an answer"),
    ],
)
def test_data_that_is_not_enough(tmp_path: Path, count: int, fields: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=f"at least 10 questions must have a plan and an answer; {said}"):
        cli.run(arguments(data=write(tmp_path, count, **fields)))


def test_without_data_the_questions_are_generated() -> None:
    cases = cli.read_cases(arguments(questions=11))
    assert len(cases) == 11 and all(case.gold.path and case.question.plan for case in cases)
    assert cases[0].question.id.startswith("dev-10000-") and len(cli.read_cases(arguments())) == 45
