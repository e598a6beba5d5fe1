"""No search sees the gold answer: by signature, and with gold replaced by something that raises when touched."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import bavt_minimal
from bavt_minimal import (
    Budget,
    BudgetAwareValueTreeSearch,
    DualRoleLLMAgent,
    LogProbCritic,
    ParallelChains,
    PromptedCritic,
)
from bavt_minimal.benchmark.oracle import OracleCritic
from bavt_minimal.models.scripted import ScriptedModel
from bavt_minimal.tasks.data import Gold, Question, World
from bavt_minimal.tasks.encyclopedia import SPLITS, make_world
from bavt_minimal.tasks.lookup import Lookup

KERNEL = {
    "agent",
    "budget",
    "chains",
    "critic",
    "expansion",
    "planner",
    "residual",
    "search",
    "searcher",
    "selection",
    "steps",
    "trace",
    "tree",
}
AROUND = {"__main__", "benchmark", "checks", "cli", "critics", "models", "tasks", "training", "views"}
# Where an argument of such a name holds what the search itself found, not the gold.
FOUND = {"evaluate", "Step", "SearchResult", "Generator", "choose_answer"}
SECRET = {"gold", "answer", "answers", "target", "label", "labels", "solution", "truth", "expected", "correct"}


def public() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Every callable of the kernel that has a public name, methods included."""
    modules = [bavt_minimal] + [importlib.import_module(f"bavt_minimal.{name}") for name in KERNEL]
    for module in modules:
        for name, value in vars(module).items():
            if name.startswith("_") or not getattr(value, "__module__", "").startswith("bavt_minimal"):
                continue
            if inspect.isfunction(value):
                yield name, value
            elif inspect.isclass(value):
                yield name, value
                for method, function in vars(value).items():
                    function = getattr(function, "__func__", function)
                    if inspect.isfunction(function) and (method == "__call__" or not method.startswith("_")):
                        yield f"{name}.{method}", function


def test_no_public_callable_takes_the_gold_answer_but_evaluate() -> None:
    seen: dict[str, set[str]] = {}
    for name, function in public():
        try:
            parameters = set(inspect.signature(function).parameters)
        except ValueError:
            continue
        if parameters & SECRET and not set(name.split(".")) & FOUND:
            seen[name] = parameters & SECRET
    assert not seen
    names = {name.split(".")[-1] for name, _ in public()}
    assert {"reason_with_budget", "run", "search", "evaluate", "__call__"} <= names
    assert "answer" in inspect.signature(DualRoleLLMAgent.evaluate).parameters


def test_what_may_say_answer_holds_what_was_found() -> None:
    # The exceptions above: a step's and a generator's `answers` are texts of earlier steps.
    for name in FOUND - {"evaluate", "choose_answer"}:
        part = getattr(importlib.import_module("bavt_minimal.steps"), name, None) or getattr(bavt_minimal, name)
        assert not {"gold", "target", "label"} & {field.name for field in dataclasses.fields(part)}


def test_the_kernel_does_not_import_the_tasks_or_the_oracle() -> None:
    for name in KERNEL:
        source = inspect.getsource(importlib.import_module(f"bavt_minimal.{name}"))
        assert "tasks" not in [line.split()[1] for line in source.splitlines() if line.startswith("from .")]
        assert "Gold" not in re.sub(r">>> .*", "", source).replace("tasks.Gold", "") and "OracleCritic" not in source


def test_neither_a_question_nor_a_world_holds_the_answer() -> None:
    assert {field.name for field in dataclasses.fields(Question)} == {"id", "text", "plan"}
    assert {field.name for field in dataclasses.fields(World)} == {"pages", "questions", "own_pages"}
    world, gold = make_world(SPLITS["dev"][0], 20)
    for question in world.questions:
        assert gold[question.id].answer not in (question.text, *question.plan)
        assert gold[question.id].answer not in repr(question)


def modules() -> list[str]:
    return [name for _, name, _ in pkgutil.iter_modules(bavt_minimal.__path__)]


def test_the_kernels_modules_are_all_inspected() -> None:
    assert set(modules()) - AROUND == KERNEL


class Poison:
    """Raises whatever is done with it."""

    def __getattribute__(self, name: str) -> Any:
        raise AssertionError(f"the gold answer was touched: {name}")

    def touched(self, *_: Any) -> Any:
        raise AssertionError("the gold answer was touched")

    __repr__ = __str__ = __eq__ = __hash__ = __iter__ = __len__ = __bool__ = __contains__ = touched


def guess(pages: dict[str, str] | Any) -> Callable[[str], dict[str, float]]:
    """A model that says some title which the page of the prompt mentions, and sometimes nonsense."""

    def table(prompt: str) -> dict[str, float]:
        page = prompt.rsplit("Page: ", 1)[-1]
        return {title: 1.0 for title in pages if title in page} | {"No idea": 0.5, "": 0.2}

    return table


SEARCHES = [
    lambda model, tool: BudgetAwareValueTreeSearch(model, None, Budget(200, 12), tool, budget_hint=True),
    lambda model, tool: BudgetAwareValueTreeSearch(
        model, PromptedCritic(ScriptedModel({}, default={"yes": 1, "no": 1})), Budget(200, 12), tool
    ),
    lambda model, tool: ParallelChains(model, None, Budget(200, 12), tool),
    lambda model, tool: ParallelChains(model, LogProbCritic(), Budget(200, 12), tool, share_pages=True),
]


@pytest.mark.parametrize("make", SEARCHES, ids=["tree", "tree with a prompted critic", "chains", "rerank"])
def test_a_search_on_a_generated_world_with_poisoned_gold(make: Callable[..., Any], monkeypatch: Any) -> None:
    world, gold = make_world(SPLITS["dev"][0], 3)
    answers = {question: each.answer for question, each in gold.items()}
    gold = dict.fromkeys(gold, Poison())  # type: ignore[arg-type]
    for field in ("answer", "path", "relations"):
        monkeypatch.setattr(Gold, field, property(Poison.touched), raising=False)
    tool = Lookup(world.pages)
    for question in world.questions:
        result = make(ScriptedModel(guess(world.pages)), tool).search(question.text, plan=question.plan)
        assert result.reason and result.ledger.spent["tool_calls"] <= 12
        assert result.answer in {*world.pages, "No idea"}
    with pytest.raises(AssertionError, match="touched"):
        DualRoleLLMAgent.evaluate("Rome", gold[world.questions[0].id])  # the poison works
    assert len(answers) == 3


def test_the_same_search_whatever_the_gold_answer_is() -> None:
    """The events do not depend on gold that lies about: the same world, two sets of answers."""
    world, gold = make_world(SPLITS["dev"][1], 2)
    runs = []
    for each in (gold, {key: Gold("something else") for key in gold}):
        model = ScriptedModel(guess(world.pages))
        search = BudgetAwareValueTreeSearch(model, None, Budget(150, 9), Lookup(world.pages))
        results = [search.search(question.text, plan=question.plan) for question in world.questions]
        runs.append([result.trace.events for result in results])
        assert all(DualRoleLLMAgent.evaluate(r.answer, each[q.id]) in (0, 1) for r, q in zip(results, world.questions))  # noqa: B905
    assert runs[0] == runs[1]


def test_only_the_oracle_uses_the_path_and_it_finds_it() -> None:
    world, gold = make_world(SPLITS["dev"][0], 3)
    for question in world.questions:
        path = gold[question.id].path
        model = ScriptedModel(guess(world.pages))
        tool = Lookup(world.pages)
        search = BudgetAwareValueTreeSearch(model, OracleCritic(path), Budget(9000, 90), tool, max_widen=64)
        result = search.search(question.text, plan=question.plan)
        assert DualRoleLLMAgent.evaluate(result.answer, gold[question.id]) == 1.0
