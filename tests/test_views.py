"""Views against the search itself, against XML and terminal rules, and against hostile and damaged input."""

import io
import re
import string
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from bavt_minimal import Budget, BudgetAwareValueTreeSearch, ParallelChains, SearchResult, Trace
from bavt_minimal.models import ScriptedModel
from bavt_minimal.trace import Event
from bavt_minimal.views import Picture, fold, plain, render_svg, render_text
from bavt_minimal.views.fold import columns, cut
from bavt_minimal.views.terminal import Drawing, LiveView, PlainView, report

QUESTION, PLAN = "Who runs the capital of X?", ["What is the capital of X?", "Who runs #1?"]
HOSTILE = (
    "\x1b]0;owned\x07\x1b[31m\x1b[2J"  # a terminal's title, color, a cleared screen
    "[red]x[/red][/]"  # rich's markup
    "</title><script>alert('1')</script>]]>&amp;"
    "\u202eevil\ud800\x85\u2028"  # right-to-left override, half a character, line ends
)
TAGS = {"svg", "title", "rect", "text", "path", "g"}


def table(prompt: str) -> dict[str, float]:
    """Distractors and one good answer for every question; the answers contain hostile characters too."""
    last = prompt.splitlines()[-2]
    if "capital" in last:
        return {"Rome": 0.5, "Paris": 0.3, "\u202eBerne [red]": 0.2}
    return {f"Ann of {last[-6:-1]}": 0.6, "Bob": 0.2, "a text of far more words than eight tokens can hold": 0.2}


def searched(
    seed: int = 0, tokens: int = 40, calls: int = 6, method: str = "bavt", page: str = "A page."
) -> SearchResult:
    kind = BudgetAwareValueTreeSearch if method == "bavt" else ParallelChains
    model, budget = ScriptedModel(table), Budget(tokens, calls)
    return kind(model, None, budget, tool=lambda query: f"{page} {query}", seed=seed).search(QUESTION, plan=PLAN)


def hostile_trace() -> Trace:
    """Every text of a trace replaced: what a file from anywhere may hold."""

    def poison(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: poison(each) for key, each in value.items()}
        if isinstance(value, list):
            return [poison(each) for each in value]
        return value + HOSTILE if isinstance(value, str) else value

    trace = searched(tokens=60).trace
    return Trace(poison(trace.header), [replace(event, data=poison(event.data)) for event in trace.events])


def wide_trace(children: int) -> Trace:
    started = searched().trace.events[0]
    ledger = started.ledger
    added = [
        Event(
            "added", n, {"parent": 0, "text": f"step {n}", "residual": 0.1, "value": 0.6, "terminal": False}, [], ledger
        )
        for n in range(1, children + 1)
    ]
    return Trace(started.data, [started, *added])


# What the views show is what the search did


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 99), st.integers(0, 90), st.integers(0, 8), st.sampled_from(["bavt", "parallel"]))
def test_fold_agrees_with_the_search(seed: int, tokens: int, calls: int, method: str) -> None:
    result = searched(seed, tokens, calls, method)
    picture = fold(result.trace.events)
    nodes = [result.root]
    for node in nodes:
        nodes += node.children
    assert sorted(picture.nodes) == sorted(node.id for node in nodes)
    for node in nodes:
        shown = picture.nodes[node.id]
        assert (shown.value, shown.residual, shown.terminal) == (node.value, node.residual_value, node.terminal)
        assert (shown.expansions, shown.depth) == (node.expansions, node.depth)
        assert shown.children == [child.id for child in node.children]
        assert shown.parent == (node.parent.id if node.parent else None)
    assert picture.best_path == [node.id for node in result.node.path()]
    assert (picture.reason, picture.forced) == (result.reason, result.forced)
    assert picture.roles == result.ledger.by_role()
    assert picture.ratio == result.ledger.ratio()
    drawn = sum(len(e.data["steps"]) for e in result.trace.events if e.kind == "expanded" and "steps" in e.data)
    assert drawn == len(nodes) - 1 + sum(node.dropped.total() for node in picture.nodes.values())


def test_text_of_a_search() -> None:
    result = searched()
    text = render_text(result.trace)
    assert text.startswith(f"question:  {QUESTION}\n  step 1:  {PLAN[0]}\n")
    assert f"answer:    {result.answer}  (value {result.value:.2f}" in text
    assert f"stopped:   {result.reason}" in text
    assert f"{result.ledger.spent['tokens']} of 40 tokens" in text
    assert "(duplicate" in text
    for role in result.ledger.by_role():
        assert f"{role}:" in text
    assert text == render_text(searched().trace)


def test_text_of_an_unfinished_trace() -> None:
    trace = searched().trace
    for cut_at in range(len(trace.events)):
        text = render_text(Trace(trace.header, trace.events[:cut_at]))
        assert "answer:    none yet" in text and "stopped:   not yet" in text


def test_failed_tool_is_shown_and_not_counted_as_a_dropped_step() -> None:
    def broken(query: str) -> str:
        raise RuntimeError("no network")

    search = BudgetAwareValueTreeSearch(ScriptedModel(table), budget=Budget(40, 5), tool=broken)
    picture = fold(search.search(QUESTION, plan=PLAN).trace.events)
    assert picture.nodes[0].failures["tool: RuntimeError: no network"] == picture.spent("tool_calls") == 5
    assert not picture.nodes[0].dropped
    assert "failed: tool: RuntimeError: no network (5 times), no tool call left" in render_text(search.trace)
    assert "answer:    none" in render_text(search.trace)


# SVG


@pytest.mark.parametrize("method", ["bavt", "parallel"])
def test_svg_after_every_event(method: str) -> None:
    trace = searched(method=method).trace
    for at in range(len(trace.events) + 1):
        svg = render_svg(trace, at)
        root = ElementTree.fromstring(svg)
        assert root.get("role") == "img" and root[0].tag.endswith("title")
        groups = root.findall("{http://www.w3.org/2000/svg}g")
        assert len(groups) == 1 + sum(event.kind == "added" for event in trace.events[:at])
        assert svg == render_svg(trace, at)
        assert not re.search(r"\d\.\d{4}", svg)
    assert render_svg(trace) == render_svg(trace, len(trace.events))


def test_svg_gives_the_reason_alone_where_its_explanation_does_not_fit() -> None:
    texts = ElementTree.fromstring(render_svg(searched().trace)).findall("{http://www.w3.org/2000/svg}text")
    (line,) = (each for each in texts if "Stopped: " in "".join(each.itertext()))
    whole, shown = line[0].text or "", line[0].tail or ""
    assert whole.startswith(f"{shown} (") and whole.endswith(")")


@pytest.mark.parametrize("at", [-1, 10**6, 1.0, True, "1"])
def test_svg_names_a_bad_at(at: Any) -> None:
    with pytest.raises(ValueError, match=r"at must be a whole number from 0 to \d+, got"):
        render_svg(searched().trace, at)


@pytest.mark.parametrize("children", [0, 1, 299])
def test_svg_boxes_lie_apart_and_inside(children: int) -> None:
    root = ElementTree.fromstring(render_svg(wide_trace(children)))
    width, height = (float(number) for number in root.get("viewBox", "").split()[2:])
    boxes = []
    for group in root.findall("{http://www.w3.org/2000/svg}g"):
        box = group.find("{http://www.w3.org/2000/svg}rect")
        assert box is not None
        boxes.append(tuple(float(box.get(name, "")) for name in ("x", "y", "width", "height")))
    assert len(boxes) == children + 1
    for i, (x, y, w, h) in enumerate(boxes):
        assert x >= 0 and x + w <= width and y >= 0 and y + h <= height
        for u, v, s, t in boxes[:i]:
            assert x >= u + s or u >= x + w or y >= v + t or v >= y + h


def contrast(one: str, two: str) -> float:
    """WCAG 2 contrast ratio."""

    def light(color: str) -> float:
        parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    low, high = sorted((light(one), light(two)))
    return (high + 0.05) / (low + 0.05)


def test_svg_colors_read_on_its_own_background() -> None:
    root = ElementTree.fromstring(render_svg(hostile_trace()))
    paper = root[1].get("fill", "")
    assert root[1].get("width") == "100%" and paper == "#ffffff"  # so that a dark page does not matter
    for element in root.iter():
        if element.tag.endswith("}text"):
            assert contrast(element.get("fill", ""), paper) >= 4.5
    edges = {rect.get("stroke") for rect in root.iter() if rect.get("stroke")}
    assert edges <= {"#0072B2", "#009E73", "#8a8a8a"}


def test_svg_marks_the_node_in_hand_until_the_search_is_over() -> None:
    trace = searched().trace
    for at in range(1, len(trace.events) + 1):
        event, root = trace.events[at - 1], ElementTree.fromstring(render_svg(trace, at))
        marked = [
            group
            for group in root.findall("{http://www.w3.org/2000/svg}g")
            if any(rect.get("stroke-dasharray") for rect in group)
        ]
        if event.kind in ("started", "stopped"):
            assert not marked
            continue
        (group,) = marked  # one frame, and words for those who do not see it
        title, *words = ["".join(element.itertext()) for element in group if element.tag.endswith(("title", "text"))]
        assert title.startswith(f"Step {event.node}:" if event.node else "Question:")
        assert any(line.startswith("now: ") for line in words)
    failed = BudgetAwareValueTreeSearch(ScriptedModel(table), budget=Budget(40, 5), tool=lambda query: str(1 / 0))
    failed.search(QUESTION, plan=PLAN)
    at = next(n for n, event in enumerate(failed.trace.events, 1) if event.kind == "pruned")
    assert "now: failed" in render_svg(failed.trace, at)


def test_svg_names_who_spent_what() -> None:
    result = searched(tokens=60)
    svg, roles = render_svg(result.trace), result.ledger.by_role()
    assert (
        f">Tokens written: generator {roles['generator']['tokens']}; tool calls: tool {roles['tool']['tool_calls']}<"
        in svg
    )
    assert f">Tokens read: generator {roles['generator']['prompt_tokens']}<" in svg
    assert ">Tokens written: none yet; tool calls: none yet<" in render_svg(result.trace, 1)


# Hostile text


def visible(text: str) -> bool:
    return not re.search(
        "[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]", text
    )


def test_hostile_text_in_svg() -> None:
    trace = hostile_trace()
    for at in range(len(trace.events) + 1):
        svg = render_svg(trace, at)
        assert visible(svg)
        elements = list(ElementTree.fromstring(svg).iter())
        assert {element.tag.split("}")[1] for element in elements} <= TAGS
        assert not any(name.startswith("on") or "href" in name for e in elements for name in e.attrib)
        svg.encode("utf-8")


def test_hostile_text_in_text_and_in_a_pipe() -> None:
    trace, out = hostile_trace(), io.StringIO()
    assert visible(render_text(trace)) and "[red]x[/red]" in render_text(trace)
    view = PlainView(out)
    for event in trace.events:
        view(event)
    view.finish()
    assert visible(out.getvalue()) and "[red]x[/red]" in out.getvalue()
    lines = out.getvalue().splitlines()
    assert all(line.startswith(("question:", "  ", "settings:", "budget:", "select:")) for line in lines[:8])


def test_hostile_text_in_a_terminal() -> None:
    trace, out = hostile_trace(), io.StringIO()
    console = Console(file=out, force_terminal=True, width=100, height=30, color_system="truecolor", _environ={})
    view = LiveView(console)
    with view.running():
        for event in trace.events:
            view(event)
            console.print(view)
    view.finish()
    written = out.getvalue()
    assert "[red]x[/red]" in written  # as it is, not as markup
    # What is left without rich's own colors, cursor and line commands is plain.
    rest = re.sub(r"\x1b\[(?:\??[0-9;]*)[mAKhlGH]", "", written).replace("\r", "")
    assert "\x1b[31m" not in written and "\x1b[2J" not in written
    assert visible(rest)


@given(st.text(max_size=60))
def test_plain_is_one_safe_line(text: str) -> None:
    safe = plain(text)
    assert visible(safe) and "\n" not in safe
    assert plain(safe) == safe
    ElementTree.fromstring(f"<t>{safe.replace('&', '').replace('<', '')}</t>")


@given(st.text(st.sampled_from("ab \u4e16\u754c\u0301\uff21\u00e9\ufe0f"), max_size=30), st.integers(0, 30))
def test_cut_fits(text: str, width: int) -> None:
    assert columns(cut(text, width)) <= width
    assert cut(text, columns(text)) == text


@given(st.text(st.sampled_from(string.printable[:95] + "\u4e16\u754c\uff21\u00e9\u03a9\u0301"), max_size=30))
def test_columns_agree_with_rich(text: str) -> None:
    assert columns(text) == cell_len(text)


# The terminal


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 60), st.integers(40, 160), st.integers(0, 400), st.booleans())
def test_screen_fits_any_terminal(height: int, width: int, at: int, ascii_only: bool) -> None:
    trace = WIDE if at % 2 else LONG
    drawing = Drawing(fold(trace.events[:at]), width, ascii_only)
    lines = drawing.screen(height, 1.0)
    assert len(lines) <= height
    assert all(cell_len(line.plain) <= width and "\n" not in line.plain for line in lines)
    if ascii_only:
        assert all(line.plain.isascii() for line in lines)
    if height >= 18 and at:
        shown = "\n".join(line.plain for line in lines)
        assert ("left" in shown) and ("Tree" in shown)


WIDE = wide_trace(300)
LONG = searched(tokens=400, calls=30).trace


def test_report_has_all_that_a_newcomer_needs() -> None:
    result, out = searched(), io.StringIO()
    report(fold(result.trace.events), Console(file=out, width=80, _environ={}), seconds=1.25, gold="Ann (wrong)")
    text = out.getvalue()
    for part in (
        QUESTION,
        *PLAN,
        result.answer,
        result.reason,
        "generator: ",
        "tool: ",
        "Seconds   1.2",
        "Gold      Ann",
    ):
        assert part in text
    assert "\x1b" not in text
    assert all(len(line) <= 80 for line in text.splitlines())


def test_screen_shows_page_and_candidates_of_the_step_in_hand() -> None:
    trace = searched(page="The page of").trace
    at = next(n for n, event in enumerate(trace.events, 1) if event.kind == "expanded")
    lines = "\n".join(line.plain for line in Drawing(fold(trace.events[:at]), 80).screen(24, 0.5))
    assert "> 1. What is the capital of X?" in lines
    assert "The page of What is the capital of X?" in lines
    assert all(step[0] in lines or "Berne" in step[0] for step in trace.events[at - 1].data["steps"])


# Damaged traces


MISSING = object()
SPOILED = [
    *[("started", key, MISSING) for key in ("question", "plan", "v0", "tokens", "tool_calls")],
    *[("started", key, "x") for key in ("v0", "tokens", "tool_calls")],
    *[("started", "plan", value) for value in (None, 7)],
    *[("added", key, value) for key in ("residual", "value") for value in (MISSING, "x", None, [], float("nan"))],
    *[("added", "parent", value) for value in (MISSING, "0", None, [], 99)],
    *[("added", key, MISSING) for key in ("text", "terminal")],
    *[("expanded", "steps", value) for value in (MISSING, 7, [[]], [["a", 1]])],
    ("expanded", "question", MISSING),
    *[("stopped", "value", value) for value in (MISSING, None, float("inf"))],
    *[("stopped", key, MISSING) for key in ("answer", "reason", "forced")],
    *[("pruned", key, MISSING) for key in ("text", "why")],
]


@pytest.mark.parametrize(("kind", "key", "value"), SPOILED)
def test_damaged_events_are_named(kind: str, key: str, value: Any) -> None:
    trace = searched(tokens=60).trace
    at = next(n for n, event in enumerate(trace.events) if event.kind == kind)
    data = dict(trace.events[at].data)
    if value is MISSING:
        del data[key]
    else:
        data[key] = value
    events = [*trace.events[:at], replace(trace.events[at], data=data), *trace.events[at + 1 :]]
    for view in (render_text, render_svg):
        with pytest.raises(ValueError, match=rf"event {at + 1} \({kind}\) of the trace is damaged"):
            view(Trace(trace.header, events))


@pytest.mark.parametrize("node", [-1, 999, "0", None, [0], 1.5])
def test_events_at_no_node_are_named(node: Any) -> None:
    events = [replace(event, node=node) if event.kind == "selected" else event for event in searched().trace.events]
    with pytest.raises(ValueError, match=r"event 2 \(selected\) of the trace is damaged"):
        fold(events)


@pytest.mark.parametrize("charges", [None, [{}], [{"role": "x"}], [7]])
def test_damaged_charges_are_named(charges: Any) -> None:
    events = [replace(event, charges=charges) for event in searched().trace.events]
    with pytest.raises(ValueError, match=r"event 1 \(started\) of the trace is damaged"):
        fold(events)


def test_an_empty_trace_has_views() -> None:
    trace = Trace({})
    assert "answer:    none yet" in render_text(trace)
    assert "not asked yet" in render_svg(trace)
    assert len(Drawing(Picture(), 80).screen(24, 0.0)) <= 24
