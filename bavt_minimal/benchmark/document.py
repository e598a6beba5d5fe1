"""The figure and the text of `docs/benchmark.md`, made from the rows of a benchmark: no number in it is typed in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .efficiency import PER_WORLD
from .methods import ABLATIONS, VOTE
from .recorded import SKIPPED
from .report import (
    BEST_PEER,
    CRITICS,
    EACH_PEER,
    GUIDES,
    LIMITS,
    MAIN,
    ORACLE,
    OWN,
    PAPERS,
    TUNED,
    VARIANTS,
    Table,
    closed,
    families,
    headline,
    markdown,
    tables,
)
from .scores import BETTER, LEVEL, RESAMPLES, SAME, WORSE, Budget, Claim, Interval, Rows, Scores, scores, times
from .store import Row

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's colors, told apart by all kinds of color vision; the markers tell them apart in print.
STYLES = (
    ("#000000", "o"),
    ("#E69F00", "s"),
    ("#56B4E9", "^"),
    ("#0072B2", "D"),
    ("#009E73", "v"),
    ("#D55E00", "P"),
    ("#CC79A7", "X"),
)
# Ablations that select by another rule; the others leave out something else.
RULES = ("alpha = 1", "alpha up to 4", "1/sqrt r", "greedy", "guide's UCB", "scaled UCB", "uniform")


# The figure


def lines(data: Scores) -> dict[str, list[tuple[int, Interval]]]:
    """Name -> accuracy by token budget, of what the figure shows. "best peer" is another at each budget."""
    names = dict.fromkeys((VOTE, f"rerank, {data.critic}", "bavt, logprob", f"bavt, {data.critic}", ORACLE, TUNED))
    found: dict[str, list[tuple[int, Interval]]] = {}
    for budget in data.tiers:
        for label, name in {**{name: name for name in names}, "best peer": data.best_peer(budget)}.items():
            accuracy = data.accuracy.get((name, *budget)) if name else None
            if accuracy and budget[0]:
                found.setdefault(label, []).append((budget[0], accuracy))
    return {name: found[name] for name in (*names, "best peer") if name in found}


def figure(rows: Rows) -> Figure:
    """Accuracy against the token budget with 95 % bars. Raises ImportError without matplotlib."""
    from matplotlib.figure import Figure

    shown = lines(scores(rows))
    drawn = Figure(figsize=(8, 5), layout="constrained")
    axis = drawn.subplots()
    for i, (name, points) in enumerate(shown.items()):
        color, marker = STYLES[i]
        nudge = 2.0 ** (0.03 * (i - len(shown) / 2))  # so that the bars stand side by side
        values = [interval.value for _, interval in points]
        # A bound is never on the wrong side of its mean but for rounding, which matplotlib refuses.
        below = [max(0.0, interval.value - interval.low) for _, interval in points]
        above = [max(0.0, interval.high - interval.value) for _, interval in points]
        axis.errorbar(
            [tokens * nudge for tokens, _ in points],
            values,
            yerr=[below, above],
            label=name,
            color=color,
            marker=marker,
            markersize=6,
            linewidth=1.5,
            elinewidth=1,
            capsize=2,
        )
    axis.set_xscale("log", base=2)
    ticks = sorted({tokens for points in shown.values() for tokens, _ in points})
    axis.set_xticks(ticks, [str(tokens) for tokens in ticks])
    axis.set(xlabel="token budget", ylabel="accuracy", title="Accuracy against budget, 95 % intervals over questions")
    axis.grid(alpha=0.3)
    if shown:
        drawn.legend(loc="outside right upper", fontsize=9)  # inside it would hide the tuned actor
    return drawn


# Sentences


def at(budgets: Sequence[Budget]) -> str:
    """Such as "32, 64 and 128 tokens"."""
    texts = ["unlimited" if tokens is None else str(tokens) for tokens, _ in budgets]
    return f"{' and '.join(filter(None, [', '.join(texts[:-1]), texts[-1]]))} tokens"


def say(one: str, other: str, family: Sequence[Claim]) -> str:
    """What claims of one method against another show, a budget each; "" if none was measured."""
    parts = []
    for verdict, text in ((BETTER, "shown to be better than"), (WORSE, "shown to be worse than"), (SAME, "")):
        own = [claim for claim in family if claim.verdict == verdict]
        if not own:
            continue
        each = ", ".join(claim.found.interval.text(signed=True) for claim in own if claim.found)
        # "Not shown to be better" is not "shown to be no better": an interval says how much is left open.
        text = f"is {text or 'not shown to be better or worse than'}"
        parts.append(f"{text} {other} at {at([claim.one[1:] for claim in own])} ({each})")
    return f"{one} {'; it '.join(parts)}." if parts else ""


def verdicts(rows: Rows) -> list[str]:
    """Sentences on what the rows show; they follow the numbers, whichever way these point."""
    data = scores(rows)
    found, main = families(data), f"BAVT[{data.critic}]"
    texts = []
    for factor in (1, 2, 4):
        many = {1: "", 2: " with twice its budget", 4: " with four times its budget"}[factor]
        for other in (VOTE, f"rerank, {data.critic}"):
            own = [c for c in found.get(MAIN, ()) if c.other[0] == other and c.other[1:] == times(c.one[1:], factor)]
            name = "a majority vote" if other == VOTE else "chains reranked by the same critic"
            texts.append(say(main, f"{name}{many}", own))
    for title in (CRITICS, LIMITS, VARIANTS, OWN, EACH_PEER):
        family = found.get(title, [])
        for one, other in dict.fromkeys((claim.one[0], claim.other[0]) for claim in family):
            name = main if one == f"bavt, {data.critic}" else f'"{one}"'
            if other in ABLATIONS:
                name = f"V^(1/r) ({main})" if other in RULES else main
            texts.append(say(name, f'"{other}"', [c for c in family if (c.one[0], c.other[0]) == (one, other)]))
    texts.append(say(main, "the best peer at the same budget", found.get(BEST_PEER, [])))
    return [text for text in texts if text]


def losses(rows: Rows) -> Table:
    """Every claim, of all families, in which the search is worse."""
    own = [claim for family in families(scores(rows)).values() for claim in family]
    lost = [
        [c.one[0], at([c.one[1:]]), c.other[0], at([c.other[1:]]), c.found.interval.text(signed=True), f"{c.p:.4f}"]
        for c in own
        if c.found and c.verdict == WORSE
    ]
    counts = {verdict: sum(claim.verdict == verdict for claim in own) for verdict in (BETTER, WORSE, SAME)}
    said = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    return Table("Losses", ["worse", "at", "than", "at", "difference", "p, Holm"], lost, f"Of all claims: {said}.")


def closest(data: Scores) -> str:
    """Where the main claim, a vote at four times the budget, is nearest to another verdict."""
    own = [c for c in families(data).get(MAIN, ()) if c.found and c.other == (VOTE, *times(c.one[1:], 4))]
    if not own:
        return "A vote at four times the budget was not run."
    edge = min(own, key=lambda c: c.found.interval.low if c.found else 0.0)
    text = edge.found.interval.text(signed=True) if edge.found else ""
    side = "would have to fall below 0" if edge.found and edge.found.interval.low > 0 else "is not above 0 as it is"
    return f"The weakest of these claims is the one at {at([edge.one[1:]])}, {text}: its lower end {side}."


# The text


def document(
    rows: Rows,
    seconds_rows: Sequence[Row] | None = None,
    facts: Mapping[str, Any] | None = None,
    picture: str = "benchmark.svg",
) -> str:
    """Markdown. `facts`: what rows cannot tell, such as digests, versions and dates; `picture`: where the figure is."""
    data = scores(rows)
    hops = sorted({row["hops"] for own in data.rows.values() for row in own})
    count, seeds, total = len(data.questions), len(data.seeds), sum(map(len, data.rows.values()))
    budgets = "; ".join(" / ".join("any" if x is None else str(x) for x in budget) for budget in data.tiers)
    lost, shown = losses(data), tables(data, seconds_rows)
    share = [(budget, found) for budget in data.tiers if (found := closed(data, budget))]
    main = (f"bavt, {data.critic}", *data.tiers[-1]) if data.tiers else None
    own = [cell for cell in data.rows if main and cell[0] == main[0]]
    prompt = [data.mean(cell, "prompt_tokens") / max(1e-9, data.mean(cell, "used")) for cell in own]
    parts = [
        "# The efficiency benchmark",
        "Written by `bavt bench --recorded --docs docs/benchmark.md` from the recorded rows: every number below is "
        "computed from them.",
        f"**{markdown(headline(data))}**",
        f"![Accuracy against budget]({picture})",
        "*The figure: accuracy against the token budget, a line for each method; bars are 95 % intervals over "
        "questions. The best peer may be another one at each budget.*",
        "## What it shows",
        "\n".join(f"- {markdown(text)}" for text in verdicts(data)),
        "\n".join(
            f"- At {at([budget])} {found.text()} of the distance from the vote to the oracle is closed."
            for budget, found in share
        ),
        f"\"Shown\" means p < {LEVEL} after Holm's correction in the claim's table; the intervals are not corrected.",
        "## What is lost",
        lost.to_markdown() if lost.rows else f"No claim went against the search. {lost.note}",
        "## Method",
        METHOD.format(
            count=count,
            seeds=seeds,
            total=total,
            hops=f"{hops[0]} to {hops[-1]}" if len(hops) > 1 else hops[0],
            budgets=budgets or "those of the tables",
            resamples=RESAMPLES,
            per_world=PER_WORLD,
        ),
        "\n".join(f"- {name}: {markdown(str(value))}" for name, value in (facts or {}).items()),
        "## Do it again",
        REPRODUCE.format(count=count, skipped=SKIPPED),
        "## Tables",
        "\n".join(table.to_markdown() for table in shown).strip(),
        "## Threats to validity",
        THREATS.format(
            prompt=f" (here {min(prompt):.0f} to {max(prompt):.0f} for each generated one)" if prompt else "",
            zero=" Seconds were not measured." if not seconds_rows else "",
            missing="".join(
                f" {name} not run."
                for name, title in (
                    ("The peers were", EACH_PEER),
                    ("The paper's budgets were", PAPERS),
                    ("The guide's budgets were", GUIDES),
                )
                if title not in families(data)
            ),
        ),
        "## What would change the conclusion",
        f"- {closest(data)}\n{CHANGE}",
    ]
    return "\n\n".join(part.strip() for part in parts if part.strip()) + "\n"


METHOD = """
- **Questions**: {count} of {hops} hops on generated worlds, {per_world} a world; {seeds} seed(s) at most; {total}
  searches. A question is asked with its plan, except where a method is named "own plans". An answer is right if it
  equals the gold answer after normalization.
- **Splits**: settings, ours and the peers', were chosen on dev worlds over stated grids. The rows here are of other
  worlds.
- **Sample bank**: what the model says in a state is drawn once, stored by state and number of the draw, and given to
  every method that comes there. So methods differ by what they do, not by luck, and everything replays without the
  model.
- **Budgets**: tokens / tool calls {budgets}. One ledger charges every method: generated tokens of all roles; prompt
  tokens only where a method is named "prompt charged". No row is over its budget.
- **Pairing**: a difference is taken on the questions and seeds that both methods have. Seeds are averaged first,
  questions are the unit.
- **Intervals**: 95 %, percentile bootstrap over questions, {resamples} resamples (`scipy.stats.bootstrap`).
- **p**: two-sided sign-flip test of the mean of the paired differences (`scipy.stats.permutation_test`), which most
  questions being tied does not harm. Holm's correction is over all claims of a table, not over tables.
"""

REPRODUCE = """
```bash
bavt bench --recorded          # these tables, from the shipped rows, and some of them searched again in the bank
bavt bench --check 50          # states of the bank drawn anew by the model
bavt bench --split test --skip-worlds {skipped} --questions {count} --jobs 2      # everything again but the peers
```
"""

THREATS = """
- One small model, one kind of task, generated pages: how far this carries to other models and tasks is not measured
  here.
- The trained critics learned from labels of this task family. A vote needs none, and what the labels cost is in no
  budget.
- The tuned actor breaks the method's premise, an actor that is frozen. It is in the table for who may break it.
- Questions of a world share pages, and the bootstrap takes them for independent: the intervals may be a little
  narrow.
- A budget is a limit. Methods that stop early use less of it; tables have the tokens used in parentheses.
- Generated tokens are not the whole bill: more prompt tokens are read{prompt}. See the tables by prompt token, tool
  call and second.{zero}
- The peers run through adapters that we wrote, with settings tuned by our rule; the best peer is picked from the same
  rows, which favors it.{missing}
- Few seeds: the intervals are about questions, with the noise of seeds inside.
"""

CHANGE = """- An actor that is right more often by one greedy chain, or a critic no better than the log-probability: see
  their rows above.
- Budgets that charge prompt tokens, if reading costs as much as writing: see the guide's budgets.
- Another run on new questions whose intervals do not overlap with these.
"""
