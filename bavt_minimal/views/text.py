"""A search as plain text: one line an event while it runs, an indented tree when it is over."""

from __future__ import annotations

from ..trace import Event, Trace
from .fold import REASONS, Node, Picture, fold, plain


def budget_line(picture: Picture) -> str:
    """What has been spent, of what."""
    parts = []
    for resource, name in (("tokens", "tokens"), ("tool_calls", "tool calls")):
        total = picture.total(resource)
        parts.append(f"{picture.charged(resource)} of {'unlimited' if total is None else total} {name}")
    return ", ".join(parts)


def role_lines(picture: Picture) -> list[str]:
    """One line a role: what it used."""
    lines = []
    for role, used in picture.roles.items():
        calls = f", {used['tool_calls']} tool calls" if used["tool_calls"] else ""
        prompt = f", {used['prompt_tokens']} prompt tokens read" if used["prompt_tokens"] else ""
        lines.append(f"{role + ':':<11}{used['tokens']} tokens{calls}{prompt}")
    return lines


def reason_line(picture: Picture) -> str:
    """Why the search stopped, in words."""
    if not picture.reason:
        return "not yet: this trace ends in the middle of a search"
    said = REASONS.get(picture.reason, "")
    if picture.reason == "error" and picture.error:
        said = picture.error
    return f"{picture.reason}{f' ({said})' if said else ''}"


def answer_line(picture: Picture) -> str:
    """The answer, its value, and whether it was forced."""
    if not picture.reason:
        return "none yet"
    if not picture.answer:
        return "none: not a single step was reached"
    how = "; forced when the budget ran out" if picture.forced else ""
    if not picture.nodes[picture.best].terminal:
        how = "; a guess: the furthest step, with the plan not done"
    elif not picture.position(picture.best)[0]:
        how += "; asked without a plan"
    return f"{picture.answer}  (value {picture.value:.2f}{how})"


def lookups_line(picture: Picture) -> str:
    """How many lookups the answer's own plan needs, beside those of the whole search; "" if the plan was given."""
    if picture.lookups is None:
        return ""
    planned, used = picture.lookups
    return f"{f'{planned} in the plan' if planned else 'no plan'}, {used} used by the search"


def dropped_text(node: Node) -> str:
    """The steps pruned below a node, with why."""
    return ", ".join(
        f"{text or 'an empty step'} ({why}{f', {count} times' if count > 1 else ''})"
        for (text, why), count in node.dropped.items()
    )


def failure_text(node: Node) -> str:
    """Why expansions of a node came to nothing."""
    return ", ".join(f"{why}{f' ({count} times)' if count > 1 else ''}" for why, count in node.failures.items())


def summary(picture: Picture, seconds: float | None = None, gold: str = "") -> list[str]:
    """The end of every text: answer, reason, what was spent by whom, the seconds it took, the right answer."""
    lines = [f"answer:    {answer_line(picture)}", f"stopped:   {reason_line(picture)}"]
    lines += [f"spent:     {budget_line(picture)}", *(f"  {line}" for line in role_lines(picture))]
    lines += [f"lookups:   {lookups}"] if (lookups := lookups_line(picture)) else []
    lines += [] if seconds is None else [f"seconds:   {seconds:.1f}"]
    return lines + ([f"gold:      {gold}"] if gold else [])


def render_text(trace: Trace) -> str:
    """The whole search as an indented tree, with the answer, why it stopped, and the ledger by role.

    Raises ValueError if an event of the trace is damaged.
    """
    picture = fold(trace.events)
    best = picture.best_path
    lines = opening(picture)
    lines += ["", 'tree (value, what the step added; "*": on the way to the answer; "-": dropped, and why)']
    for id in picture.walk():
        node = picture.nodes[id]
        indent = "  " * node.depth
        if node.parent is None:
            lines.append(f"* {node.value:.2f}         {node.text}{_notes(node)}")
        else:
            mark = "*" if id in best else " "
            lines.append(f"{mark} {node.value:.2f} {node.residual:+.2f}   {indent}{node.text}{_notes(node)}")
        if node.dropped:
            lines.append(f"              {indent}  - {dropped_text(node)}")
    return "\n".join([*lines, "", *summary(picture)]) + "\n"


def opening(picture: Picture) -> list[str]:
    """The question, its plan and the settings."""
    lines = [f"question:  {picture.question}"]
    lines += [f"  step {number}:  {step}" for number, step in enumerate(picture.plan, 1)]
    names = {"method": "method", "model": "model", "selection": "selection", "critic": "critic", "seed": "seed"}
    names |= {"planner": "planner"}
    known = [f"{name} {plain(picture.header[key], 120)}" for key, name in names.items() if key in picture.header]
    return [*lines, f"settings:  {', '.join(known)}"] if known else lines


def _notes(node: Node) -> str:
    notes = ["answer"] * node.terminal
    if node.expansions > 1:
        notes.append(f"expanded {node.expansions} times")
    if node.failures:
        notes.append(f"failed: {failure_text(node)}")
    return f"  [{'; '.join(notes)}]" if notes else ""


def event_lines(event: Event, picture: Picture) -> list[str]:
    """What one event says, for a log. `picture` has taken the event in."""
    node, data = picture.nodes[event.node], event.data
    at = "the question" if event.node == 0 else f"{'plan' if node.plan else 'step'} {event.node}"
    match event.kind:
        case "started":
            return [*opening(picture), f"budget:    {_budget(picture)}"]
        case "selected":
            return [
                f"select:    {at} with probability {data['chance']:.2f}, "
                f"1 of {data['frontier']} open; r = {data['ratio']:.2f} of the budget is left"
            ]
        case "planned" if "why" not in data:
            return [f"  plans:   {' | '.join(picture.drawn)}"]
        case "read" if "why" not in data:
            return [f"  read:    {picture.query} -> {picture.page}"]
        case "expanded" if "why" not in data:
            return [f"  ask:     {picture.asked}", f"  drawn:   {' | '.join(picture.drawn)}"]
        case "pruned" if picture.fails:
            return [f"  failed:  {at}: {picture.failed}"]
        case "pruned":
            return [f"  drop:    {plain(data['text'], 200)} ({plain(data['why'], 200)})"]
        case "added":
            return [f"  {at}:  {node.text.removeprefix('Plan: ')}  value {node.value:.2f} ({node.residual:+.2f})"]
        case "answered":
            return [f"  answer found: {node.text}"]
    return []


def _budget(picture: Picture) -> str:
    totals = (("tokens", picture.total("tokens")), ("tool calls", picture.total("tool_calls")))
    return ", ".join(f"{'unlimited' if total is None else total} {name}" for name, total in totals)
