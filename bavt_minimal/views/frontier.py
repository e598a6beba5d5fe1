"""A frontier and what three selection rules make of it, as an SVG picture: a pure function, for notebooks and files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..checks import check_range
from ..selection import BudgetAware, BudgetAwareUCB, checked
from .fold import cut, plain
from .svg import BLUE, FAINT, GREEN, INK, LINE, MARGIN, ORANGE, bar, number, sheet, text

NODES, PANEL, TRACK, ROW, HEAD, TOP, FOOT = 184, 206, 76, 22, 66, 58, 46  # pixels
MOST = 26  # nodes, named by letters


@dataclass(frozen=True)
class Panel:
    """One rule at one r: the chance of each node, what rules there in words, and how each chance came about."""

    name: str
    color: str
    chances: NDArray[np.float64]  # (N,)
    line: str
    notes: Sequence[str] = ()


def panels(values: ArrayLike, visits: ArrayLike, r: float, total_budget: float, constant: float) -> list[Panel]:
    """The paper's rule, the guide's UCB and the scaled one on a frontier. Errors as of the rules."""
    v, n = checked(values, visits, r)
    paper = BudgetAware()
    alpha = paper.alpha(r)
    capped = ", the cap" if alpha == paper.alpha_max else ""
    found = [Panel("V^(1/r)", BLUE, paper(v, n, r), f"exponent {number(round(alpha, 1))}{capped}")]
    for name, color, scaled in (("guide's UCB", ORANGE, False), ("scaled UCB", GREEN, True)):
        ucb = BudgetAwareUCB(constant, total_budget, scaled)
        left = r * total_budget
        # Judging a node is its first visit. A value of 0 leaves the bonus alone.
        bonus = [ucb.compute_ucb_score(0.0, count + 1, total_budget, left) for count in n]
        notes = [f"{value:.2f} + {amount(extra)}" for value, extra in zip(v, bonus, strict=True)]
        weight = constant * r if scaled else (constant / left if left else math.inf) if constant else 0.0
        line = f"{'c * r' if scaled else 'c / remaining'} = {amount(weight)}"
        found.append(Panel(name, color, ucb(v, n, r), line, notes))
    return found


def render_frontier(
    values: ArrayLike,
    visits: ArrayLike,
    shares: Sequence[float] = (1.0, 0.5, 0.1),
    *,
    total_budget: float = 64.0,
    constant: float = 1.0,
    names: Sequence[str] | None = None,
) -> str:
    """Chances of being selected, by three rules side by side and one block for each share r of the budget left.

    `values` and `visits` (N,) as the rules take them, at most 26 nodes; `constant` is the exploration constant of both
    UCB rules, `total_budget` in tokens. A standalone SVG with its own light background. Deterministic; no scripts, no
    styles. Raises ValueError on an empty frontier, on shares outside [0, 1], or on names that are not one a node.
    """
    v, n = checked(values, visits, 1.0)
    check_range("total_budget", total_budget, 1e-6, 1e12)
    if v.size > MOST:
        raise ValueError(f"values must be at most {MOST}, got {v.size}")
    labels = [plain(name, 60) for name in names] if names is not None else [chr(65 + i) for i in range(v.size)]
    if len(labels) != v.size:
        raise ValueError(f"names must be one for each of the {v.size} nodes, got {len(labels)}")
    if not len(shares):
        raise ValueError("shares must have one r or more, got none")
    blocks = [(r, panels(v, n, r, total_budget, constant)) for r in shares]
    width, block = 2 * MARGIN + NODES + 3 * PANEL, HEAD + ROW * v.size
    height = TOP + block * len(blocks) + FOOT
    parts = [text(MARGIN, 24, "Chance of each node to be expanded next", INK, 14, bold=True)]
    parts += [text(panel_at(i), 48, panel.name, INK, 13, bold=True) for i, panel in enumerate(blocks[0][1])]
    parts.append(text(MARGIN, 48, "frontier", INK, 13, bold=True))
    for index, (r, row) in enumerate(blocks):
        parts += draw_block(TOP + block * index, r, row, v, n, labels, total_budget)
    legend = ("bar and number: chance; the likeliest node is in bold", "under UCB: value + bonus, the sum is the score")
    for i, line in enumerate(legend):
        parts.append(text(MARGIN, height - 26 + 14 * i, line, FAINT, 10))
    return sheet(width, height, describe(blocks, labels), parts)


def draw_block(
    top: float,
    r: float,
    row: Sequence[Panel],
    values: NDArray[np.float64],
    visits: NDArray[np.float64],
    names: Sequence[str],
    total_budget: float,
) -> list[str]:
    """All rules at one r: what is left of the budget, then a line for each node."""
    left = f"{number(round(r * total_budget, 2))} of {number(total_budget)} tokens left"
    edge = 2 * MARGIN + NODES + 3 * PANEL - MARGIN
    parts = [
        f'<path d="M{MARGIN} {number(top)}H{edge}" fill="none" stroke="{LINE}" stroke-width="1"/>',
        text(MARGIN, top + 20, f"r = {number(r)}", INK, 13, bold=True),
        *bar(MARGIN + 70, top + 11, r, 80, FAINT),
        text(MARGIN, top + 36, left, FAINT, 10),
    ]
    parts += [text(panel_at(i), top + 20, panel.line, FAINT, 11) for i, panel in enumerate(row)]
    for index, (name, value, count) in enumerate(zip(names, values, visits, strict=True)):
        y = top + HEAD - 8 + ROW * index
        parts.append(text(MARGIN, y, cut(name, 8), INK, 12, title=name))
        often = f"expanded {number(count)}x" if count else "new"
        parts.append(text(MARGIN + 58, y, f"V {value:.2f}  {often}", FAINT, 11))
        for i, panel in enumerate(row):
            likeliest = bool(panel.chances[index] == panel.chances.max())
            x = panel_at(i)
            parts += bar(x, y - 8, float(panel.chances[index]), TRACK, panel.color)
            parts.append(text(x + TRACK + 6, y, percent(panel.chances[index]), INK, 11, bold=likeliest))
            if panel.notes:
                parts.append(text(x + TRACK + 48, y, panel.notes[index], FAINT, 10))
    return parts


def panel_at(index: int) -> int:
    """Where a rule's column begins."""
    return MARGIN + NODES + PANEL * index


def percent(chance: float) -> str:
    """A chance with three decimals; what rounds to none but is some is marked so."""
    return "<.001" if 0 < chance < 0.0005 else f"{chance:.3f}"


def amount(x: float) -> str:
    """A bonus or a weight: two decimals, more where they would show nothing."""
    if math.isinf(x):
        return "inf"
    return f"{x:.2f}" if x >= 0.095 or x == 0 else f"{x:.3f}" if x >= 0.0005 else "<.001"


def describe(blocks: Sequence[tuple[float, Sequence[Panel]]], names: Sequence[str]) -> str:
    """The picture in words, for readers who do not see it."""
    said = [f"Chances of {len(names)} node{'s' * (len(names) != 1)} to be expanded next, by three rules."]
    for r, row in blocks:
        each = []
        for panel in row:
            top = panel.chances.max()
            tied = zip(names, panel.chances, strict=True)
            likeliest = " and ".join(cut(name, 20) for name, chance in tied if chance == top)
            each.append(f"{panel.name} {likeliest} ({percent(top)})")
        said.append(f"Likeliest at r = {number(r)}: {', '.join(each)}.")
    return " ".join(said)
