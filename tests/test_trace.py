"""Traces: every prefix goes on to the same end, and no file can do harm."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bavt_minimal import (
    Budget,
    BudgetAware,
    BudgetAwareUCB,
    BudgetAwareValueTreeSearch,
    ConstantCritic,
    Event,
    LogProbCritic,
    ParallelChains,
    Planner,
    PromptedCritic,
    Sample,
    SearchResult,
    Trace,
    format_plan,
    uniform,
)
from bavt_minimal.models.scripted import ScriptedModel

PLAN = ["Where is it?", "Who runs #1?", "Where was #2 born?"]
TEXTS = {"Rome": 3, "New York": 2, "Oslo": 1, "": 1, "a very long answer that is never done here": 1, "the rome": 1}
MODEL = ScriptedModel({}, default=TEXTS)
PLANNER = Planner(
    ScriptedModel(
        {},
        default={
            format_plan(PLAN): 3,
            format_plan(PLAN[:2]): 2,
            format_plan(["What is #1?"]): 1,
            "1) Where?\n2) Who is #1?": 1,
            "Where? \n\n": 1,
        },
    ),
    candidates=2,
)
JUDGE = ScriptedModel({}, default={"yes": 2, "no": 1})


class Tool:
    """Answers, and fails on every third call."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, query: str) -> str:
        self.calls += 1
        if self.calls % 3 == 0:
            raise OSError("offline")
        return f"A page about {query}."


def bavt(**options: Any) -> BudgetAwareValueTreeSearch:
    return BudgetAwareValueTreeSearch(MODEL, options.pop("critic", None), **options)


def chains(**options: Any) -> ParallelChains:
    return ParallelChains(MODEL, options.pop("critic", None), **options)


SEARCHES: dict[str, Callable[[], Any]] = {
    "plain": lambda: bavt(budget=Budget(90), seed=1),
    "tool": lambda: bavt(budget=Budget(90, 6), tool=lambda query: f"Page of {query}.", seed=2),
    "hint": lambda: bavt(budget=Budget(90, 6), tool=lambda query: f"Page of {query}.", seed=3, budget_hint=True),
    "prompted": lambda: bavt(budget=80, critic=PromptedCritic(JUDGE), seed=4),
    "charged": lambda: bavt(budget=1500, charge_prompt=True, seed=5),
    "charged and judged": lambda: bavt(budget=1900, charge_prompt=True, critic=PromptedCritic(JUDGE), seed=6),
    "forced": lambda: bavt(budget=20, seed=7),
    "majority": lambda: bavt(budget=120, answer_rule="majority", selection=uniform, seed=8),
    "chains": lambda: chains(budget=Budget(90, 6), tool=lambda query: f"Page of {query}.", seed=9),
    "chains that share": lambda: chains(
        budget=Budget(90, 6), tool=lambda query: f"Page of {query}.", seed=10, share_pages=True, budget_hint=True
    ),
    "rerank": lambda: chains(budget=120, critic=LogProbCritic(), seed=11),
    "planner": lambda: bavt(budget=Budget(150, 9), tool=lambda query: f"Page of {query}.", seed=13, planner=PLANNER),
    "planner, charged": lambda: bavt(budget=2500, charge_prompt=True, seed=14, planner=PLANNER),
    "planner, forced": lambda: bavt(budget=20, seed=15, planner=PLANNER),
    "chains with a planner": lambda: chains(
        budget=Budget(150, 9), tool=lambda query: f"Page of {query}.", seed=16, planner=PLANNER
    ),
    "rerank by prompt": lambda: chains(budget=90, critic=PromptedCritic(JUDGE), seed=12),
}


def shown(result: SearchResult) -> tuple[Any, ...]:
    """What can be seen of a result."""

    def tree(node: Any) -> list[Any]:
        own = [node.text, node.value, node.visit_count, node.value_sum, node.expansions, node.copies, node.terminal]
        return [*own, [tree(child) for child in node.children]]

    ledger = result.ledger
    return result.answer, result.value, result.reason, result.forced, tree(result.root), ledger.rows, ledger.state()


def through_json(trace: Trace, path: Path) -> Trace:
    trace.save(path)
    return Trace.load(path)


@pytest.mark.parametrize("make", SEARCHES.values(), ids=SEARCHES)
def test_every_prefix_goes_on_to_the_same_end(make: Callable[[], Any], tmp_path: Path) -> None:
    search = make()
    plan = None if search.planner else PLAN
    result = search.search("Where?", plan=plan)
    events = search.trace.events
    assert len(events) > 4
    for cut in range(len(events) + 1):
        earlier = Trace(copy.deepcopy(search.trace.header), copy.deepcopy(events[:cut]))
        if cut % 3 == 0:
            earlier = through_json(earlier, tmp_path / "trace.json")
            assert earlier.events == events[:cut]
        again = make()
        heard: list[Event] = []
        resumed = again.search("Where?", plan=plan, resume=earlier, listeners=[heard.append])
        assert again.trace.events == events == heard
        assert shown(resumed) == shown(result)


@pytest.mark.parametrize("make", [SEARCHES["hint"], SEARCHES["chains"]], ids=["tree", "chains"])
def test_a_replay_calls_neither_model_nor_tool(make: Callable[[], Any]) -> None:
    search = make()
    result = search.search("Where?", plan=PLAN)

    class Dead(ScriptedModel):
        def sample(self, *args: Any, **options: Any) -> Any:
            raise AssertionError("called")

    def dead(query: str) -> str:
        raise AssertionError("called")

    dead.__qualname__ = search.generator.tool.__qualname__
    again = make()
    again.generator.model, again.generator.tool = Dead({}, name="scripted"), dead
    assert shown(again.search("Where?", plan=PLAN, resume=search.trace)) == shown(result)


@pytest.mark.parametrize("kind", ["bavt", "chains"])
def test_a_search_that_failed_goes_on_and_pays_for_the_failure(kind: str, tmp_path: Path) -> None:
    failures = iter([False, False, True])

    class Failing(ScriptedModel):
        def sample(self, *args: Any, **options: Any) -> Any:
            if next(failures, False):
                raise MemoryError("out of memory")
            return super().sample(*args, **options)

    maker = {"bavt": BudgetAwareValueTreeSearch, "chains": ParallelChains}[kind]
    search = maker(Failing({}, default=TEXTS), None, 100)
    with pytest.raises(MemoryError):
        search.search("Where?", plan=PLAN)
    broken = through_json(search.trace, tmp_path / "trace.json")
    assert broken.events[-1].data["reason"] == "error" and "out of memory" in broken.events[-1].data["error"]
    paid = search.result.ledger.spent["tokens"]
    result = search.search("Where?", plan=PLAN, resume=broken)
    assert result.reason != "error" and paid < result.ledger.spent["tokens"] <= 100
    assert sum(c["tokens"] for e in search.trace.events for c in e.charges) == result.ledger.spent["tokens"]
    assert shown(search.search("Where?", plan=PLAN, resume=search.trace)) == shown(result)


def test_a_trace_saved_while_it_is_replayed_keeps_its_tail(tmp_path: Path) -> None:
    search = SEARCHES["tool"]()
    search.search("Where?", plan=PLAN)
    events = list(search.trace.events)
    again = SEARCHES["tool"]()
    run = again.run("Where?", plan=PLAN, resume=search.trace)
    for _ in range(4):
        next(run)
    run.close()  # killed
    assert through_json(again.trace, tmp_path / "trace.json").events == events


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("tokens", {"budget": Budget(91, 6)}),
        ("tool_calls", {"budget": Budget(90, 7)}),
        ("seed", {"seed": 3}),
        ("temperature", {"temperature": 0.5}),
        ("top_k", {"top_k": 2}),
        ("max_new_tokens", {"max_new_tokens": 7}),
        ("budget_hint", {"budget_hint": True}),
        ("charge_prompt", {"charge_prompt": True}),
        ("num_candidates", {"num_candidates": 2}),
        ("max_widen", {"max_widen": 2}),
        ("stop_value", {"stop_value": 0.9}),
        ("v0", {"v0": 0.4}),
        ("v_min", {"v_min": 0.1}),
        ("answer_rule", {"answer_rule": "majority"}),
        ("examples", {"examples": "Other.\n"}),
        ("critic", {"critic": LogProbCritic(0.3)}),
        ("critic", {"critic": PromptedCritic(JUDGE)}),
        ("selection", {"selection": uniform}),
        ("selection", {"selection": BudgetAware(alpha_max=9)}),
        ("selection", {"selection": BudgetAwareUCB(1.0)}),
        ("selection", {"selection": BudgetAware(alpha_max=9, schedule=lambda r: 1.0)}),
        ("tool", {"tool": None}),
    ],
)
def test_other_settings_are_refused_by_name(name: str, other: dict[str, Any]) -> None:
    settings: dict[str, Any] = {"budget": Budget(90, 6), "tool": Tool(), "seed": 2}
    search = bavt(**settings)
    search.search("Where?", plan=PLAN)
    with pytest.raises(ValueError, match=f"resume.*{name}="):
        bavt(**settings | other).search("Where?", plan=PLAN, resume=search.trace)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("question", {"question": "Who?"}),
        ("plan", {"plan": PLAN[:2]}),
        ("max_depth", {"max_depth": 4}),
    ],
)
def test_another_question_is_refused_by_name(name: str, arguments: dict[str, Any]) -> None:
    search = bavt(budget=40)
    search.search("Where?", plan=PLAN)
    with pytest.raises(ValueError, match=f"resume.*{name}="):
        asked: dict[str, Any] = {"question": "Where?", "plan": PLAN, "resume": search.trace}
        bavt(budget=40).search(**asked | arguments)


def test_two_critics_that_differ_only_in_scale_are_told_apart_even_with_a_model_inside() -> None:
    search = bavt(budget=40, critic=PromptedCritic(JUDGE, 0.4))
    search.search("Where?", plan=PLAN)
    with pytest.raises(ValueError, match="critic="):
        bavt(budget=40, critic=PromptedCritic(JUDGE, 0.2)).search("Where?", plan=PLAN, resume=search.trace)


def test_a_tree_is_not_resumed_as_chains() -> None:
    search = bavt(budget=40)
    search.search("Where?", plan=PLAN)
    with pytest.raises(ValueError, match="method"):
        chains(budget=40).search("Where?", plan=PLAN, resume=search.trace)


# Files


def test_a_file_is_json_with_a_version_and_the_umasks_rights(tmp_path: Path) -> None:
    search = bavt(budget=40)
    search.search("Where?", plan=PLAN)
    path = tmp_path / "trace.json"
    search.trace.save(path)
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content["version"] == 1 and content["header"] == search.trace.header
    assert [Event(**event) for event in content["events"]] == search.trace.events
    assert os.listdir(tmp_path) == ["trace.json"]
    (tmp_path / "plain").touch()
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize(
    "question", ["Où est-ce ?", "どこ?", "\U0001f600?", "half \udc80 a character", "nul \x00", "line\nend"]
)
def test_any_question_survives_the_file(question: str, tmp_path: Path) -> None:
    search = bavt(budget=20)
    result = search.search(question, plan=PLAN)
    earlier = through_json(search.trace, tmp_path / "trace.json")
    assert earlier.events == search.trace.events
    assert shown(bavt(budget=20).search(question, plan=PLAN, resume=earlier)) == shown(result)


@pytest.mark.parametrize("number", [np.float32(-0.5), np.float64(-0.5), -np.inf, np.nan, -1])
def test_a_model_with_numbers_of_its_own_loses_no_trace(number: Any, tmp_path: Path) -> None:
    class Model(ScriptedModel):
        def sample(self, *args: Any, **options: Any) -> Any:
            samples = super().sample(*args, **options)
            return [Sample(s.text, np.int64(s.tokens), (number,) * s.tokens, s.finished) for s in samples]  # type: ignore[arg-type]

    search = BudgetAwareValueTreeSearch(Model({}, default=TEXTS), None, 60, seed=np.int64(3), temperature=np.float32(1))
    search.search("Where?", plan=PLAN)
    assert through_json(search.trace, tmp_path / "trace.json").events == search.trace.events


def test_saving_where_one_cannot_names_the_file_and_leaves_the_old_one(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"cannot save.*no such folder.*trace\.json"):
        Trace({}).save(tmp_path / "no such folder" / "trace.json")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="cannot save.*folder"):
        Trace({}).save(tmp_path / "folder")
    assert os.listdir(tmp_path) == ["folder"]
    path = tmp_path / "trace.json"
    Trace({"a": 1}).save(path)
    with pytest.raises((TypeError, ValueError)):
        Trace({"a": {1, 2}}).save(path)
    assert Trace.load(path).header == {"a": 1}
    assert sorted(os.listdir(tmp_path)) == ["folder", "trace.json"]


def good() -> dict[str, Any]:
    search = bavt(budget=40, tool=Tool(), seed=2)
    search.search("Where?", plan=PLAN)
    return {"version": 1, "header": search.trace.header, "events": [asdict(event) for event in search.trace.events]}


GOOD = good()
HOSTILE = {
    "empty": "",
    "no JSON": "version: 1",
    "cut off": json.dumps(GOOD)[:-40],
    "deep lists": "[" * 200_000,
    "deep objects": '{"version":' * 200_000,
    "a list": "[1, 2]",
    "a number": "7",
    "null": "null",
    "nothing": "{}",
    "version 2": json.dumps(GOOD | {"version": 2}),
    "version as text": json.dumps(GOOD | {"version": "1"}),
    "no header": json.dumps({"version": 1, "events": []}),
    "header a list": json.dumps(GOOD | {"header": []}),
    "events an object": json.dumps(GOOD | {"events": {"a": 1}}),
    "events null": json.dumps(GOOD | {"events": None}),
    "an event a list": json.dumps(GOOD | {"events": [[1, 2]]}),
    "an event with more": json.dumps(GOOD | {"events": [GOOD["events"][0] | {"more": 1}]}),
    "digits without end": json.dumps(GOOD).replace('"version": 1', '"version": ' + "1" * 5000),
}


def spoiled() -> Iterator[tuple[str, str]]:
    """Each kind of event with something wrong in it."""
    huge = 10**400
    wrong: dict[str, dict[str, Any]] = {
        "negative charge": {"charges": [{"role": "generator", "tokens": -5}]},
        "huge negative charge": {"charges": [{"role": "generator", "tokens": -huge}]},
        "NaN charge": {"charges": [{"role": "generator", "tokens": float("nan")}]},
        "fractional charge": {"charges": [{"role": "generator", "tokens": 1.5}]},
        "charge as text": {"charges": [{"role": "generator", "tokens": "5"}]},
        "charge true": {"charges": [{"role": "generator", "tokens": True}]},
        "unknown role": {"charges": [{"role": "bank", "tokens": 5}]},
        "role a list": {"charges": [{"role": [], "tokens": 5}]},
        "charge with more": {"charges": [{"role": "tool", "money": 5}]},
        "charges null": {"charges": None},
        "charges text": {"charges": "abc"},
        "unknown kind": {"kind": "paid"},
        "kind a list": {"kind": []},
        "data a list": {"data": []},
        "data null": {"data": None},
        "node as text": {"node": "x"},
        "node null": {"node": None},
        "node negative": {"node": -1},
        "ledger a number": {"ledger": 3},
    }
    for name, change in wrong.items():
        content = copy.deepcopy(GOOD)
        content["events"][3].update(change)
        yield name, json.dumps(content)
    data: list[tuple[str, str, Any]] = [
        ("expanded", "steps", None),
        ("expanded", "steps", 5),
        ("expanded", "steps", [[1]]),
        ("expanded", "steps", [["Rome", "x", [0.0], True]]),
        ("expanded", "steps", [["Rome", 2, ["a"], True]]),
        ("expanded", "steps", [["Rome", 2, [huge], True]]),
        ("expanded", "steps", [[["Rome"], 2, [0.0], True]]),
        ("expanded", "steps", "abcd"),
        ("scored", "residuals", None),
        ("scored", "residuals", "ab"),
        ("scored", "residuals", [float("nan")]),
        ("scored", "residuals", ["0.1"]),
        ("scored", "residuals", [huge]),
        ("scored", "residuals", [[0.1]]),
        ("read", "page", 5),
        ("read", "query", None),
        ("added", "text", 5),
        ("added", "value", float("inf")),
        ("added", "value", huge),
        ("added", "parent", "x"),
        ("stopped", "answer", None),
    ]
    for kind, key, value in data:
        content = copy.deepcopy(GOOD)
        event = next(event for event in content["events"] if event["kind"] == kind and key in event["data"])
        event["data"][key] = value
        yield f"{kind} {key} {str(value)[:20]}", json.dumps(content)
        del event["data"][key]
        yield f"{kind} without {key}", json.dumps(content)


HOSTILE |= dict(spoiled())


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_file_is_a_value_error_that_names_it(text: str, tmp_path: Path) -> None:
    path = tmp_path / "hostile.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"hostile\.json is not a trace"):
        Trace.load(path)


def test_a_file_that_is_no_text_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "binary.json"
    path.write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(ValueError, match=r"binary\.json is not a trace"):
        Trace.load(path)
    with pytest.raises(OSError, match="nowhere"):
        Trace.load(tmp_path / "nowhere.json")


@pytest.mark.parametrize("tokens", [41, 10**100])
def test_charges_past_the_budget_are_refused(tokens: int) -> None:
    search = bavt(budget=40)
    search.search("Where?", plan=PLAN)
    events = copy.deepcopy(search.trace.events)
    events[2].charges[0]["tokens"] = tokens
    with pytest.raises(ValueError, match=str(tokens)):
        bavt(budget=40).search("Where?", plan=PLAN, resume=Trace(search.trace.header, events))


def test_events_of_another_search_are_refused() -> None:
    search = bavt(budget=40, seed=1)
    search.search("Where?", plan=PLAN)
    events = search.trace.events
    for wrong in ([events[1]], [events[0], events[2]], [*events[:3], events[1], *events[3:]]):
        with pytest.raises(ValueError, match="another search"):
            bavt(budget=40, seed=1).search("Where?", plan=PLAN, resume=Trace(search.trace.header, list(wrong)))


def test_a_constant_critic_resumes_too() -> None:
    search = bavt(budget=40, critic=ConstantCritic(0.1))
    first = search.search("Where?", plan=PLAN)
    assert shown(bavt(budget=40, critic=ConstantCritic(0.1)).search("Where?", plan=PLAN, resume=search.trace)) == shown(
        first
    )


def test_a_search_that_fails_again_still_has_a_result_and_a_trace() -> None:
    def rule(values: Any, visits: Any, r: float) -> Any:
        return [1.0] if len(values) == 1 else None

    resume = None
    for _ in range(3):
        search = bavt(budget=60, selection=rule)
        with pytest.raises((TypeError, ValueError), match="selection"):
            search.search("Where?", plan=PLAN, resume=resume)
        assert search.result.reason == "error" and search.trace.events[-1].kind == "stopped"
        assert sum(event.kind == "stopped" for event in search.trace.events) == 1
        resume = search.trace
