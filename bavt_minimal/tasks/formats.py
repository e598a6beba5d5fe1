"""HotpotQA, 2WikiMultihopQA, MuSiQue and Bamboogle, read one question at a time from the files of their authors.

hotpotqa   JSON array, distractor setting (github.com/hotpotqa/hotpot, README): `_id`, `question`, `answer`, and
           `context` of [title, [sentence, ...]]. Supporting facts, but no sub-questions; a test file has no answers.
2wiki      The same with `evidences`, triples (subject, relation, object), and `answer_id`, under which the authors'
           id_aliases.json has more right answers (github.com/Alab-NII/2wikimultihop, README and evaluation v1.1).
musique    JSON lines, MuSiQue-Ans (github.com/StonyBrookNLP/musique, raw_data_to_official_format.py): `id`, `question`,
           `answer`, `answer_aliases`, `paragraphs` of {title, paragraph_text}, and `question_decomposition`, whose
           sub-questions name earlier answers as `#1`, like ours.
bamboogle  CSV with the columns Question and Answer (github.com/ofirpress/self-ask, datasets). It has no pages: bring a
           tool. A column "Answer 2", which some copies have, counts as right too.

**Pages** belong to a question: it is answered from its own paragraphs, gold ones and distractors, as these settings
want it. What says which are gold is never read. Paragraphs of one title in one question are one page, in the order of
the file, a repeated one once; the search reads the first 2,000 characters of a page (`steps.PAGE_CHARACTERS`). A text
that does not begin with its title gets it in front, as in the authors' own baselines: some never name their subject.

**Plans** are gold data. MuSiQue's are its decompositions, word for word ("#1 >> spouse" is one). Of 2Wiki the evidences
make one, written like MuSiQue's, where they are a chain that ends in the answer (compositional and inference
questions); comparisons have none. HotpotQA and Bamboogle have none: the search's planner makes them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from ..checks import check_choice, check_count
from .data import Gold, Question, World, check_text, kind, title_key
from .records import Reader, Record, read_array, read_csv, read_lines, read_records

HUB = re.compile(r"hub:(?P<id>[^#@]+)(?:#(?P<config>[^#@]+))?@(?P<split>[^#@]+)")
Aliases = Mapping[str, Sequence[str]]  # Wikidata id -> names


class Item(NamedTuple):
    """A question, the pages that it is to be answered from (none: bring a tool) and its answer, if it is given."""

    question: Question
    pages: Mapping[str, str]
    gold: Gold | None


def load_questions(
    source: str | os.PathLike[str],
    format: str,
    limit: int | None = None,
    aliases: str | os.PathLike[str] | None = None,
) -> tuple[World, dict[str, Gold]]:
    """The first `limit` questions of a file (None: all) with their pages, and the answers by question id.

    Errors as of `read_questions`.
    """
    most = None if limit is None else check_count("limit", limit, least=1)
    return collect(islice(read_questions(source, format, aliases), most))


def collect(items: Iterable[Item]) -> tuple[World, dict[str, Gold]]:
    """Questions as `Bench`, `cases_of` and `tool_for` take them."""
    kept = list(items)
    golds = {item.question.id: item.gold for item in kept if item.gold is not None}
    pages = {item.question.id: item.pages for item in kept if item.pages}
    return World({}, tuple(item.question for item in kept), pages), golds


def read_questions(
    source: str | os.PathLike[str], format: str, aliases: str | os.PathLike[str] | None = None
) -> Iterator[Item]:
    """The questions of a file in one of `FORMATS`, one at a time: of what was read nothing is kept but the ids.

    `source` is a file, or "hub:OWNER/NAME#CONFIG@SPLIT" for a data set that the package `datasets` finds, with the
    fields of the authors' file or of hotpotqa/hotpot_qa. `aliases`: the file id_aliases.json of 2wiki.
    Raises OSError if it cannot be read, ValueError that names file, line, record and field if a record is not as
    described above, ImportError for a hub without `datasets`.
    """
    reader, parse = FORMATS[check_choice("format", format, tuple(FORMATS))]
    if aliases is not None and format != "2wiki":
        raise ValueError(f"aliases: {format} has its aliases in the file itself, or none; leave it out.")
    if format == "2wiki":
        parse = partial(parse, names=read_aliases(aliases) if aliases is not None else {})
    hub = str(source).startswith("hub:")
    seen: dict[str, str] = {}
    for number, record in enumerate(read_hub(str(source)) if hub else read_records(source, reader), 1):
        try:
            if not isinstance(record.data, dict):
                raise ValueError(f"must be an object, not {kind(record.data)}.")
            item = parse({**record.data, "id": str(number)} if format == "bamboogle" else record.data)
            if (before := seen.setdefault(item.question.id, record.where)) != record.where:
                raise ValueError(f"{item.question.id!r} is also the id of {before}.")
        except ValueError as error:
            raise ValueError(f"{record.where}: {error}") from None
        yield item


# The formats: a record's fields, checked, as an item


def hotpotqa(
    row: dict[str, Any], plan: tuple[str, ...] = (), path: tuple[str, ...] = (), aliases: tuple[str, ...] = ()
) -> Item:
    """A record of HotpotQA."""
    return Item(question_of(row, plan), pages_of(paragraphs(row.get("context"))), gold_of(row, path, aliases))


def wiki(row: dict[str, Any], names: Aliases) -> Item:
    """A record of 2WikiMultihopQA."""
    plan, path = chain(row.get("evidences"), row.get("answer"))
    return hotpotqa(row, plan, path, tuple(names.get(str(row.get("answer_id")), ())))


def musique(row: dict[str, Any]) -> Item:
    """A record of MuSiQue-Ans."""
    if row.get("answerable") is False:
        raise ValueError(
            "answerable is false, so this is MuSiQue-Full, which also asks what cannot be answered. "
            "Take the file musique_ans_v1.0_... of the same download."
        )
    plan: list[str] = []
    answers: list[Any] = []
    for i, step in enumerate(objects(row.get("question_decomposition") or [], "question_decomposition")):
        text = check_text(step.get("question"), f"question_decomposition[{i}].question")
        plan.append(only_earlier(text, i + 1))
        answers.append(step.get("answer"))
    known = all(isinstance(answer, str) and answer.strip() for answer in answers)
    found = []
    for i, one in enumerate(objects(row.get("paragraphs"), "paragraphs")):
        for name in ("title", "paragraph_text"):
            if not isinstance(one.get(name), str):
                raise ValueError(f"paragraphs[{i}].{name} must be a text, not {kind(one.get(name))}.")
        found.append((one["title"], one["paragraph_text"]))
    aliases = tuple(strings(row.get("answer_aliases") or [], "answer_aliases"))
    return Item(question_of(row, tuple(plan)), pages_of(found), gold_of(row, tuple(answers) if known else (), aliases))


def bamboogle(row: dict[str, Any]) -> Item:
    """A row of Bamboogle. Its id is its number."""
    row = {name.lower(): text for name, text in row.items()}
    for name in ("question", "answer"):
        if name not in row:
            columns = ", ".join(repr(each) for each in row if each != "id")
            raise ValueError(
                f"it has no {name.title()!r}, but {columns or 'nothing'}; the columns are Question, Answer."
            )
    second = row.get("answer 2") or ""
    return Item(question_of(row), {}, gold_of(row, (), (second,) if second.strip() else ()))


FORMATS: dict[str, tuple[Reader, Callable[..., Item]]] = {
    "hotpotqa": (read_array, hotpotqa),
    "2wiki": (read_array, wiki),
    "musique": (read_lines, musique),
    "bamboogle": (read_csv, bamboogle),
}


# Fields


def question_of(row: dict[str, Any], plan: tuple[str, ...] = ()) -> Question:
    """The question under its id, which a hub calls "id"."""
    name = "_id" if "_id" in row else "id"
    return Question(check_text(row.get(name), name), check_text(row.get("question"), "question"), plan)


def gold_of(row: dict[str, Any], path: tuple[str, ...] = (), aliases: tuple[str, ...] = ()) -> Gold | None:
    """The answer; None in a test file, which has it missing, null or blank."""
    answer = row.get("answer")
    if answer is None or (isinstance(answer, str) and not answer.strip()):
        return None
    return Gold(check_text(answer, "answer"), path, aliases=aliases)


def paragraphs(context: Any) -> list[tuple[str, str]]:
    """Title and text of each, from [title, sentences] or from the two columns that a hub makes of them."""
    if isinstance(context, dict):
        titles, texts = context.get("title"), context.get("sentences")
        if not isinstance(titles, list) or not isinstance(texts, list) or len(titles) != len(texts):
            raise ValueError("context must have as many sentences as title, both lists.")
        context = [list(pair) for pair in zip(titles, texts, strict=True)]
    if not isinstance(context, list) or not context:
        raise ValueError(f"context must be a list of [title, sentences] with a paragraph, not {kind(context)}.")
    found = []
    for i, pair in enumerate(context):
        if not isinstance(pair, list) or len(pair) != 2 or not isinstance(pair[0], str):
            raise ValueError(f"context[{i}] must be [title, sentences], not {kind(pair)}.")
        found.append((pair[0], " ".join(strings(pair[1], f"context[{i}][1]"))))
    return found


def pages_of(given: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Title -> text, one page for each title. Raises ValueError if there is no text at all."""
    texts: dict[str, list[str]] = {}
    for title, text in given:
        words = " ".join(text.split())
        if words and words not in texts.setdefault(title, []):
            texts[title].append(words)
    joined = {title: " ".join(each) for title, each in texts.items() if each}
    if not joined:
        raise ValueError("its paragraphs are all blank.")
    return {
        title: text if text.lower().startswith(title.lower()) else f"{title}: {text}" for title, text in joined.items()
    }


def chain(evidences: Any, answer: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """A plan and the answers to its steps, if each triple begins where the last one ended; else two empty ones."""
    if not isinstance(evidences, list) or not evidences or not isinstance(answer, str):
        return (), ()  # a test file, or a hub's columns
    for i, triple in enumerate(evidences):
        if len(strings(triple, f"evidences[{i}]")) != 3:
            raise ValueError(f"evidences[{i}] must be [subject, relation, object], not {kind(triple)}.")
    links = zip(evidences, [*evidences[1:], [answer]], strict=True)
    if not all(one[2].strip() and title_key(one[2]) == title_key(other[0]) for one, other in links):
        return (), ()
    first, *others = evidences
    steps = [f"{first[0]} >> {first[1]}", *(f"#{i} >> {relation}" for i, (_, relation, _) in enumerate(others, 1))]
    return tuple(steps), tuple(triple[2] for triple in evidences)


def only_earlier(step: str, number: int) -> str:
    """A step in which "#1" is a reference: in a song that is #1 somewhere (MuSiQue has one) it is none."""
    return re.sub(r"#(\d+)", lambda found: found[0] if 1 <= int(found[1]) < number else f"number {found[1]}", step)


def objects(value: Any, where: str) -> list[dict[str, Any]]:
    """A list of objects."""
    if not isinstance(value, list):
        raise ValueError(f"{where} must be a list of objects, not {kind(value)}.")
    for i, each in enumerate(value):
        if not isinstance(each, dict):
            raise ValueError(f"{where}[{i}] must be an object, not {kind(each)}.")
    return value


def strings(value: Any, where: str) -> list[str]:
    """A list of texts, which may be blank."""
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise ValueError(f"{where} must be a list of texts, not {kind(value)}.")
    return value


# Other sources


def read_aliases(path: str | os.PathLike[str]) -> dict[str, tuple[str, ...]]:
    """Of 2wiki's id_aliases.json, one {"Q_id", "aliases", "demonyms"} a line: the names of each entity."""
    found = {}
    for where, row in read_records(path, read_lines):
        try:
            objects([row], "the line")
            entity = check_text(row.get("Q_id"), "Q_id")
            names = [*strings(row.get("aliases", []), "aliases"), *strings(row.get("demonyms", []), "demonyms")]
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
        found[entity] = tuple(dict.fromkeys(names))
    return found


def read_hub(source: str) -> Iterator[Record]:
    """The rows of a data set that `datasets` finds, streamed."""
    asked = HUB.fullmatch(source)
    if asked is None:
        raise ValueError(f"{source!r} must be like hub:OWNER/NAME#CONFIG@SPLIT, with or without #CONFIG.")
    try:
        import datasets  # optional, and large
    except ImportError as error:
        raise ImportError(f"{source} needs the package datasets; run: pip install datasets") from error
    try:
        rows = datasets.load_dataset(asked["id"], asked["config"], split=asked["split"], streaming=True)
        for number, row in enumerate(rows, 1):
            yield Record(f"{source}, row {number}", dict(row))
    except Exception as error:  # of many libraries; nothing but the hub is used here
        said = " ".join(str(error).split())[:300]
        raise OSError(
            f"{source} cannot be read; is there a network, and are id, config and split right? {said}"
        ) from error


def suggest(path: str | os.PathLike[str]) -> str:
    """The format that a file looks like, "json" for this project's own, "" if like none. Never raises."""
    try:
        with Path(path).open(encoding="utf-8-sig", errors="replace") as file:
            head = file.read(2**16).lstrip()
    except (OSError, ValueError):  # the second for a name that can be none
        return ""
    keys = set(re.findall(r'"(\w+)"\s*:', head))
    if head[:1] == "[" and {"question", "context"} <= keys:
        return "2wiki" if keys & {"evidences", "entity_ids", "answer_id"} else "hotpotqa"
    if head[:1] == "{":
        return "musique" if {"question", "paragraphs"} <= keys else "json" if "pages" in keys else ""
    heads = {name.strip().strip('"').lower() for name in head.splitlines()[0].split(",")} if head else set()
    return "bamboogle" if {"question", "answer"} <= heads else ""
