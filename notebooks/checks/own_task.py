"""Checks of 07_your_own_task."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from bavt_minimal import Budget, BudgetAwareValueTreeSearch, BudgetExceeded, Ledger, Step, Trace
from bavt_minimal.models import ScriptedModel
from bavt_minimal.steps import Sample

from . import exercise

# 1. A tool

Find = Callable[[Mapping[str, str], str], str]
PAGES = {
    "Mail": "Mail has ten users.",
    "Mail Archive": "Mail Archive has two users.",
    "Team Heron": "Team Heron has nine members.",
}
NOBODY = "Where is the canteen?"


@exercise
def check_tool(find: Find) -> str:
    """The reader's tool: (pages, query) -> a text."""
    orders = (PAGES, dict(reversed(PAGES.items())))
    if find(PAGES, "Team Heron") == "Team Heron":
        return "This is the title. A tool returns the text of the page."
    if find(PAGES, "Team Heron") != PAGES["Team Heron"]:
        return (
            f"For the query 'Team Heron' return {PAGES['Team Heron']!r}; yours returns {find(PAGES, 'Team Heron')!r}."
        )
    said = _found(find, PAGES, "Which team runs Mail?")
    if said != PAGES["Mail"]:
        return (
            "The first query of a plan is its whole sub-question, 'Which team runs Mail?': look for a title that "
            f"stands in the query, not for one that equals it. Yours: {said}"
        )
    said = _found(find, PAGES, "which team runs mail?")
    if said != PAGES["Mail"]:
        return f"A model may write 'mail' for 'Mail': compare without capitals. Yours: {said}"
    for pages in orders:
        said = _found(find, pages, "Which team runs Mail Archive?")
        if said != PAGES["Mail Archive"]:
            return f"'Mail' stands in 'Which team runs Mail Archive?' too: take the longest title. Yours: {said}"
    if _found(find, {"Ash": "Ash is a tree, and this page is long.", "Ash Hill": "A hill."}, "Ash Hill") != "A hill.":
        return "It is the longest title that counts, not the longest page: a short page may have the longer title."
    if _found(find, {"McRae": "McRae is a firm."}, "who runs mcrae?") != "McRae is a firm.":
        return "A title may have capitals inside, such as 'McRae': make title and query lower case, both."
    said = _found(find, PAGES, NOBODY)
    if not isinstance(said, str):
        return f"For {NOBODY!r}, which names no page, yours returns {said!r}: what is no text is refused, and paid for."
    if said.startswith("an error"):
        return f"For {NOBODY!r}, which names no page, yours raises {said[10:]}: paid for, and nothing is read."
    if not said.startswith("No page"):
        return f"No page fits {NOBODY!r}, so nothing that is found there can be right: say 'No page ...'. Yours: {said}"
    rng = np.random.default_rng(0)
    words = ["Ash", "Elm", "ash", "Oak", "Elm Row", "Old Oak", "Fir"]
    for _ in range(200):
        titles = rng.permutation(["Ash", "Elm", "Elm Row", "Oak", "Old Oak"])[: rng.integers(1, 6)]
        pages = {str(title): f"It is about {title}, page {rng.integers(100)}." for title in titles}
        query = " and ".join(rng.permutation(words)[: rng.integers(1, 3)])
        fits = [title for title in pages if title.casefold() in query.casefold()]
        longest = [pages[title] for title in fits if len(title) == max(map(len, fits))]
        said = _found(find, pages, query)
        if said not in longest and (fits or not str(said).startswith("No page")):
            best = repr(max(fits, key=len)) if fits else "none: say 'No page ...'"
            return f"Of the titles {list(pages)} the longest in the query {query!r} is {best}; yours returns {said!r}."
    return "Right. The first query of a plan is a question, every later one an answer: this tool takes both."


def _found(find: Find, pages: Mapping[str, str], query: str) -> Any:
    try:
        return find(pages, query)
    except NotImplementedError:
        raise
    except Exception as error:
        return f"an error, {type(error).__name__}"


# 2. A critic that pays

PROMPT, OTHER = "Question: Who is it?\nAnswer:", "Question: Where is it?\nAnswer:"
TABLE = {
    PROMPT: {"Ada Maria Novak": 3.0, "Ben": 1.0},  # 4 tokens and 2
    OTHER: {"Cork": 1.0},
}


class Watched(ScriptedModel):
    """A scripted model that keeps what it was asked, and what it gave."""

    def __init__(self) -> None:
        super().__init__(TABLE)
        self.calls: list[tuple[str, int, dict[str, Any]]] = []
        self.tokens = 0

    def sample(self, prompt: str, k: int, **options: Any) -> list[Sample]:
        """As the scripted model does."""
        self.calls.append((prompt, k, options))
        found = super().sample(prompt, k, **options)
        self.tokens += sum(sample.tokens for sample in found)
        return found


def _step(text: str, prompt: str = PROMPT) -> Step:
    return Step("Who is it?", "it", "", prompt, Sample(text, len(text.split()) + 1, (-0.5,), True), True)


@exercise
def check_opinion(make: Callable[..., Any]) -> str:
    """The reader's class `(model, draws, cap)` -> critic."""
    model, ledger = Watched(), Ledger(Budget(100_000, 0))
    critic = make(model, 400, 6)
    try:
        said = critic([_step("Ada Maria Novak"), _step("Ben"), _step("ada maria novak."), _step("Eva")], ledger)
    except ValueError as error:
        if "reserved" not in str(error):
            raise
        return f"The samples of one step can use draws x cap = {400 * 6} tokens, and less was reserved: {error}."
    if not model.calls:
        return "The model was not asked: draw `self.draws` samples of the step's own prompt, with `self.model.sample`."
    if {prompt for prompt, _, _ in model.calls} != {PROMPT}:
        return "A second opinion answers the same prompt: draw from `step.prompt`."
    if (drawn := sum(k for _, k, _ in model.calls)) not in (400, 1600):  # steps of one prompt may share their samples
        return f"Draw `self.draws` samples for each step, 4 x 400 here; yours drew {drawn}."
    if {options.get("max_new_tokens", 8) for _, _, options in model.calls} != {6}:
        return "Give `max_new_tokens=self.cap` to `sample`: nothing else keeps a sample within what you reserve."
    if any(options.get("seed", 0) == 0 and options.get("first", 0) < 64 for _, _, options in model.calls):
        return (
            "These are the draws that the search judges: seed 0, from number 0 on. A step would be asked about itself. "
            "Draw with another seed."
        )
    share = np.mean([sample.text == "Ada Maria Novak" for sample in model.sample(PROMPT, 4000, seed=77)])
    if np.shape(said) != (4,):
        return f"Return one number for each of the 4 steps; yours has shape {np.shape(said)}."
    right = [0.4 * (2 * p - 1) for p in (share, 1 - share, share, 0.0)]
    if np.allclose(said, [share, 1 - share, share, 0.0], atol=0.08):
        return "These are shares. A residual is scale x (2p - 1): where half of the samples agree nothing is added."
    if np.allclose(said, np.multiply(-1, right), atol=0.04):
        return "The sign is turned around: a step that all samples agree with adds +scale."
    if np.allclose(said, [right[0], right[1], -0.4, -0.4], atol=0.04):
        return "'ada maria novak.' says the same as 'Ada Maria Novak': compare with `normalize` on both."
    if not np.allclose(said, right, atol=0.04):
        shares = np.round([share, 1 - share, share, 0.0], 2)
        return f"With the shares {shares} expect about {np.round(right, 2)}; yours are {np.round(said, 2)}."
    fine = "Right. It cannot pass the budget, and all that it used is in the ledger under its own role."
    if wrong := _bill(make) or _poor(make):
        return wrong
    if not np.allclose(make(Watched(), 50, 6)([_step("Ada")], Ledger(Budget(1000, 0))), -0.4):
        return "'Ada' does not say what 'Ada Maria Novak' says: compare whole texts, not whether one is in the other."
    return fine


def _bill(make: Callable[..., Any]) -> str:
    """What is wrong with the charges, or ""."""
    model, ledger = Watched(), Ledger(Budget(10_000, 0))
    try:
        said = make(model, 5, 6)([_step("Ben"), _step("Cork", OTHER)], ledger)
    except ValueError as error:
        return f"The samples of one step can use draws x cap = 30 tokens, and less was reserved: {error}."
    if not np.isclose(said[1], 0.4):
        return f"All samples say 'Cork' as the second step does, so it adds +0.4; yours says {said[1]:.2f}."
    used = {role: dict(found) for role, found in ledger.by_role().items()}
    if not used:
        return f"The model made {model.tokens} tokens and the ledger knows of none: reserve and spend them."
    if set(used) != {"critic"}:
        return f'Who judges pays as "critic"; yours charged {", ".join(sorted(used))}.'
    tokens = used["critic"]["tokens"]
    if tokens == 60:
        return f"{tokens} tokens are booked, all that was reserved; {model.tokens} were used. Report them with `spend`."
    if tokens != model.tokens:
        return f"{tokens} tokens are booked and {model.tokens} were used: add up `sample.tokens`."
    once, each = (sum(map(model.count_tokens, each)) for each in ((PROMPT, OTHER), (call[0] for call in model.calls)))
    if (prompts := used["critic"]["prompt_tokens"]) not in (once, each):
        return (
            f"The prompts that the critic read have {once} tokens, and {prompts} are booked: give "
            "`prompt_tokens=self.model.count_tokens(step.prompt)` to `reserve`."
        )
    return ""


def _poor(make: Callable[..., Any]) -> str:
    """What is wrong where the budget does not pay for a judgment, or ""."""
    model, ledger = Watched(), Ledger(Budget(17, 0))
    try:
        make(model, 3, 6)([_step("Ben")], ledger)
    except BudgetExceeded:
        if model.calls:
            return "The model was asked before the ledger was: reserve first, call inside the `with` block."
        return ""
    except Exception as error:
        return (
            f"Of 17 tokens a judgment that may use 18 cannot be paid: let BudgetExceeded pass; yours raised {error!r}."
        )
    if model.calls:
        return (
            "Judging may use 18 tokens and 17 are left, and the model was asked: reserve draws x cap before the call."
        )
    return "BudgetExceeded must reach the search, which then closes the node; yours was caught on the way."


# 3. A selection rule

Rule = Callable[[Any, Any, float], Any]


@exercise
def check_rule(rule: Rule) -> str:
    """The reader's rule: the best node gets 1 - r, and r is shared by all."""
    rng = np.random.default_rng(1)
    again = [np.asarray(rule(np.array([0.2, 0.9, 0.5]), np.zeros(3), 0.5), dtype=float) for _ in range(20)]
    if any(not np.array_equal(each, again[0]) for each in again):
        return "Asked twice, it says two things: it drew. Return the chances, the search draws."
    for r in (0.25, 0.7, 0.0, 1.0):
        values, visits = rng.permutation([0.2, 0.5, 0.9, 0.4]), np.array([3, 0, 1, 0])
        right = np.full(4, r / 4)
        right[values.argmax()] += 1 - r
        found = np.asarray(rule(values, visits, r), dtype=float)
        if found.shape != (4,):
            return f"Return one probability for each of the 4 nodes; yours has shape {found.shape}."
        if np.allclose(found, right):
            continue
        turned = np.full(4, (1 - r) / 4) + r * (values == values.max())
        others = np.where(values == values.max(), 1 - r, r / 3)
        if np.allclose(found, turned):
            return (
                "With a full budget, r = 1, this is greedy: it is r that is shared, and 1 - r that the best one gets."
            )
        if np.allclose(found, others):
            return "The share r belongs to all four nodes, the best one too: it gets 1 - r + r / 4."
        if np.allclose(found, values == values.max()):
            return "This is greedy whatever is left of the budget: r is not used."
        if np.allclose(found, right[::-1]) or np.allclose(found, right[np.argsort(values)]):
            return "The probabilities are in another order than the values: the first is that of the first node."
        if not np.isclose(found.sum(), 1.0):
            return f"For r = {r} yours sum to {found.sum():.3f}, not to 1: the search would raise ValueError."
        return f"For values {values} and r = {r} expect {right.round(3)}; yours are {found.round(3)}."
    tied = np.asarray(rule(np.array([0.5, 0.9, 0.9]), np.zeros(3), 0.4), dtype=float)
    if not np.isclose(tied.sum(), 1.0):
        return f"Two nodes of the same value are both the best: yours then sum to {tied.sum():.3f}, not to 1."
    if np.asarray(rule([0.6], [0], 0.4), dtype=float).shape != (1,):
        return "At the start there is one node, and values may be a list: return one probability then."
    return "Right."


# 4. A broken set-up

WORDS = ("tool", "pages", "cut off", "critic", "budget", "none")
PLAN = ("Who runs Mail?", "Where is #1?")
ANSWERS = {
    "Who runs Mail?\nAnswer:": {"Ann": 2.0, "Bob": 2.0, "nobody at all of them": 1.0},
    "Where is Ann?\nAnswer:": {"Cork": 3.0, "in a far place": 1.0},
    "Answer:": {"Lyon": 1.0, "Graz": 1.0},
}


def _trace(
    tool: Any = str.upper, critic: Any = None, budget: Budget | None = None, answers: Any = ANSWERS, **options: Any
) -> Trace:
    budget = Budget(60, 12) if budget is None else budget
    search = BudgetAwareValueTreeSearch(ScriptedModel(answers), critic, budget, tool, **options)
    search.search("Where is the one who runs Mail?", plan=PLAN)
    return search.trace


def _raises(query: str) -> str:
    raise ConnectionError("refused")


def _once() -> Callable[[str], str]:
    calls: list[str] = []

    def tool(query: str) -> str:
        calls.append(query)
        if len(calls) == 1:
            raise TimeoutError("slow")
        return f"All about {query}."

    return tool


def _only(text: str, bad: float) -> Callable[[Sequence[Step], Ledger], list[float]]:
    def critic(steps: Sequence[Step], ledger: Ledger) -> list[float]:
        return [bad if step.text == text else 0.4 for step in steps]

    return critic


def _all(*bad: float) -> Callable[[Sequence[Step], Ledger], list[float]]:
    def critic(steps: Sequence[Step], ledger: Ledger) -> list[float]:
        return [bad[i % len(bad)] for i, _ in enumerate(steps)]

    return critic


def set_ups() -> list[tuple[str, str, str, Trace]]:
    """The word, the set-up, what tells it from others, and its trace."""
    halves = {"Ann": "All about Ann."}
    long = {"Answer:": {"a very long answer": 1.0, "an answer of many words": 1.0}}
    echo = {"Who runs Mail?\nAnswer:": {"Ann": 1.0}, "Answer:": {"Ann": 1.0}}
    kept = "an answer was in hand, so it was not forced"
    lost = "pages were read, steps were judged, and still the answer had to be forced"
    return [
        ("none", "everything works", kept, _trace()),
        ("tool", "the tool always raises", "no read has a page, and some say 'tool: ...'", _trace(_raises)),
        ("none", "the tool raises once", "when it was tried again there were pages", _trace(_once())),
        ("none", "there is no tool", "there is no read, so none has failed", _trace(None)),
        (
            "pages",
            "no page is ever found",
            "every page starts with 'No page'",
            _trace(lambda query: f"No page: {query}."),
        ),
        ("pages", "the tool returns an empty text", "every page is empty", _trace(lambda query: "")),
        (
            "none",
            "some pages are found",
            "one page is enough",
            _trace(lambda query: halves.get(query, "No page found.")),
        ),
        ("cut off", "max_new_tokens is too small", "no step is finished", _trace(answers=long, max_new_tokens=3)),
        ("none", "one answer of several is too long", "other steps are finished", _trace(max_new_tokens=3)),
        ("critic", "the critic returns NaN", "every residual is None", _trace(critic=_all(float("nan")))),
        ("critic", "the critic returns percentages", "no residual is in [-1, 1]", _trace(critic=_all(80.0, 30.0))),
        ("critic", "the critic returns 1.5", "no residual is in [-1, 1]", _trace(critic=_all(1.5))),
        (
            "none",
            "the second place only repeats the first",
            "it stopped with budget left, since every node was closed",
            _trace(answers=echo, budget=Budget(999, 99)),
        ),
        ("critic", "the critic returns -1.5", "no residual is in [-1, 1]", _trace(critic=_all(-1.5))),
        ("none", "the critic returns 1 and -1", "1 and -1 are in [-1, 1]", _trace(critic=_all(1.0, -1.0))),
        (
            "none",
            "pages say 'No page' further on",
            "none of them starts with it",
            _trace(lambda query: f"{query}. No page is perfect."),
        ),
        (
            "pages",
            "no page is found and steps are too long",
            "it is the first word that fits",
            _trace(lambda query: "", answers=long, max_new_tokens=3),
        ),
        ("budget", "there is no token", "nothing was drawn or judged, so neither failed", _trace(budget=Budget(0, 12))),
        ("none", "one residual is NaN", "other residuals are in [-1, 1]", _trace(critic=_only("Bob", float("nan")))),
        ("budget", "there is one lookup for a plan of two steps", lost, _trace(budget=Budget(60, 1))),
        ("budget", "the tokens end before the plan does", lost, _trace(critic=_all(0.1), budget=Budget(6, 12))),
        ("none", "the tokens end, and there is an answer", kept, _trace(critic=_all(0.1), budget=Budget(30, 12))),
    ]


@exercise
def check_diagnose(diagnose: Callable[[Trace], str]) -> str:
    """The reader's function: trace -> one of WORDS."""
    wrong, all_of_them = [], set_ups()
    for word, what, sign, trace in all_of_them:
        try:
            said = diagnose(trace)
        except NotImplementedError:
            raise
        except Exception as error:
            hint = "an event need not have every field" if isinstance(error, KeyError) else "a NaN is kept as None"
            why = f" Look first: {hint}." if isinstance(error, (KeyError, TypeError)) else ""
            return f"Where {what}, your code raises {type(error).__name__}: {error}.{why}"
        if said not in WORDS:
            return f"Return one of {', '.join(map(repr, WORDS))}; for the set-up where {what} yours returned {said!r}."
        if said != word:
            wrong.append(f"Where {what}, the word is {word!r}, and yours was {said!r}. What tells it: {sign}.")
    if wrong:
        return f"{wrong[0]} ({len(wrong)} of {len(all_of_them)} set-ups are told wrong, this is the first.)"
    return "Right. All of the set-ups are told apart, those too where something went wrong and the search went on."
