"""The picture of recorded runs, as text, and the widget around it, driven without a browser."""

from __future__ import annotations

import importlib
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_views import HOSTILE

from bavt_minimal.benchmark import recorded
from bavt_minimal.benchmark.bank import Bank
from bavt_minimal.benchmark.efficiency import Bench
from bavt_minimal.benchmark.store import Job
from bavt_minimal.views import render_svg
from bavt_minimal.views.runs import COLORS, describe, parts_of, render_runs

sys.path.insert(0, str(Path(__file__).parents[1] / "notebooks"))
explorer = importlib.import_module("widgets.budget_explorer")
QUESTION = "test-20064-0"
OKABE_ITO = {"#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9"}
GREYS = {"#1a1a1a", "#595959", "#8a8a8a", "#ffffff", "none"}


def row(**other: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"method": "bavt, adapter", "tokens": 64, "tool_calls": 16, "seed": 0, "question": "q"}
    found |= {"answer": "Rome", "right": 1.0, "hops": 2, "used": 50, "tool_calls_used": 4, "prompt_tokens": 1200}
    found |= {"by_role": {"backstop": [2, 1, 90], "critic": [3, 0, 110], "generator": [45, 3, 1000]}}
    found |= {"reason": "answered", "forced": False, "fault": "", "seconds": 0.5}
    return found | other


def lines(svg: str) -> list[str]:
    return [each.text or "" for each in ElementTree.fromstring(svg).iter() if each.tag.endswith("text")]


def test_a_run_says_everything_in_words() -> None:
    said = lines(render_runs([row()], "Where is the seat?", "Rome"))
    for words in (
        "Where is the seat?",
        "Gold answer: Rome. 1 of 1 run right",
        "right: Rome",
        "bavt, adapter: 64 tokens, 16 tool calls, seed 0",
        "50 of 64 tokens: generator 45, critic 3, backstop 2",
        "4 of 16 tool calls",
        "stopped: an answer of the highest value was found; read 1,200 prompt tokens",
    ):
        assert words in said


def test_wrong_forced_and_empty_answers_are_told() -> None:
    wrong = row(right=0.0, answer="Oslo", forced=True, fault="never sampled", reason="tokens", seed=1)
    nothing = row(right=0.0, answer="", seed=2, used=0, tool_calls_used=0, prompt_tokens=0, by_role={})
    said = lines(render_runs([row(), wrong, nothing]))
    assert "1 of 3 runs right" in said and "Question q" in said
    assert "wrong: Oslo" in said and "no answer" in said
    assert "0 of 64 tokens" in said and "0 of 16 tool calls" in said
    assert any("the token budget is spent; the answer was forced" in each for each in said)
    assert any(each.endswith("failed at: never sampled") for each in said)


def test_charged_prompt_tokens_are_a_part_of_their_own_and_no_limit_is_said() -> None:
    charged = row(used=1250, tokens=2000, tool_calls=None)
    assert parts_of(charged) == [("generator", 45), ("critic", 3), ("backstop", 2), ("prompt", 1200)]
    said, svg = lines(render_runs([charged])), render_runs([charged])
    assert "1,250 of 2,000 tokens: generator 45, critic 3, backstop 2, read 1,200" in said
    assert "4 tool calls" in said and svg.count("stroke-dasharray") == 1
    assert "2000 tokens, any tool calls" in svg
    assert "stroke-dasharray" not in render_runs([row()])


def bars(svg: str) -> list[tuple[float, float, str]]:
    """x, width and fill of the bars' segments and frames."""
    found = [each.attrib for each in ElementTree.fromstring(svg).iter() if each.tag.endswith("rect")]
    return [(float(each["x"]), float(each["width"]), each["fill"]) for each in found if each.get("height") == "14"]


def test_bars_are_as_long_as_budgets_on_one_scale_and_filled_as_far_as_used() -> None:
    small, large = row(), row(method="vote", tokens=256, tool_calls=64, by_role={"generator": [50, 4, 1200]})
    first, second = bars(render_runs([small, large]))[:6], bars(render_runs([small, large]))[6:]
    tokens, frame = first[:3], first[3]
    assert [width / frame[1] for _, width, _ in tokens] == pytest.approx([45 / 64, 3 / 64, 2 / 64], abs=1e-4)
    assert tokens[1][0] == pytest.approx(tokens[0][0] + tokens[0][1], abs=1e-2)  # one after the other
    assert [fill for _, _, fill in tokens] == [COLORS[name] for name in ("generator", "critic", "backstop")]
    assert second[1][1] == pytest.approx(4 * frame[1])
    assert first[5][1] == pytest.approx(frame[1])  # 16 of 64 calls is the same share as 64 of 256 tokens


def test_color_is_never_alone_and_the_background_is_its_own() -> None:
    svg = render_runs([row(), row(right=0.0, seed=1)])
    root = ElementTree.fromstring(svg)
    assert root.attrib["role"] == "img" and root[0].tag.endswith("title")
    assert root[1].attrib["fill"] == "#ffffff" and root[1].attrib["width"] == "100%"
    colors = {each.attrib.get(name, "none") for each in root.iter() for name in ("fill", "stroke")}
    assert colors <= OKABE_ITO | GREYS
    marks = [each.attrib["d"] for each in root.iter() if each.attrib.get("stroke-width") == "2.5"]
    assert marks[0].count("M") == 1 and marks[1].count("M") == 2  # a check mark and a cross, beside the words
    assert root[0].text == describe([row(), row(right=0.0, seed=1)], "", "")
    assert "wrong: Rome; 50 of 64 tokens" in (root[0].text or "")


def test_rows_are_drawn_in_their_order_and_the_same_every_time() -> None:
    rows = [row(seed=seed, answer=f"answer {seed}") for seed in (2, 0, 1)]
    assert [each for each in lines(render_runs(rows)) if each.startswith("right")] == [
        "right: answer 2",
        "right: answer 0",
        "right: answer 1",
    ]
    assert render_runs(rows) == render_runs([dict(reversed(each.items())) for each in rows])


def test_no_rows_say_so() -> None:
    assert "Nothing was recorded for this choice." in lines(render_runs([], "Where?", "Rome"))


def test_damaged_rows_are_named() -> None:
    with pytest.raises(ValueError, match="a row must have answer"):
        render_runs([{name: value for name, value in row().items() if name != "answer"}])
    with pytest.raises(TypeError, match="used of"):
        render_runs([row(used="50")])
    with pytest.raises(ValueError, match="rows must be of one question, got 2: q, r"):
        render_runs([row(), row(question="r")])


def test_text_from_anywhere_is_harmless() -> None:
    poisoned = row(answer=HOSTILE, method=HOSTILE, reason=HOSTILE, fault=HOSTILE, by_role={HOSTILE: [50, 4, 1200]})
    svg = render_runs([poisoned], HOSTILE * 50, HOSTILE * 50)
    root = ElementTree.fromstring(svg)
    assert {each.tag.partition("}")[2] for each in root.iter()} <= {"svg", "title", "rect", "text", "path", "g"}
    assert "\x1b" not in svg and "\u202e" not in svg and "<script" not in svg
    svg.encode("utf-8")


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.none() | st.integers(0, 10**6), st.none() | st.integers(0, 100))
@settings(max_examples=60, deadline=None)
def test_every_row_that_a_benchmark_may_store_is_drawn(used: int, read: int, tokens: int | None, calls: int | None):
    one = row(used=used + read, prompt_tokens=read, tokens=tokens, tool_calls=calls, tool_calls_used=calls or 3)
    one["by_role"] = {"generator": [used, 0, read], "a role of one's own": [0, 0, 0]}
    svg = render_runs([one])
    ElementTree.fromstring(svg)
    assert "nan" not in svg and "inf" not in svg
    assert all(width >= 0 and x + width <= 360 for x, width, _ in bars(svg))


# The widget


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    wanted = {"test-20064-0", "test-20064-1", "test-20066-2"}
    return [row for row in recorded.rows() if row["question"] in wanted]


@pytest.fixture
def box(rows: list[dict[str, Any]]) -> Any:
    return explorer.budget_explorer(rows)


def test_recorded_runs_answer_at_once(box: Any, rows: list[dict[str, Any]]) -> None:
    question, method, budget, runs, _, _, tree = box.children
    assert (method.value, budget.value) == ("bavt, adapter", (64, 16))
    for name, at in (("vote", (64, 16)), ("vote", (256, 64)), ("bavt, logprob", (32, 8))):
        method.value, budget.value, question.value = name, at, "test-20066-2"
        own = [each for each in rows if (each["question"], each["method"]) == ("test-20066-2", name)]
        own = [each for each in own if (each["tokens"], each["tool_calls"]) == at]
        assert len(own) == 3
        for each in own:
            words = f"{name}: {at[0]} tokens, {at[1]} tool calls, seed {each['seed']}"
            assert words in lines(runs.value)
            assert f"{each['tool_calls_used']} of {at[1]} tool calls" in lines(runs.value)
        assert tree.value == ""
    budget.value = (20, 5)
    assert "Nothing was recorded for this choice." not in lines(runs.value)
    method.value = "greedy"
    assert "Nothing was recorded for this choice." in lines(runs.value)


def test_the_button_searches_again_shows_the_tree_and_says_that_it_is_the_same(box: Any) -> None:
    question, method, budget, _, press, said, tree = box.children
    seed, button = press.children
    seed.value = 2
    button.click()
    assert "The same as the recorded run" in said.value
    result = explorer.search_again(Job("bavt, adapter", 64, 16, 2, question.value))
    assert tree.value == render_svg(result.trace)
    for control, value in ((seed, 0), (budget, (32, 8)), (method, "vote"), (question, "test-20064-1")):
        button.click()
        assert tree.value
        control.value = value
        assert tree.value == "" and "Press the button" in said.value  # nothing of another choice is left
    button.click()
    assert "The same as the recorded run" in said.value


def test_what_cannot_be_run_is_said(box: Any) -> None:
    _, method, budget, _, press, said, tree = box.children
    button = press.children[1]
    method.value = next(name for name in method.options if name.startswith("TreeQuest"))
    button.click()
    assert "Not run: TreeQuest" in said.value and tree.value == ""
    method.value, budget.value = "vote", (10_000, None)
    button.click()
    assert "Not run: the bank" in said.value or "Nothing was recorded" in said.value


def test_another_result_is_named(rows: list[dict[str, Any]]) -> None:
    job = Job("bavt, adapter", 64, 16, 0, QUESTION)
    result, before = explorer.search_again(job), next(row for row in rows if Job.of(row) == job)
    assert "The same as the recorded run" in explorer.compare(result, before)
    assert explorer.compare(result, before | {"answer": "x", "forced": True}).endswith(
        "Other than recorded: answer, forced."
    )
    assert explorer.compare(result, None).endswith("Nothing was recorded for this choice.")


def test_a_search_again_is_the_benchmarks(rows: list[dict[str, Any]]) -> None:
    bench = Bench(bank=recorded.BANK, offline=True)
    jobs = [Job.of(row) for row in rows if row["question"] == QUESTION and row["method"] in explorer.METHODS][::97]
    for again, job in zip(
        bench(sorted(jobs, key=lambda job: job.seed)), sorted(jobs, key=lambda j: j.seed), strict=True
    ):
        assert explorer.compare(explorer.search_again(job), again).endswith("tokens and calls of every role.")


def test_the_bank_on_disk_is_not_touched() -> None:
    path = recorded.BANK / "test-20064.json.xz"
    before = path.read_bytes()
    explorer.search_again(Job("vote", 64, 16, 0, QUESTION))
    assert not Bank(path).fresh and path.read_bytes() == before
