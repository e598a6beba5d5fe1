"""Worlds, questions and gold answers, and the one JSON file that holds a user's own.

    {"pages": {"River Orme": "The River Orme ends in ..."},
     "questions": [{"question": "...", "plan": ["Where does the River Orme end?", "Who is the mayor of #1?"],
                    "answer": "...", "id": "..."}]}

`plan`, `answer` and `id` may be left out.
"""

from __future__ import annotations

import json
import os
import re
import string
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .records import unique

MAX_BYTES = 256 * 2**20


@dataclass(frozen=True)
class Question:
    """A question and its plan. Sub-question j may name the answer of an earlier one i as `#i`."""

    id: str
    text: str
    plan: tuple[str, ...] = ()


@dataclass(frozen=True)
class World:
    """Pages to look things up in and questions about them. It holds no answers.

    `own_pages`: question id -> its pages, where each question is to be answered from pages of its own; the same title
    may then have another text for another question.

    >>> pages = {"Ada": "Ada was born in London.", "London": "The mayor of London is John Gray."}
    >>> plan = ("Where was Ada born?", "Who is the mayor of #1?")
    >>> question = Question("1", "Who is the mayor of Ada's birthplace?", plan)
    >>> World(pages, (question,)).questions[0].plan[1]
    'Who is the mayor of #1?'
    """

    pages: Mapping[str, str]
    questions: tuple[Question, ...] = ()
    own_pages: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def part(self, ids: Iterable[str]) -> World:
        """Some of the questions, and what they are answered from."""
        wanted = frozenset(ids)
        questions = tuple(question for question in self.questions if question.id in wanted)
        return World(self.pages, questions, {id: pages for id, pages in self.own_pages.items() if id in wanted})


@dataclass(frozen=True)
class Gold:
    """The right answer and others that count as right; where they are known, those of every sub-question too.

    `relations`: what each sub-question of a generated question asks for.
    """

    answer: str
    path: tuple[str, ...] = ()
    relations: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()


def title_key(text: str) -> str:
    """For finding a page by its title: lower case, no outer punctuation, extra blanks or leading "the".

    >>> title_key('"The River Orme."')
    'river orme'
    """
    words = " ".join(text.lower().split()).strip(string.punctuation + " ")
    return words[4:].lstrip() if words.startswith("the ") else words


def load_data(path: str | os.PathLike[str]) -> tuple[World, dict[str, Gold]]:
    """Read a user's pages and questions from a JSON file of at most 256 MiB, in UTF-8.

    Returns the world, and the gold answers (of the questions that have one) by question id.
    Raises OSError if the file cannot be read, and ValueError, naming the file and the field, if
    what it holds is not as described at the top of this module.

    >>> from tempfile import TemporaryDirectory
    >>> world = World({"Ada": "Ada was born in London."}, (Question("1", "Where was Ada born?"),))
    >>> with TemporaryDirectory() as folder:
    ...     save_data(f"{folder}/mine.json", world, {"1": Gold("London")})
    ...     loaded, gold = load_data(f"{folder}/mine.json")
    >>> loaded == world, gold["1"].answer
    (True, 'London')
    """
    file = Path(path)
    size = file.stat().st_size
    if size > MAX_BYTES:
        raise ValueError(f"{file}: {size:,} bytes; at most {MAX_BYTES:,} are read. Use fewer pages.")
    try:
        data = json.loads(file.read_text(encoding="utf-8-sig"), object_pairs_hook=unique)
    except UnicodeDecodeError as error:
        raise ValueError(f"{file}: not UTF-8 at byte {error.start}. Save it as UTF-8.") from None
    except RecursionError:
        raise ValueError(f"{file}: not valid JSON: nested too deeply.") from None
    except ValueError as error:
        raise ValueError(f"{file}: not valid JSON: {error}") from None
    try:
        return _parse(data)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None


def save_data(path: str | os.PathLike[str], world: World, gold: Mapping[str, Gold] | None = None) -> None:
    """Write `world`, with the answers in `gold` if given, as a file that `load_data` reads.

    Raises ValueError if questions have pages of their own, which such a file has no place for.
    """
    if world.own_pages:
        raise ValueError(
            "world: its questions have pages of their own, which the file has no place for; save one each."
        )
    questions = []
    for question in world.questions:
        row: dict[str, Any] = {"id": question.id, "question": question.text}
        row |= {"plan": list(question.plan)} if question.plan else {}
        row |= {"answer": gold[question.id].answer} if gold and question.id in gold else {}
        questions.append(row)
    text = json.dumps({"pages": dict(world.pages), "questions": questions}, ensure_ascii=False, indent=1)
    Path(path).write_text(text + "\n", encoding="utf-8", newline="\n")


def _parse(data: Any) -> tuple[World, dict[str, Gold]]:
    if not isinstance(data, dict):
        raise ValueError(f'must be an object with "pages", not {kind(data)}.')
    if unknown := sorted(set(data) - {"pages", "questions"}):
        raise ValueError(f'unknown field {unknown[0]!r}; the fields are "pages" and "questions".')
    pages = data.get("pages")
    if not isinstance(pages, dict) or not pages:
        raise ValueError(f'"pages" must be an object of title: text with a page, not {kind(pages)}.')
    for title, text in pages.items():
        check_text(title, "a page title")
        check_text(text, f"pages[{title!r}]")
    rows = data.get("questions", [])
    if not isinstance(rows, list):
        raise ValueError(f'"questions" must be a list, not {kind(rows)}.')
    questions: dict[str, Question] = {}
    gold = {}
    for number, row in enumerate(rows):
        question, answer = _question(row, f"questions[{number}]", str(number + 1))
        if question.id in questions:
            raise ValueError(f"questions[{number}].id: {question.id!r} is the id of an earlier one.")
        questions[question.id] = question
        if answer is not None:
            gold[question.id] = Gold(answer)
    return World(pages, tuple(questions.values())), gold


def _question(row: Any, where: str, number: str) -> tuple[Question, str | None]:
    if not isinstance(row, dict):
        raise ValueError(f'{where} must be an object with "question", not {kind(row)}.')
    if unknown := sorted(set(row) - {"id", "question", "plan", "answer"}):
        raise ValueError(f'{where}: unknown field {unknown[0]!r}; the fields are "question", "plan", "answer", "id".')
    plan = row.get("plan", [])
    if not isinstance(plan, list):
        raise ValueError(f"{where}.plan must be a list of sub-questions, not {kind(plan)}.")
    for step, text in enumerate(plan, 1):
        for reference in re.findall(r"#(\d+)", check_text(text, f"{where}.plan[{step - 1}]")):
            if not 1 <= int(reference) < step:
                raise ValueError(
                    f"{where}.plan[{step - 1}]: step {step} refers to #{reference}; "
                    f"it may refer to earlier steps only{f', #1 to #{step - 1}' * (step > 1)}."
                )
    text = check_text(row.get("question"), f"{where}.question")
    answer = check_text(row["answer"], f"{where}.answer") if "answer" in row else None
    return Question(check_text(row.get("id", number), f"{where}.id"), text, tuple(plan)), answer


def check_text(value: Any, where: str) -> str:
    """Return `value` if it is a text that is not blank; else raise ValueError that begins with `where`."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{where} must be a text that is not blank, not {kind(value)}.")
    if not value.isascii() and not value.isprintable() and re.search("[\ud800-\udfff]", value):
        raise ValueError(f"{where} holds half of a character (a lone surrogate).")
    return value


def kind(value: Any) -> str:
    """What a JSON value is, for a message."""
    if value is None:
        return "missing or null"
    names = {dict: "object", list: "list", str: "text", bool: "true or false"}
    name = names.get(type(value), f"number {value}")
    empty = (isinstance(value, (dict, list)) and not value) or isinstance(value, str)
    return f"an empty {name}" if empty else f"the JSON value {json.dumps(value)[:40]}"
