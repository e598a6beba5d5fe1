"""Facts of other kinds: a critic that has read forty relations judges a forty-first better than one that has read ten.

No world has these facts and no question of a world asks for them. They are told on train pages, with train names, and
come in pairs whose values could be mixed up. None is a relation that is kept back from training, or one in other words.
"""

from __future__ import annotations

import random
from typing import NamedTuple

from ..tasks.encyclopedia import KINDS, Reading, pick
from .labels import names_of, title_of


class Drill(NamedTuple):
    """Two facts of one page: their sentence in two wordings, and for each its kind of value and two questions."""

    subject: str
    sentences: tuple[str, ...]  # {s}, {a} and {b}
    kinds: tuple[str, str]
    asks: tuple[tuple[str, ...], tuple[str, ...]]


def _drill(subject: str, sentences: str, kinds: str, a: str, b: str) -> Drill:
    one, two = kinds.split()
    return Drill(subject, tuple(sentences.split("|")), (one, two), (tuple(a.split("|")), tuple(b.split("|"))))


DRILLS = (
    _drill(
        "person",
        "{s} plays chess with {a} and tennis with {b}.|The chess partner of {s} is {a}, and {b} is the tennis partner.",
        "person person",
        "Who plays chess with {}?|Who is the chess partner of {}?",
        "Who does {} play tennis with?|Who is the tennis partner of {}?",
    ),
    _drill(
        "person",
        "{s} spends the summer in {a} and the winter in {b}.|In winter {s} stays in {b}, in summer in {a}.",
        "city city",
        "Where does {} spend the summer?|In which city is {} in summer?",
        "Where does {} spend the winter?|In which city is {} in winter?",
    ),
    _drill(
        "person",
        "The lawyer of {s} is {a}, and the doctor of {s} is {b}.|{s} has {b} as a doctor and {a} as a lawyer.",
        "person person",
        "Who is the lawyer of {}?|Which lawyer does {} have?",
        "Who is the doctor of {}?|Which doctor does {} have?",
    ),
    _drill(
        "person",
        "{s} bought a farm near {a} and sold one near {b}.|The farm that {s} sold is near {b}, the new one near {a}.",
        "city city",
        "Near which city did {} buy a farm?|Where is the farm that {} bought?",
        "Near which city did {} sell a farm?|Where is the farm that {} sold?",
    ),
    _drill(
        "person",
        "{s} owes money to {a} and has lent some to {b}.|{b} borrowed from {s}, and {s} borrowed from {a}.",
        "person person",
        "To whom does {} owe money?|From whom did {} borrow?",
        "To whom did {} lend money?|Who borrowed from {}?",
    ),
    _drill(
        "person",
        "{s} has shares in {a} and none in {b}.|{s} sold the shares of {b} and kept those of {a}.",
        "company company",
        "In which company does {} have shares?|Which shares did {} keep?",
        "In which company does {} have no shares?|Which company has no shares held by {}?",
    ),
    _drill(
        "person",
        "{s} is older than {a} but younger than {b}.|{b} is older than {s}, and {s} is older than {a}.",
        "person person",
        "Who is younger than {}?|Who is {} older than?",
        "Who is older than {}?|Who is {} younger than?",
    ),
    _drill(
        "person",
        "{s} voted for {a}, not for {b}.|In the vote {s} was against {b} and for {a}.",
        "person person",
        "Who did {} vote for?|Who got the vote of {}?",
        "Who did {} not vote for?|Who was {} against?",
    ),
    _drill(
        "person",
        "{s} swims in the {a} and fishes in the {b}.|For fishing {s} goes to the {b}, for swimming to the {a}.",
        "river river",
        "In which river does {} swim?|Where does {} go to swim?",
        "In which river does {} fish?|Where does {} go to fish?",
    ),
    _drill(
        "company",
        "{s} buys from {a} and sells to {b}.|The goods of {s} go to {b}, and its supplies come from {a}.",
        "company company",
        "Which company supplies {}?|From which company does {} buy?",
        "Which company is the customer of {}?|To which company does {} sell?",
    ),
    _drill(
        "company",
        "{s} has a factory in {a} and a warehouse in {b}.|The warehouse of {s} is in {b}, its factory is in {a}.",
        "city city",
        "In which city is the factory of {}?|Where does {} have a factory?",
        "In which city is the warehouse of {}?|Where does {} have a warehouse?",
    ),
    _drill(
        "company",
        "{s} was sued by {a}, and {b} was the judge.|The judge was {b} when {a} sued {s}.",
        "person person",
        "Who sued {}?|By whom was {} sued?",
        "Who was the judge in the case of {}?|Who judged {}?",
    ),
    _drill(
        "company",
        "{s} merged with {a} after it had left {b}.|Once a part of {b}, {s} was later joined to {a}.",
        "company company",
        "Which company did {} merge with?|To which company was {} joined?",
        "Which company did {} leave?|Of which company was {} once a part?",
    ),
    _drill(
        "company",
        "{s} ships on the {a} and has a mine on {b}.|The mine of {s} is on {b}, its ships are on the {a}.",
        "river mountain",
        "On which river does {} ship?|Where are the ships of {}?",
        "On which mountain does {} have a mine?|Where is the mine of {}?",
    ),
    _drill(
        "city",
        "East of {s} is {a}, west of it is {b}.|{s} has {b} to its west and {a} to its east.",
        "city city",
        "Which city is east of {}?|What city is to the east of {}?",
        "Which city is west of {}?|What city is to the west of {}?",
    ),
    _drill(
        "city",
        "The bridge of {s} was built by {a}, and its tower by {b}.|{b} built the tower of {s}, {a} the bridge.",
        "person person",
        "Who built the bridge of {}?|By whom was the bridge of {} built?",
        "Who built the tower of {}?|By whom was the tower of {} built?",
    ),
    _drill(
        "city",
        "{s} gets its water from the {a}, not from the {b}.|Not the {b} but the {a} gives {s} its water.",
        "river river",
        "From which river does {} get its water?|Which river gives water to {}?",
        "From which river does {} get no water?|Which river gives no water to {}?",
    ),
    _drill(
        "city",
        "From {s} a road goes to {a} and a canal to {b}.|The canal from {s} ends in {b}, the road in {a}.",
        "city city",
        "Where does the road from {} go?|To which city does the road from {} lead?",
        "Where does the canal from {} go?|To which city does the canal from {} lead?",
    ),
    _drill(
        "city",
        "{s} makes its steel at {a} and its paper at {b}.|Paper is made in {s} by {b}, steel by {a}.",
        "company company",
        "Which company makes steel in {}?|Who makes the steel of {}?",
        "Which company makes paper in {}?|Who makes the paper of {}?",
    ),
    _drill(
        "river",
        "The {s} has a bridge in {a} and a dam in {b}.|There is a dam on the {s} in {b} and a bridge in {a}.",
        "city city",
        "In which city is the bridge over the {}?|Where is the {} crossed by a bridge?",
        "In which city is the dam on the {}?|Where does the {} have a dam?",
    ),
    _drill(
        "river",
        "The {s} was mapped by {a} and named by {b}.|{b} gave the {s} its name, and {a} mapped it.",
        "person person",
        "Who mapped the {}?|By whom was the {} mapped?",
        "Who named the {}?|Who gave the {} its name?",
    ),
    _drill(
        "mountain",
        "{s} is higher than {a} but lower than {b}.|{b} is higher than {s}, and {s} is higher than {a}.",
        "mountain mountain",
        "Which mountain is lower than {}?|What mountain is {} higher than?",
        "Which mountain is higher than {}?|What mountain is {} lower than?",
    ),
    _drill(
        "mountain",
        "The path up {s} begins in {a}, the path down ends in {b}.|One goes up {s} from {a} and comes down to {b}.",
        "city city",
        "In which city does the path up {} begin?|From where does one go up {}?",
        "In which city does the path down {} end?|Where does one come down from {}?",
    ),
    _drill(
        "mountain",
        "The hut on {s} belongs to {a}, and the inn to {b}.|{b} owns the inn on {s}, {a} the hut.",
        "company company",
        "Which company owns the hut on {}?|To which company does the hut on {} belong?",
        "Which company owns the inn on {}?|To which company does the inn on {} belong?",
    ),
)


def drilled(rng: random.Random, reading: Reading, count: int = 2) -> list[Reading]:
    """The page of a reading with `count` drills told among its sentences, and the questions that these answer.

    Values are names of the reading's world that the page does not have already.
    """
    title, page, kinds = title_of(reading), reading.page, names_of(reading.seed)[1]
    subject = KINDS[reading.relation][0]
    fitting = sorted((drill for drill in DRILLS if drill.subject == subject), key=lambda _: rng.random())
    sentences, found = page.removesuffix(".").split(". "), []
    for drill in fitting[:count]:
        values = []
        for kind in drill.kinds:
            values.append(pick(rng, sorted(name for name in kinds[kind] if name not in page)))
            page += values[-1]  # from now on it is taken
        said = pick(rng, drill.sentences).format(s=title, a=values[0], b=values[1])
        sentences.insert(1 + int(rng.random() * len(sentences)), said.removesuffix("."))
        for asks, value in zip(drill.asks, values, strict=True):
            found.append((pick(rng, asks).format(title), value))
    text = ". ".join(sentences) + "."
    return [Reading(reading.seed, text, "drill", question, value) for question, value in found]
