"""Theorem 1: its bound against the exact negative binomial, its p_min on real searches, and what a cap is for."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest, geom, nbinom

from bavt_minimal import Budget, BudgetAware, BudgetAwareValueTreeSearch
from bavt_minimal.benchmark.bank import Bank, Remembered
from bavt_minimal.benchmark.methods import Method, Parts, tree
from bavt_minimal.benchmark.progress import Chances, Hop, Way, chances, watch
from bavt_minimal.benchmark.simulator import Setting
from bavt_minimal.benchmark.theorem import (
    PLAN,
    TABLE,
    VALUES,
    always_poor,
    answers_in_time,
    expansions_needed,
    least_progress,
    measure,
    mistaken,
    reach,
)
from bavt_minimal.models import ScriptedModel
from bavt_minimal.steps import EXAMPLES
from bavt_minimal.tasks.data import Gold, Question

UNBOUNDED = 1e6


@given(st.integers(1, 30), st.floats(0.001, 1.0), st.floats(1e-6, 0.9))
def test_the_bound_holds_for_the_exact_negative_binomial(steps: int, p: float, eps: float) -> None:
    enough = expansions_needed(steps, p, eps)
    assert nbinom.sf(enough - steps, steps, p) <= eps * (1 + 1e-9)  # expansions that fail before `steps` succeed
    assert binom.cdf(steps - 1, enough, p) <= eps * (1 + 1e-9)


def test_the_bound_by_hand() -> None:
    assert expansions_needed(3, 0.5, math.exp(-2)) == math.ceil((3 + math.sqrt(12) + 4) / 0.5) == 21
    assert expansions_needed(4, 1.0, 1.0) == 4  # no doubt asked for: K steps


@pytest.mark.parametrize(("steps", "p", "eps"), [(1, 0.5, 0.05), (3, 0.1, 0.05), (10, 0.3, 0.01), (30, 0.5, 0.05)])
def test_the_bound_is_at_most_six_times_what_is_needed(steps: int, p: float, eps: float) -> None:
    exact = nbinom.ppf(1 - eps, steps, p) + steps
    assert 1 <= expansions_needed(steps, p, eps) / exact < 6


@pytest.mark.parametrize(
    ("steps", "p", "eps", "name"),
    [(0, 0.5, 0.1, "steps"), (1, 0.0, 0.1, "p_min"), (1, 1.1, 0.1, "p_min"), (1, 1, 0, "eps")],
)
def test_wrong_arguments_are_named(steps: int, p: float, eps: float, name: str) -> None:
    with pytest.raises(ValueError, match=name):
        expansions_needed(steps, p, eps)


# p_min


def test_least_progress_by_hand() -> None:
    setting = Setting(depth=2, wrong=2, p=0.5)  # root and its three children
    assert least_progress(setting, 2, 1.0) == pytest.approx(0.05 / 3.05 * 0.75)
    assert least_progress(setting, 1, 2.0, v_min=0.5) == pytest.approx(0.25 / 3.25 * 0.5)
    with pytest.raises(ValueError, match="spread must be 0"):
        least_progress(Setting(spread=0.1), 1, 1.0)


@given(st.lists(st.floats(0.05, 1.0), min_size=4, max_size=4), st.floats(0.0, 1.0), st.integers(1, 4), st.data())
def test_no_frontier_gives_a_node_less(values: list[float], r: float, frontier: int, data: st.DataObject) -> None:
    setting = Setting(depth=2, wrong=2, p=1.0)
    visits = data.draw(st.lists(st.integers(0, 50), min_size=frontier, max_size=frontier))
    chances = BudgetAware(4.0, decay=1.0)(values[:frontier], visits, r)
    assert chances.min() >= least_progress(setting, 1, 4.0) * (1 - 1e-9)


@pytest.mark.parametrize("area", [0.5, 0.95])
def test_searches_find_the_answer_within_the_bound(area: float) -> None:
    setting, eps, searches = Setting(depth=2, wrong=1, p=0.6, auc=area), 0.2, 60
    least = least_progress(setting, 1, 1.0)
    found = [reach(setting, expansions_needed(2, least, eps), 1.0, seed=seed) for seed in range(searches)]
    reached = [each.expansions for each in found if each.expansions is not None]
    assert binomtest(len(reached), searches, 1 - eps, alternative="less").pvalue > 1e-3
    assert min(each.least for each in found) >= least
    assert np.quantile(reached, 1 - eps) < expansions_needed(2, least, eps) / 10  # and how loose the bound is


def test_what_is_measured_is_what_single_searches_say() -> None:
    setting = Setting(depth=2, wrong=1, p=0.6)
    found = measure(setting, 12, 1.0, eps=0.25, searches=40)
    single = [reach(setting, 12, 1.0, seed=seed) for seed in range(40)]
    counts = sorted(each.expansions or math.inf for each in single)
    assert found.found == sum(map(math.isfinite, counts)) / 40 and found.needed == counts[29]  # 30 of 40 had it
    assert found.least == min(each.least for each in single) >= found.p_min == least_progress(setting, 1, 1.0)
    assert found.bound == expansions_needed(2, found.p_min, 0.25)
    assert measure(setting, 1, 1.0, searches=5).needed == math.inf  # two steps cannot be had in one expansion


def test_an_evenly_spent_budget_needs_no_cap() -> None:
    """r falls from 1 to 0 evenly, so that 1/r is at most 2 for the first half, whatever it grows to later."""
    setting, eps, searches = Setting(depth=2, wrong=1, p=0.6, auc=0.5), 0.2, 40
    half = expansions_needed(2, least_progress(setting, 1, 2.0), eps)
    found = [reach(setting, 2 * half, UNBOUNDED, seed=seed).expansions for seed in range(searches)]
    within = sum(each is not None and each <= half for each in found)
    assert binomtest(within, searches, 1 - eps, alternative="less").pvalue > 1e-3


# What a cap is for


def exact_chance(alpha: float, expansions: int) -> float:
    """P(answer within `expansions`), as a Markov chain over which of the nodes are known: none, good, bad, both.

    A child of V takes the root's share (V - .5 + 1) / 2: what its residual says of the chance that it is right.
    """
    good, bad = VALUES["good"] ** alpha, VALUES["bad"] ** alpha
    beside_good, beside_bad = (((1.5 - VALUES[name]) / 2 * 0.5) ** alpha for name in ("good", "bad"))
    chain = np.zeros((5, 5))  # the last state: answered
    chain[0, 1] = chain[0, 2] = 0.5
    chain[1, 3] = beside_good / (beside_good + good) / 2
    chain[1, 4] = good / (beside_good + good) / 2
    chain[2, 3] = beside_bad / (beside_bad + bad) / 2
    chain[3, 4] = good / (beside_bad + good + bad) / 2
    chain[np.arange(5), np.arange(5)] = 1 - chain.sum(axis=1)
    return float(np.linalg.matrix_power(chain, expansions)[0, 4])


@pytest.mark.parametrize("alpha", [1.0, 4.0, 12.0])
@pytest.mark.parametrize("expansions", [3, 10, 60])
def test_the_smallest_example_has_the_enumerated_chance(alpha: float, expansions: int) -> None:
    n = 400
    seen = sum(answers_in_time(alpha, expansions, seed) for seed in range(n))
    assert binomtest(seen, n, exact_chance(alpha, expansions)).pvalue > 1e-3


def test_without_a_cap_half_of_the_searches_starve_and_with_one_none() -> None:
    seeds, long = range(100), 400
    unbounded = [answers_in_time(UNBOUNDED, long, seed) for seed in seeds]
    assert binomtest(sum(unbounded), len(seeds), 0.5).pvalue > 1e-3
    assert unbounded == [answers_in_time(UNBOUNDED, long // 8, seed) for seed in seeds]  # more budget, no more answers
    assert all(answers_in_time(1.0, long, seed) for seed in seeds)
    assert exact_chance(1.0, long) > 1 - 1e-6
    # However high the cap, the chance goes to 1 in the end; the end is far.
    assert exact_chance(12.0, 1000) == pytest.approx(0.5, abs=1e-3)
    assert exact_chance(12.0, 10**12) == pytest.approx(1.0, abs=1e-3)


def test_the_decay_of_widened_nodes_saves_a_high_cap() -> None:
    # The root beside the dead end has .15^50 to its .9^50: made good after 130 expansions of the dead end.
    assert math.ceil(50 * math.log2(0.9 / 0.15)) == 130
    assert all(answers_in_time(50.0, 400, seed, decay=0.5) for seed in range(50))


# A real model's bank

PAGES = {"Ann": "Ann lives in Rome.", "Rome": "The mayor of Rome is Bob."}
ASKED = Question("q", "Who is the mayor where Ann lives?", ("Where does Ann live?", "Who is the mayor of #1?"))
GOLD = Gold("Bob", ("Rome", "Bob"))
CUT = "Bob" + 8 * " -"  # 10 tokens, where the search has 8: not right
SAID = {
    "Page: Ann lives in Rome.\nQuestion: Where does Ann live?\nAnswer:": {"Rome": 0.3, "the Rome": 0.1, "Oslo": 0.6},
    "Page: The mayor of Rome is Bob.\nQuestion: Who is the mayor of Rome?\nAnswer:": {
        "Bob": 0.2,
        CUT: 0.3,
        "Rome": 0.5,
    },
}


def page(query: str) -> str:
    return PAGES.get(query, PAGES["Ann"])


def recorded(states: int, draws: int) -> Bank:
    bank, model = Bank(), ScriptedModel(SAID)
    for prompt in [*SAID][:states]:
        Remembered(bank, lambda: model).sample(EXAMPLES + prompt, draws, temperature=0.8, top_k=40)
        Remembered(bank, lambda: model).sample(EXAMPLES + prompt, draws, temperature=0.0, top_k=40)  # not the search's
        Remembered(bank, lambda: model, "critic").sample(EXAMPLES + prompt, 1, temperature=0.8, top_k=40)
    return bank


def test_the_chances_read_off_a_bank_are_the_models() -> None:
    known = chances(recorded(2, 800), ASKED, GOLD, page)
    assert known.whole and [hop.draws for hop in known.hops] == [3072, 3072]  # 800 for each of three seeds, in blocks
    for hop, p in zip(known.hops, (0.4, 0.2), strict=True):
        low, high = hop.interval(0.999)
        assert low < p < high and high - low < 0.07
    assert known.worst is known.hops[1] and known.progress(known.worst) == pytest.approx(1 - 0.8**3, abs=0.05)
    first = chances(recorded(1, 4), ASKED, GOLD, page)
    assert not first.whole and first.hops[1] == Hop(0, 0) and first.worst is first.hops[0]


def test_what_the_theorem_makes_of_them_by_hand() -> None:
    known, eps = Chances((Hop(3, 4), Hop(1, 2))), math.exp(-2)
    assert known.bound(eps) == math.ceil((2 + math.sqrt(8) + 4) / (1 - 0.5**3)) == 11
    assert known.bound(eps, 0.0875) == 101
    never = Chances((Hop(3, 4), Hop(0, 5), Hop(0, 0)))
    assert never.bound(eps) == math.inf and never.worst.interval()[1] == pytest.approx(1 - 0.025 ** (1 / 5))
    assert math.isnan(never.quantile(eps)) and Chances(never.hops[:2]).quantile(eps) == math.inf
    unknown = Chances((Hop(0, 0),))
    assert math.isnan(unknown.bound(eps)) and unknown.worst.interval() == (0, 1)
    assert Chances((Hop(1, 2),) * 3, 1).quantile(0.05) == nbinom.ppf(0.95, 3, 0.5) + 3
    assert Chances((Hop(1, 5), Hop(2, 2)), 1).quantile(0.1) == geom.ppf(0.9, 0.2) + 1


def smallest(alpha_max: float, expansions: int, seed: int, max_widen: int = 400) -> Way:
    """The smallest example again, watched."""
    options = {"num_candidates": 1, "selection": BudgetAware(alpha_max, 1.0, always_poor), "examples": ""}
    options |= {"max_widen": max_widen, "max_expansions": expansions}
    parts = Parts(ScriptedModel(TABLE), {"mistaken": mistaken})
    gold = Gold("answer", ("good", "answer"))
    method = Method(BudgetAwareValueTreeSearch, "mistaken", options)
    return watch(method, parts, Budget(), None, seed, Question("q", "Which way?", PLAN), gold)


def test_a_watched_search_is_the_same_and_says_where_it_starves() -> None:
    known = Chances((Hop(1, 2), Hop(1, 2)), 1)
    for seed in range(30):
        way = smallest(UNBOUNDED, 40, seed)
        assert way.found == answers_in_time(UNBOUNDED, 40, seed)
        assert way.lost == way.starved == (not way.found)
        assert way.turns[0] == (0, 1.0) and (way.found or len(way.turns) == 40)
        assert way.p_min(known) == (0.5 if way.found else 0.0)
        bounded = smallest(1.0, 40, seed)
        assert not bounded.starved and bounded.found == answers_in_time(1.0, 40, seed)
        if bounded.found:
            assert answers_in_time(1.0, len(bounded.turns), seed)
            assert not answers_in_time(1.0, len(bounded.turns) - 1, seed)
    beside_bad = 0.15 / (0.15 + 0.9)  # the root, from which "good" is still to be drawn, beside "bad"
    assert min(smallest(1.0, 40, seed).p_min(known) for seed in range(30)) == pytest.approx(beside_bad / 2)


def test_a_state_that_cannot_be_selected_has_no_chance_to_speak_of() -> None:
    ways = [smallest(1.0, 9, seed, max_widen=1) for seed in range(20)]
    closed = [way for way in ways if len(way.turns) == 2 and way.turns[1].hop == 0]  # "bad" was drawn, and is all
    assert closed and all(math.isnan(way.turns[1].chance) and not way.starved and not way.lost for way in closed)
    assert {way.p_min(Chances((Hop(1, 2), Hop(1, 2)), 1)) for way in closed} == {0.5}  # of the first turn alone


def test_a_search_that_the_bank_lacks_is_told_apart() -> None:
    with pytest.raises(LookupError, match="give the model"):
        watch(tree("oracle"), Parts(Remembered(Bank(), None)), Budget(99, 9), page, 0, ASKED, GOLD)
