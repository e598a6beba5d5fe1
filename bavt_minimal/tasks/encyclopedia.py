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

HEADS = """Bal Bren Cal Cor Dar Del Dor Dun Eld Fal Fen Gal Gren Hal Hol Jar Kal Kel Kor Lan Lor Mal
Mel Mor Nor Pel Quin Ren Sal Sar Sel Tal Tel Tor Val Var Vel Wal Wen Zel Ber Bor Dev Ker Lar Lem Mir
Nar Nav Nev Nil Pol Rav Rem Sem Tam Tem Tol Trav Tur Ven Vin""".split()
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
        "Where was {} born?|In which city was {} born?|What is the birthplace of {}?|Which city is {} a native of?",
        "the birthplace of {}|the city where {} was born|the native city of {}|the city of birth of {}",
    ),
    "studied": _relation(
        "person",
        "city",
        "Where did {} study?|In which city did {} study?|Where did {} go to university?|"
        "In which city was {} a student?",
        "the city where {} studied|the university town of {}|the city where {} was a student|the place of study of {}",
    ),
    "home": _relation(
        "person",
        "city",
        "Where does {} live?|In which city does {} live?|Where is the home of {}?|In which city is {} at home now?",
        "the home of {}|the city where {} lives|the place of residence of {}|the city that is home to {}",
    ),
    "employer": _relation(
        "person",
        "company",
        "Which company does {} work for?|Who employs {}?|Where is {} employed?|What is the employer of {}?",
        "the employer of {}|the company that employs {}|the company where {} works|the firm that {} works for",
    ),
    "former": _relation(
        "person",
        "company",
        "Which company did {} leave?|Who did {} work for before?|"
        "What is the former employer of {}?|Which company was {} at earlier?",
        "the former employer of {}|the company that {} left|the earlier employer of {}|"
        "the firm that {} used to work for",
    ),
    "teacher": _relation(
        "person",
        "person",
        "Who taught {}?|Who was the teacher of {}?|Whose pupil was {}?|By whom was {} taught?",
        "the teacher of {}|the person who taught {}|the former teacher of {}|the person whose pupil was {}",
    ),
    "spouse": _relation(
        "person",
        "person",
        "Who is married to {}?|Who is the spouse of {}?|To whom is {} married?|Whom did {} marry?",
        "the spouse of {}|the person married to {}|the person whom {} married|the partner in marriage of {}",
    ),
    "founder": _relation(
        "company",
        "person",
        "Who founded {}?|Who is the founder of {}?|By whom was {} founded?|Who started {}?",
        "the founder of {}|the person who founded {}|the person who started {}|the one who set up {}",
    ),
    "chief": _relation(
        "company",
        "person",
        "Who runs {}?|Who is the head of {}?|Who leads {} now?|Who is the chief executive of {}?",
        "the head of {}|the person who runs {}|the chief executive of {}|the leader of {}",
    ),
    "seat": _relation(
        "company",
        "city",
        "Where is the head office of {}?|In which city is {} based?|Where does {} have its seat?|"
        "Which city is the seat of {}?",
        "the seat of {}|the city where {} is based|the home city of {}|the city with the head office of {}",
    ),
    "shop": _relation(
        "company",
        "city",
        "Where did {} open its first shop?|In which city was the first shop of {}?|"
        "Where did {} begin to trade?|Which city had the first shop of {}?",
        "the city of the first shop of {}|the city where {} opened its first shop|"
        "the city where {} began to trade|the city that had the first shop of {}",
    ),
    "rival": _relation(
        "company",
        "company",
        "Which company is the rival of {}?|What is the main competitor of {}?|"
        "With which company does {} compete?|Which firm competes with {}?",
        "the rival of {}|the main competitor of {}|the company that competes with {}|the chief rival of {}",
    ),
    "owner": _relation(
        "company",
        "company",
        "Which company owns {}?|To which company does {} belong?|What is the owner of {}?|"
        "Which firm is the parent of {}?",
        "the owner of {}|the company that owns {}|the parent company of {}|the firm that {} belongs to",
    ),
    "mayor": _relation(
        "city",
        "person",
        "Who is the mayor of {}?|Who governs {} now?|Who is mayor in {}?|Who leads the city of {}?",
        "the mayor of {}|the person who governs {}|the present mayor of {}|the mayor in {}",
    ),
    "predecessor": _relation(
        "city",
        "person",
        "Who was the last mayor of {}?|Who was mayor of {} before?|Who governed {} earlier?|"
        "Who is the former mayor of {}?",
        "the former mayor of {}|the last mayor of {}|the person who governed {} before|the previous mayor of {}",
    ),
    "twin": _relation(
        "city",
        "city",
        "Which city is the twin town of {}?|With which city is {} twinned?|"
        "What is the twin town of {}?|Which city is the partner of {}?",
        "the twin town of {}|the city twinned with {}|the partner city of {}|the twin of {}",
    ),
    "railway": _relation(
        "city",
        "city",
        "Where does the railway from {} end?|Which city does the railway from {} lead to?|"
        "Where do the trains from {} go?|To which city do trains run from {}?",
        "the end of the railway from {}|the city where the railway from {} ends|"
        "the city that trains from {} go to|the last stop of the trains from {}",
    ),
    "river": _relation(
        "city",
        "river",
        "On which river does {} stand?|Which river flows through {}?|What is the river of {}?|"
        "By which river was {} built?",
        "the river of {}|the river that flows through {}|the river on which {} stands|the river by which {} was built",
    ),
    "peak": _relation(
        "city",
        "mountain",
        "Which mountain is north of {}?|Which mountain rises north of {}?|"
        "What is the mountain to the north of {}?|Which peak lies north of {}?",
        "the mountain north of {}|the mountain that rises north of {}|"
        "the peak to the north of {}|the northern mountain of {}",
    ),
    "source": _relation(
        "river",
        "mountain",
        "On which mountain does the {} rise?|Where does the {} begin?|"
        "What is the source of the {}?|From which mountain does the {} come?",
        "the source of the {}|the mountain where the {} begins|"
        "the mountain on which the {} rises|the mountain that the {} comes from",
    ),
    "mouth": _relation(
        "river",
        "city",
        "Where does the {} end?|In which city does the {} end?|"
        "Where does the {} reach the sea?|Which city is at the mouth of the {}?",
        "the mouth of the {}|the city where the {} ends|"
        "the city where the {} reaches the sea|the city at the mouth of the {}",
    ),
    "tributary": _relation(
        "river",
        "river",
        "Which river joins the {}?|What is the tributary of the {}?|"
        "Which river flows into the {}?|Which river does the {} take in?",
        "the tributary of the {}|the river that joins the {}|the river that flows into the {}|"
        "the river that the {} takes in",
    ),
    "climber": _relation(
        "mountain",
        "person",
        "Who first climbed {}?|Who was the first to climb {}?|Who first reached the top of {}?|"
        "By whom was {} first climbed?",
        "the first climber of {}|the person who first climbed {}|the first person on top of {}|the first to climb {}",
    ),
    "camp": _relation(
        "mountain",
        "city",
        "Which city is nearest to {}?|Which city lies at the foot of {}?|"
        "From which city does the path up {} start?|What is the nearest city to {}?",
        "the city nearest to {}|the city at the foot of {}|"
        "the city from which the path up {} starts|the nearest city to {}",
    ),
    "stream": _relation(
        "mountain",
        "river",
        "Which river rises on {}?|Which river begins on {}?|What river comes from {}?|"
        "Which river has its source on {}?",
        "the river that rises on {}|the river that begins on {}|the river that comes from {}|"
        "the river with its source on {}",
    ),
}
SYMMETRIC = ("spouse", "twin")

# One list per kind: its groups of facts, each in four wordings. Slots that are no relation
# (`far`, `pass`, ...) are there to mislead only.
EXTRA = {
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
            "{He} was born in {born}, studied in {studied} and now lives in {home}.",
            "Born in {born}, {he} went to university in {studied} before settling in {home}.",
            "{He} has a home in {home}, is a native of {born} and was a student in {studied}.",
            "After student years in {studied}, {he} moved to {home}, far from {born}, the place of {his} birth.",
        ),
        (
            "{He} works for {employer} after leaving {former}.",
            "Having resigned from {former}, {he} took a post at {employer}.",
            "{His} employer is {employer}, and {he} used to work for {former}.",
            "Once on the staff of {former}, {he} is now employed by {employer}.",
        ),
        (
            "{He} was taught by {teacher} and is married to {spouse}.",
            "{His} spouse is {spouse}, and {his} teacher was {teacher}.",
            "A pupil of {teacher}, {he} later married {spouse}.",
            "{He} is the partner of {spouse} and learned the trade from {teacher}.",
        ),
    ),
    "company": (
        (
            "It was founded by {founder} and is run by {chief}.",
            "{chief} is its chief executive, and {founder} was its founder.",
            "Set up by {founder}, it is now led by {chief}.",
            "Its head is {chief}, who took over from {founder}, the person who started it.",
        ),
        (
            "Its head office is in {seat}, and its first shop was in {shop}.",
            "It opened its first shop in {shop} and is based in {seat}.",
            "Based in {seat}, it began to trade in {shop}.",
            "From its first shop in {shop} it moved its seat to {seat}.",
        ),
        (
            "It belongs to {owner} and competes with {rival}.",
            "Its main competitor is {rival}, and its owner is {owner}.",
            "Owned by {owner}, it is the rival of {rival}.",
            "{rival} is its chief rival, while {owner} is its parent company.",
        ),
    ),
    "city": (
        (
            "Its mayor is {mayor}, who followed {predecessor}.",
            "{mayor} governs it, as {predecessor} did before.",
            "After {predecessor} its people chose {mayor} as mayor.",
            "The last mayor was {predecessor}, and {mayor} leads the city today.",
        ),
        (
            "It is twinned with {twin}, and its railway ends in {railway}.",
            "Trains run from here to {railway}, and {twin} is its twin town.",
            "The railway leads to {railway}, and the partner city is {twin}.",
            "Its twin town is {twin}, but its trains go to {railway}.",
        ),
        (
            "It stands on the {river}, and {peak} rises to its north and {far} to its south.",
            "{far} lies south of it and {peak} north, and the {river} flows through it.",
            "Built by the {river}, it has {peak} to the north and {far} to the south.",
            "To the north is {peak}, to the south {far}, and its river is the {river}, not the {other}.",
        ),
    ),
    "river": (
        (
            "It rises on {source}, passes the foot of {pass}, runs through {midway} and ends in {mouth}.",
            "From {source} it flows past {pass} and through {midway} to its mouth at {mouth}.",
            "Its mouth is at {mouth}, below {midway}; it begins on {source}, not on {pass}.",
            "It reaches the sea in {mouth} after {midway}; its source is on {source}, behind {pass}.",
        ),
        (
            "The {tributary} flows into it, and the {next} runs in the next valley.",
            "Beyond the hills runs the {next}; its tributary is the {tributary}.",
            "It is joined by the {tributary} but never meets the {next}.",
            "It takes in the {tributary}, while the {next} goes another way.",
        ),
    ),
    "mountain": (
        (
            "{climber} climbed it first, and {second} was next.",
            "It was first climbed by {climber}; {second} reached the top a year later.",
            "{second} failed before {climber} was the first to reach the top.",
            "The first on its top was {climber}, the second was {second}.",
        ),
        (
            "The nearest city is {camp}, but it can be seen from {view}.",
            "It is seen from {view}, and the path up starts in {camp}.",
            "At its foot lies {camp}, and farther off {view}.",
            "{camp} is close to it and {view} is a day away.",
        ),
        (
            "The {stream} rises on it, and the {lower} passes below.",
            "The {lower} flows by, and the {stream} has its source here.",
            "It is the source of the {stream}, not of the {lower}.",
            "The {stream} begins here and later meets the {lower}.",
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
        known = [name for name, row in RELATIONS.items() if row.subject == kinds[path[-1]]]
        relations.append(_pick(rng, known))
        path.append(facts[path[-1]][relations[-1]])
    return tuple(relations), tuple(path[1:])


def _titles(rng: random.Random, split: str) -> dict[str, list[str]]:
    words = [head + tail for head in HEADS for tail in TAILS]
    names = iter(_shuffled(rng, [word for word in words if split_of(word) == split]))
    return {
        "person": [f"{next(names)} {next(names)}" for _ in range(SIZES["person"])],
        "city": [next(names) for _ in range(SIZES["city"])],
        "company": [f"{next(names)} {_pick(rng, TRADES)}" for _ in range(SIZES["company"])],
        "river": [f"River {next(names)}" for _ in range(SIZES["river"])],
        "mountain": [f"Mount {next(names)}" for _ in range(SIZES["mountain"])],
    }


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
    he, his = _pick(rng, (("she", "her"), ("he", "his")))
    words = {"he": he, "his": his, "He": he.capitalize(), "His": his.capitalize(), **facts}
    opening = _pick(rng, OPENINGS[kind]).format(title)
    sentences = [_pick(rng, group, wordings).format(**words) for group in GROUPS[kind]]
    return " ".join([opening, *_shuffled(rng, sentences)])


# Only `random()` itself is promised to stay the same in later versions of Python.
def _pick(rng: random.Random, items: Sequence[Item], among: Sequence[int] | None = None) -> Item:
    choices = range(len(items)) if among is None else among
    return items[choices[int(rng.random() * len(choices))]]


def _shuffled(rng: random.Random, items: Sequence[Item]) -> list[Item]:
    keys = [rng.random() for _ in items]
    return [items[i] for i in sorted(range(len(items)), key=keys.__getitem__)]
