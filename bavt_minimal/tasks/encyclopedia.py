"""A seeded generator of fictional encyclopedias and of questions that chain 2 to 4 relations.

A world has 66 pages. Each page is prose in which every fact has a rival of the same type
("was born in A, studied in B and now lives in C"), and every sentence, sub-question and noun phrase
has four wordings. Facts are drawn independently, so only what the pages say is true of a world.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeVar

from bavt_minimal.tasks.data import Gold, Question, World

# The seeds of each split. Each name belongs to one split too, so no world of one split shares a
# name, and therefore a fact or a question, with a world of another.
SPLITS = {"train": range(0, 10_000), "dev": range(10_000, 11_000), "test": range(20_000, 21_000)}
SIZES = {"person": 22, "city": 16, "company": 12, "river": 8, "mountain": 8}
WORDINGS = (0, 1, 2, 3)

HEADS = """Bal Bar Ber Bor Bren Cal Cam Car Cas Cor Dal Dar Del Den Der Don Dor Dun Eld Fal Fen Fer
Gal Gar Gil Gren Hal Han Har Hol Jan Jar Kal Kel Ker Kor Lam Lan Lar Lem Lin Lor Mal Man Mar Mel Mer
Mon Mor Nev Nor Or Pal Pel Pen Per Pol Quin Ram Ran Ren Ros Sal San Sel Sem Sim Sol Tal Tam Tar Tel
Tem Tor Trav Val Van Var Vel Ver Vin Wal War Wen Wil""".split()
TAILS = """adan ande ath aven eth idel igan ila imet ira itan ith iva ivel ola olin olk onde ora osh
oster oth ova ovan uda uki ula umar une urd ush usk uta uth""".split()
TRADES = "Foods Glass Motors Paper Steel Textiles Systems Press Films Optics".split()


class Relation(NamedTuple):
    """What a relation joins, its sub-questions and its noun phrases; `{}` is the subject."""

    subject: str
    value: str
    asks: tuple[str, ...]
    nouns: tuple[str, ...]


def _relation(subject: str, value: str, asks: str, nouns: str) -> Relation:
    return Relation(subject, value, tuple(asks.split("|")), tuple(nouns.split("|")))


RELATIONS = {
    "born": _relation(
        "person",
        "city",
        "In which city was {} born?|What city was {} born in?|What is the birthplace of {}?|"
        "Which city was {} born in?",
        "the birthplace of {}|the city where {} was born|the native city of {}|"
        "the city of birth of {}",
    ),
    "studied": _relation(
        "person",
        "city",
        "In which city did {} study?|Which city did {} study in?|What city did {} study in?|"
        "In which city was {} a student?",
        "the city where {} studied|the university town of {}|the city where {} was a student|"
        "the place of study of {}",
    ),
    "home": _relation(
        "person",
        "city",
        "In which city does {} live?|Which city does {} live in?|What city does {} live in?|"
        "In which city does {} live now?",
        "the home of {}|the city where {} lives|the place of residence of {}|"
        "the city that is home to {}",
    ),
    "employer": _relation(
        "person",
        "company",
        "Which company does {} work for?|What company does {} work for?|"
        "Which company employs {}?|What is the employer of {}?",
        "the employer of {}|the company that employs {}|the company where {} works|"
        "the firm that {} works for",
    ),
    "former": _relation(
        "person",
        "company",
        "Which company did {} leave?|What company did {} leave?|"
        "What is the company that {} left?|Which company did {} work for before?",
        "the former employer of {}|the company that {} left|the earlier employer of {}|"
        "the firm that {} used to work for",
    ),
    "teacher": _relation(
        "person",
        "person",
        "Who taught {}?|Who was the teacher of {}?|By whom was {} taught?|Who is the teacher of {}?",
        "the teacher of {}|the person who taught {}|the former teacher of {}|"
        "the person whose pupil was {}",
    ),
    "spouse": _relation(
        "person",
        "person",
        "Who is married to {}?|Who is the spouse of {}?|To whom is {} married?|"
        "Who did {} marry?",
        "the spouse of {}|the person married to {}|the person whom {} married|"
        "the partner in marriage of {}",
    ),
    "founder": _relation(
        "company",
        "person",
        "Who founded {}?|Who is the founder of {}?|By whom was {} founded?|Who was the founder of {}?",
        "the founder of {}|the person who founded {}|the person who started {}|"
        "the one who set up {}",
    ),
    "chief": _relation(
        "company",
        "person",
        "Who runs {}?|Who is the head of {}?|Who leads {} now?|By whom is {} run?",
        "the head of {}|the person who runs {}|the chief executive of {}|the leader of {}",
    ),
    "seat": _relation(
        "company",
        "city",
        "In which city is the head office of {}?|In which city is {} based?|Which city is {} based in?|"
        "Which city has the head office of {}?",
        "the seat of {}|the city where {} is based|the home city of {}|"
        "the city with the head office of {}",
    ),
    "shop": _relation(
        "company",
        "city",
        "In which city did {} open its first shop?|In which city was the first shop of {}?|"
        "What city had the first shop of {}?|Which city had the first shop of {}?",
        "the city of the first shop of {}|the city where {} opened its first shop|"
        "the city where {} began to trade|the city that had the first shop of {}",
    ),
    "rival": _relation(
        "company",
        "company",
        "Which company is the rival of {}?|What is the main rival of {}?|"
        "Which company competes with {}?|With which company does {} compete?",
        "the rival of {}|the main competitor of {}|the company that competes with {}|"
        "the chief rival of {}",
    ),
    "owner": _relation(
        "company",
        "company",
        "Which company owns {}?|To which company does {} belong?|What is the owner of {}?|"
        "By which company is {} owned?",
        "the owner of {}|the company that owns {}|the parent company of {}|"
        "the firm that {} belongs to",
    ),
    "mayor": _relation(
        "city",
        "person",
        "Who is the mayor of {}?|Who is mayor of {} now?|Who is the present mayor of {}?|"
        "Who is now the mayor of {}?",
        "the mayor of {}|the person who governs {}|the present mayor of {}|the mayor in {}",
    ),
    "predecessor": _relation(
        "city",
        "person",
        "Who was the last mayor of {}?|Who was mayor of {} before?|"
        "Who was the mayor of {} earlier?|Who was the former mayor of {}?",
        "the former mayor of {}|the last mayor of {}|the person who governed {} before|"
        "the previous mayor of {}",
    ),
    "twin": _relation(
        "city",
        "city",
        "Which city is the twin town of {}?|With which city is {} twinned?|"
        "What is the twin town of {}?|What city is twinned with {}?",
        "the twin town of {}|the city twinned with {}|the partner city of {}|the twin of {}",
    ),
    "railway": _relation(
        "city",
        "city",
        "In which city does the railway from {} end?|Which city does the railway from {} lead to?|"
        "What city does the railway from {} go to?|To which city does the railway from {} run?",
        "the end of the railway from {}|the city where the railway from {} ends|"
        "the city that trains from {} go to|the last stop of the trains from {}",
    ),
    "river": _relation(
        "city",
        "river",
        "On which river does {} stand?|Which river flows through {}?|What is the river of {}?|"
        "What river is {} on?",
        "the river of {}|the river that flows through {}|the river on which {} stands|"
        "the river by which {} was built",
    ),
    "peak": _relation(
        "city",
        "mountain",
        "Which mountain is north of {}?|Which mountain rises north of {}?|"
        "What is the mountain north of {}?|What mountain lies north of {}?",
        "the mountain north of {}|the mountain that rises north of {}|"
        "the peak to the north of {}|the northern mountain of {}",
    ),
    "source": _relation(
        "river",
        "mountain",
        "On which mountain does the {} rise?|Which mountain is the source of the {}?|"
        "What is the source of the {}?|From which mountain does the {} flow?",
        "the source of the {}|the mountain where the {} begins|"
        "the mountain on which the {} rises|the mountain that the {} comes from",
    ),
    "mouth": _relation(
        "river",
        "city",
        "In which city does the {} end?|Which city does the {} end in?|"
        "What city does the {} end in?|In which city does the {} reach the sea?",
        "the mouth of the {}|the city where the {} ends|"
        "the city where the {} reaches the sea|the city at the mouth of the {}",
    ),
    "tributary": _relation(
        "river",
        "river",
        "Which river joins the {}?|What river flows into the {}?|"
        "Which river flows into the {}?|By which river is the {} joined?",
        "the tributary of the {}|the river that joins the {}|the river that flows into the {}|"
        "the river that the {} takes in",
    ),
    "climber": _relation(
        "mountain",
        "person",
        "Who first climbed {}?|Who was the first to climb {}?|Who climbed {} first?|"
        "By whom was {} first climbed?",
        "the first climber of {}|the person who first climbed {}|"
        "the first person on top of {}|the first to climb {}",
    ),
    "camp": _relation(
        "mountain",
        "city",
        "Which city is nearest to {}?|Which city lies at the foot of {}?|"
        "In which city does the path up {} start?|What is the nearest city to {}?",
        "the city nearest to {}|the city at the foot of {}|"
        "the city from which the path up {} starts|the nearest city to {}",
    ),
    "stream": _relation(
        "mountain",
        "river",
        "Which river rises on {}?|Which river begins on {}?|What river rises on {}?|"
        "Which river has its source on {}?",
        "the river that rises on {}|the river that begins on {}|the river that comes from {}|"
        "the river with its source on {}",
    ),
}
SYMMETRIC = ("spouse", "twin", "rival")

# One list per kind: its groups of facts, each in four wordings. Slots that are no relation
# (`far`, `pass`, ...) are there to mislead only.
EXTRA = {
    "sibling": ("person", "person"),
    "second": ("mountain", "person"),
    "view": ("mountain", "city"),
    "lower": ("mountain", "river"),
    "other": ("city", "river"),
    "far": ("city", "mountain"),
    "pass": ("river", "mountain"),
    "midway": ("river", "city"),
    "next": ("river", "river"),
}
GROUPS = {
    "person": (
        (
            "{s} was born in {born} and works for {employer}.",
            "Born in {born}, {s} is employed by {employer}.",
            "{s} works for {employer} and was born in {born}.",
            "The birthplace of {s} is {born}, and the employer is {employer}.",
        ),
        (
            "{s} studied in {studied} and was taught by {teacher}.",
            "{s} was a student in {studied}, and the teacher of {s} was {teacher}.",
            "Taught by {teacher}, {s} studied in {studied}.",
            "{teacher} taught {s}, who studied in {studied}.",
        ),
        (
            "{s} left {former} and now lives in {home} with {spouse}, married for years.",
            "Married to {spouse}, {s} lives in {home} after leaving {former}.",
            "{s} is married to {spouse}, lives in {home} and has left {former}.",
            "After leaving {former}, {s} married {spouse} and now lives in {home}.",
        ),
    ),
    "company": (
        (
            "{s} was founded by {founder} and competes with {rival}.",
            "{founder} founded {s}, and its rival is {rival}.",
            "The founder of {s} was {founder}, and its main rival is {rival}.",
            "Founded by {founder}, {s} is the rival of {rival}.",
        ),
        (
            "{chief} runs {s}, which is based in {seat}.",
            "{s} is based in {seat} and is run by {chief}.",
            "The head of {s} is {chief}, and its head office is in {seat}.",
            "Led by {chief}, {s} has its head office in {seat}.",
        ),
        (
            "{s} had its first shop in {shop} and is owned by {owner}.",
            "The owner of {s} is {owner}, and its first shop was in {shop}.",
            "{s} opened its first shop in {shop} and belongs to {owner}.",
            "Owned by {owner}, {s} opened its first shop in {shop}.",
        ),
    ),
    "city": (
        (
            "The mayor of {s} is {mayor}, and its twin town is {twin}.",
            "{s} is twinned with {twin}, and its mayor is {mayor}.",
            "{mayor} is now mayor of {s}, the twin town of {twin}.",
            "The present mayor of {s} is {mayor}, and {s} is twinned with {twin}.",
        ),
        (
            "The last mayor of {s} was {predecessor}, and its railway ends in {railway}.",
            "The railway from {s} leads to {railway}, and {predecessor} was mayor before.",
            "{predecessor} was mayor of {s} before, and its railway goes to {railway}.",
            "The former mayor of {s} is {predecessor}, and its railway runs to {railway}.",
        ),
        (
            "{s} stands on the {river}, and north of it is {peak}, not {far}.",
            "The {river} flows through {s}, with {peak} to the north and {far} to the south.",
            "The river of {s} is the {river}, and {peak} lies north of it, far from {far}.",
            "South of {s} lies {far}, north of {s} is {peak}, and {s} is on the {river}.",
        ),
    ),
    "river": (
        (
            "The {s} rises on {source} and ends in {mouth}.",
            "From its source on {source} the {s} flows to its end in {mouth}.",
            "The source of the {s} is {source}, and it reaches the sea in {mouth}.",
            "The {s} ends in {mouth} and has its source on {source}.",
        ),
        (
            "It passes {pass} and runs through {midway}.",
            "It flows through {midway} and near {pass}.",
            "People see it from {pass} and swim in it in {midway}.",
            "There are boats on it in {midway}, and {pass} is in view.",
        ),
        (
            "The {tributary} joins the {s}, but the {next} does not.",
            "The {tributary} flows into the {s}, and the {next} runs near it.",
            "The {s} is joined by the {tributary}, not by the {next}.",
            "The river that joins the {s} is the {tributary}, not the {next}.",
        ),
    ),
    "mountain": (
        (
            "{climber} climbed {s} first, and the nearest city is {camp}.",
            "{s} was first climbed by {climber}, and {camp} lies at its foot.",
            "The city nearest to {s} is {camp}, and {climber} was the first to climb {s}.",
            "The first to climb {s} was {climber}, from {camp} at the foot of {s}.",
        ),
        (
            "{second} came later, and it is seen from {view}.",
            "People see it from {view}, and {second} painted it.",
            "{second} measured it from {view}.",
            "It is seen from {view}, where {second} wrote about it.",
        ),
        (
            "The {stream} rises on {s}, and the {lower} passes below.",
            "The {stream} has its source on {s}, but the {lower} does not.",
            "The river that rises on {s} is the {stream}, not the {lower}.",
            "The {stream} begins on {s} and meets the {lower}.",
        ),
    ),
}
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
    """Return the split to which the word `name` belongs: half of all words are for training."""
    number = hashlib.sha256(name.encode()).digest()[0] % 4
    return ("train", "train", "dev", "test")[number]


def load_split(
    name: str, questions_per_world: int = 3, wordings: Sequence[int] = WORDINGS
) -> Iterator[tuple[World, dict[str, Gold]]]:
    """Yield the worlds of split `name` ("train", "dev" or "test") with their gold answers."""
    if name not in SPLITS:
        raise ValueError(f"name is {name!r}; the splits are {', '.join(SPLITS)}.")
    return (make_world(seed, questions_per_world, wordings) for seed in SPLITS[name])


def make_world(seed: int, questions: int = 3, wordings: Sequence[int] = WORDINGS) -> tuple[World, dict[str, Gold]]:
    """Return the world of `seed` with so many questions, and their gold answers by question id.

    `wordings` says which of the four wordings of everything are used; names, facts and chains of
    a seed are the same for all. Raises ValueError for a seed of no split or bad counts.
    """
    split = next((name for name, seeds in SPLITS.items() if seed in seeds), None)
    if split is None:
        raise ValueError(f"seed is {seed!r}; the seeds of the splits are {SPLITS}.")
    if not 0 <= questions <= 1000:
        raise ValueError(f"questions is {questions}; it must be 0 to 1000.")
    if not wordings or not set(wordings) <= set(WORDINGS):
        raise ValueError(f"wordings is {wordings!r}; choose one or more of {WORDINGS}.")
    rng = random.Random(seed)
    titles = _titles(rng, split)
    facts = _facts(rng, titles)
    pages = {
        title: _page(rng, kind, title, facts[title], wordings) for kind, names in titles.items() for title in names
    }
    pages = dict(_shuffled(rng, list(pages.items())))
    kinds = {title: kind for kind, names in titles.items() for title in names}
    asked: list[Question] = []
    gold: dict[str, Gold] = {}
    seen: set[tuple[str, ...]] = set()
    while len(asked) < questions:
        start = _pick(rng, list(kinds))
        relations, path = _walk(rng, start, 2 + int(rng.random() * 3), facts, kinds)
        text, plan = start, []
        for hop, relation in enumerate(relations):
            subject = start if hop == 0 else f"#{hop}"
            plan.append(_pick(rng, RELATIONS[relation].asks, wordings).format(subject))
            noun = _pick(rng, RELATIONS[relation].nouns, wordings)
            text = noun.format(text)
        lead = LEADS["person" if RELATIONS[relations[-1]].value == "person" else ""]
        text = _pick(rng, lead).format(text)
        if len(set(path)) == len(path) and start not in path and (start, *relations) not in seen:
            seen.add((start, *relations))
            asked.append(Question(f"{split}-{seed}-{len(asked)}", text, tuple(plan)))
            gold[asked[-1].id] = Gold(path[-1], path, relations)
    return World(pages, tuple(asked)), gold


def _walk(
    rng: random.Random,
    start: str,
    hops: int,
    facts: dict[str, dict[str, str]],
    kinds: dict[str, str],
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    relations: list[str] = []
    path = [start]
    for _ in range(hops):
        known = [relation for relation in facts[path[-1]] if relation in RELATIONS]
        relations.append(_pick(rng, known))
        path.append(facts[path[-1]][relations[-1]])
    return tuple(relations), tuple(path[1:])


def _titles(rng: random.Random, split: str) -> dict[str, list[str]]:
    words = [head + tail for head in HEADS for tail in TAILS]
    names = iter(_shuffled(rng, [word for word in words if split_of(word) == split]))
    makers = {
        "person": lambda: f"{next(names)} {next(names)}",
        "city": lambda: next(names),
        "company": lambda: f"{next(names)} {_pick(rng, TRADES)}",
        "river": lambda: f"River {next(names)}",
        "mountain": lambda: f"Mount {next(names)}",
    }
    return {kind: [makers[kind]() for _ in range(size)] for kind, size in SIZES.items()}


def _facts(rng: random.Random, titles: dict[str, list[str]]) -> dict[str, dict[str, str]]:
    facts: dict[str, dict[str, str]] = {name: {} for names in titles.values() for name in names}
    for relation in SYMMETRIC:
        names = _shuffled(rng, titles[RELATIONS[relation].subject])
        for one, two in zip(names[::2], names[1::2], strict=True):
            facts[one][relation], facts[two][relation] = two, one
    slots = {name: (row.subject, row.value) for name, row in RELATIONS.items()} | EXTRA
    for relation, (subject, value) in slots.items():
        for title in titles[subject]:
            taken = {title, *facts[title].values()}
            free = [name for name in titles[value] if name not in taken]
            facts[title].setdefault(relation, _pick(rng, free))
    return facts


def _page(rng: random.Random, kind: str, title: str, facts: dict[str, str], wordings: Sequence[int]) -> str:
    his = _pick(rng, ("her", "his"))
    words = {"s": title, "his": his, **facts}
    opening = _pick(rng, OPENINGS[kind]).format(title)
    groups = _shuffled(rng, GROUPS[kind])
    return " ".join([opening, *(_pick(rng, group, wordings).format(**words) for group in groups)])


# Only `random()` itself is promised to stay the same in later versions of Python.
def _pick(rng: random.Random, items: Sequence[Item], among: Sequence[int] | None = None) -> Item:
    choices = range(len(items)) if among is None else among
    return items[choices[int(rng.random() * len(choices))]]


def _shuffled(rng: random.Random, items: Sequence[Item]) -> list[Item]:
    keys = [rng.random() for _ in items]
    return [items[i] for i in sorted(range(len(items)), key=keys.__getitem__)]
