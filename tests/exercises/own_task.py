"""Right and wrong answers to the exercises of 07_your_own_task: check -> (right, {what is wrong: answer})."""

import numpy as np

from bavt_minimal import BudgetExceeded
from bavt_minimal.residual import residual
from bavt_minimal.steps import normalize

# A tool


def find(pages, query):
    titles = [title for title in pages if title.lower() in query.lower()]
    return pages[max(titles, key=len)] if titles else f"No page for {query!r}."


def first_of(pages, query):
    titles = [title for title in pages if title.lower() in query.lower()]
    return pages[titles[0]] if titles else "No page."


def capitals(pages, query):
    titles = [title for title in pages if title in query]
    return pages[max(titles, key=len)] if titles else "No page."


def raises(pages, query):
    return pages[max((title for title in pages if title.lower() in query.lower()), key=len)]


def nothing(pages, query):
    titles = [title for title in pages if title.lower() in query.lower()]
    return pages[max(titles, key=len)] if titles else None


def anything(pages, query):
    titles = [title for title in pages if title.lower() in query.lower()]
    return pages[max(titles or pages, key=len)]


def last_in_the_alphabet(pages, query):
    titles = [title for title in pages if title.lower() in query.lower()]
    return pages[max(titles)] if titles else "No page."


def last_in_query(pages, query):
    said = query.lower()
    titles = [title for title in pages if title.lower() in said]
    return pages[max(titles, key=lambda title: (said.rfind(title.lower()), len(title)))] if titles else "No page."


# A critic


class SecondOpinion:
    scale = 0.4
    seed = 1

    def __init__(self, model, draws=3, cap=8):
        self.model, self.draws, self.cap = model, draws, cap
        self.tokens_per_step = draws * cap

    def __call__(self, steps, ledger):
        return [self.put(self.share(step, ledger)) for step in steps]

    def put(self, share):
        return residual(share, self.scale)

    def share(self, step, ledger):
        with self.reserve(step, ledger) as call:
            samples = self.draw(step)
            call.spend(tokens=self.count(samples))
        return self.agree(step, samples)

    def reserve(self, step, ledger):
        prompt_tokens = self.model.count_tokens(step.prompt)
        return ledger.reserve("critic", tokens=self.tokens_per_step, prompt_tokens=prompt_tokens)

    def draw(self, step):
        return self.model.sample(step.prompt, self.draws, seed=self.seed, max_new_tokens=self.cap)

    def count(self, samples):
        return sum(sample.tokens for sample in samples)

    def agree(self, step, samples):
        return sum(normalize(sample.text) == normalize(step.text) for sample in samples) / self.draws


class NotAsked(SecondOpinion):
    def draw(self, step):
        return [step.sample] * self.draws


class OtherPrompt(SecondOpinion):
    def draw(self, step):
        return self.model.sample(step.question + "\nAnswer:", self.draws, seed=1, max_new_tokens=self.cap)

    def __init__(self, model, draws=3, cap=8):
        super().__init__(model, draws, cap)
        model.default = {"Ben": 1.0}


class OneDraw(SecondOpinion):
    def draw(self, step):
        return self.model.sample(step.prompt, 1, seed=1, max_new_tokens=self.cap)


class NoCap(SecondOpinion):
    def draw(self, step):
        return self.model.sample(step.prompt, self.draws, seed=1)


class SameDraws(SecondOpinion):
    seed = 0


class Share(SecondOpinion):
    def put(self, share):
        return share


class Turned(SecondOpinion):
    def put(self, share):
        return -residual(share, self.scale)


class Letters(SecondOpinion):
    def agree(self, step, samples):
        return sum(sample.text == step.text for sample in samples) / self.draws


class PartOfIt(SecondOpinion):
    def agree(self, step, samples):
        return sum(normalize(step.text) in normalize(sample.text) for sample in samples) / self.draws


class NotScaled(SecondOpinion):
    def put(self, share):
        return residual(share, 1.0)


class OneNumber(SecondOpinion):
    def __call__(self, steps, ledger):
        return super().__call__(steps, ledger)[:1]


class FreeOfCharge(SecondOpinion):
    def share(self, step, ledger):
        return self.agree(step, self.draw(step))


class AsGenerator(SecondOpinion):
    def reserve(self, step, ledger):
        return ledger.reserve("generator", tokens=self.tokens_per_step)


class AllOfIt(SecondOpinion):
    def count(self, samples):
        return self.tokens_per_step


class Words(SecondOpinion):
    def count(self, samples):
        return sum(len(sample.text.split()) for sample in samples)


class NoPrompt(SecondOpinion):
    def reserve(self, step, ledger):
        return ledger.reserve("critic", tokens=self.tokens_per_step)


class TooLittle(SecondOpinion):
    def reserve(self, step, ledger):
        few = self.cap if self.draws < 100 else self.tokens_per_step
        return ledger.reserve("critic", tokens=few, prompt_tokens=self.model.count_tokens(step.prompt))


class OneSample(SecondOpinion):
    def reserve(self, step, ledger):
        return ledger.reserve("critic", tokens=self.cap, prompt_tokens=self.model.count_tokens(step.prompt))


class AskFirst(SecondOpinion):
    def share(self, step, ledger):
        samples = self.draw(step)
        with self.reserve(step, ledger) as call:
            call.spend(tokens=self.count(samples))
        return self.agree(step, samples)


class AfterTheFact(SecondOpinion):
    def share(self, step, ledger):
        samples = self.draw(step)
        tokens = self.count(samples)
        with ledger.reserve("critic", tokens=tokens, prompt_tokens=self.model.count_tokens(step.prompt)) as call:
            call.spend(tokens=tokens)
        return self.agree(step, samples)


class Swallows(SecondOpinion):
    def __call__(self, steps, ledger):
        try:
            return super().__call__(steps, ledger)
        except BudgetExceeded:
            return [0.0] * len(steps)


# A selection rule


def rule(values, visits, r):
    values = np.asarray(values)
    p = np.full(len(values), r / len(values))
    p[values.argmax()] += 1 - r
    return p


def turned(values, visits, r):
    return rule(values, visits, 1 - r)


def the_others(values, visits, r):
    values = np.asarray(values)
    p = np.full(len(values), r / max(1, len(values) - 1))
    p[values.argmax()] = 1 - r
    return p


def greedy(values, visits, r):
    return rule(values, visits, 0.0)


DICE = np.random.default_rng(0)


def draws_itself(values, visits, r):
    if DICE.random() < r:
        return np.full(len(values), 1 / len(values))
    return greedy(values, visits, r)


def both_best(values, visits, r):
    values = np.asarray(values)
    return r / len(values) + (1 - r) * (values == values.max())


def not_one(values, visits, r):
    values = np.asarray(values)
    return np.full(len(values), r) + (1 - r) * (values == values.max())


def by_value(values, visits, r):
    values = np.asarray(values)
    return r * values / values.sum() + (1 - r) * (values == values.max())


def best_first(values, visits, r):
    return np.sort(rule(values, visits, r))[::-1]


# A broken set-up


def diagnose(
    trace, some=any, every=all, order=("tool", "pages", "cut off", "critic", "budget"), forced=True, reason=True, most=1
):
    def of(kind):
        return [event.data for event in trace.events if event.kind == kind]

    reads, pages = of("read"), [data["page"] for data in of("read") if "page" in data]
    finished = [step[3] for data in of("expanded") for step in data.get("steps", ())]
    residuals = [x for data in of("scored") for x in data.get("residuals", ())]
    stopped = of("stopped")[0]
    signs = {
        "tool": (some is not any or not pages) and any(data.get("why", "").startswith("tool:") for data in reads),
        "pages": bool(pages) and every(not page or page.startswith("No page") for page in pages),
        "cut off": bool(finished) and every(not each for each in finished),
        "critic": bool(residuals) and every(x is None or not -most <= x <= most for x in residuals),
        "budget": (not reason or stopped["reason"] in ("tokens", "tool_calls")) and (stopped["forced"] or not forced),
    }
    return next((word for word in order if signs[word]), "none")


def by_reads(trace):
    reads = [event.data for event in trace.events if event.kind == "read"]
    return "tool" if not any("page" in data for data in reads) else diagnose(trace)


def sentence_only(trace):
    pages = [event.data.get("page") for event in trace.events if event.kind == "read"]
    said = diagnose(trace)
    return "none" if said == "pages" and "" in pages else said


def nan_only(trace):
    residuals = [event.data.get("residuals") for event in trace.events if event.kind == "scored"]
    said = diagnose(trace)
    return "none" if said == "critic" and None not in residuals[0] else said


def every_field(trace):
    pages = [event.data["page"] for event in trace.events if event.kind == "read"]
    return "pages" if pages and all(not page or page.startswith("No page") for page in pages) else diagnose(trace)


def nan_is_a_number(trace):
    residuals = [x for event in trace.events if event.kind == "scored" for x in event.data.get("residuals", ())]
    return "critic" if residuals and not any(-1 <= x <= 1 for x in residuals) else diagnose(trace)


def no_lower_end(trace):
    residuals = [x for event in trace.events if event.kind == "scored" for x in event.data.get("residuals", ())]
    said = diagnose(trace)
    return "none" if said == "critic" and any(x is not None and x < -1 for x in residuals) else said


def no_page_anywhere(trace):
    pages = [event.data["page"] for event in trace.events if event.kind == "read" and "page" in event.data]
    return "pages" if pages and all(not page or "No page" in page for page in pages) else diagnose(trace)


def nothing_drawn(trace):
    said = diagnose(trace)
    drawn = any(event.kind == "expanded" for event in trace.events)
    return said if drawn or said in ("tool", "pages") else "cut off"


def any_forced(trace):
    return "budget" if trace.events[-1].data["forced"] else diagnose(trace)


EXERCISES = {
    "check_tool": (
        find,
        {
            "exact": lambda pages, query: pages.get(query, "No page."),
            "the last in the alphabet": last_in_the_alphabet,
            "title": lambda pages, query: max(
                (t for t in pages if t.lower() in query.lower()), key=len, default="No page"
            ),
            "first": first_of,
            "capitals": capitals,
            "the longest page": lambda pages, query: max(
                (pages[t] for t in pages if t.lower() in query.lower()), key=len, default="No page"
            ),
            "three ways to write it": lambda pages, query: find(
                {t.lower(): pages[t] for t in pages if t in query or t in query.title() or t in query.upper()}, query
            ),
            "raises": raises,
            "none": nothing,
            "anything": anything,
            "last in the query": last_in_query,
            "the query": lambda pages, query: query + " is a page.",
        },
    ),
    "check_opinion": (
        SecondOpinion,
        {
            "not asked": NotAsked,
            "another prompt": OtherPrompt,
            "one draw": OneDraw,
            "no cap": NoCap,
            "the same draws": SameDraws,
            "share": Share,
            "turned": Turned,
            "letters": Letters,
            "a part of it": PartOfIt,
            "not scaled": NotScaled,
            "one number": OneNumber,
            "free of charge": FreeOfCharge,
            "as generator": AsGenerator,
            "all of it": AllOfIt,
            "words": Words,
            "no prompt": NoPrompt,
            "too little": TooLittle,
            "one sample's worth": OneSample,
            "ask first": AskFirst,
            "after the fact": AfterTheFact,
            "swallows": Swallows,
        },
    ),
    "check_rule": (
        rule,
        {
            "turned": turned,
            "the others": the_others,
            "greedy": greedy,
            "both best": both_best,
            "not one": not_one,
            "by value": by_value,
            "best first": best_first,
            "draws": draws_itself,
            "one number": lambda values, visits, r: 1.0,
        },
    ),
    "check_diagnose": (
        diagnose,
        {
            "one failed call": lambda trace: diagnose(trace, some=None),
            "one empty page": lambda trace: diagnose(trace, every=any),
            "the reason only": lambda trace: diagnose(trace, forced=False),
            "no read": by_reads,
            "sentence only": sentence_only,
            "NaN only": nan_only,
            "any forced": any_forced,
            "forced for any reason": lambda trace: diagnose(trace, reason=False),
            "no lower end": no_lower_end,
            "inside 1": lambda trace: diagnose(trace, most=0.999),
            "No page anywhere": no_page_anywhere,
            "pages last": lambda trace: diagnose(trace, order=("tool", "cut off", "critic", "pages", "budget")),
            "nothing drawn": nothing_drawn,
            "residuals up to 2": lambda trace: diagnose(trace, most=2),
            "every event has its fields": every_field,
            "a NaN is a number": nan_is_a_number,
            "none": lambda trace: "none",
            "no pages": lambda trace: diagnose(trace, order=("tool", "cut off", "critic", "budget")),
            "no cut off": lambda trace: diagnose(trace, order=("tool", "pages", "critic", "budget")),
            "another word": lambda trace: "broken",
        },
    ),
}
