"""Exact match and F1 of an answer, as the data sets' authors compute them.

All lower the text, take out punctuation, then the words a, an and the, then extra blanks, and F1 is that of the words.
They differ in two things:

hotpotqa   hotpot_evaluate_v1.py: F1 is 0 if one of the two is yes, no or noanswer and the other is something else.
2wiki      2wikimultihop_evaluate_v1.1.py: the same; the best over the answer, its aliases and its demonyms.
musique    metrics/answer.py: no such rule; the best over the answer and its aliases. If nothing is left of a text, F1
           is 1 where nothing is left of the other either, which is 0 above.
bamboogle  Its authors' repository could not be read here: scored as musique, with both answers if there are two.

`right` in a benchmark's rows is this project's own rule, with the same aliases: punctuation parts words there, so that
"U.S." is "U S" and not "US".
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from ..checks import check_choice
from ..tasks.data import Gold
from ..tasks.formats import FORMATS
from .report import Table, tier
from .scores import NONE, scores
from .store import Row

NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
SPECIAL = ("yes", "no", "noanswer")
STRICT = ("hotpotqa", "2wiki")  # whose F1 knows SPECIAL


class Official(NamedTuple):
    """Both in [0, 1]."""

    em: float
    f1: float


def official(format: str, answer: str, gold: Gold) -> Official:
    """EM and F1 of an answer, each the best over the gold answer and its aliases."""
    strict = check_choice("format", format, tuple(FORMATS)) in STRICT
    said, known = normalize(answer), [normalize(each) for each in (gold.answer, *gold.aliases)]
    return Official(float(said in known), max(f1(said, each, strict) for each in known))


def normalize(text: str) -> str:
    """As all of these scripts do it, in their order."""
    words = re.sub(r"\b(a|an|the)\b", " ", text.lower().translate(NO_PUNCTUATION))
    return " ".join(words.split())


def f1(said: str, known: str, strict: bool) -> float:
    """Of two normalized texts. `strict`: as for HotpotQA."""
    if strict and said != known and (said in SPECIAL or known in SPECIAL):
        return 0.0
    one, other = said.split(), known.split()
    if not one or not other:
        return float(not strict and one == other)
    same = (Counter(one) & Counter(other)).total()
    if not same:
        return 0.0
    precision, recall = same / len(one), same / len(other)
    return 2 * precision * recall / (precision + recall)


def official_table(rows: Iterable[Row], golds: Mapping[str, Gold], format: str) -> Table:
    """EM and F1 of a benchmark's rows, with intervals over questions. The rows are as they were stored."""
    kept = list(rows)
    each = [official(format, row["answer"], golds[row["question"]]) for row in kept]
    both = [scores([{**row, "right": found[i]} for row, found in zip(kept, each, strict=True)]) for i in (0, 1)]
    cells = sorted(both[0].rows, key=lambda cell: (both[0].methods.index(cell[0]), cell[1] or 1e9, cell[2] or 1e9))
    lines = []
    for cell in cells:
        found = [data.accuracy[cell] for data in both]
        lines.append([cell[0], tier(cell[1:]), *(interval.text() if interval else NONE for interval in found)])
    few = " without the aliases of id_aliases.json (--aliases)" * (
        format == "2wiki" and not any(gold.aliases for gold in golds.values())
    )
    note = f"As the authors' script scores answers{few}; 95 %, questions resampled."
    return Table(f"EM and F1 by the rules of {format}", ["method", "B", "EM", "F1"], lines, note)
