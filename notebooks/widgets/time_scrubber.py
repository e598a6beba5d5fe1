"""A search as it grew: a slider over the events of a trace."""

from __future__ import annotations

from html import escape

import ipywidgets as widgets

from bavt_minimal.trace import Trace
from bavt_minimal.views import fold, render_svg
from bavt_minimal.views.text import event_lines, reason_line

# Its own light background, as the picture has: legible whatever the theme.
WORDS = (
    '<div style="background:#ffffff;color:#1a1a1a;padding:8px 20px;border-radius:6px;'
    'font-family:monospace;white-space:pre-wrap;line-height:1.4">{}</div>'
)


def words(trace: Trace, at: int) -> str:
    """What the event number `at` did, counted from 1, as lines of text."""
    if at == 0:
        return f"0 of {len(trace.events)}: nothing has happened yet"
    event, picture = trace.events[at - 1], fold(trace.events[:at])
    lines = [line.strip() for line in event_lines(event, picture) if not line.startswith("settings:")]
    if event.kind == "scored" and "residuals" in event.data:
        lines = ["judge:   " + ", ".join("none" if x is None else f"{x:+.2f}" for x in event.data["residuals"])]
    if event.kind == "stopped":
        lines = [f"stop:    {reason_line(picture)}"]
    units = {"tokens": "tokens", "tool_calls": "tool calls", "prompt_tokens": "prompt tokens read"}
    paid = [
        f"{row[unit]} {name} by {row['role']}" for row in event.charges for unit, name in units.items() if row[unit]
    ]
    lines += [f"paid:    {', '.join(paid)}"] if paid else []
    return "\n".join([f"{at} of {len(trace.events)}: {event.kind}", *lines])


def time_scrubber(trace: Trace) -> widgets.VBox:
    """A slider over the events of a search, with the tree, the budget, and what happened in words.

    Arrow keys move the slider by one event when it has the focus, Page Up and Page Down by more; the two buttons are
    reached with Tab. It starts at the end. Needs a running kernel: show `render_svg(trace)` beside it.
    """
    last = len(trace.events)
    slider = widgets.IntSlider(last, 0, last, description="event", layout=widgets.Layout(width="400px"))
    back, forward = (widgets.Button(description=name, tooltip=f"one event {name}") for name in ("back", "forward"))
    picture, said = widgets.HTML(), widgets.HTML()

    def show(change: object = None) -> None:
        picture.value = render_svg(trace, slider.value)
        said.value = WORDS.format(escape(words(trace, slider.value)))

    def move(by: int) -> None:
        slider.value = min(last, max(0, slider.value + by))

    back.on_click(lambda button: move(-1))
    forward.on_click(lambda button: move(1))
    slider.observe(show, "value")
    show()
    return widgets.VBox([widgets.HBox([slider, back, forward]), picture, said])
