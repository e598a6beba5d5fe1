"""Runs of a benchmark on one question as an SVG picture: what each answered, what it used, and why it stopped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from ..benchmark.store import Row, check_row
from .fold import REASONS, cut, plain, wrap
from .svg import BLUE, FAINT, GREEN, INK, LINE, MARGIN, ORANGE, PAPER, RED, number, sheet, text

PINK, SKY = "#CC79A7", "#56B4E9"
# A segment carries its role's letter where there is room; the line beside the bar names all roles, in the same order.
COLORS = {"generator": BLUE, "critic": PINK, "planner": SKY, "backstop": ORANGE, "prompt": FAINT}
NAMES = {"tokens": "tokens", "tool_calls": "tool calls"}
WIDTH, HEAD, CARD, BAR = 860, 92, 92, 320  # pixels
Part = tuple[str, int]  # whose, and how many tokens


def render_runs(rows: Sequence[Row], question: str = "", gold: str = "") -> str:
    """One card for each row, in the order given, as a standalone SVG with its own light background.

    Bars are as long as the budgets, on one scale for tokens and one for tool calls, and filled as far as these were
    used. Deterministic; no scripts, no styles. No rows: it says so. Raises ValueError or TypeError that names what a
    damaged row lacks, ValueError for rows of more than one question.
    """
    asked = {check_row(row)["question"] for row in rows}
    if len(asked) > 1:
        raise ValueError(f"rows must be of one question, got {len(asked)}: {', '.join(sorted(asked)[:3])}")
    height = HEAD + CARD * max(1, len(rows)) + 28
    shown = plain(question, 300) or "".join(f"Question {plain(name, 80)}" for name in asked)
    parts = heading(rows, shown, plain(gold, 60))
    scales = [max([1, *(max(limit(row, name) or 0, used(row, name)) for row in rows)]) for name in NAMES]
    for place, row in enumerate(rows):
        parts += card(row, HEAD + CARD * place, scales)
    if not rows:
        parts.append(text(MARGIN, HEAD + 30, "Nothing was recorded for this choice.", INK, 13))
    legend = "bars: as long as the budget, filled as far as it was used; G generator, C critic, P planner, B backstop"
    parts.append(text(MARGIN, height - 12, legend + ", R read (prompt tokens, where they are charged)", FAINT, 10))
    return sheet(WIDTH, height, describe(rows, question, gold), parts)


def used(row: Row, name: str) -> int:
    """Charged units of "tokens" or "tool_calls"."""
    return int(row["used" if name == "tokens" else "tool_calls_used"])


def limit(row: Row, name: str) -> int | None:
    """The budget of it; None: unlimited."""
    total: int | None = row[name]
    return total


def parts_of(row: Row) -> list[Part]:
    """Who used the charged tokens; prompt tokens are a part of their own where they were charged."""
    order = list(COLORS)
    roles = sorted(row["by_role"], key=lambda role: (order.index(role) if role in order else len(order), role))
    found = [(role, int(row["by_role"][role][0])) for role in roles if row["by_role"][role][0]]
    read = row["used"] - sum(units for _, units in found)
    return [*found, ("prompt", read)] if read > 0 else found


def verdict(row: Row) -> str:
    """Right, wrong or without an answer, and the answer."""
    answer = plain(row["answer"], 200)
    return f"right: {answer}" if row["right"] == 1 else f"wrong: {answer}" if answer else "no answer"


def budget_line(row: Row) -> str:
    """The method, its budget and its seed."""
    tokens, calls = (f"{limit(row, name) if limit(row, name) is not None else 'any'} {NAMES[name]}" for name in NAMES)
    return f"{plain(row['method'], 80)}: {tokens}, {calls}, seed {row['seed']}"


def use_line(row: Row, name: str) -> str:
    """What was used of a resource, by role."""
    total = limit(row, name)
    line = f"{used(row, name):,}{'' if total is None else f' of {total:,}'} {NAMES[name]}"
    if name == "tool_calls":
        return line
    split = ", ".join(f"{'read' if role == 'prompt' else plain(role, 20)} {units:,}" for role, units in parts_of(row))
    return f"{line}: {split}" if split else line


def end_line(row: Row) -> str:
    """Why it stopped, what it read, and what a wrong answer failed at."""
    reason = REASONS.get(row["reason"], plain(row["reason"], 50))
    line = f"stopped: {reason}{'; the answer was forced' if row['forced'] else ''}"
    line += f"; read {row['prompt_tokens']:,} prompt tokens"
    return f"{line}; failed at: {plain(row['fault'], 40)}" if row["fault"] else line


def describe(rows: Sequence[Row], question: str, gold: str) -> str:
    """The picture in words, for readers who do not see it."""
    said = f"{len(rows)} run{'s' * (len(rows) != 1)}. Question: {plain(question, 300) or 'not given'}."
    said += f" Gold answer: {plain(gold, 60)}." if gold else ""
    for row in rows:
        said += f" {budget_line(row)}: {verdict(row)}; {use_line(row, 'tokens')}; {use_line(row, 'tool_calls')}."
    return said


def heading(rows: Sequence[Row], question: str, gold: str) -> list[str]:
    """The question, and how many of the runs are right."""
    lines = wrap(question, int((WIDTH - 2 * MARGIN) / 8.8), most=2)
    parts = [
        text(MARGIN, 24 + 18 * place, line, INK, 14, bold=True, title=question if place == len(lines) - 1 else "")
        for place, line in enumerate(lines)
    ]
    right = sum(row["right"] == 1 for row in rows)
    state = [f"Gold answer: {gold}"] if gold else []
    state += [f"{right} of {len(rows)} run{'s' * (len(rows) != 1)} right"] if rows else []
    return [*parts, text(MARGIN, 66, ". ".join(state), INK, 12)]


def card(row: Row, y: float, scales: Sequence[int]) -> list[str]:
    """One run."""
    right, words, at = row["right"] == 1, verdict(row), budget_line(row)
    color = GREEN if right else RED
    parts = [
        f"<g><title>{escape(cut(f'{at}. {words}. {end_line(row)}', 600))}</title>",
        f'<path d="M{MARGIN} {number(y)}H{WIDTH - MARGIN}" fill="none" stroke="{LINE}"/>',
        # A check mark or a cross beside the word: the color is the third sign.
        f'<path d="{mark(MARGIN, y + 12, right)}" fill="none" stroke="{color}" stroke-width="2.5"/>',
        text(MARGIN + 22, y + 24, cut(words, 46), INK, 14, bold=True, title=words),
        text(MARGIN + BAR + 14, y + 24, cut(at, 70), INK, 12, title=at),
    ]
    for place, (name, scale) in enumerate(zip(NAMES, scales, strict=True)):
        segments = parts_of(row) if name == "tokens" else [("tool", used(row, name))]
        top = y + 36 + 19 * place
        parts += bar(MARGIN, top, segments, limit(row, name), scale)
        line = use_line(row, name)
        parts.append(text(MARGIN + BAR + 14, top + 11, cut(line, 78), INK, 12, title=line))
    end = end_line(row)
    return [*parts, text(MARGIN, y + 84, cut(end, 150), FAINT, 10, title=end), "</g>"]


def mark(x: float, y: float, right: bool) -> str:
    """A check mark or a cross, 12 pixels wide."""
    if right:
        return f"M{number(x)} {number(y + 7)}L{number(x + 5)} {number(y + 12)}L{number(x + 14)} {number(y)}"
    ends = (x, y, x + 12, y + 12, x, y + 12, x + 12, y)
    return "M{} {}L{} {}M{} {}L{} {}".format(*map(number, ends))


def bar(x: float, y: float, segments: Sequence[Part], total: int | None, scale: int) -> list[str]:
    """A frame as long as the budget, dashed if there is none, with a segment for each part."""
    length = BAR * (scale if total is None else total) / scale
    parts, start = [], x
    for role, units in segments:
        wide = BAR * units / scale
        at = f'x="{number(start)}" y="{number(y)}" width="{number(wide)}" height="14"'
        color = GREEN if role == "tool" else COLORS.get(role, INK)
        parts.append(f'<rect {at} fill="{color}" stroke="{PAPER}" stroke-width="0.5"/>')
        letter = "R" if role == "prompt" else plain(role, 1).upper()
        if wide >= 14 and role != "tool":
            dark = role in ("planner", "backstop", "critic")  # light fills
            parts.append(text(start + 3, y + 11, letter, INK if dark else PAPER, 10, bold=True))
        start += wide
    dash = ' stroke-dasharray="4 3"' if total is None else ""
    frame = f'x="{number(x)}" y="{number(y)}" width="{number(length)}" height="14"'
    return [*parts, f'<rect {frame} fill="none" stroke="{FAINT}"{dash}/>']
