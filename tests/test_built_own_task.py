"""What 07_your_own_task builds is what the module has, or stands in for it without changing anything."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from exercises.own_task import SecondOpinion, find, rule
from hypothesis import given, settings
from hypothesis import strategies as st

from bavt_minimal import Budget, BudgetAwareValueTreeSearch
from bavt_minimal.models import ScriptedModel, load_model
from bavt_minimal.models.server import request_seed
from bavt_minimal.tasks import SPLITS, Lookup, make_world

NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "07_your_own_task.ipynb"
TABLE = {"Answer:": {"Team Heron": 4.0, "Ada": 3.0, "a rather long answer of nine or ten words": 2.0, "": 1.0}}


def cell(starts: str, given: dict[str, Any] | None = None) -> dict[str, Any]:
    """The names that the notebook's cells that hold `starts` define."""
    names = dict(given or {})
    for each in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]:
        source = "".join(each["source"])
        if each["cell_type"] == "code" and starts in source:
            exec(compile(source.partition("\n\n\nserver =")[0].partition("\n\n\nmodel =")[0], starts, "exec"), names)
    return names


@settings(deadline=None)
@given(
    calls=st.lists(
        st.tuples(st.integers(0, 12), st.integers(0, 12), st.integers(0, 3), st.integers(1, 12), st.booleans()),
        max_size=6,
    )
)
def test_a_memory_in_front_of_a_model_changes_no_sample(calls: list[tuple[int, int, int, int, bool]]) -> None:
    plain = ScriptedModel(TABLE)
    remembering = cell("class Remembering", cell("def cut(", {"replace": replace}))["Remembering"](plain)
    for k, first, seed, most, greedy in calls:
        options = {"first": first, "seed": seed, "max_new_tokens": most, "temperature": 0.0 if greedy else 0.8}
        found, wanted = (each.sample("Answer:", k, **options) for each in (remembering, plain))
        for one, other in zip(found, wanted, strict=True):
            assert (one.tokens, one.logprobs, one.finished) == (other.tokens, other.logprobs, other.finished)
            assert not one.finished or one.text == other.text
    texts = ["Ada", "Ben", "Ada", ""]
    for chosen in (texts[:2], texts):
        assert remembering.score("Answer:", chosen) == plain.score("Answer:", chosen)


def test_a_search_with_a_memory_is_the_same_search() -> None:
    plain = ScriptedModel(TABLE)
    remembering = cell("class Remembering", cell("def cut(", {"replace": replace}))["Remembering"](plain)
    for tokens in (3, 11, 40):
        results = [
            BudgetAwareValueTreeSearch(model, None, Budget(tokens, 9), str.upper).search("Who?", plan=["Who?", "#1?"])
            for model in (plain, remembering)
        ]
        assert results[0].answer == results[1].answer
        assert results[0].ledger.by_role() == results[1].ledger.by_role()


def test_the_small_server_gives_what_the_model_behind_it_says() -> None:
    base = ScriptedModel(TABLE)
    names = {"json": json, "base": base}
    names |= {"complete": cell("def complete(", names)["complete"]}
    server = ThreadingHTTPServer(("127.0.0.1", 0), cell("class Handler", names)["Handler"])
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        behind = load_model(f"http://127.0.0.1:{server.server_port}")
        found = behind.sample("Answer:", 12, first=3, seed=5, max_new_tokens=4)
        assert behind.count_tokens("three words here") == 3
    finally:
        server.shutdown()
        server.server_close()
    for number, sample in enumerate(found, 3):
        [wanted] = base.sample("Answer:", 1, seed=request_seed(5, "Answer:", number), max_new_tokens=4)
        assert sample == wanted
    assert not behind.notes


@pytest.mark.parametrize("seed", [SPLITS["train"][0], SPLITS["dev"][0]])
def test_the_reader_s_tool_finds_what_lookup_finds(seed: int) -> None:
    world, golds = make_world(seed, 20)
    lookup = Lookup(world.pages)
    for question in world.questions:
        for query in (question.plan[0], *golds[question.id].path[:-1]):
            assert find(world.pages, query) == lookup(query)


def test_the_reader_s_critic_and_rule_work_in_a_search() -> None:
    model = ScriptedModel(TABLE)
    for tokens in (20, 40, 200):
        search = BudgetAwareValueTreeSearch(model, SecondOpinion(model), Budget(tokens, 9), str.upper, selection=rule)
        result = search.search("Who?", plan=["Who?", "And #1?"])
        used = result.ledger.by_role()
        assert result.ledger.spent["tokens"] <= tokens
        assert tokens < 40 or used["critic"]["tokens"] > 0
