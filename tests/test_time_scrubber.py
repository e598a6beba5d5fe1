"""The notebooks' time scrubber: what it shows at each event, and that it can be used without a mouse."""

from __future__ import annotations

import importlib
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import ipywidgets
from test_views import hostile_trace, searched, visible

from bavt_minimal import Trace
from bavt_minimal.views import render_svg

sys.path.insert(0, str(Path(__file__).parents[1] / "notebooks"))
SCRUBBER = importlib.import_module("widgets.time_scrubber")


def parts(trace: Trace) -> tuple[Any, ...]:
    """Slider, the two buttons, the picture and the words of a scrubber."""
    controls, picture, said = SCRUBBER.time_scrubber(trace).children
    return (*controls.children, picture, said)


def test_it_shows_every_event() -> None:
    trace = searched(tokens=60).trace
    slider, _, _, picture, said = parts(trace)
    assert (slider.min, slider.max, slider.value) == (0, len(trace.events), len(trace.events))
    for at in range(len(trace.events) + 1):
        slider.value = at
        assert picture.value == render_svg(trace, at)
        assert f">{at} of {len(trace.events)}: " in said.value


def test_it_needs_no_mouse() -> None:
    trace = searched().trace
    slider, back, forward, picture, _ = parts(trace)
    assert isinstance(slider, ipywidgets.IntSlider)  # arrow keys move it
    assert all(isinstance(button, ipywidgets.Button) and button.description for button in (back, forward))
    forward.click()  # at the end already
    assert slider.value == len(trace.events)
    back.click()
    assert slider.value == len(trace.events) - 1 and picture.value == render_svg(trace, slider.value)
    slider.value = 0
    back.click()
    assert slider.value == 0


def test_the_words_tell_what_was_paid_and_by_whom() -> None:
    result = searched(tokens=60)
    told: Counter[tuple[str, str]] = Counter()
    for at in range(1, len(result.trace.events) + 1):
        said = SCRUBBER.words(result.trace, at)
        assert said.splitlines()[0].endswith(result.trace.events[at - 1].kind)
        for used, unit, role in re.findall(r"(\d+) (tokens|tool calls|prompt tokens read) by (\w+)", said):
            told[role, unit] += int(used)
    for role, used in result.ledger.by_role().items():
        units = {"tokens": "tokens", "tool_calls": "tool calls", "prompt_tokens": "prompt tokens read"}
        assert {name: told[role, unit] for name, unit in units.items()} == {name: used[name] for name in units}
    assert result.reason in SCRUBBER.words(result.trace, len(result.trace.events))


def test_hostile_text_is_only_text() -> None:
    trace = hostile_trace()
    slider, _, _, _, said = parts(trace)
    for at in range(len(trace.events) + 1):
        slider.value = at
        assert "<script" not in said.value and visible(said.value)
        assert said.value.count("<") == 2  # the frame's own tag, opened and closed


def test_an_empty_trace_has_a_scrubber() -> None:
    slider, _, _, _, said = parts(Trace({}))
    assert slider.max == 0 and "nothing has happened yet" in said.value
