"""The generator, checked by a solver that knows the wordings and reads nothing but the pages."""

from __future__ import annotations

import hashlib
import json
import re
from itertools import islice

import pytest

from bavt_minimal.tasks.data import Gold
from bavt_minimal.tasks.encyclopedia import (
    GROUPS,
    RELATIONS,
    SIZES,
    SPLITS,
    TRADES,
    WORDINGS,
    builtin,
    load_split,
    make_world,
    split_of,
)

# What a slot can hold. Trades and the words River and Mount belong to a name.
NAME = r"(?:River |Mount )?[A-Z][a-z]+(?: [A-Z][a-z]+)?"
SEEDS = {name: [*seeds[:12], seeds[-1]] for name, seeds in SPLITS.items()}


def pattern(wording: str) -> re.Pattern[str]:
    """The wording with each slot as a named group, and as a reference where it comes again."""
    seen: set[str] = set()

    def slot(match: re.Match[str]) -> str:
        known = match[1] in seen
        seen.add(match[1])
        return f"(?P={match[1]})" if known else f"(?P<{match[1]}>{NAME})"

    return re.compile(re.sub(r"\\{(\w+)\\}", slot, re.escape(wording)))


PATTERNS = [pattern(wording) for groups in GROUPS.values() for group in groups for wording in group]


def read_page(title: str, text: str) -> dict[str, str]:
    """The facts that a page tells, found with the sentences' wordings as patterns."""
    facts: dict[str, str] = {}
    for sentence in re.split(r"(?<=\.) ", text)[1:]:
        matches = [match.groupdict() for one in PATTERNS if (match := one.fullmatch(sentence))]
        found = [match for match in matches if match.pop("s", title) == title]
        assert len(found) == 1, (sentence, found)
        facts |= found[0]
    return facts


def relation_of(question: str) -> tuple[str, str]:
    """The relation that a sub-question asks for, and its subject."""
    found = set()
    for name, relation in RELATIONS.items():
        for ask in relation.asks:
            pattern = re.escape(ask).replace(r"\{\}", r"(#\d|" + NAME + ")")
            if match := re.fullmatch(pattern, question):
                found.add((name, match[1]))
    assert len(found) == 1, (question, found)
    return found.pop()


def test_the_plan_leads_to_the_gold_answer_by_what_the_pages_say() -> None:
    for seeds in SEEDS.values():
        for seed in seeds:
            world, gold = make_world(seed, 8)
            assert set(gold) == {question.id for question in world.questions}
            for question in world.questions:
                answers: list[str] = []
                for hop, step in enumerate(question.plan):
                    relation, subject = relation_of(step)
                    assert (subject == f"#{hop}") == (hop > 0)
                    title = subject if hop == 0 else answers[-1]
                    value = read_page(title, world.pages[title])[relation]
                    assert value in world.pages[title]
                    answers.append(value)
                right = gold[question.id]
                assert tuple(answers) == right.path
                assert right.answer == right.path[-1]
                assert [relation_of(step)[0] for step in question.plan] == list(right.relations)
                start = relation_of(question.plan[0])[1]
                assert len({start, *answers}) == 1 + len(answers)  # no entity twice
                assert 2 <= len(answers) <= 4
                assert question.text.count(start) == 1
                assert not any(answer in question.text for answer in answers)


def test_the_question_says_the_same_as_its_plan() -> None:
    for seed in SEEDS["train"]:
        world, gold = make_world(seed, 8)
        for question in world.questions:
            possible = {relation_of(question.plan[0])[1]}
            for relation in gold[question.id].relations:
                possible = {n.format(t) for t in possible for n in RELATIONS[relation].nouns}
            assert any(f" {text}" in question.text for text in possible)


def test_a_world_has_its_pages_and_each_page_names_its_title_and_values() -> None:
    world, _ = make_world(0)
    assert len(world.pages) == sum(SIZES.values()) == 66
    for title, text in world.pages.items():
        assert text.removeprefix("The ").startswith(title)
        for value in read_page(title, text).values():
            assert value in world.pages and value != title


def kind(title: str) -> str:
    words = title.split()
    if words[0] in ("River", "Mount"):
        return words[0]
    if len(words) == 1:
        return "city"
    return "company" if words[1] in TRADES else "person"


def test_most_pages_have_a_distractor_of_the_same_type() -> None:
    pages = with_one = 0
    for world, _ in islice(load_split("train"), 20):
        titles = set(world.pages)
        for title, text in world.pages.items():
            kinds = [kind(v) for v in set(read_page(title, text).values()) & titles]
            with_one += len(set(kinds)) < len(kinds)
            pages += 1
    assert with_one / pages > 0.6


def test_no_page_states_a_value_for_two_slots() -> None:
    world, _ = make_world(3)
    for title, text in world.pages.items():
        values = list(read_page(title, text).values())
        assert len(values) == len(set(values))


def titles_of(name: str) -> set[str]:
    """All titles of a split's worlds."""
    return {title for world, _ in islice(load_split(name), 100) for title in world.pages}


def test_splits_share_no_seed_name_fact_or_question() -> None:
    names = list(SPLITS)
    for i, one in enumerate(names):
        for other in names[i + 1 :]:
            assert not set(SPLITS[one]) & set(SPLITS[other])
            assert not titles_of(one) & titles_of(other)
    for name in names:
        assert {split_of(title) for title in titles_of(name)} == {name}
    found: dict[str, set[object]] = {}
    for name in names:
        found[name] = set()
        for world, _ in islice(load_split(name), 100):
            found[name] |= {question.text for question in world.questions}
            found[name] |= set(world.pages)
            found[name] |= {
                (title, value)
                for title, text in list(world.pages.items())[:20]
                for value in read_page(title, text).values()
            }
    assert not found["train"] & found["test"]
    assert not found["train"] & found["dev"]
    assert not found["dev"] & found["test"]


def test_the_same_seed_gives_the_same_bytes() -> None:
    def digest(seed: int) -> str:
        world, gold = make_world(seed, 5)
        parts = [list(world.pages.items()), [vars(q) for q in world.questions]]
        parts.append([[key, {k: v for k, v in vars(value).items() if k != "aliases"}] for key, value in gold.items()])
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    assert digest(7) == digest(7) != digest(8)
    assert digest(7) == "313c703a88f2b9eeb9b40b47d97ca762c67312dc2941fd78e9717ee3a539ab19"


def test_every_wording_occurs_and_can_be_held_out() -> None:
    assert all(len(r.asks) == len(r.nouns) == len(WORDINGS) for r in RELATIONS.values())
    assert all(len(set(r.asks)) == len(set(r.nouns)) == 4 for r in RELATIONS.values())
    assert all(len(set(g)) == 4 for groups in GROUPS.values() for g in groups)
    worlds = islice(load_split("train", 20), 100)
    plans = [question.plan for world, _ in worlds for question in world.questions]
    asked = [step for plan in plans for step in plan]
    for relation in RELATIONS.values():
        assert sum(any(step.startswith(ask.split("{")[0]) for step in asked) for ask in relation.asks) >= 3
    world, gold = make_world(1, 5)
    other, same = make_world(1, 5, wordings=(3,))
    assert gold == same and list(world.pages) == list(other.pages) and world != other
    for title, text in other.pages.items():
        assert read_page(title, text) == read_page(title, world.pages[title])
    for question in other.questions:
        for step in question.plan:
            relation, subject = relation_of(step)
            assert step == RELATIONS[relation].asks[3].format(subject)


def test_gold_cannot_be_reached_from_a_world() -> None:
    world, gold = make_world(10_000, 10)
    seen: set[int] = set()
    stack: list[object] = [world]
    while stack:
        thing = stack.pop()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        assert not isinstance(thing, Gold)
        assert thing is not gold
        if isinstance(thing, dict):
            stack += [*thing.keys(), *thing.values()]
        elif isinstance(thing, (tuple, list)):
            stack += thing
        elif hasattr(thing, "__dict__"):
            assert not {"answer", "path", "gold", "facts"} & set(vars(thing))
            stack += vars(thing).values()


def test_builtin_is_a_question_of_the_dev_split() -> None:
    world, question = builtin()
    assert question in world.questions and 2 <= len(question.plan) <= 3
    assert question.id.startswith("dev-")


@pytest.mark.parametrize("seed", [-1, 10**9, "a"])
def test_a_seed_of_no_split_is_refused(seed: object) -> None:
    with pytest.raises(ValueError, match="seed"):
        make_world(seed)  # type: ignore[arg-type]


def test_bad_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="questions"):
        make_world(0, -1)
    with pytest.raises(ValueError, match="wordings"):
        make_world(0, 1, ())
    with pytest.raises(ValueError, match="validation"):
        load_split("validation")
