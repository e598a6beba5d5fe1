"""The search's tables in README.md and docs/results.md, from the recorded rows.

    python benchmarks/tables.py     # half a minute; writes both files; the prose around them is yours

A row is known by its first cell, which is one of the labels here. docs/benchmark.md has every table and is written by
`bavt bench --recorded --docs`; these two files have what is spoken of there.
"""

from __future__ import annotations

import re
from pathlib import Path

from bavt_minimal.benchmark import recorded
from bavt_minimal.benchmark.efficiency import TIERS
from bavt_minimal.benchmark.methods import BAVT, RERANK, VOTE
from bavt_minimal.benchmark.report import headline
from bavt_minimal.benchmark.scores import Rows, difference, mean_interval, scores, times

ROOT = Path(__file__).resolve().parents[1]
PAGES = (ROOT / "README.md", ROOT / "docs" / "results.md")
ACCURACIES = {
    "parallel chains, majority vote": VOTE,
    "one greedy chain": "greedy chain",
    "parallel chains, best by log-probability": "rerank, logprob",
    "parallel chains, best by the mix": "rerank, mix",
    "parallel chains, best by the adapter": RERANK,
    "BAVT, log-probability": "bavt, logprob",
    "BAVT, head": "bavt, head",
    "BAVT, mix of head and log-probabilities": "bavt, mix",
    "**BAVT, critic adapter**": BAVT,
    "llm-reasoners, MCTS, same critic": "llm-reasoners MCTS",
    "llm-reasoners, beam, same critic": "llm-reasoners beam",
    "TreeQuest, MCTS, same critic": "TreeQuest MCTS",
    "TreeQuest, AB-MCTS-A, same critic": "TreeQuest AB-MCTS-A",
    "BAVT, oracle critic (a bound)": "bavt, oracle",
    "*actor tuned on the critic's labels, one greedy chain*": "actor tuned, greedy chain",
}
DIFFERENCES = {  # one, other, and how many times the budget the other has
    "BAVT[adapter] - vote": (BAVT, VOTE, 1),
    "BAVT[adapter] - vote at four times the budget": (BAVT, VOTE, 4),
    "BAVT[adapter] - chains reranked by the same adapter": (BAVT, RERANK, 1),
    "BAVT[adapter] - these at four times the budget": (BAVT, RERANK, 4),
    "BAVT[log-probability] - vote": ("bavt, logprob", VOTE, 1),
    "BAVT[mix] - chains reranked by the same mix": ("bavt, mix", "rerank, mix", 1),
    "BAVT[adapter] - llm-reasoners MCTS": (BAVT, "llm-reasoners MCTS", 1),
    "BAVT[adapter] - llm-reasoners beam": (BAVT, "llm-reasoners beam", 1),
    "BAVT[adapter] - TreeQuest MCTS": (BAVT, "TreeQuest MCTS", 1),
    "V^(1/r) - greedy": (BAVT, "greedy", 1),
    "V^(1/r) - the guide's UCB": (BAVT, "guide's UCB", 1),
    "V^(1/r) - exponent 1": (BAVT, "alpha = 1", 1),
    "three children at once - one at a time": (BAVT, "one child at a time", 1),
    "widening by `promise` - by V": (BAVT, "by value", 1),
    "judged with its path - by its page alone": (BAVT, "one page", 1),
    "residual - absolute values": (BAVT, "absolute values", 1),
    "BAVT[adapter] - actor tuned": (BAVT, "actor tuned, greedy chain", 1),
}
HEADLINE = re.compile(r"\*\*BAVT at 64 tokens minus a vote at 256: .*?\*\*(.*?)\d+ test questions")


def cells(rows: Rows, label: str) -> list[str] | None:
    """What stands behind a label, a text for each tier; None: it is no label of these."""
    if method := ACCURACIES.get(label):
        own = [(method, *budget) for budget in TIERS]
        return [f"{mean_interval(rows, cell).text()} ({scores(rows).mean(cell, 'used'):.0f})" for cell in own]
    if label not in DIFFERENCES:
        return None
    one, other, factor = DIFFERENCES[label]
    pairs = [((one, *budget), (other, *times(budget, factor))) for budget in TIERS]
    return [difference(rows, *pair).interval.text(signed=True) for pair in pairs]


def rewrite(rows: Rows, page: str) -> str:
    """The page with the figures of these rows."""
    lines = page.split("\n")
    for number, line in enumerate(lines):
        label = line.split(" | ")[0].removeprefix("| ")
        if line.startswith("| ") and (found := cells(rows, label)):
            lines[number] = f"| {' | '.join((label, *found))} |"
    said = re.search(r": (.*?), 95 %, (\d+) questions", headline(rows))
    assert said, headline(rows)
    text = rf"**BAVT at 64 tokens minus a vote at 256: {said[1]}**\g<1>{said[2]} test questions"
    return HEADLINE.sub(text, "\n".join(lines))


def main() -> None:
    rows = scores(recorded.rows())
    for page in PAGES:
        page.write_text(rewrite(rows, page.read_text(encoding="utf-8")), encoding="utf-8")
        print(f"wrote {page.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
