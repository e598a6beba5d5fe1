"""The recorded runs by question, method and budget, and a button that searches again and shows the tree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from html import escape

import ipywidgets as widgets

from bavt_minimal import Budget, SearchResult
from bavt_minimal.benchmark.bank import Bank
from bavt_minimal.benchmark.efficiency import remembered_parts, world_of
from bavt_minimal.benchmark.methods import BAVT, METHODS, Method
from bavt_minimal.benchmark.recorded import BANK
from bavt_minimal.benchmark.store import Job, Row
from bavt_minimal.tasks import Lookup
from bavt_minimal.views import render_svg
from bavt_minimal.views.runs import render_runs

# Its own light background, as the pictures have: legible whatever the theme.
WORDS = '<div style="background:#ffffff;color:#1a1a1a;padding:8px 20px;border-radius:6px;line-height:1.4">{}</div>'
PRESS = "Press the button to search now: what the model said is in the sample bank, everything else runs live."
Cell = tuple[str, str, int | None, int | None]  # question, method, tokens, tool calls


@lru_cache(2)
def bank_of(world: str) -> Bank:
    """What the model said about the questions of a world."""
    return Bank(BANK / f"{world}.json.xz")


def search_again(job: Job, methods: Mapping[str, Method] = METHODS) -> SearchResult:
    """Run a search with what the model said taken from the shipped bank, so that no model is loaded.

    Raises LookupError for a method that this package does not have, or for samples that the bank does not have.
    """
    if job.method not in methods:
        raise LookupError(f"{job.method} is another package's search: its runs are recorded, not run here")
    world, golds = world_of(job.question)
    question = next(each for each in world.questions if each.id == job.question)
    parts = remembered_parts(bank_of(job.question.rpartition("-")[0]), offline=True)
    method, budget = methods[job.method], Budget(job.tokens, job.tool_calls)
    search = method(parts, budget, Lookup(world.pages), job.seed, golds[job.question])
    return search.search(question.text, plan=None if method.own_plans else question.plan)


def compare(result: SearchResult, row: Row | None) -> str:
    """In words, whether a search came out as it was recorded."""
    said = f"Answer: {result.answer or 'none'}. {result.ledger.spent['tokens']} tokens. "
    if row is None:
        return said + "Nothing was recorded for this choice."
    by_role = {
        role: [used["tokens"], used["tool_calls"], used["prompt_tokens"]]
        for role, used in result.ledger.by_role().items()
    }
    now = {"answer": result.answer, "reason": result.reason, "forced": result.forced, "by_role": by_role}
    differ = [name for name, value in now.items() if value != row[name]]
    if differ:
        return said + f"Other than recorded: {', '.join(differ)}."
    return said + "The same as the recorded run: answer, reason, tokens and calls of every role."


def label(tokens: int | None, calls: int | None) -> str:
    """A budget in words."""
    return ", ".join(f"{'any' if x is None else x} {name}" for x, name in ((tokens, "tokens"), (calls, "tool calls")))


def budget_explorer(rows: Sequence[Row]) -> widgets.VBox:
    """Pick a question, a method and a budget: the recorded runs answer at once, a button searches now.

    All controls are reached with Tab. Needs a running kernel: show `render_runs(rows)` beside it.
    """
    cells: dict[Cell, list[Row]] = {}
    for row in rows:
        cells.setdefault((row["question"], row["method"], row["tokens"], row["tool_calls"]), []).append(row)
    methods = {row["method"] for row in rows}
    ordered = [*(name for name in METHODS if name in methods), *sorted(methods - METHODS.keys())]
    budgets = sorted({cell[2:] for cell in cells}, key=lambda b: [float("inf") if x is None else x for x in b])
    hops = {row["question"]: row["hops"] for row in rows}
    wide = {"layout": widgets.Layout(width="420px"), "style": {"description_width": "80px"}}
    names = [(f"{name} ({hops[name]} steps)", name) for name in sorted(hops)]
    question = widgets.Dropdown(options=names, description="question", **wide)
    method = widgets.Dropdown(options=ordered, description="method", **wide)
    budget = widgets.Dropdown(options=[(label(*each), each) for each in budgets], description="budget", **wide)
    seed = widgets.Dropdown(options=sorted({row["seed"] for row in rows}), description="seed", **wide)
    button = widgets.Button(description="Search now", tooltip="run this search and show its tree")
    runs, said, tree = widgets.HTML(), widgets.HTML(), widgets.HTML()

    def recorded() -> list[Row]:
        own = cells.get((question.value, method.value, *budget.value), [])
        return sorted(own, key=lambda row: row["seed"])

    def show(change: object = None) -> None:
        world, golds = world_of(question.value)
        text = next(each.text for each in world.questions if each.id == question.value)
        runs.value = render_runs(recorded(), text, golds[question.value].answer)
        said.value, tree.value = WORDS.format(PRESS), ""  # a tree of another choice would mislead

    def search(button: widgets.Button) -> None:
        try:
            result = search_again(Job(method.value, *budget.value, seed.value, question.value))
        except LookupError as error:
            said.value, tree.value = WORDS.format(escape(f"Not run: {error}")), ""
            return
        row = next((row for row in recorded() if row["seed"] == seed.value), None)
        said.value, tree.value = WORDS.format(escape(compare(result, row))), render_svg(result.trace)

    if BAVT in methods:
        method.value = BAVT
    if (64, 16) in budgets:
        budget.value = (64, 16)
    for control in (question, method, budget, seed):
        control.observe(show, "value")
    button.on_click(search)
    show()
    return widgets.VBox([question, method, budget, runs, widgets.HBox([seed, button]), said, tree])
