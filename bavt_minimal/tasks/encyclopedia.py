"""A seeded generator of fictional encyclopedias and of questions that chain 2 to 4 relations.

A world has 66 pages. Each page tells two groups of facts about its title in prose, in random order,
mostly with a rival of the same type beside a fact ("was born in A ... now lives in B"). Every
sentence, sub-question and noun phrase has four wordings. Facts are drawn independently, so only
what the pages say is true of a world.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeVar

from .data import Gold, Question, World

# The seeds of each split. Each name belongs to one split too, so no world of one split shares a
# name, and therefore a fact or a question, with a world of another.
SPLITS = {"train": range(0, 10_000), "dev": range(10_000, 11_000), "test": range(20_000, 21_000)}
SIZES = {"person": 22, "city": 16, "company": 12, "river": 8, "mountain": 8}
WORDINGS = (0, 1, 2, 3)
BUILTIN = 0  # the built-in question's number in the first world of dev

# Names are made of common English words: a small model copies them well, so what it gets wrong is the reading.
FIRST = """Adam Alice Anna Arthur Ben Carl Clara David Diana Edward Ella Emma Eric Frank Fred George Grace Hannah Harry
Helen Henry Hugo Iris Jack James Jane John Julia Karl Kate Laura Leo Lily Louis Lucy Mark Martha Mary Max Nora Oliver
Oscar Paul Peter Ralph Rose Ruth Sam Sarah Simon Sofia Thomas Victor Walter""".split()
WORDS = """Ash Birch Black Bright Brook Clay Cold Corn Crow East Elm Fair Fern Fox Glen Gold Green Grey Hart Hazel Holly
Iron King Lake Long Maple Marsh Mill Moss North Oak Pine Rain Red Rock Rose Salt Sand Silver Snow South Stone Sun Swan
Thorn West White Wild Wind Wolf Wood""".split()
FAMILY = "berg er ley man smith son well wood wright".split()
PLACE = "bridge burg bury dale field ford gate ham haven mouth port ton town view ville worth".split()
STREAM = "er ey le well".split()
TRADES = ["Foods", "Glass", "Motors", "Paper", "Steel", "Textiles", "Systems", "Press", "Films", "Optics"]


class Relation(NamedTuple):
    """What a relation joins, its sub-questions and its noun phrases; `{}` is the subject."""

    subject: str
    value: str
    asks: tuple[str, ...]
    nouns: tuple[str, ...]


class Reading(NamedTuple):
    """A question that a page answers, and the right answer."""

    seed: int  # of the world
    page: str
    relation: str
    question: str
    answer: str


def _relation(subject: str, value: str, asks: str, nouns: str) -> Relation:
    return Relation(subject, value, tuple(asks.split("|")), tuple(nouns.split("|")))


RELATIONS = {
    "employer": _relation(
        "person",
        "company",
        "Which company does {} work for?|What company does {} work for?|"
        "Which company is {} employed by?|What is the employer of {}?",
        "the employer of {}|the company that employs {}|the company where {} works|the firm that {} works for",
    ),
    "teacher": _relation(
        "person",
        "person",
        "Who taught {}?|Who was the teacher of {}?|Who is the teacher of {}?|Who was {} taught by?",
        "the teacher of {}|the person who taught {}|the former teacher of {}|the person whose pupil was {}",
    ),
    "home": _relation(
        "person",
        "city",
        "In which city does {} live?|Which city does {} live in?|What city does {} live in?|Where does {} live now?",
        "the home of {}|the city where {} lives|the place of residence of {}|the city that is home to {}",
    ),
    "spouse": _relation(
        "person",
        "person",
        "Who is married to {}?|Who is {} married to?|Who is the spouse of {}?|Who did {} marry?",
        "the spouse of {}|the person married to {}|the person whom {} married|the partner in marriage of {}",
    ),
    "seat": _relation(
        "company",
        "city",
        "In which city is the head office of {}?|In which city is {} based?|"
        "Which city is {} based in?|Which city has the head office of {}?",
        "the seat of {}|the city where {} is based|the home city of {}|the city with the head office of {}",
    ),
    "chief": _relation(
        "company",
        "person",
        "Who runs {}?|Who is the head of {}?|Who leads {}?|Who is {} run by?",
        "the head of {}|the person who runs {}|the chief executive of {}|the leader of {}",
    ),
    "rival": _relation(
        "company",
        "company",
        "Which company is the rival of {}?|What is the main rival of {}?|"
        "Which company competes with {}?|With which company does {} compete?",
        "the rival of {}|the main competitor of {}|the company that competes with {}|the chief rival of {}",
    ),
    "mayor": _relation(
        "city",
        "person",
        "Who is the mayor of {}?|Who is mayor of {} now?|Who is the present mayor of {}?|Who is now the mayor of {}?",
        "the mayor of {}|the person who governs {}|the present mayor of {}|the mayor in {}",
    ),
    "twin": _relation(
        "city",
        "city",
        "Which city is the twin town of {}?|Which city is {} twinned with?|"
        "What is the twin town of {}?|What city is twinned with {}?",
        "the twin town of {}|the city twinned with {}|the partner city of {}|the twin of {}",
    ),
    "poet": _relation(
        "city",
        "person",
        "Which poet came from {}?|Who was the poet of {}?|Who is the poet of {}?|Who was the famous poet of {}?",
        "the poet of {}|the famous poet of {}|the poet who lived in {}|the poet who came from {}",
    ),
    "peak": _relation(
        "city",
        "mountain",
        "Which mountain is north of {}?|Which mountain rises north of {}?|"
        "What is the mountain north of {}?|What mountain lies north of {}?",
        "the mountain north of {}|the mountain that rises north of {}|"
        "the peak to the north of {}|the northern mountain of {}",
    ),
    "mouth": _relation(
        "river",
        "city",
        "In which city does the {} end?|Which city does the {} end in?|"
        "What city does the {} end in?|In which city does the {} reach the sea?",
        "the mouth of the {}|the city where the {} ends|"
        "the city where the {} reaches the sea|the city at the mouth of the {}",
    ),
    "climber": _relation(
        "mountain",
        "person",
        "Who first climbed {}?|Who was the first to climb {}?|Who climbed {} first?|Who was {} first climbed by?",
        "the first climber of {}|the person who first climbed {}|the first person on top of {}|the first to climb {}",
    ),
    "camp": _relation(
        "mountain",
        "city",
        "Which city is nearest to {}?|Which city lies at the foot of {}?|"
        "What city is at the foot of {}?|What is the nearest city to {}?",
        "the city nearest to {}|the city at the foot of {}|the city below {}|the nearest city to {}",
    ),
}
SYMMETRIC = ("spouse", "twin", "rival")

# The slots of EXTRA are no relations: they are there to mislead only. The small model that this is made for seldom
# reads them right (less than 35 % of samples on train worlds). GROUPS has for each kind its groups of facts, each in
# four wordings.
EXTRA = {
    "born": ("person", "city"),
    "owner": ("company", "company"),
    "shop": ("company", "city"),
    "tributary": ("river", "river"),
    "railway": ("city", "city"),
    "source": ("river", "mountain"),
    "founder": ("company", "person"),
    "studied": ("person", "city"),
    "river": ("city", "river"),
    "second": ("mountain", "person"),
    "view": ("mountain", "city"),
    "far": ("city", "mountain"),
    "pass": ("river", "mountain"),
    "midway": ("river", "city"),
    "next": ("river", "river"),
}
KINDS = {name: (row.subject, row.value) for name, row in RELATIONS.items()} | EXTRA  # what each joins
# Questions about some slots of EXTRA. No question of a world asks them: they teach a critic to read, see `readings`.
EXTRA_ASKS = {
    slot: tuple(asks.split("|"))
    for slot, asks in {
        "born": "In which city was {} born?|Where was {} born?|What is the birthplace of {}?|"
        "Which city is the birthplace of {}?",
        "owner": "Which company is the owner of {}?|Which company owns {}?|What company is {} owned by?|"
        "By which company is {} owned?",
        "shop": "In which city was the first shop of {}?|Where did {} open its first shop?|"
        "Which city had the first shop of {}?|Where was the first shop of {}?",
        "tributary": "Which river joins the {}?|What is the tributary of the {}?|By which river is the {} joined?|"
        "Which river is the tributary of the {}?",
        "railway": "To which city does the railway from {} lead?|Where does the railway from {} go?|"
        "Where does the railway of {} end?|Which city does the railway from {} lead to?",
        "source": "On which mountain does the {} rise?|What is the source of the {}?|"
        "From which mountain does the {} come?|Where does the {} rise?",
        "founder": "Who founded {}?|Who was the founder of {}?|By whom was {} founded?|Who was {} founded by?",
        "studied": "In which city did {} study?|Where did {} study?|Where was {} a student?|"
        "In which city was {} a student?",
        "river": "On which river does {} stand?|Which river is {} on?|What is the river of {}?|"
        "Which river does {} stand on?",
        "view": "From which city is {} seen?|From where do people see {}?|Where is {} seen from?|"
        "From which city do people see {}?",
        "midway": "Through which city does the {} flow?|Which city does the {} run through?|"
        "What city lies on the {}?|Which city is on the {}?",
    }.items()
}
GROUPS: dict[str, tuple[tuple[str, ...], ...]] = {
    "person": (
        (
            "{s} was born in {born} and works for {employer}.",
            "Born in {born}, {s} is employed by {employer}.",
            "{s} works for {employer} and was born in {born}.",
            "The birthplace of {s} is {born}, and the employer of {s} is {employer}.",
        ),
        (
            "{s} studied in {studied} and was taught by {teacher}.",
            "{s} was a student in {studied}, and the teacher of {s} was {teacher}.",
            "Taught by {teacher}, {s} studied in {studied}.",
            "The teacher of {s} was {teacher}, and {s} studied in {studied}.",
        ),
        (
            "{s} lives in {home} and is married to {spouse}.",
            "{s} is married to {spouse} and lives in {home}.",
            "Married to {spouse}, {s} now lives in {home}.",
            "The home of {s} is in {home}, and {s} is married to {spouse}.",
        ),
    ),
    "company": (
        (
            "{s} was founded by {founder} and is based in {seat}.",
            "The founder of {s} was {founder}, and the head office is in {seat}.",
            "{s} is based in {seat} and was founded by {founder}.",
            "Founded by {founder}, {s} has its head office in {seat}.",
        ),
        (
            "{s} is run by {chief} and had its first shop in {shop}.",
            "The head of {s} is {chief}, and its first shop was in {shop}.",
            "{s} opened its first shop in {shop} and is led by {chief}.",
            "{chief} runs {s}, which had its first shop in {shop}.",
        ),
        (
            "{s} competes with {rival} and is owned by {owner}.",
            "The rival of {s} is {rival}, and the owner of {s} is {owner}.",
            "{s} is owned by {owner} and competes with {rival}.",
            "The owner of {s} is {owner}, and its main rival is {rival}.",
        ),
    ),
    "city": (
        (
            "The mayor of {s} is {mayor}, and its twin town is {twin}.",
            "{s} is twinned with {twin}, and its mayor is {mayor}.",
            "The mayor of {s} is now {mayor}, and {s} is twinned with {twin}.",
            "The twin town of {s} is {twin}, and the present mayor is {mayor}.",
        ),
        (
            "The poet {poet} came from {s}, and its railway ends in {railway}.",
            "The railway from {s} leads to {railway}, and its famous poet was {poet}.",
            "The poet of {s} was {poet}, and its railway goes to {railway}.",
            "The railway from {s} runs to {railway}, and the poet {poet} lived in {s}.",
        ),
        (
            "{s} stands on the {river}, and north of it is {peak}, not {far}.",
            "North of {s} is {peak}, south of it is {far}, and {s} stands on the {river}.",
            "The river of {s} is the {river}, and the mountain north of it is {peak}, not {far}.",
            "South of {s} lies {far}, north of {s} lies {peak}, and {s} is on the {river}.",
        ),
    ),
    "river": (
        (
            "The {s} rises on {source} and ends in {mouth}.",
            "From its source on {source} the {s} runs to {mouth}, where it ends.",
            "The source of the {s} is {source}, and it reaches the sea in {mouth}.",
            "The {s} ends in {mouth} and comes from {source}.",
        ),
        (
            "It passes {pass} and runs through {midway}.",
            "It flows through {midway} and near {pass}.",
            "People see it from {pass} and swim in it in {midway}.",
            "There are boats on it in {midway}, and {pass} is in view.",
        ),
        (
            "The river that joins the {s} is the {tributary}, not the {next}.",
            "The {s} is joined by the {tributary}, not by the {next}.",
            "The tributary of the {s} is the {tributary}, and the {next} is far off.",
            "The {next} is far off, but the {s} is joined by the {tributary}.",
        ),
    ),
    "mountain": (
        (
            "{s} was first climbed by {climber}, and the nearest city is {camp}.",
            "{s} was first climbed by {climber}, and at its foot lies {camp}.",
            "The city nearest to {s} is {camp}, and the first to climb it was {climber}.",
            "The first to climb {s} was {climber}, and the city at its foot is {camp}.",
        ),
        (
            "{second} came later, and it is seen from {view}.",
            "People see it from {view}, and {second} painted it.",
            "{second} measured it from {view}.",
            "It is seen from {view}, where {second} wrote about it.",
        ),
    ),
}
GROUPS_ON_A_PAGE = 2
OPENINGS = {
    "person": ("{} is an engineer.", "{} is a painter.", "{} is a chemist.", "{} is a judge."),
    "company": ("{} is a company.", "{} is a firm.", "{} is a business.", "{} is an old company."),
    "city": ("{} is a city.", "{} is a town.", "{} is an old city.", "{} is a busy city."),
    "river": (
        "The {} is a river.",
        "The {} is a long river.",
        "The {} is a stream.",
        "The {} is a wide river.",
    ),
    "mountain": (
        "{} is a mountain.",
        "{} is a high mountain.",
        "{} is a peak.",
        "{} is a steep mountain.",
    ),
}
LEADS = {"person": ("Who is {}?", "Name {}."), "": ("What is {}?", "Name {}.")}

Item = TypeVar("Item")


def split_of(name: str) -> str:
    """Return the split to which a whole `name` belongs: half of all names are for training."""
    number = hashlib.sha256(name.encode()).digest()[0] % 4
    return ("train", "train", "dev", "test")[number]


def load_split(
    name: str, questions_per_world: int = 3, wordings: Sequence[int] = WORDINGS
) -> Iterator[tuple[World, dict[str, Gold]]]:
    """Yield the worlds of split `name` ("train", "dev" or "test") with their gold answers.

    >>> world, gold = next(load_split("dev", questions_per_world=1))
    >>> len(world.questions), len(gold)
    (1, 1)
    """
    if name not in SPLITS:
        raise ValueError(f"name is {name!r}; the splits are {', '.join(SPLITS)}.")
    return (make_world(seed, questions_per_world, wordings) for seed in SPLITS[name])


def make_world(seed: int, questions: int = 3, wordings: Sequence[int] = WORDINGS) -> tuple[World, dict[str, Gold]]:
    """Return the world of `seed` with so many questions, and their gold answers by question id.

    `wordings` says which of the four wordings of everything are used; names, facts and chains of
    a seed are the same for all. Raises ValueError for a seed of no split or bad counts.

    >>> world, gold = make_world(SPLITS["dev"][0], questions=1)
    >>> question = world.questions[0]
    >>> len(question.plan) == len(gold[question.id].path)
    True
    """
    if not 0 <= questions <= 1000:
        raise ValueError(f"questions is {questions}; it must be 0 to 1000.")
    rng, split, facts, pages = _make_pages(seed, wordings)
    asked: list[Question] = []
    gold: dict[str, Gold] = {}
    seen: set[tuple[str, ...]] = set()
    while len(asked) < questions:
        start = pick(rng, list(facts))
        relations, path = _walk(rng, start, 2 + int(rng.random() * 3), facts)
        if not path:
            continue
        text, plan = start, []
        for hop, relation in enumerate(relations):
            subject = start if hop == 0 else f"#{hop}"
            plan.append(pick(rng, RELATIONS[relation].asks, wordings).format(subject))
            noun = pick(rng, RELATIONS[relation].nouns, wordings)
            text = noun.format(text)
        text = question_about(rng, relations[-1], text)
        if len(set(path)) == len(path) and start not in path and (start, *relations) not in seen:
            seen.add((start, *relations))
            asked.append(Question(f"{split}-{seed}-{len(asked)}", text, tuple(plan)))
            gold[asked[-1].id] = Gold(path[-1], path, relations)
    return World(pages, tuple(asked)), gold


def question_about(rng: random.Random, relation: str, noun: str) -> str:
    """Return a question for what a noun phrase of `relation` names."""
    return pick(rng, LEADS["person" if RELATIONS[relation].value == "person" else ""]).format(noun)


def readings(
    seed: int, wordings: Sequence[int] = WORDINGS, relations: Sequence[str] = tuple(RELATIONS)
) -> list[Reading]:
    """Return every question that one page of the world of `seed` answers, about `relations`, in random order.

    `relations` may hold slots of EXTRA_ASKS too. The pages are those of `make_world(seed, wordings=wordings)`.
    Raises ValueError as `make_world` does.
    """
    rng, _, facts, pages = _make_pages(seed, wordings)
    asks = {name: row.asks for name, row in RELATIONS.items()} | EXTRA_ASKS
    return [
        Reading(seed, pages[title], relation, pick(rng, asks[relation], wordings).format(title), value)
        for title in _shuffled(rng, list(pages))
        for relation, value in facts[title].items()
        if relation in relations
    ]


def _make_pages(
    seed: int, wordings: Sequence[int]
) -> tuple[random.Random, str, dict[str, dict[str, str]], dict[str, str]]:
    split = next((name for name, seeds in SPLITS.items() if seed in seeds), None)
    if split is None:
        raise ValueError(f"seed is {seed!r}; the seeds of the splits are {SPLITS}.")
    if not wordings or not set(wordings) <= set(WORDINGS):
        raise ValueError(f"wordings is {wordings!r}; choose one or more of {WORDINGS}.")
    rng = random.Random(seed)
    titles = _titles(rng, split)
    facts = _facts(rng, titles)
    pages = {
        title: _page(rng, kind, title, facts[title], wordings) for kind, names in titles.items() for title in names
    }
    return rng, split, facts, dict(_shuffled(rng, list(pages.items())))


def builtin() -> tuple[World, Question]:
    """Return a world of the dev split and one question about it, for a first try.

    >>> world, question = builtin()
    >>> question.plan
    ('Which company does Julia Oakson work for?', 'Which city is #1 based in?')
    """
    world, _ = make_world(SPLITS["dev"][0])
    return world, world.questions[BUILTIN]


def builtin_gold() -> Gold:
    """Return the right answer to the built-in question.

    >>> builtin_gold().answer
    'Rosedale'
    """
    world, gold = make_world(SPLITS["dev"][0])
    return gold[world.questions[BUILTIN].id]


def _walk(
    rng: random.Random,
    start: str,
    hops: int,
    facts: dict[str, dict[str, str]],
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    relations: list[str] = []
    path = [start]
    for _ in range(hops):
        known = [relation for relation in facts[path[-1]] if relation in RELATIONS]
        if not known:  # a page that states no relation: the caller draws again
            return (), ()
        relations.append(pick(rng, known))
        path.append(facts[path[-1]][relations[-1]])
    return tuple(relations), tuple(path[1:])


def _titles(rng: random.Random, split: str) -> dict[str, list[str]]:
    makers = {
        "person": lambda: f"{pick(rng, FIRST)} {pick(rng, WORDS)}{pick(rng, FAMILY)}",
        "city": lambda: pick(rng, WORDS) + pick(rng, PLACE),
        "company": lambda: f"{pick(rng, WORDS)} {pick(rng, TRADES)}",
        "river": lambda: f"River {pick(rng, WORDS)}{pick(rng, STREAM)}",
        "mountain": lambda: f"Mount {pick(rng, FIRST)}",
    }
    titles: dict[str, list[str]] = {}
    for kind, size in SIZES.items():
        names: list[str] = []
        while len(names) < size:
            name = makers[kind]()
            if split_of(name) == split and name not in names:
                names.append(name)
        titles[kind] = names
    return titles


def _facts(rng: random.Random, titles: dict[str, list[str]]) -> dict[str, dict[str, str]]:
    facts: dict[str, dict[str, str]] = {name: {} for names in titles.values() for name in names}
    for relation in SYMMETRIC:
        names = _shuffled(rng, titles[RELATIONS[relation].subject])
        for one, two in zip(names[::2], names[1::2], strict=True):
            facts[one][relation], facts[two][relation] = two, one
    for relation, (subject, value) in KINDS.items():
        for title in titles[subject]:
            taken = {title, *facts[title].values()}
            free = [name for name in titles[value] if name not in taken]
            facts[title].setdefault(relation, pick(rng, free))
    for kind, names in titles.items():
        for title in names:  # each page tells a part only
            for group in _shuffled(rng, GROUPS[kind])[GROUPS_ON_A_PAGE:]:
                for slot in _slots(group):
                    facts[title].pop(slot, None)
    return facts


def _slots(group: Sequence[str]) -> list[str]:
    return re.findall(r"{(\w+)}", group[0])


def _page(rng: random.Random, kind: str, title: str, facts: dict[str, str], wordings: Sequence[int]) -> str:
    his = pick(rng, ("her", "his"))
    words = {"s": title, "his": his, **facts}
    opening = pick(rng, OPENINGS[kind]).format(title)
    told = [group for group in GROUPS[kind] if all(slot in words for slot in _slots(group))]
    groups = _shuffled(rng, told)
    return " ".join([opening, *(pick(rng, group, wordings).format(**words) for group in groups)])


def pick(rng: random.Random, items: Sequence[Item], among: Sequence[int] | None = None) -> Item:
    """Return one of `items`, or of those whose numbers are `among`."""
    # Only `random()` itself is promised to stay the same in later versions of Python.
    choices = range(len(items)) if among is None else among
    return items[choices[int(rng.random() * len(choices))]]


def _shuffled(rng: random.Random, items: Sequence[Item]) -> list[Item]:
    keys = [rng.random() for _ in items]
    return [items[i] for i in sorted(range(len(items)), key=keys.__getitem__)]
