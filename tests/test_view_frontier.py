"""The picture of a frontier against the rules it shows, against XML, and against hostile and bad input."""

import importlib
import math
import re
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bavt_minimal import BudgetAware, BudgetAwareUCB
from bavt_minimal.views.frontier import TRACK, amount, percent, render_frontier

VALUES, VISITS = [0.85, 0.80, 0.60, 0.50], [3, 0, 1, 0]
COLORS = {"#0072B2": "V^(1/r)", "#E69F00": "guide's UCB", "#009E73": "scaled UCB"}
HOSTILE = "</title><script>alert(1)</script>]]>&amp;\u202e\x1b[31m\x00"
FRONTIER = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 40)), min_size=1, max_size=26)


def tags(svg: str, name: str) -> list[ElementTree.Element]:
    return [element for element in ElementTree.fromstring(svg).iter() if element.tag.endswith("}" + name)]


def words(svg: str) -> list[str]:
    return [element.text or "" for element in tags(svg, "text")]


def drawn(svg: str) -> dict[str, list[float]]:
    """By rule, the lengths of its bars in order, as shares."""
    return {
        name: [float(rect.get("width", "")) / TRACK for rect in tags(svg, "rect") if rect.get("fill") == color]
        for color, name in COLORS.items()
    }


def rules(total: float, c: float) -> dict[str, Any]:
    ucb, scaled = BudgetAwareUCB(c, total), BudgetAwareUCB(c, total, scaled=True)
    return dict(zip(COLORS.values(), (BudgetAware(), ucb, scaled), strict=True))


@settings(max_examples=60, deadline=None)
@given(FRONTIER, st.floats(0, 1), st.floats(1, 1e6), st.floats(0, 5))
def test_the_bars_are_the_rules_chances(frontier: list[tuple[float, int]], r: float, total: float, c: float) -> None:
    values, visits = [v for v, _ in frontier], [n for _, n in frontier]
    svg = render_frontier(values, visits, [r], total_budget=total, constant=c)
    found = drawn(svg)
    for name, rule in rules(total, c).items():
        chances = rule(values, visits, r)
        np.testing.assert_allclose(found[name], chances, atol=1e-4)
        for chance in chances:
            assert percent(chance) in words(svg)
    assert {element.tag.split("}")[1] for element in ElementTree.fromstring(svg).iter()} <= {
        *("svg", "title", "rect", "text", "path")
    }
    assert not re.search(r"\d\.\d{4}", svg.split("</title>")[1])


def test_the_same_picture_each_time() -> None:
    assert render_frontier(VALUES, VISITS) == render_frontier(tuple(VALUES), np.array(VISITS))


def test_a_block_for_each_share() -> None:
    svg = render_frontier(VALUES, VISITS, [1.0, 0.5, 0.1])
    assert [text for text in words(svg) if text.startswith("r = ")] == ["r = 1", "r = 0.5", "r = 0.1"]
    assert {"64 of 64 tokens left", "32 of 64 tokens left", "6.4 of 64 tokens left"} <= set(words(svg))
    assert {"exponent 1", "exponent 2", "exponent 10"} <= set(words(svg))
    for name, rule in rules(64.0, 1.0).items():
        expected = np.concatenate([rule(VALUES, VISITS, r) for r in (1.0, 0.5, 0.1)])
        np.testing.assert_allclose(drawn(svg)[name], expected, atol=1e-4)
    one = render_frontier(VALUES, VISITS, [0.5])
    assert float(tags(svg, "svg")[0].get("height", "")) > float(tags(one, "svg")[0].get("height", ""))


def test_the_guides_weight_grows_and_the_scaled_one_falls() -> None:
    said = words(render_frontier(VALUES, VISITS, [1.0, 0.5, 0.1]))
    guide = [float(text.split("= ")[1]) for text in said if text.startswith("c / remaining")]
    scaled = [float(text.split("= ")[1]) for text in said if text.startswith("c * r")]
    assert guide == sorted(guide) and scaled == sorted(scaled, reverse=True) and guide[0] < guide[-1]


def test_value_and_bonus_stand_beside_the_bars() -> None:
    said = words(render_frontier(VALUES, VISITS, [0.1]))
    for scaled in (False, True):
        ucb = BudgetAwareUCB(1.0, 64.0, scaled)
        for value, count in zip(VALUES, VISITS, strict=True):
            score = ucb.compute_ucb_score(value * (count + 1), count + 1, 64.0, 6.4)
            assert f"{value:.2f} + {amount(score - value)}" in said


def test_at_the_end_of_the_budget() -> None:
    said = words(render_frontier(VALUES, VISITS, [0.0]))
    assert "exponent 50, the cap" in said and "c / remaining = inf" in said and "c * r = 0.00" in said
    assert not [text for text in said if "nan" in text]
    assert "c / remaining = 0.00" in words(render_frontier(VALUES, VISITS, [0.0], constant=0.0))


def test_small_chances_are_not_shown_as_none() -> None:
    assert (percent(0.0), percent(1e-9), percent(0.0004), percent(0.0006), percent(1.0)) == (
        *("0.000", "<.001", "<.001", "0.001", "1.000"),
    )
    assert [amount(x) for x in (0.0, 1e-5, 0.0156, 0.5, 12.0, math.inf)] == [
        *("0.00", "<.001", "0.016", "0.50", "12.00", "inf"),
    ]
    assert "<.001" in words(render_frontier([0.9, 0.1], [0, 0], [0.05]))


def test_likeliest_in_bold_and_in_the_title() -> None:
    svg = render_frontier(VALUES, VISITS, [1.0, 0.1])
    title = tags(svg, "title")[0].text or ""
    assert "Likeliest at r = 1: V^(1/r) B (0.343), guide's UCB A (1.000), scaled UCB B (1.000)." in title
    assert "Likeliest at r = 0.1: V^(1/r) A (0.516), guide's UCB B (1.000), scaled UCB B (1.000)." in title
    bold = [element.text for element in tags(svg, "text") if element.get("font-weight") == "bold"]
    assert "0.343" in bold and "0.516" in bold and "0.000" not in bold
    assert "guide's UCB A and B (0.500)" in (tags(render_frontier([0.5, 0.5], [1, 1], [1.0]), "title")[0].text or "")


def test_reads_without_its_page_and_without_its_colors() -> None:
    svg = render_frontier(VALUES, VISITS)
    root = ElementTree.fromstring(svg)
    assert root.get("role") == "img" and root[0].tag.endswith("title") and len(root[0].text or "") > 60
    assert root[1].get("width") == "100%" and root[1].get("fill") == "#ffffff"  # so that a dark page does not matter
    assert {"V^(1/r)", "guide's UCB", "scaled UCB"} <= set(words(svg))  # the columns have names
    assert {text.get("fill") for text in tags(svg, "text")} <= {"#1a1a1a", "#595959"}
    assert "script" not in svg and "style" not in svg and "http" not in svg.replace("http://www.w3.org/2000/svg", "")


def test_nothing_lies_outside() -> None:
    svg = render_frontier([0.5] * 26, [12345] * 26, [0.01, 1.0], total_budget=1e6, names=["a long name"] * 26)
    root = ElementTree.fromstring(svg)
    width, height = float(root.get("width", "")), float(root.get("height", ""))
    for element in (*tags(svg, "rect")[1:], *tags(svg, "text")):
        assert 0 <= float(element.get("x", "")) < width and 0 <= float(element.get("y", "")) < height


def test_hostile_names() -> None:
    svg = render_frontier([0.5, 0.6], [0, 1], names=[HOSTILE, "b"])
    assert "script" not in {element.tag.split("}")[1] for element in ElementTree.fromstring(svg).iter()}
    assert "\u202e" not in svg and "\x1b" not in svg


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"values": []}, "values"),
        ({"values": [math.nan, 0.5]}, "values"),
        ({"values": [0.5] * 27, "visits": [0] * 27}, "at most 26"),
        ({"visits": [0]}, "equally long"),
        ({"visits": [0, -1]}, "visits"),
        ({"shares": []}, "shares"),
        ({"shares": [1.2]}, "r must"),
        ({"names": ["one"]}, "names"),
        ({"total_budget": 0.0}, "total_budget"),
        ({"constant": -1.0}, "exploration_constant"),
    ],
)
def test_nonsense_is_refused(options: dict[str, Any], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        render_frontier(**({"values": [0.5, 0.6], "visits": [0, 1]} | options))


def test_the_slider_shows_what_it_is_set_to() -> None:
    sys.path.insert(0, str(Path(__file__).parents[1] / "notebooks"))
    box = importlib.import_module("widgets.r_slider").r_slider(VALUES, VISITS)
    r, c, total, picture = box.children
    assert picture.value == render_frontier(VALUES, VISITS, [1.0])
    r.value = 0.25
    assert picture.value == render_frontier(VALUES, VISITS, [0.25])
    c.value, total.value = 0.5, 1024
    assert picture.value == render_frontier(VALUES, VISITS, [0.25], constant=0.5, total_budget=1024)
    r.value = 0.0
    assert "0 of 1024 tokens left" in words(picture.value)
