"""A user's own data: what is read, what is written, and what each bad file is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bavt_minimal.tasks import data
from bavt_minimal.tasks.data import Gold, Question, World, load_data, save_data, title_key
from bavt_minimal.tasks.encyclopedia import make_world

PAGES = {"pages": {"Rome": "Rome is a city."}}


def ask(**row: Any) -> dict[str, Any]:
    return PAGES | {"questions": [row]}


def test_a_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "mine.json"
    plan = ["Which river is in Rome?", "Where does #1 end?"]
    row = {"question": "Where does the river of Rome end?", "plan": plan, "answer": "Ostia"}
    file.write_text(json.dumps(PAGES | {"questions": [row, {"question": "Why?"}]}), "utf-8")
    world, gold = load_data(str(file))
    assert world.pages == PAGES["pages"]
    assert world.questions == (Question("1", row["question"], tuple(plan)), Question("2", "Why?"))
    assert gold == {"1": Gold("Ostia")}


def test_questions_may_be_left_out_and_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    file = tmp_path / "mine.json"
    file.write_text(json.dumps(PAGES), "utf-8-sig")
    world, gold = load_data(file)
    assert world.questions == () and gold == {}


def test_a_generated_world_comes_back(tmp_path: Path) -> None:
    world, gold = make_world(10_001, 6)
    save_data(tmp_path / "a.json", world, gold)
    again, answers = load_data(tmp_path / "a.json")
    assert again == World(dict(world.pages), world.questions)
    assert answers == {key: Gold(value.answer) for key, value in gold.items()}
    assert list(again.pages) == list(world.pages)


def test_no_answers_are_written_unless_given(tmp_path: Path) -> None:
    world, _ = make_world(10_001, 6)
    save_data(tmp_path / "a.json", world)
    assert '"answer"' not in (tmp_path / "a.json").read_text("utf-8")


TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip)


@given(st.dictionaries(TEXT, TEXT, min_size=1, max_size=4), st.lists(TEXT, max_size=3))
def test_any_pages_and_questions_come_back(
    tmp_path_factory: pytest.TempPathFactory, pages: dict[str, str], texts: list[str]
) -> None:
    questions = tuple(Question(str(i), text) for i, text in enumerate(texts))
    gold = {question.id: Gold(question.text) for question in questions}
    file = tmp_path_factory.mktemp("data") / "a.json"
    save_data(file, World(pages, questions), gold)
    assert load_data(file) == (World(pages, questions), gold)


BAD: dict[str, tuple[Any, str]] = {
    "no JSON": ("{", "not valid JSON.*line 1"),
    "empty file": ("", "not valid JSON"),
    "deep": ("[" * 100_000, "nested"),
    "key twice": ('{"pages": {"A": "a", "A": "b"}}', "'A' occurs twice"),
    "a list": ([], "object.*empty list"),
    "no pages": ({}, '"pages".*missing'),
    "empty pages": ({"pages": {}}, '"pages".*empty object'),
    "pages a list": ({"pages": ["a"]}, '"pages"'),
    "page a number": ({"pages": {"Rome": 5}}, r"pages\['Rome'\].*number 5|pages\['Rome'\].*5"),
    "page blank": ({"pages": {"Rome": " "}}, r"pages\['Rome'\].*empty text"),
    "title blank": ({"pages": {"": "a"}}, "title"),
    "half a character": ('{"pages": {"A": "\\ud800"}}', "surrogate"),
    "unknown field": (PAGES | {"question": []}, "'question'"),
    "questions an object": (PAGES | {"questions": {}}, '"questions".*list'),
    "a question a text": (PAGES | {"questions": ["Why?"]}, r"questions\[0\].*object"),
    "question missing": (ask(answer="a"), r"questions\[0\].question.*missing"),
    "question a number": (ask(question=7), r"questions\[0\].question"),
    "unknown question field": (ask(question="a", plans=[]), "'plans'"),
    "plan a text": (ask(question="a", plan="b"), r"questions\[0\].plan.*list"),
    "step a number": (ask(question="a", plan=["b", 3]), r"plan\[1\]"),
    "forward reference": (ask(question="a", plan=["b", "c #3"]), r"plan\[1\].*#3.*#1 to #1"),
    "reference in step 1": (ask(question="a", plan=["b #1"]), r"plan\[0\].*#1"),
    "reference 0": (ask(question="a", plan=["b", "c #0"]), r"plan\[1\].*#0"),
    "answer a list": (ask(question="a", answer=["b"]), r"questions\[0\].answer"),
    "answer null": (ask(question="a", answer=None), r"questions\[0\].answer.*null"),
    "id twice": (
        PAGES | {"questions": [{"question": "a", "id": "x"}, {"question": "b", "id": "x"}]},
        r"questions\[1\].id.*'x'",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_told_what_is_wrong(name: str, tmp_path: Path) -> None:
    content, message = BAD[name]
    file = tmp_path / "mine.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    with pytest.raises(ValueError, match=message) as caught:
        load_data(file)
    assert str(file) in str(caught.value)
    assert len(str(caught.value)) < 600


def test_other_encodings_are_told(tmp_path: Path) -> None:
    file = tmp_path / "mine.json"
    file.write_bytes('{"pages": {"Zürich": "x"}}'.encode("latin-1"))
    with pytest.raises(ValueError, match=r"mine\.json: not UTF-8 at byte 13"):
        load_data(file)


def test_a_file_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "mine.json"
    file.write_text(json.dumps(PAGES), "utf-8")
    monkeypatch.setattr(data, "MAX_BYTES", 10)
    with pytest.raises(ValueError, match=r"mine\.json.*bytes"):
        load_data(file)


def test_no_file_and_a_folder_are_os_errors(tmp_path: Path) -> None:
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(OSError):
            load_data(path)


def test_title_key() -> None:
    assert title_key('  "The  River Orme." ') == title_key("river orme") == "river orme"
    assert title_key("Theodora") == "theodora" and title_key("the") == "the"
