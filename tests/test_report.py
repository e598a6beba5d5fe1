"""The report: its statistics against numbers from elsewhere, and its sentences against data that say the opposite."""

from __future__ import annotations

import io
import math
import random
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pytest
import test_store
from hypothesis import given, settings
from hypothesis import strategies as st

from bavt_minimal.benchmark.document import document, figure, lines, say, verdicts
from bavt_minimal.benchmark.report import MAIN, Table, closed, families, headline, tables
from bavt_minimal.benchmark.scores import (
    BETTER,
    NONE,
    SAME,
    WORSE,
    Scores,
    claims,
    difference,
    holm,
    intervals,
    mean_interval,
    number,
    sign_flips,
)
from bavt_minimal.benchmark.store import Job, Row, check_row

VOTE, BAVT, ORACLE, PEER = "vote", "bavt, adapter", "bavt, oracle", "TreeQuest AB-MCTS-A"
TIERS = ((32, 8), (64, 16), (128, 32), (256, 64))


def make_row(job: Job, right: float, **changes: Any) -> Row:
    return check_row(test_store.make_row(job, **{"right": right, "fault": "" if right else "critic", **changes}))


def make_rows(right: Mapping[tuple[Any, ...], Iterable[Any]]) -> list[Row]:
    """Cell -> for each question a score, or one for each seed."""
    return [
        make_row(Job(*cell, seed, f"q-{i:04d}"), float(score))
        for cell, questions in right.items()
        for i, found in enumerate(questions)
        for seed, score in enumerate([found] if np.isscalar(found) else found)
    ]


def chances(shares: Mapping[str, float], n: int = 40, budgets: Iterable[tuple[int, int]] = TIERS) -> list[Row]:
    """Methods that are right on the first so many questions, at each budget, with two seeds."""
    return make_rows({(m, *b): [(i < x * n,) * 2 for i in range(n)] for m, x in shares.items() for b in budgets})


# Statistics


def test_seeds_of_a_question_are_averaged_first() -> None:
    rows = make_rows({(VOTE, 64, 16): [(1, 0), (1,), (0, 0)]})  # the mean of all five would be .4
    found = mean_interval(rows, (VOTE, 64, 16))
    assert found.value == pytest.approx((0.5 + 1 + 0) / 3)
    assert found.n == 3


def test_interval_is_the_normal_one_when_n_is_large() -> None:
    right = np.arange(2000) % 10 < 3
    found = mean_interval(make_rows({(VOTE, 64, 16): right}), (VOTE, 64, 16))
    half = 1.96 * math.sqrt(0.3 * 0.7 / 2000)
    assert found.value == pytest.approx(0.3)
    assert (found.low, found.high) == pytest.approx((0.3 - half, 0.3 + half), abs=0.0015)


def test_interval_equals_that_of_scipy_on_the_values() -> None:
    from scipy.stats import bootstrap

    values = np.random.default_rng(3).random((30, 2))
    found = bootstrap((values[:, 0],), np.mean, n_resamples=9999, method="percentile", rng=np.random.default_rng(0))
    interval = intervals(values)[0]
    assert interval
    # The same resamples, drawn in one piece there and here.
    assert interval[1:3] == pytest.approx(tuple(found.confidence_interval), abs=1e-12)


def test_the_order_of_additions_does_not_matter_to_an_interval() -> None:
    """A product of matrices adds in another order than one column's, as another CPU does: the ends are equal."""
    columns = np.random.default_rng(0).integers(0, 4, (300, 7)) / 3
    assert intervals(columns) == [intervals(columns[:, [i]])[0] for i in range(7)]


def test_no_spread_gives_an_interval_of_no_width() -> None:
    assert mean_interval(make_rows({(VOTE, 64, 16): [1, 1, 1]}), (VOTE, 64, 16)) == (1.0, 1.0, 1.0, 3)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.sampled_from([0.0, 1.0]), min_size=1, max_size=3), min_size=2, max_size=12))
def test_an_interval_contains_its_value_and_stays_in_range(right: list[list[float]]) -> None:
    found = mean_interval(make_rows({(VOTE, 64, 16): right}), (VOTE, 64, 16))
    assert -1e-9 <= found.low <= found.value + 1e-9 <= found.high + 2e-9 <= 1 + 3e-9
    assert found.value == pytest.approx(np.mean([np.mean(each) for each in right]))


def test_ratio_of_means_by_hand() -> None:
    one, other = np.array([[1.0], [0.0], [2.0]]), np.array([[2.0], [2.0], [2.0]])
    found = intervals(one, other)[0]
    assert found and found.value == pytest.approx(0.5)
    assert found.low >= 0 and found.high == pytest.approx(1.0)
    assert intervals(one, -other) == [None]


def test_holm_by_hand() -> None:
    # Sorted .01, .02, .03, .04 times 4, 3, 2, 1 is .04, .06, .06, .04; and never falls.
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert len(holm([])) == 0


def test_sign_flips_equal_the_sign_test_where_all_differences_are_one() -> None:
    # Nine for and one against, ties beside them: 2 * (1 + 10) / 2**10 by the binomial; 2**11 flips are all tried.
    column = np.array([1.0] * 9 + [-1.0, 0.0])
    assert sign_flips(column[:, None]) == pytest.approx([2 * 11 / 2**10])
    with_absent = np.array([1.0] * 9 + [-1.0, np.nan])
    assert sign_flips(with_absent[:, None]) == pytest.approx([2 * 11 / 2**10])


def test_sign_flips_are_right_about_the_null_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    p = sign_flips(rng.choice([-1.0, -0.5, 0.0, 0.0, 0.5, 1.0], size=(60, 400)))
    assert 0.02 < np.mean(p < 0.05) < 0.08


def test_a_common_effect_of_questions_cancels() -> None:
    hard = np.random.default_rng(1).random(200) < 0.5
    rows = make_rows({(BAVT, 64, 16): hard, (VOTE, 64, 16): hard})
    found = difference(rows, (BAVT, 64, 16), (VOTE, 64, 16))
    assert found.interval == (0.0, 0.0, 0.0, 200)
    assert found.p == 1.0


def test_only_questions_and_seeds_that_both_have_are_paired() -> None:
    rows = make_rows({(BAVT, 64, 16): [(1, 0), (1, 0), (0, 0), (1, 1)], (VOTE, 64, 16): [0, 1, 0]})
    found = difference(rows, (BAVT, 64, 16), (VOTE, 64, 16))
    assert found.interval.value == pytest.approx(1 / 3)  # the second seed would make it less
    assert (found.interval.n, found.seeds) == (3, 1)


def test_the_order_of_rows_changes_nothing() -> None:
    rows = chances({VOTE: 0.3, BAVT: 0.5, PEER: 0.4})
    mixed = random.Random(0).sample(rows, len(rows))
    assert [table.to_text() for table in tables(mixed)] == [table.to_text() for table in tables(rows)]


def test_holm_is_over_the_claims_that_are_there() -> None:
    one, other, gone = (BAVT, 64, 16), (VOTE, 64, 16), (VOTE, 256, 64)
    rows = make_rows({one: [1] * 8 + [0] * 4, other: [0] * 12})
    found = claims(rows, [(one, other), (one, other), (one, gone)])
    assert [claim.verdict for claim in found] == [BETTER, BETTER, NONE]
    assert found[0].p == pytest.approx(2 * difference(rows, one, other).p)
    assert claims(rows, [(one, gone)]) == []


@pytest.mark.parametrize(("x", "signed", "text"), [(0.4561, 0, ".456"), (1, 0, "1.000"), (10.5, 0, "10.500")])
def test_numbers(x: float, signed: bool, text: str) -> None:
    assert number(x, signed) == text


def test_signed_numbers() -> None:
    assert [number(x, True) for x in (0.0561, -0.0561, -0.0001)] == ["+.056", "-.056", "+.000"]


# Bad input


def test_errors_name_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="no rows"):
        headline([])
    with pytest.raises(ValueError, match="two questions or more"):
        Scores(make_rows({(VOTE, 64, 16): [1]}))
    rows = make_rows({(VOTE, 64, 16): [1, 0], (BAVT, 64, 16): [1]})
    with pytest.raises(ValueError, match="one row for each job"):
        Scores(rows + rows[:1])
    with pytest.raises(LookupError, match="no rows of"):
        mean_interval(rows, (VOTE, 32, 8))
    with pytest.raises(ValueError, match="two questions or more"):
        mean_interval(rows, (BAVT, 64, 16))
    with pytest.raises(ValueError, match="two questions or more"):
        difference(rows, (BAVT, 64, 16), (VOTE, 64, 16))
    with pytest.raises(ValueError, match="must have 2 texts"):
        Table("t", ["a", "b"], [["1"]])


# Headline


def test_headline() -> None:
    rows = chances({BAVT: 0.5, VOTE: 0.25})
    found = difference(rows, (BAVT, 64, 16), (VOTE, 256, 64)).interval
    assert headline(rows) == (
        f"BAVT at 64 tokens - vote at 256: +.250 [{number(found.low, True)}, {number(found.high, True)}], 95 %, "
        "40 questions x 2 seeds"
    )
    assert ": -.250 [-." in headline(chances({BAVT: 0.25, VOTE: 0.5}))


def test_headline_of_other_critics_budgets_and_missing_rows() -> None:
    assert headline(chances({"bavt, prompted": 0.5, VOTE: 0.25})).startswith("BAVT[prompted] at 64")
    paper = chances({BAVT: 0.5, VOTE: 0.25}, budgets=[(40, 10), (160, 40)])
    assert headline(paper).startswith("BAVT at 40 tokens - vote at 160: +.250")
    assert headline(chances({VOTE: 0.5})).startswith('no headline: it needs rows of "bavt, adapter" at 64')


# Tables


EVERY = {VOTE: 0.3, "greedy chain": 0.4, "rerank, adapter": 0.4, "bavt, logprob": 0.4, BAVT: 0.7, ORACLE: 0.9}
EVERY |= {"actor tuned, greedy chain": 0.95, "greedy": 0.7, PEER: 0.5, "llm-reasoners beam": 0.2, "mine": 0.1}


def test_tables_are_rectangular_and_narrow() -> None:
    found = tables(chances(EVERY), chances({VOTE: 0.5, BAVT: 0.5}))
    titles = [table.title for table in found]
    for word in ("baselines", "peers", "others", "Ablations", "Voting", "Seconds", "tokens go", "failed", "Bars"):
        assert any(word in title for title in titles), word
    for table in found:
        marked = [line for line in table.to_markdown().splitlines() if line.startswith("|")]
        assert {line.count("|") for line in marked} == {len(table.heads) + 1}
        assert max(map(len, table.to_text().splitlines())) <= 100


def test_no_method_is_left_out() -> None:
    text = "\n".join(table.to_text() for table in tables(chances(EVERY)))
    assert all(name in text for name in EVERY)


def test_missing_cells_and_questions_are_shown_not_fatal() -> None:
    rows = chances({VOTE: 0.3, BAVT: 0.6})
    rows = [row for row in rows if (row["method"], row["tokens"]) != (VOTE, 128)]
    rows = [row for row in rows if (row["method"], row["question"]) != (BAVT, "q-0000")]
    text = "\n".join(table.to_text() for table in tables(rows))
    assert "n=39" in text and "39 x 2" in text
    gone = next(claim for claim in families(Scores(rows))[MAIN] if claim.other[1] == 128)
    assert gone.found is None and gone.verdict == NONE
    document(rows)


@pytest.mark.parametrize("method", [VOTE, BAVT, PEER, "greedy", "bavt, adapter, prompt charged", "mine"])
def test_one_method_alone_is_no_error(method: str) -> None:
    rows = chances({method: 0.5})
    assert document(rows) and tables(rows) is not None and headline(rows) and figure(rows)


def test_unlimited_budgets() -> None:
    rows = make_rows(
        {("bavt, adapter, prompt charged", 250, None): [1, 0], ("vote, prompt charged", 1000, None): [1, 1]}
    )
    assert any("250 / any" in table.to_text() for table in tables(rows))
    assert headline(rows).startswith(
        "BAVT[adapter, prompt charged] at 250 tokens - vote, prompt charged at 1000: -.500"
    )


def test_share_of_the_distance_by_hand() -> None:
    found = closed(Scores(chances({VOTE: 0.2, BAVT: 0.5, ORACLE: 0.6})), (64, 16))
    assert found and found.value == pytest.approx(0.75)
    assert 0 < found.low < 0.75 < found.high <= 1 + 1e-9
    assert closed(Scores(chances({VOTE: 0.5, BAVT: 0.5, ORACLE: 0.5})), (64, 16)) is None
    assert closed(Scores(chances({VOTE: 0.5, BAVT: 0.5, ORACLE: 0.525})), (64, 16)) is None  # one question of 40


# Sentences


def test_reversed_data_reverse_the_sentences() -> None:
    wins, loses = chances({BAVT: 0.8, VOTE: 0.3, "greedy": 0.4}), chances({BAVT: 0.3, VOTE: 0.8, "greedy": 0.9})
    ties = chances({BAVT: 0.5, VOTE: 0.5, "greedy": 0.5})
    for rows, text in (
        (wins, "is shown to be better than"),
        (loses, "is shown to be worse than"),
        (ties, "is not shown to be better or worse than"),
    ):
        said = verdicts(rows)
        assert any(f"BAVT[adapter] {text} a majority vote at 32, 64, 128 and 256 tokens" in line for line in said)
        assert any(f'V^(1/r) (BAVT[adapter]) {text} "greedy" at 32, 64, 128 and 256 tokens' in line for line in said)
        assert len([line for line in said if text in line]) == len(said)
    assert "No claim went against the search" in document(wins)
    assert "| bavt, adapter | 64 tokens | vote | 256 tokens | -.500" in document(loses)
    assert "its lower end would have to fall below 0" in document(wins)
    assert "its lower end is not above 0" in document(loses)


def test_a_sentence_of_several_verdicts() -> None:
    rows = make_rows(
        {
            (BAVT, 32, 8): [1] * 20,
            (VOTE, 32, 8): [0] * 20,
            (BAVT, 64, 16): [0] * 20,
            (VOTE, 64, 16): [1] * 20,
            (BAVT, 128, 32): [1] * 20,
            (VOTE, 128, 32): [1] * 20,
        }
    )
    family = claims(rows, [((BAVT, *at), (VOTE, *at)) for at in TIERS[:3]])
    assert [claim.verdict for claim in family] == [BETTER, WORSE, SAME]
    assert say("A", "B", family) == (
        "A is shown to be better than B at 32 tokens (+1.000 [+1.000, +1.000]); "
        "it is shown to be worse than B at 64 tokens (-1.000 [-1.000, -1.000]); "
        "it is not shown to be better or worse than B at 128 tokens (+.000 [+.000, +.000])."
    )


def test_bars_follow_the_data() -> None:
    def bars(rows: list[Row]) -> list[str]:
        return [row[-1] for table in tables(rows) if "Bars" in table.title for row in table.rows]

    budgets = (*TIERS, (512, 128), (1024, 256))
    assert bars(chances({BAVT: 0.8, VOTE: 0.3, PEER: 0.4}, budgets=budgets)) == ["yes", "yes"]
    assert bars(chances({BAVT: 0.8, VOTE: 0.3, PEER: 0.8}, budgets=budgets)) == ["yes", "no"]
    assert bars(chances({BAVT: 0.8, VOTE: 0.3})) == ["open: 2 more to measure"]  # of the three
    some = chances({PEER: 0.4}, budgets=TIERS[:2]) + chances({PEER: 0.8}, budgets=TIERS[2:])
    assert bars(chances({BAVT: 0.8}) + some) == ["yes"]
    assert bars([row for row in chances({BAVT: 0.8}) + some if row["tokens"] > 32]) == ["no"]


def test_document() -> None:
    text = document(chances(EVERY), facts={"bank": "sha256 abc"}, picture="other.svg")
    assert "sha256 abc" in text and "](other.svg)" in text
    for command in (
        "bavt bench --recorded",
        "bavt bench --check 50",
        "bavt bench --split test --skip-worlds 64 --questions 40 --jobs 2",
    ):
        assert command in text
    assert headline(chances(EVERY)) in text
    assert "The peers were not run" not in text and "The guide's budgets were not run" in text
    assert not any(mark in text for mark in ("nan", "{", "None"))


# The figure


def test_the_figure_shows_the_best_peer_of_each_budget() -> None:
    rows = make_rows(
        {
            (PEER, 32, 8): [1, 1, 0],
            ("llm-reasoners beam", 32, 8): [1, 0, 0],
            (PEER, 64, 16): [1, 0, 0],
            ("llm-reasoners beam", 64, 16): [1, 1, 1],
        }
    )
    points = lines(Scores(rows))["best peer"]
    assert [(tokens, pytest.approx(found.value)) for tokens, found in points] == [(32, 2 / 3), (64, 1.0)]


def test_the_figure_is_the_same_bytes_each_time() -> None:
    import matplotlib

    texts = []
    for _ in range(2):
        file = io.BytesIO()
        with matplotlib.rc_context({"svg.hashsalt": "bavt"}):
            figure(chances(EVERY)).savefig(file, format="svg", metadata={"Date": None})
        texts.append(file.getvalue())
    assert texts[0] == texts[1] and b"<svg" in texts[0]
