"""A search as one SVG picture: a pure function of a trace, for notebooks, pages and files."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from ..trace import Trace
from .fold import Node, Picture, columns, cut, fold, wrap
from .text import answer_line, dropped_text, failure_text, reason_line

# Okabe-Ito colors; every one of them is paired with a number, a word or a shape.
BLUE, GREEN, ORANGE, RED = "#0072B2", "#009E73", "#E69F00", "#D55E00"
INK, FAINT, LINE, PAPER = "#1a1a1a", "#595959", "#8a8a8a", "#ffffff"
BOX, GAP, ROW, MARGIN, TOP = 158, 42, 54, 20, 144  # pixels
BAR = 70
# What happens at a node while the search runs, by the kind of the event.
NOW = {"selected": "chosen", "planned": "plans drawn", "read": "page read", "expanded": "steps drawn"}
NOW |= {"scored": "steps judged", "added": "new", "pruned": "step dropped", "answered": "found"}


def render_svg(trace: Trace, at: int | None = None) -> str:
    """The tree after the first `at` events (None: all) as a standalone SVG with its own light background.

    Boxes are steps: their text, value V (bar and number) and what they added. Above them is what is left of the budget
    and who spent what. While the search runs, a dashed frame is around the node that the last event is about, which is
    named below it. Deterministic; no scripts, no styles.
    Raises ValueError if `at` is not from 0 to the number of events, or an event of the trace is damaged.
    """
    if at is not None and (type(at) is not int or not 0 <= at <= len(trace.events)):
        raise ValueError(f"at must be a whole number from 0 to {len(trace.events)}, got {at!r}")
    picture = fold(trace.events[:at])
    rows = place(picture)
    depth = max(node.depth for node in picture.nodes.values())
    width = max(2 * MARGIN + (depth + 1) * (BOX + GAP) - GAP, 600)
    height = TOP + ROW * (max(rows.values()) + 1) + 30
    best = picture.best_path
    parts = heading(picture, width)
    for node in picture.nodes.values():
        if node.parent is not None:
            parts.append(link(rows, picture.nodes[node.parent], node, node.id in best))
    for id in picture.walk():
        now = NOW.get(picture.kind, "") if id == picture.current and not picture.reason else ""
        parts += box(rows, picture.nodes[id], id in best, "failed" if now and picture.fails else now)
    legend = "bar and number: value V; signed number: what the step added; thick line: way to the answer"
    legend += "" if picture.reason else "; dashed: now"
    parts.append(text(MARGIN, height - 12, legend, FAINT, 10))
    return sheet(width, height, describe(picture), parts)


def sheet(width: float, height: float, words: str, parts: Sequence[str]) -> str:
    """A standalone SVG on its own light background, which `words` describe for readers who do not see it."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {number(width)} {number(height)}" '
        f'width="{number(width)}" height="{number(height)}" font-family="sans-serif" font-size="12">'
    )
    paper = f'<rect width="100%" height="100%" rx="6" fill="{PAPER}"/>'
    return "\n".join([head, f"<title>{escape(words)}</title>", paper, *parts, "</svg>"]) + "\n"


def place(picture: Picture) -> dict[int, float]:
    """Rows of the nodes: leaves one below the other, a parent in the middle of its children."""
    rows: dict[int, float] = {}
    order = picture.walk()
    leaves = [id for id in order if not picture.nodes[id].children]
    rows.update({id: float(row) for row, id in enumerate(leaves)})
    for id in reversed(order):
        if children := picture.nodes[id].children:
            rows[id] = (rows[children[0]] + rows[children[-1]]) / 2
    return rows


def describe(picture: Picture) -> str:
    """The picture in words, for readers who do not see it."""
    steps = len(picture.nodes) - 1
    said = f"Search tree with {steps} step{'s' * (steps != 1)}. Question: {picture.question or 'not asked yet'}."
    if picture.reason:
        said += f" Answer: {answer_line(picture)}. Stopped: {reason_line(picture)}."
    return said


def heading(picture: Picture, width: float) -> list[str]:
    """The question, how it stands, and a bar for each resource."""
    if picture.reason:
        state = f"Answer: {answer_line(picture)}. Stopped: {reason_line(picture)}"
    else:
        state = f"Searching: {picture.asked}" if picture.asked else "Not asked yet"
    lines = wrap(picture.question, int((width - 2 * MARGIN) / 8.8), most=2)
    parts = [
        text(MARGIN, 24 + 18 * row, line, INK, 14, bold=True, title=picture.question if row == len(lines) - 1 else "")
        for row, line in enumerate(lines)
    ]
    line, room = state, int((width - 2 * MARGIN) / 7.2)
    if columns(state) > room and picture.reason not in ("", "error"):  # the word alone; the rest is in the title
        line = f"Answer: {answer_line(picture)}. Stopped: {picture.reason}"
    parts.append(text(MARGIN, 63, cut(line, room), INK, 12, title=state))
    for index, (resource, name) in enumerate((("tokens", "tokens"), ("tool_calls", "tool calls"))):
        x, total, used = MARGIN + 225 * index, picture.total(resource), picture.charged(resource)
        share = max(0.0, 1 - used / total) if total else float(total is None)
        parts += bar(x, 76, share, 80, GREEN if index else BLUE)
        left = "unlimited" if total is None else f"{max(0, total - used)} of {total}"
        parts.append(text(x + 86, 84, f"{left} {name} left", FAINT, 10))
    parts.append(text(MARGIN + 450, 84, f"r = {picture.ratio:.2f}", FAINT, 10))
    for row, line in enumerate(bill(picture)):
        parts.append(text(MARGIN, 103 + 15 * row, cut(line, int((width - 2 * MARGIN) / 5.6)), FAINT, 10, title=line))
    return parts


def bill(picture: Picture) -> list[str]:
    """Who spent what, by role, in two lines: what counts, and what was read."""
    lines = []
    for names in ({"tokens": "Tokens written", "tool_calls": "tool calls"}, {"prompt_tokens": "Tokens read"}):
        parts = []
        for resource, name in names.items():
            used = [f"{role} {row[resource]}" for role, row in picture.roles.items() if row[resource]]
            parts.append(f"{name}: {', '.join(used) or 'none yet'}")
        lines.append("; ".join(parts))
    return lines


def box(rows: dict[int, float], node: Node, best: bool, now: str = "") -> list[str]:
    """One step. `now`: what the last event did here."""
    x, y = spot(rows, node)
    tip = f"{'Question' if node.parent is None else f'Step {node.id}'}: {node.text}. Value {node.value:.2f}"
    tip += f", added {node.residual:+.2f}" if node.parent is not None else ""
    tip += f". Failed: {failure_text(node)}" if node.failures else ""
    tip += f". Dropped: {dropped_text(node)}" if node.dropped else ""
    edge = BLUE if best else GREEN if node.terminal else LINE
    frame = f'x="{number(x)}" y="{number(y)}" width="{BOX}" height="38" rx="{0 if node.terminal else 8}"'
    parts = [
        f"<g><title>{escape(cut(tip, 600))}</title>",
        f'<rect {frame} fill="{PAPER}" stroke="{edge}" stroke-width="{3 if best else 1.5}"/>',
        text(x + 8, y + 15, cut(node.text, 20), INK, 12, bold=node.terminal),
        *bar(x + 8, y + 23, node.value, BAR, GREEN if node.terminal else BLUE),
    ]
    figures = f"{node.value:.2f}" + (f" ({node.residual:+.2f})" if node.parent is not None else "")
    parts.append(text(x + BAR + 13, y + 31, figures, FAINT, 10))
    if now:
        around = f'x="{number(x - 4)}" y="{number(y - 2)}" width="{BOX + 8}" height="43" rx="8"'
        parts.append(f'<rect {around} fill="none" stroke="{INK}" stroke-width="1.5" stroke-dasharray="5 3"/>')
    notes = [f"now: {now}"] if now else []
    notes += [f"{node.dropped.total()} dropped"] if node.dropped else []
    notes += ["answer"] if node.terminal else ["failed"] if node.failures else []
    if notes:
        parts.append(text(x + 8, y + 50, ", ".join(notes), INK if node.failures else FAINT, 9))
    return [*parts, "</g>"]


def link(rows: dict[int, float], parent: Node, child: Node, best: bool) -> str:
    """The line from a step to one that follows it."""
    (x0, y0), (x1, y1) = spot(rows, parent), spot(rows, child)
    x0, y0, y1, middle = x0 + BOX, y0 + 19, y1 + 19, x1 - GAP / 2
    curve = f"M{number(x0)} {number(y0)}C{number(middle)} {number(y0)} {number(middle)} {number(y1)}"
    color, thick = (BLUE, 3) if best else (LINE, 1.5)
    return f'<path d="{curve} {number(x1)} {number(y1)}" fill="none" stroke="{color}" stroke-width="{thick}"/>'


def spot(rows: dict[int, float], node: Node) -> tuple[float, float]:
    """The upper left corner of a step's box."""
    return MARGIN + node.depth * (BOX + GAP), TOP + rows[node.id] * ROW - 8


def bar(x: float, y: float, share: float, width: float, color: str) -> list[str]:
    """A bar filled to `share`."""
    at = f'x="{number(x)}" y="{number(y)}" height="8"'
    full = number(width * min(1.0, max(0.0, share)))
    return [f'<rect {at} width="{number(width)}" fill="#e4e4e4"/>', f'<rect {at} width="{full}" fill="{color}"/>']


def text(x: float, y: float, words: str, color: str, size: int, bold: bool = False, title: str = "") -> str:
    """A line of text; `title` shows what was cut."""
    weight = ' font-weight="bold"' if bold else ""
    tip = f"<title>{escape(title)}</title>" if title != words and title else ""
    at = f'x="{number(x)}" y="{number(y)}" fill="{color}" font-size="{size}"'
    return f"<text {at}{weight}>{tip}{escape(words)}</text>"


def number(value: float) -> str:
    """At most 3 decimals, no trailing zeros, no minus zero."""
    return f"{round(value, 3) + 0.0:.3f}".rstrip("0").rstrip(".")
