"""One step and what several critics say of it, as an SVG picture: a pure function, for notebooks and files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..checks import check_range
from .fold import cut, plain, wrap
from .svg import BLUE, FAINT, GREEN, INK, MARGIN, ORANGE, RED, bar, number, sheet, text

WIDTH, COLUMNS = 640, 80  # pixels, characters in a line of the page
NAME, TRACK, LINE_HEIGHT, ROW = 170, 220, 17, 24  # pixels: name, bar, a line of text, a critic
SURE = 0.5  # a chance above leans to right, one below to wrong


@dataclass(frozen=True)
class Case:
    """A step that critics judged. `chances`: critic -> how likely it finds the step right, in [0, 1]."""

    page: str
    question: str
    step: str
    chances: Mapping[str, float]
    right: bool = field(repr=False)  # not shown before it is asked for
    gold: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        if not self.chances:
            raise ValueError("chances must name one critic or more, got none")
        for name, chance in self.chances.items():
            check_range(f"chances[{name!r}]", chance, 0.0, 1.0)


def render_case(case: Case, reveal: bool = False) -> str:
    """The page, the question, the step and a bar for each critic as a standalone SVG with its own light background.

    `reveal` adds the truth, and which critics lean to it; without it nothing in the picture depends on the truth.
    Deterministic; no scripts, no styles.
    """
    step = plain(case.step, 200) or "(empty)"
    y, parts = 26.0, []
    written = (("Page", plain(case.page), 8), ("Question", plain(case.question, 500), 2), ("Step", step, 2))
    for heading, words, most in written:
        parts.append(text(MARGIN, y, heading, FAINT, 11))
        for line in wrap(words, COLUMNS, most):
            parts.append(text(MARGIN + 68, y, line, INK, 12, bold=heading == "Step"))
            y += LINE_HEIGHT
        y += 5
    y += 14
    left = MARGIN + NAME
    parts.append(text(MARGIN, y, "Chance that the step is right", FAINT, 11))
    for x, words in ((left, "0"), (left + TRACK / 2 - 8, "0.5"), (left + TRACK - 6, "1")):
        parts.append(text(x, y, words, FAINT, 10))
    middle, top = left + TRACK / 2, y + 4
    for name, chance in case.chances.items():
        y += ROW
        parts += row(plain(name, 60), chance, y, case.right if reveal else None)
    parts.append(
        f'<path d="M{number(middle)} {number(top)}V{number(y + 6)}" stroke="{INK}" stroke-width="1" '
        f'stroke-dasharray="3 2" fill="none"/>'
    )
    y += ROW + 8
    parts += verdict(case, y) if reveal else [text(MARGIN, y, "Truth: hidden. Is the step right?", INK, 13, True)]
    return sheet(WIDTH, y + 18, describe(case, reveal), parts)


def describe(case: Case, reveal: bool = False) -> str:
    """The picture in words, for readers who do not see it."""
    said = ", ".join(f"{plain(name, 60)} {chance:.2f}" for name, chance in case.chances.items())
    words = f"Question: {plain(case.question, 500)} Step: {plain(case.step, 200) or '(empty)'}."
    words += f" Chance that it is right: {said}."
    return f"{words} Truth: {truth(case)}." if reveal else f"{words} Truth: hidden."


def truth(case: Case) -> str:
    """Right or wrong, and the gold answer where it is known and differs."""
    gold = plain(case.gold, 200)
    return "right" if case.right else f"wrong, the page says {gold}" if gold else "wrong"


def row(name: str, chance: float, y: float, right: bool | None) -> list[str]:
    """A critic: its name, a bar, the number, where it leans and, if `right` is known, whether that is true."""
    chance = round(chance, 2)  # what is said is that of the number that is shown
    leaning = "undecided" if chance == SURE else f"leans to {'right' if chance > SURE else 'wrong'}"
    parts = [
        text(MARGIN, y, cut(name, 24), INK, 12, title=name),
        *bar(MARGIN + NAME, y - 9, chance, TRACK, BLUE if chance > SURE else ORANGE),
        text(MARGIN + NAME + TRACK + 10, y, f"{chance:.2f}", INK, 12, bold=True),
        text(MARGIN + NAME + TRACK + 45, y, leaning, FAINT, 11),
    ]
    if right is not None and chance != SURE:
        agrees = (chance > SURE) == right
        x = MARGIN + NAME + TRACK + 140
        parts += [*mark(x, y, agrees), text(x + 14, y, "agrees" if agrees else "errs", INK, 11)]
    return parts


def verdict(case: Case, y: float) -> list[str]:
    """The truth in words, beside a mark."""
    said = f"Truth: {truth(case)}"
    return [*mark(MARGIN, y, case.right), text(MARGIN + 18, y, cut(said, 80), INK, 13, True, title=said)]


def mark(x: float, y: float, good: bool) -> list[str]:
    """A tick or a cross, ten pixels wide, on a line of text."""
    shape = f"M{number(x)} {number(y - 4)}l4 4l6 -9" if good else f"M{number(x)} {number(y - 9)}l9 9m0 -9l-9 9"
    color = GREEN if good else RED
    return [f'<path d="{shape}" fill="none" stroke="{color}" stroke-width="2.5" stroke-linecap="round"/>']
