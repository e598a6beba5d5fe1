"""The tables of a benchmark and its headline, from its rows. `scores.py` has the statistics, `document.py` the text."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ..views.fold import plain
from .efficiency import GUIDE, PAPER, TIERS
from .faults import FAULTS
from .methods import ABLATIONS, BASELINES, BAVT, BOUNDS, CHARGED, PLANNING, RERANK, TREES, VOTE
from .scores import (
    NONE,
    PAPER_TIMES,
    PEERS,
    Budget,
    Cell,
    Claim,
    Interval,
    Rows,
    Scores,
    claims,
    difference,
    intervals,
    number,
    over_seeds,
    scores,
    times,
)
from .store import Row

HEADLINE = TIERS[1]
ORACLE, TUNED, OWN_PLANS = "bavt, oracle", "actor tuned, greedy chain", "own plans: bavt, adapter"
# A bar that was set before: half of the way from the prototype's best search to its oracle, on the prototype's task.
PROTOTYPE, PROTOTYPE_ORACLE = 0.517, 0.863
# Families of claims
MAIN = "Voting and reranking at B, 2B and 4B"
CRITICS = "Other critics"
LIMITS = "Bounds, and one greedy chain"
VARIANTS = "Ablations"
OWN = "Plans of its own"
EACH_PEER = "Peers"
BEST_PEER = "The best peer at each budget, best in these rows, which is against us"
PAPERS = "The paper's budgets"
GUIDES = "The guide's budgets"


@lru_cache(2)
def families(data: Scores) -> dict[str, list[Claim]]:
    """Title -> claims that are made together, for the families whose cells are there."""
    return {title: found for title, pairs in _pairs(data).items() if (found := claims(data, pairs))}


def _pairs(data: Scores) -> dict[str, list[tuple[Cell, Cell]]]:
    main, rerank, methods = f"bavt, {data.critic}", f"rerank, {data.critic}", data.methods

    def pairs(
        one: str, others: Iterable[str], factors: Sequence[int] = (1,), at: Iterable[Budget] = data.tiers
    ) -> list[tuple[Cell, Cell]]:
        budgets = [budget for budget in at if (one, *budget) in data.rows]
        return [
            ((one, *budget), (other, *times(budget, factor)))
            for other in others
            if other in methods
            for factor in factors
            for budget in budgets
        ]

    peers = [name for name in methods if name.startswith(PEERS)]
    best = [(budget, peer) for budget in data.tiers if (peer := data.best_peer(budget))]
    trees = [name for name in methods if name.startswith("bavt, ") and name not in BOUNDS | CHARGED and name != main]
    vote, bavt = CHARGED
    guide: list[tuple[Cell, Cell]] = [
        ((bavt, *budget), (vote, fixed, None)) for fixed in (1000, 10_000) for budget in GUIDE
    ]
    return {
        MAIN: pairs(main, (VOTE, rerank), (1, 2, 4)),
        CRITICS: [
            pair for name in trees for pair in pairs(name, (VOTE, name.replace("bavt, ", "rerank, "), "greedy chain"))
        ],
        LIMITS: pairs(main, ("greedy chain", *BOUNDS)),
        VARIANTS: pairs(main, ABLATIONS),
        OWN: pairs(OWN_PLANS, ("own plans: vote", main)),
        EACH_PEER: pairs(main, peers),
        BEST_PEER: [((main, *at), (peer, *at)) for at, peer in best if (main, *at) in data.rows],
        PAPERS: pairs(main, (VOTE, rerank), PAPER_TIMES, PAPER),
        GUIDES: guide if bavt in methods else [],
    }


def headline(rows: Rows) -> str:
    """In a line, the search at HEADLINE minus a vote at four times that, or so at a budget that there is."""
    data = scores(rows)
    main, (vote, charged) = f"bavt, {data.critic}", CHARGED
    pairs: list[tuple[Cell, Cell]] = [
        *(((main, *budget), (VOTE, *times(budget, 4))) for budget in (HEADLINE, PAPER[1], *reversed(data.tiers))),
        ((charged, *GUIDE[0]), (vote, *times(GUIDE[0], 4))),
    ]
    for one, other in pairs:
        if {one, other} <= data.rows.keys():
            found, _, seeds = difference(data, one, other)
            name = {BAVT: "BAVT"}.get(one[0], f"BAVT[{one[0].removeprefix('bavt, ')}]")
            return (
                f"{name} at {one[1]} tokens - {other[0]} at {other[1]}: {found.text(signed=True)}, 95 %, "
                f"{found.n} questions x {seeds} seed{'s' * (seeds > 1)}"
            )
    one, other = pairs[0]
    return f'no headline: it needs rows of "{one[0]}" at {one[1]} tokens and of "{other[0]}" at {other[1]}'


# Tables


@dataclass(frozen=True)
class Table:
    """Texts in rows under heads."""

    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.heads):
                raise ValueError(f"a row of {self.title!r} must have {len(self.heads)} texts, got {row!r}")

    def to_text(self, width: int = 100) -> str:
        """For a terminal; a table that is wider is cut into several under each other."""
        lines = [[plain(text) for text in line] for line in (self.heads, *self.rows)]
        wide = [max(len(line[i]) for line in lines) for i in range(len(self.heads))]
        blocks: list[list[int]] = [[0]]
        for i in range(1, len(wide)):
            if len(blocks[-1]) > 1 and sum(wide[j] + 2 for j in blocks[-1]) + wide[i] > width:
                blocks.append([0])
            blocks[-1].append(i)
        texts = [plain(self.title)]
        for own in blocks:
            kept = [line for line in lines if len(blocks) == 1 or any(line[i] != NONE for i in own[1:])]
            texts += ["  ".join(line[i].ljust(wide[i]) for i in own).rstrip() for line in kept]
        return "\n".join([*texts, *textwrap.wrap(plain(self.note), width)])

    def to_markdown(self) -> str:
        """A third-level heading, the table and the note."""
        lines = [self.heads, ["---"] * len(self.heads), *self.rows]
        body = "\n".join("| " + " | ".join(markdown(text) for text in line) + " |" for line in lines)
        return f"### {markdown(self.title)}\n\n{body}\n" + (f"\n{markdown(self.note)}\n" if self.note else "")


def markdown(text: str) -> str:
    """A text that may hold the name of a method, which anybody may have given: no tag, link or table comes of it."""
    return plain(text).replace("|", "\\|").replace("<", "&lt;").replace("](", "]\\(")


def tables(rows: Rows, seconds_rows: Sequence[Row] | None = None) -> list[Table]:
    """All tables that these rows have something for."""
    data = scores(rows)
    found = [
        *accuracy_tables(data),
        bars_table(data),
        *(claims_table(title, own) for title, own in families(data).items()),
    ]
    found += [paper_table(data), guide_table(data), closed_table(data), roles_table(data), bill_table(data)]
    if seconds_rows:
        found.append(seconds_table(scores(seconds_rows)))
    return [table for table in [*found, faults_table(data)] if table.rows]


def tier(budget: Budget) -> str:
    """Such as 64 / 16."""
    return " / ".join("any" if x is None else str(x) for x in budget)


def _cell(data: Scores, cell: Cell) -> str:
    found = data.accuracy.get(cell)
    if found is None:
        return NONE
    few = f", n={found.n}" if found.n < len(data.questions) else ""
    return f"{found.text()} ({data.mean(cell, 'used'):.0f}{few})"


def accuracy_tables(data: Scores) -> list[Table]:
    """One for each group of methods."""
    groups: dict[str, list[str]] = {
        "baselines": [name for name in data.methods if name in BASELINES or name.startswith("rerank, ")],
        "the search, by critic": [name for name in data.methods if name in TREES or name.startswith("bavt, ")],
        "bounds": [name for name in data.methods if name in BOUNDS],
        "own plans": [name for name in data.methods if name in PLANNING],
        "peers": [name for name in data.methods if name.startswith(PEERS)],
        "ablations": [name for name in data.methods if name in ABLATIONS],
    }
    placed = {name for own in groups.values() for name in own} | CHARGED.keys()
    groups["the search, by critic"] = [n for n in groups["the search, by critic"] if n not in {*BOUNDS, *CHARGED}]
    groups["others"] = [name for name in data.methods if name not in placed]
    seeds = len(data.seeds)
    asked = f"{len(data.questions)} questions, {'1 seed' if seeds == 1 else f'at most {seeds} seeds'}"
    note = f"{asked}. Heads are budgets, tokens / tool calls; in parentheses stand the tokens used."
    found = []
    for title, names in groups.items():
        shown = [budget for budget in data.tiers if any((name, *budget) in data.rows for name in names)]
        lines = [[name, *(_cell(data, (name, *budget)) for budget in shown)] for name in names if shown]
        found.append(Table(f"Accuracy: {title}", ["method", *map(tier, shown)], lines, note))
    return found


def claims_table(title: str, family: Sequence[Claim]) -> Table:
    """Differences of a family with verdicts."""
    heads = ["search", "minus", "B", "other's B", "difference", "n", "p, Holm", "verdict"]
    lines = []
    for claim in family:
        line = [claim.one[0], claim.other[0], tier(claim.one[1:]), tier(claim.other[1:])]
        if claim.found:
            interval, _, seeds = claim.found
            line += [interval.text(signed=True), f"{interval.n} x {seeds}", f"{claim.p:.4f}"]
        lines.append([*line, *[NONE] * (3 * (claim.found is None)), claim.verdict])
    dropped = set()
    if all(line[2] == line[3] for line in lines):
        dropped.add("other's B")
    if len(ones := {line[0] for line in lines}) == 1:
        dropped.add("search")
        title = f'{title}: "{ones.pop()}" minus others'
    kept = [i for i, head in enumerate(heads) if head not in dropped]
    count = sum(claim.found is not None for claim in family)
    note = f"Paired; n is questions x seeds; p by sign flips, with Holm's correction over {count} claims."
    return Table(title, [heads[i] for i in kept], [[line[i] for i in kept] for line in lines], note)


def paper_table(data: Scores) -> Table:
    """Accuracy at the paper's budgets and their multiples."""
    budgets = sorted({times(budget, k) for budget in PAPER for k in PAPER_TIMES}, key=lambda budget: budget[0] or 0)
    names = [name for name in (VOTE, RERANK, "bavt, logprob", BAVT) if name in data.methods]
    lines = [[tier(at), *(_cell(data, (name, *at)) for name in names)] for at in budgets]
    note = f"The paper's tiers are {', '.join(str(calls) for _, calls in PAPER)} tool calls."
    kept = [line for line in lines if set(line[1:]) - {NONE}]
    return Table("Accuracy at the paper's budgets", ["tokens / calls", *names], kept, note)


def guide_table(data: Scores) -> Table:
    """Accuracy at the guide's budgets."""
    cells = [cell for cell in data.rows if cell[0] in CHARGED]
    lines = [[cell[0], tier(cell[1:]), _cell(data, cell)] for cell in sorted(cells, key=lambda c: (c[0], c[1] or 0))]
    return Table("Accuracy at the guide's budgets, prompt tokens charged", ["method", "B", "accuracy (used)"], lines)


def closed(data: Scores, budget: Budget) -> Interval | None:
    """Share of the distance from the vote to the oracle that the search closes. None: no rows, or no distance."""
    found = [data.values((name, *budget)) for name in (f"bavt, {data.critic}", ORACLE, VOTE)]
    gained, most = found[0] - found[2], found[1] - found[2]
    gone = ~(np.isfinite(gained) & np.isfinite(most))
    columns = [over_seeds(np.where(gone, np.nan, values))[:, None] for values in (gained, most)]
    distance = intervals(columns[1])[0]
    # Where the oracle may be no better than the vote, a share of the distance means nothing.
    return intervals(*columns)[0] if distance and distance.low > 0 else None


def closed_table(data: Scores) -> Table:
    """How much of what a critic could give is there."""
    names, lines = (VOTE, f"bavt, {data.critic}", ORACLE), []
    for budget in data.tiers:
        accuracy = [data.accuracy.get((name, *budget)) for name in names]
        if all(accuracy):
            share = closed(data, budget)
            lines.append([tier(budget), *(a.text() for a in accuracy if a), share.text() if share else NONE])
    note = (
        f"A bar set before was half of the distance from {number(PROTOTYPE)} to {number(PROTOTYPE_ORACLE)}, "
        f"which is {number((PROTOTYPE + PROTOTYPE_ORACLE) / 2)} at the top budget. These are a prototype's accuracies "
        "on other questions: no accuracy here can be compared with them. What is reported is the share here."
    )
    return Table("Distance from the vote to the oracle that is closed", ["B", *names, "share closed"], lines, note)


def _main(data: Scores) -> list[Cell]:
    names = (VOTE, "greedy chain", f"rerank, {data.critic}", "bavt, logprob", f"bavt, {data.critic}", TUNED, OWN_PLANS)
    return [(name, *budget) for budget in data.tiers for name in dict.fromkeys(names) if (name, *budget) in data.rows]


def _two(data: Scores) -> list[Cell]:
    """Of these, the cells at the headline's and at the top budget; all, if the search was not run at the first."""
    cells = _main(data)
    if (f"bavt, {data.critic}", *HEADLINE) not in data.rows:
        return cells
    return [cell for cell in cells if cell[1:] in (HEADLINE, TIERS[-1])]


def roles_table(data: Scores) -> Table:
    """Where the tokens go."""
    found: dict[Cell, Counter[tuple[str, int]]] = {}
    for cell in _two(data):
        found[cell] = Counter()
        for row in data.rows[cell]:
            for role, units in row["by_role"].items():
                found[cell].update({(role, i): unit for i, unit in enumerate(units)})
    roles = sorted({role for total in found.values() for (role, i), unit in total.items() if unit and i != 1})
    lines = []
    for cell, total in found.items():
        n = len(data.rows[cell])
        each = [f"{total[role, 0] / n:,.1f} + {total[role, 2] / n:,.0f}" for role in roles]
        lines.append([cell[0], tier(cell[1:]), *each, f"{data.mean(cell, 'tool_calls_used'):.1f}"])
    note = "Means of a question: generated + prompt tokens by role, and tool calls."
    return Table("Where the tokens go", ["method", "B", *roles, "tool calls"], lines, note)


def _per(data: Scores, cells: Sequence[Cell], fields: Sequence[tuple[str, float]]) -> list[list[str]]:
    """Accuracy by so many units of each field, with intervals."""
    if not cells:
        return []
    right = np.stack([over_seeds(data.values(cell)) for cell in cells], axis=1)
    columns = []
    for name, unit in fields:
        under = np.stack([over_seeds(data.values(cell, name)) for cell in cells], axis=1) / unit
        columns.append([found.text() if found else NONE for found in intervals(right, under)])
    return [list(line) for line in zip(*columns, strict=True)]


def bill_table(data: Scores) -> Table:
    """Right answers by what they cost."""
    cells = _two(data)
    fields = (("used", 1000.0), ("prompt_tokens", 1000.0), ("tool_calls_used", 1.0))
    lines = [[c[0], tier(c[1:]), *each] for c, each in zip(cells, _per(data, cells, fields), strict=True)]
    heads = ["method", "B", "per 1,000 generated", "per 1,000 prompt", "per tool call"]
    return Table("Right answers by tokens and tool calls used", heads, lines)


def seconds_table(data: Scores) -> Table:
    """Accuracy and time of a run that kept no samples."""
    cells = _main(data)
    if not cells:
        return Table("Seconds", [], [])
    columns = np.stack([over_seeds(data.values(cell, "seconds")) for cell in cells], axis=1)
    lines = []
    for cell, seconds, each in zip(cells, intervals(columns), _per(data, cells, [("seconds", 60.0)]), strict=True):
        accuracy = data.accuracy[cell]
        texts = [found.text() if found else NONE for found in (accuracy, seconds)]
        lines.append([cell[0], tier(cell[1:]), *texts, *each])
    note = f"{len(data.questions)} questions, nothing kept between methods; one core."
    return Table("Seconds", ["method", "B", "accuracy", "seconds a question", "right a minute"], lines, note)


def faults_table(data: Scores) -> Table:
    """What wrong answers failed at."""
    lines = []
    for cell in [*_two(data), *(cell for cell in data.rows if cell[0] == ORACLE and cell[1:] in (HEADLINE, TIERS[-1]))]:
        wrong = [row["fault"] for row in data.rows[cell] if row["right"] < 1]
        if any(wrong):
            shares = [f"{wrong.count(name) / len(wrong):.0%}" for name in FAULTS]
            lines.append([cell[0], tier(cell[1:]), str(len(wrong)), *shares])
    note = "Shares of the wrong answers."
    return Table("What wrong answers failed at", ["method", "B", "wrong", *FAULTS], lines, note)


def bars_table(data: Scores) -> Table:
    """What was asked for before anything was measured, and what came of it."""
    found = families(data)
    four = [
        claim
        for claim in found.get(MAIN, ())
        if claim.found and claim.other == (VOTE, *times(claim.one[1:], 4)) and claim.one[1:] in TIERS[1:]
    ]
    peers = [claim for claim in found.get(BEST_PEER, ()) if claim.found]
    lines = []
    for name, own, least in (
        ("minus a vote at 4B > 0, all from the second", four, len(TIERS) - 1),
        ("minus the best peer > 0, at two or more", peers, 2),
    ):
        above = [claim for claim in own if claim.found and claim.found.interval.low > 0]
        if own:
            met = "yes" if len(above) >= least else "no"
            if len(above) == len(own) < least:
                met = f"open: {least - len(own)} more to measure"
            lines.append([name, f"lower end > 0 at {len(above)} of {len(own)} budgets measured", met])
    if share := closed(data, TIERS[-1]):
        lines.append(["share of the distance closed, at the top", share.text(), "reported"])
    return Table("Bars that were set before", ["the search", "measured", "met"], lines)
