"""The simulated task against closed forms: chances of steps, Bayes' rule, whole searches whose outcome is known."""

from __future__ import annotations

import importlib
import itertools
import math
import sys
from collections import Counter
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, binomtest, bootstrap, chisquare, false_discovery_control

from bavt_minimal import BudgetAware, Ledger, Sample, Step, greedy
from bavt_minimal.benchmark.simulator import (
    METHODS,
    PAPER,
    QUESTION,
    Setting,
    World,
    chains,
    decay_inside,
    posterior,
    reversed_share,
    root_of_share,
    simulate,
    tree,
)
from bavt_minimal.critics.calibration import auc, reliability

sys.path.append(str(Path(__file__).resolve().parents[1] / "benchmarks"))
benchmark = importlib.import_module("map")

WORLDS = range(2000)


def prompt(path: str) -> str:
    return "Question: Where to?\nAnswer:" if path == "s" else f"Page: About {path}.\nQuestion: Then {path}?\nAnswer:"


def step(text: str) -> Step:
    return Step("", "", "", "", Sample(text, 1, (0.0,), True), False)


def agrees(successes: int, trials: int, chance: float) -> bool:
    return binomtest(successes, trials, chance).pvalue > 1e-3


# The model


@pytest.mark.parametrize("spread", [0.0, 0.4, 0.9])
def test_the_chance_of_a_right_step_has_the_mean_and_variance_that_were_asked_for(spread: float) -> None:
    p = np.array([World(Setting(p=0.3, spread=spread), seed).state("s").p for seed in WORLDS])
    assert p.mean() == pytest.approx(0.3, abs=4 * math.sqrt(spread * 0.21 / len(p)) + 1e-12)
    assert p.var() == pytest.approx(spread * 0.21, abs=0.02)


@pytest.mark.parametrize("path", ["s", "s0", "s21"])
def test_draws_follow_the_exact_probabilities(path: str) -> None:
    world = World(Setting(p=0.4, spread=0.1, wrong=3, tilt=0.5), 7)
    chances = world.probabilities(prompt(path))
    assert list(chances.values())[2] / list(chances.values())[1] == pytest.approx(0.5)
    seen = Counter(sample.text for sample in world.sample(prompt(path), 4000))
    assert set(seen) <= set(chances) == {f"{path}{digit}" for digit in range(4)}
    assert chisquare([seen[text] for text in chances], [4000 * p for p in chances.values()]).pvalue > 1e-3


@given(st.lists(st.tuples(st.sampled_from(["s", "s0", "s1", "s10"]), st.integers(0, 9), st.integers(0, 5)), max_size=9))
@settings(deadline=None)
def test_a_draw_depends_on_its_state_and_number_only(requests: list[tuple[str, int, int]]) -> None:
    world, other = World(Setting(spread=0.5), 3), World(Setting(spread=0.5), 3)
    expected = {path: other.sample(prompt(path), 15) for path in ("s10", "s1", "s0", "s")}
    for path, first, k in requests:
        assert world.sample(prompt(path), k, first=first) == expected[path][first : first + k]


def test_a_sample_is_cut_at_the_cap_and_its_score_is_its_probability() -> None:
    world = World(Setting(tokens_per_step=4), 0)
    whole, cut, none = (world.sample(prompt("s"), 1, max_new_tokens=cap)[0] for cap in (4, 3, 0))
    assert whole.finished and whole.tokens == len(whole.logprobs) == 4
    assert not cut.finished and cut.tokens == len(cut.logprobs) == 3
    assert none == Sample("", 0, (), False)
    assert sum(whole.logprobs) == pytest.approx(math.log(world.probabilities(prompt("s"))[whole.text]))
    assert world.score(prompt("s"), [whole.text])[0][0] == pytest.approx(sum(whole.logprobs))
    assert world.encode([whole.text], [2])[0][2].shape == (1, 8)
    with pytest.raises(ValueError, match="step of the world's plan"):
        world.sample("Question: something else\nAnswer:", 1)


@pytest.mark.parametrize(("p", "digit"), [(0.6, "0"), (0.2, "1")])
def test_the_greedy_draw_is_the_likeliest_text(p: float, digit: str) -> None:
    world = World(Setting(p=p, wrong=2), 0)
    assert {sample.text for sample in world.sample(prompt("s0"), 5, temperature=0.0)} == {f"s0{digit}"}
    assert max(world.probabilities(prompt("s0")).items(), key=lambda pair: pair[1])[0] == f"s0{digit}"


def test_as_many_wrong_steps_lead_nowhere_as_were_asked_for() -> None:
    worlds = [World(Setting(dead=0.3), seed) for seed in WORLDS]
    dead = [world for world in worlds if world.state("s2").dead]
    assert agrees(len(dead), len(worlds), 0.3)
    assert not any(world.state(path).dead for world in worlds[:200] for path in ("s", "s0", "s00", "s10"))
    samples = dead[0].sample(prompt("s2"), 3)
    assert [(sample.text, sample.tokens, sample.finished) for sample in samples] == [("", 4, True)] * 3
    assert dead[0].page("s2") == "" and dead[0].page("s0") != "" and dead[0].page("Where to?") != ""


# The critic


@given(st.floats(0.01, 0.99), st.booleans(), st.floats(-4, 4), st.floats(0, 4))
def test_the_posterior_is_bayes_rule_with_two_normals(prior: float, label: bool, noise: float, d: float) -> None:
    right, wrong = NormalDist(d / 2), NormalDist(-d / 2)
    score = (right if label else wrong).mean + noise
    expected = prior * right.pdf(score) / (prior * right.pdf(score) + (1 - prior) * wrong.pdf(score))
    assert posterior(prior, label, noise, d) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_a_path_is_judged_by_all_scores_on_it() -> None:
    """P(both steps right | both scores), summed over the three ways that two steps can be right or wrong."""
    p, d = 0.4, 1.5
    right, wrong = NormalDist(d / 2), NormalDist(-d / 2)
    for kinds, noises in itertools.product([(1, 1), (1, 0), (0, 0)], [(0.3, -0.8), (-1.2, 2.0)]):
        a, b = (n + (d if kind else -d) / 2 for kind, n in zip(kinds, noises, strict=True))
        both = p * p * right.pdf(a) * right.pdf(b)
        rest = p * (1 - p) * right.pdf(a) * wrong.pdf(b) + (1 - p) * wrong.pdf(a) * wrong.pdf(b)
        first = posterior(p, bool(kinds[0]), noises[0], d)
        assert posterior(first * p, bool(kinds[1]), noises[1], d) == pytest.approx(both / (both + rest))


@pytest.mark.parametrize("area", [0.5, 0.7, 0.95, 1.0])
def test_one_look_has_the_auc_that_was_asked_for_and_is_calibrated(area: float) -> None:
    setting, chances, labels = Setting(p=0.4, auc=area, scale=1.0), [], []
    for seed in WORLDS:
        world = World(setting, seed)
        text = world.sample(prompt("s"), 1)[0].text
        chances.append((world.judge([step(text)], Ledger())[0] + 1) / 2)
        labels.append(text == "s0")
    assert auc(chances, labels) == pytest.approx(area, abs=0.03)
    for row in reliability(chances, labels, bins=5):
        assert row.right == pytest.approx(row.predicted, abs=4 * math.sqrt(0.25 / row.steps))


def test_chances_of_whole_paths_are_calibrated_too() -> None:
    chances, labels = [], []
    for seed in WORLDS:
        world, path = World(Setting(p=0.7, auc=0.8), seed), "s"
        for _ in range(3):
            path = world.sample(prompt(path), 1)[0].text
        chances.append(world.state(path).chance)
        labels.append(world.state(path).right)
    for row in reliability(chances, labels, bins=5):
        assert row.right == pytest.approx(row.predicted, abs=4 * math.sqrt(0.25 / row.steps))


def test_a_critic_of_one_step_does_not_hear_of_earlier_mistakes() -> None:
    near, whole = (World(Setting(auc=1.0, whole_path=flag), 0) for flag in (False, True))
    assert [near.state(path).chance for path in ("s1", "s10", "s101", "s00")] == [0, 1, 0, 1]
    assert [whole.state(path).chance for path in ("s1", "s10", "s101", "s00")] == [0, 0, 0, 1]


def test_overconfidence_keeps_the_ranking_and_shrinks_the_chance_of_a_mistake() -> None:
    plain, sure = (World(Setting(overconfidence=over, scale=0.3), 5) for over in (1.0, 10.0))
    steps = [step(f"s{digit}") for digit in range(5)]
    one, other = (np.array(world.judge(steps, Ledger())) for world in (plain, sure))
    np.testing.assert_array_equal(np.argsort(one), np.argsort(other))
    np.testing.assert_allclose(0.3 - other, (0.3 - one) / 10)
    assert plain.judge(steps, Ledger()) == one.tolist()  # judged twice, the same


# Whole searches


def test_one_chain_is_right_with_chance_p_to_the_depth() -> None:
    rows = simulate(Setting(depth=3, p=0.7), {"one": lambda world: chains(world, max_chains=1)}, 800)
    assert agrees(sum(row.right for row in rows), 800, 0.7**3)
    greedy = simulate(Setting(depth=3, p=0.7), {"greedy": METHODS["greedy chain"]}, 20)
    assert all(row.right and row.tokens == 12 for row in greedy)


def test_chains_under_a_perfect_judge_are_right_if_any_of_them_is() -> None:
    setting = Setting(depth=2, p=0.4, auc=1.0, tokens=32)  # four chains
    rows = simulate(setting, {"rerank": METHODS["rerank"]}, 800)
    assert agrees(sum(row.right for row in rows), 800, 1 - (1 - 0.4**2) ** 4)
    assert all(row.right == row.found and row.tokens == 32 for row in rows)


@pytest.mark.parametrize("spread", [0.0, 0.6])
def test_a_vote_of_one_step_has_the_multinomial_chance(spread: float) -> None:
    """One wrong text, three chains of one step: right if two of three draws are, p being Beta over worlds."""
    setting = Setting(depth=1, p=0.6, spread=spread, wrong=1, tokens=12)
    rows = simulate(setting, {"vote": METHODS["vote"]}, 2000)
    second = spread * 0.24 + 0.36  # E p^2, E p^3 of the Beta
    third = second * (0.6 * (1 - spread) + 2 * spread) / (1 + spread) if spread else 0.6**3
    assert agrees(sum(row.right for row in rows), 2000, 3 * second - 2 * third)


@pytest.mark.parametrize(("depth", "p", "expansions"), [(2, 0.4, 4), (3, 0.5, 6), (3, 0.3, 12)])
def test_a_greedy_search_with_a_perfect_critic_is_a_negative_binomial(depth: int, p: float, expansions: int) -> None:
    """One draw an expansion, always from the furthest right node: right if `depth` of the draws are."""
    rule = BudgetAware(1e6, 1.0, lambda r: math.inf)
    method = {"greedy": lambda world: tree(world, rule, num_candidates=1, max_widen=100)}
    rows = simulate(Setting(depth=depth, p=p, auc=1.0, tokens=4 * expansions), method, 800)
    assert agrees(sum(row.right for row in rows), 800, binom.sf(depth - 1, expansions, p))
    assert all(row.right == row.found for row in rows)


def test_every_method_meets_the_same_worlds_alone_or_with_others() -> None:
    setting = Setting(spread=0.4, dead=0.2, tool_calls=9)
    together = simulate(setting, METHODS, 6, seed=2)
    assert together == simulate(setting, METHODS, 6, seed=2) != simulate(setting, METHODS, 6, seed=3)
    for name, build in METHODS.items():
        assert simulate(setting, {name: build}, 6, seed=2) == [row for row in together if row.method == name]


fields = st.fixed_dictionaries(
    {
        "depth": st.integers(1, 5),
        "p": st.floats(0.05, 1.0),
        "spread": st.sampled_from([0.0, 0.3, 0.95]),
        "wrong": st.integers(1, 9),
        "tilt": st.floats(0.1, 1.0),
        "dead": st.floats(0.0, 1.0),
        "auc": st.floats(0.5, 1.0),
        "whole_path": st.booleans(),
        "overconfidence": st.sampled_from([1.0, 10.0]),
        "tokens_per_step": st.integers(1, 6),
        "tokens": st.integers(0, 60),
        "tool_calls": st.one_of(st.none(), st.integers(0, 12)),
    }
)


@given(fields, st.integers(0, 99))
@settings(deadline=None, max_examples=40)
def test_no_setting_breaks_a_method_or_its_budget(fields: dict[str, Any], seed: int) -> None:
    setting = Setting(**fields)
    for row in simulate(setting, METHODS, 1, seed):
        assert row.tokens <= setting.tokens and row.tool_calls <= (setting.tool_calls or 1e9 * (not setting.tool_calls))
        assert row.found or not row.right


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("depth", 0), ("p", 0.0), ("p", 1.5), ("spread", 1.0), ("wrong", 0), ("wrong", 10), ("tilt", 0.0)],
        *[("dead", -0.1), ("auc", 0.4), ("overconfidence", 0.5), ("scale", 2.0), ("tokens_per_step", 0)],
        *[("tokens", -1), ("tool_calls", 1.5)],
    ],
)
def test_a_wrong_setting_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises((ValueError, TypeError), match=name):
        Setting(**{name: value})


@pytest.mark.parametrize("path", ["Paris", "", "0", "s0x", "ss", QUESTION, "s" * 2000])
def test_what_is_no_state_is_an_error(path: str) -> None:
    world = World(Setting())
    for ask in (world.state, world.page):
        with pytest.raises(ValueError, match="a state is named by s and a digit for each step"):
            ask(path)


def test_searches_are_counted_and_a_plan_is_asked() -> None:
    with pytest.raises(ValueError, match="searches must be at least 1"):
        simulate(Setting(), METHODS, 0)
    world = World(Setting(depth=3), 0)
    result = METHODS[PAPER](world).search(QUESTION, 3, world.plan)
    assert world.plan == ("Where to?", "Then #1?", "Then #2?") and result.plan == world.plan


def test_schedules_by_hand() -> None:
    assert [root_of_share(r) for r in (1.0, 0.25, 0.01)] == pytest.approx([1, 2, 10])
    assert [reversed_share(r) for r in (0.0, 0.5, 0.9)] == pytest.approx([1, 2, 10])
    assert reversed_share(1.0) > 1e6 and root_of_share(0.0) > 1e4  # capped by the rule


@given(st.lists(st.tuples(st.floats(0.05, 1.0), st.integers(0, 8)), min_size=1, max_size=6))
def test_a_decay_inside_the_power_has_greedy_as_its_limit(frontier: list[tuple[float, int]]) -> None:
    values, visits = zip(*frontier, strict=True)
    np.testing.assert_allclose(decay_inside(values, visits, 1.0), BudgetAware()(values, visits, 1.0))  # nothing spent
    weights = np.array(values) * BudgetAware.decay ** np.array(visits)
    np.testing.assert_allclose(decay_inside(values, visits, 0.25), weights**4 / (weights**4).sum())
    chances, chosen = decay_inside(values, visits, 0.0), greedy(values, visits, 0.0)
    assert chances.max() == pytest.approx(chances[chosen.argmax()])


# The map's statistics


@given(p=st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_rejects_what_the_stepwise_rule_rejects(p: list[float]) -> None:
    adjusted = benchmark.holm(p)
    for level in (0.01, 0.05, 0.2):
        rejected, order = set(), sorted(range(len(p)), key=lambda i: p[i])
        for rank, i in enumerate(order):
            if p[i] * (len(p) - rank) > level:
                break
            rejected.add(i)
        assert rejected == {i for i in range(len(p)) if adjusted[i] <= level}
    assert (adjusted >= false_discovery_control(p) - 1e-12).all()


def test_the_normal_interval_agrees_with_the_bootstrap() -> None:
    differences = np.random.default_rng(0).choice([-1.0, 0.0, 1.0], 300, p=[0.05, 0.85, 0.1])
    _, half, p = benchmark.interval(differences)
    found = bootstrap((differences,), np.mean, rng=np.random.default_rng(1)).confidence_interval
    assert half == pytest.approx((found.high - found.low) / 2, rel=0.05)
    better, worse = (differences > 0).sum(), (differences < 0).sum()
    assert p == pytest.approx(min(1.0, 2 * binom.cdf(min(better, worse), better + worse, 0.5)))


def test_a_map_is_saved_and_read(tmp_path: Path) -> None:
    tasks = [benchmark.tasks("grid")[0], benchmark.tasks("variants")[5]]
    cells = [benchmark.run_cell(*task, searches=5, seed=0) for task in tasks]
    benchmark.save(cells, tmp_path / "map.json.gz")
    for cell, again in zip(cells, benchmark.load(tmp_path / "map.json.gz"), strict=True):
        assert (cell.name, cell.chains, cell.setting, cell.found) == (
            again.name,
            again.chains,
            again.setting,
            again.found,
        )
        assert {name: right.tolist() for name, right in cell.right.items()} == {
            name: right.tolist() for name, right in again.right.items()
        }
