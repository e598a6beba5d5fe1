"""The picture of a judged step, as text and XML; and the explorer that shows it."""

import importlib
import math
import re
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bavt_minimal.views.critics import TRACK, Case, describe, render_case

sys.path[:0] = [str(Path(__file__).parents[1] / "notebooks")]
PAGE = "Ada Ley is a judge. Born in Oakton, Ada Ley studied in Millford and lives in Foxdale."
CHANCES = {"asked": 0.31, "log-probability": 0.5, "head": 0.126, "adapter": 0.998}
WRONG = Case(PAGE, "In which city does Ada Ley live?", "Oakton", CHANCES, False, "Foxdale")
RIGHT = replace(WRONG, step="Foxdale", right=True)
HOSTILE = "\x1b[31m</title><script>alert('1')</script>]]>&amp;\u202eevil\ud800\x85\u2028" + "x" * 300
SVG = "{http://www.w3.org/2000/svg}"
OKABE_ITO = {"#0072B2", "#009E73", "#E69F00", "#D55E00"}


def drawn(case: Case, reveal: bool = False) -> ElementTree.Element:
    return ElementTree.fromstring(render_case(case, reveal))


def words(case: Case, reveal: bool = False) -> list[str]:
    return ["".join(each.itertext()) for each in drawn(case, reveal).iter(f"{SVG}text")]


@pytest.mark.parametrize("reveal", [False, True])
@pytest.mark.parametrize("case", [WRONG, RIGHT])
def test_it_is_an_image_with_a_title_on_its_own_ground(case: Case, reveal: bool) -> None:
    root = drawn(case, reveal)
    assert root.get("role") == "img" and root[0].tag == f"{SVG}title" and root[0].text == describe(case, reveal)
    assert root[1].tag == f"{SVG}rect" and (root[1].get("width"), root[1].get("fill")) == ("100%", "#ffffff")
    assert render_case(case, reveal) == render_case(case, reveal)
    assert not re.search(r"\d\.\d{4}|<style|<script|href|NaN", render_case(case, reveal))


def test_page_question_step_and_every_critic_are_there() -> None:
    said = words(WRONG)
    for part in ("Page", "Question", "Step", "Oakton", "In which city does Ada Ley live?", "0.31", "0.13", "1.00"):
        assert part in said
    assert PAGE in " ".join(said)
    assert set(CHANCES) <= set(said)
    assert [said.count(f"leans to {way}") for way in ("right", "wrong")] == [1, 2] and said.count("undecided") == 1


def test_nothing_depends_on_the_truth_before_it_is_shown() -> None:
    assert (
        render_case(WRONG) == render_case(replace(WRONG, right=True)) == render_case(replace(WRONG, gold="Elsewhere"))
    )
    assert "Truth: hidden" in describe(WRONG) and "Foxdale" not in describe(WRONG)
    assert "right=" not in repr(WRONG) and "gold=" not in repr(WRONG)


def test_the_truth_is_told_in_words_when_it_is_shown() -> None:
    assert "Truth: wrong, the page says Foxdale" in words(WRONG, True)
    assert "Truth: right" in words(RIGHT, True)
    assert "Truth: wrong" in words(replace(WRONG, gold=""), True)
    # asked .31 and head .13 lean to wrong, the adapter to right, and .5 is neither
    assert [words(WRONG, True).count(said) for said in ("agrees", "errs")] == [2, 1]
    assert [words(RIGHT, True).count(said) for said in ("agrees", "errs")] == [1, 2]
    assert describe(WRONG, True).endswith("Truth: wrong, the page says Foxdale.")


def test_colors_are_never_alone() -> None:
    for case in (WRONG, RIGHT):
        svg = render_case(case, True)
        colors = set(re.findall(r"#[0-9A-Fa-f]{6}", svg))
        assert colors <= OKABE_ITO | {"#1a1a1a", "#595959", "#e4e4e4", "#ffffff"}
        assert svg.count("#009E73") + svg.count("#D55E00") == 4  # marks, each with a word beside it
        assert {each.get("fill") for each in drawn(case, True).iter(f"{SVG}text")} <= {"#1a1a1a", "#595959"}


@settings(max_examples=60)
@given(st.dictionaries(st.text(max_size=40), st.floats(0, 1), min_size=1, max_size=9), st.booleans(), st.booleans())
def test_any_critics_fit_and_bars_are_as_long_as_said(chances: dict[str, float], right: bool, reveal: bool) -> None:
    case = replace(WRONG, chances=chances, right=right)
    root = drawn(case, reveal)
    width, height = (float(x) for x in root.get("viewBox", "").split()[2:])
    for each in root.iter():
        x, y = float(each.get("x", 0)), float(each.get("y", 0))
        assert 0 <= x < width and 0 <= y < height
    bars = [float(r.get("width", "")) for r in root.iter(f"{SVG}rect") if r.get("fill") in ("#0072B2", "#E69F00")]
    assert bars == [pytest.approx(TRACK * round(chance, 2), abs=0.01) for chance in chances.values()]


def test_hostile_text_stays_text() -> None:
    case = Case(HOSTILE, HOSTILE, HOSTILE, {HOSTILE: 0.2, "": 0.9}, False, HOSTILE)
    for reveal in (False, True):
        svg = render_case(case, reveal)
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\ud800-\udfff]", svg)
        tags = {each.tag.removeprefix(SVG) for each in ElementTree.fromstring(svg).iter()}
        assert tags <= {"svg", "title", "rect", "text", "path"}
    assert "(empty)" in words(Case("", "", "", {"a": 0.5}, True))
    assert len(render_case(replace(WRONG, page=PAGE * 1000))) < 10_000


@pytest.mark.parametrize("chance", [-0.1, 1.1, math.nan, "0.5", None])
def test_a_chance_that_is_none_is_named(chance: Any) -> None:
    with pytest.raises(ValueError, match=r"chances\['head'\] must be a number in \[0, 1\]"):
        replace(WRONG, chances={"head": chance})
    with pytest.raises(ValueError, match="chances must name one critic or more"):
        replace(WRONG, chances={})


def test_the_explorer_hides_the_truth_of_the_next_step() -> None:
    explorer = importlib.import_module("widgets.critic_explorer").critic_explorer
    box = explorer([WRONG, RIGHT])
    (step, shown), picture = box.children[0].children, box.children[1]
    assert picture.value == render_case(WRONG)
    assert "right" not in str(step.options) and "wrong" not in str(step.options)
    shown.value = True
    assert picture.value == render_case(WRONG, True)
    step.value = 1
    assert picture.value == render_case(RIGHT) and shown.value is False
    shown.value = True
    shown.value = False
    assert picture.value == render_case(RIGHT)
    with pytest.raises(ValueError, match="one step or more"):
        explorer([])
