"""Checks of 05_efficiency. Their references are written out here, apart from the module's own functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from bavt_minimal.steps import normalize

from . import exercise

Array = NDArray[np.float64]
DRAWS = 20_000  # of the references; the reader's 2,000 are within TOLERANCE of them
TOLERANCE = 0.028  # two steps of 1/72, by which the ends of 24 questions with three seeds move
LEVEL = 0.05
PERCENT = "np.percentile counts in percent: 2.5 and 97.5. (np.quantile takes .025 and .975.)"


def numbers(found: object) -> Array | None:
    """As an array; None if it holds anything but numbers side by side."""
    try:
        return np.asarray(found, dtype=float)
    except (TypeError, ValueError):
        return None


# Majority vote

VOTES: tuple[tuple[str, ...], ...] = (
    ("Oslo", "Rome", "Bern", "Rome", "Rome"),
    ("Oslo", "Lake Isen", "Oslo", "lake isen.", "The Lake Isen"),
    ("Rome", "Oslo", "Bern", "Oslo", "Lima"),
    ("Rome", "Bern", "Bern", "Oslo", "Rome"),
    ("Bern", "Rome", "Bern", "Lima", "Rome"),
    ("Oslo",),
)


def vote_of(answers: Sequence[str]) -> str:
    """The answer that most others equal; the first of several."""
    votes = [sum(normalize(one) == normalize(other) for other in answers) for one in answers]
    return answers[votes.index(max(votes))]


@exercise
def check_vote(vote: Callable[[Sequence[str]], str]) -> str:
    """The reader's majority vote: answers -> answer."""
    for answers in VOTES:
        found, right = vote(list(answers)), vote_of(answers)
        if found == right:
            continue
        if not isinstance(found, str):
            return f"Return one of the answers, a text; yours is {found!r}."
        told = f"Of {list(answers)} the vote is {right!r}, yours is {found!r}."
        plain = Counter(answers).most_common(1)[0][0]
        if normalize(found) == normalize(right):
            if found == normalize(found):
                return f"The right vote, but as normalized. Return it as it was written. {told}"
            return f"The right vote, but in another spelling: return the one that came first. {told}"
        if found == "":
            return f"More votes than any other answer are enough, half of all are not needed. {told}"
        if found == plain:
            return f"Answers that differ in case, articles or punctuation are the same answer: `normalize` them. {told}"
        counts = Counter(map(normalize, answers))
        if counts[normalize(found)] == max(counts.values()):
            return f"That is a tie: the answer that came first wins, as in the module. {told}"
        return f"Yours has fewer votes than another answer. {told}"
    return "Right."


# Bootstrap

RIGHT = {
    # Three seeds of a question mostly agree: a question more or less is what matters.
    "agree": np.array([[1, 1, 1]] * 7 + [[0, 0, 0]] * 13 + [[1, 0, 0]] * 2 + [[1, 1, 0]] * 2, dtype=float),
    # They never all agree: averaged, they say nearly the same of every question.
    "differ": np.array([[1, 0, 0], [0, 1, 1], [0, 1, 0], [1, 1, 0], [0, 0, 1], [1, 0, 1]] * 4, dtype=float),
    # Few are right: the interval is not as long to both sides.
    "few": np.array([[1, 1, 1]] * 2 + [[0, 0, 0]] * 22, dtype=float),
    "one": np.array([[1, 1, 1]] + [[0, 0, 0]] * 7, dtype=float),
}


def means_of(units: Array, rng: np.random.Generator) -> Array:
    """Means (DRAWS,) of resamples of units (N,)."""
    return rng.multinomial(len(units), np.full(len(units), 1 / len(units)), DRAWS) @ units / len(units)


def ends(means: Array, level: float = 95.0) -> Array:
    """Of the interval that holds so many percent of the means."""
    return np.percentile(means, [50 - level / 2, 50 + level / 2])


def within_questions(right: Array, rng: np.random.Generator, again: bool) -> Array:
    """Means where the seeds of each question are drawn again, and with `again` the questions too."""
    questions, seeds = right.shape
    means = np.zeros(DRAWS)
    for _ in range(questions):
        own = rng.integers(questions, size=DRAWS) if again else np.full(DRAWS, _)
        means += right[own[:, None], rng.integers(seeds, size=(DRAWS, seeds))].mean(1) / questions
    return means


def near(found: Sequence[Array], wanted: Sequence[Array]) -> bool:
    """All within the tolerance."""
    return all(np.allclose(one, other, rtol=0, atol=TOLERANCE) for one, other in zip(found, wanted, strict=True))


@exercise
def check_interval(interval: Callable[[Array, np.random.Generator], tuple[float, float]]) -> str:
    """The reader's 95 % bootstrap interval: (questions, seeds), rng -> (low, high)."""
    found = []
    for right in RIGHT.values():
        said = interval(right.copy(), np.random.default_rng(0))
        ends_found = numbers(said)
        if ends_found is None or ends_found.shape != (2,):
            return f"Return two numbers, the lower and the upper end; yours is {said!r:.80}."
        if not np.isfinite(ends_found).all() or ends_found[0] > ends_found[1]:
            return f"The lower end comes first, and both are numbers; yours is {ends_found.round(3).tolist()}."
        found.append(ends_found)
    rng, each = np.random.default_rng(1), list(RIGHT.values())
    wanted = [ends(means_of(right.mean(1), rng)) for right in each]
    if near(found, wanted):
        return "Right."
    if near(found, [ends(means_of(right.mean(0), rng)) for right in each]):
        return "You averaged the questions of each seed, and resampled seeds. Average over seeds: right.mean(1)."
    if near(found, [np.percentile(means_of(right.mean(1), rng), [0.025, 0.975]) for right in each]):
        return PERCENT
    if all(low == high for low, high in found):
        return "Every resample is the same: draw with replacement, so that some questions come twice and some never."
    if near(found, [ends(means_of(right.ravel(), rng)) for right in each]):
        return (
            "You resampled runs. Seeds of one question are not new questions: average them first, then resample "
            "questions."
        )
    if near(found, [ends(within_questions(right, rng, again=False)) for right in each]):
        return "You resampled the seeds and kept the questions. It is the questions that would be others next time."
    if near(found, [ends(within_questions(right, rng, again=True)) for right in each]):
        return "You drew the seeds of each drawn question again too: average them instead, or their noise counts twice."
    if near(found, [ends(right.mean(1)) for right in each]):
        return "These are percentiles of single questions. You want those of the mean over resampled questions."
    spreads = [(right.mean(), right.mean(1).std(ddof=1) / len(right) ** 0.5) for right in each]
    if near(found, [np.array([mean - 1.96 * error, mean + 1.96 * error]) for mean, error in spreads]):
        return (
            f"That is the formula of the normal distribution, not a bootstrap: with few right answers its lower end is "
            f"{found[3][0]:.3f}, which no accuracy can be."
        )
    narrow = {90: "the 5th and 95th", 68: "the 16th and 84th", 50: "the 25th and 75th"}
    for level, words in narrow.items():
        if near(found, [ends(means_of(right.mean(1), rng), level) for right in each]):
            return f"You took {words} percentile, which leaves {100 - level} % outside. Leave 2.5 % at each side."
    if all(0 < high - low < (right[1] - right[0]) / 3 for (low, high), right in zip(found, wanted, strict=True)):
        return "Far too narrow: each resample has as many questions as there are, not as many as there are resamples."
    words = {
        "agree": "where the seeds mostly agree",
        "differ": "where the seeds of no question agree",
        "few": "where 2 of 24 questions are right, in all seeds",
        "one": "where 1 of 8 questions is right, in all seeds",
    }
    for name, one, other in zip(RIGHT, found, wanted, strict=True):
        if not near([one], [other]):
            return f"The interval is near {other.round(3).tolist()} {words[name]}, yours is {one.round(3).tolist()}."
    raise AssertionError


# Paired differences


def two_methods() -> tuple[dict[str, float], dict[str, float]]:
    """Accuracies by question: hard questions are hard for both, and each method lacks some questions."""
    rng = np.random.default_rng(4)
    names = [f"q{number:02d}" for number in range(48)]
    base = (rng.random(48) < 0.5).astype(float)
    gains = np.where(rng.random(48) < 0.4, 1 / 3, 0.0)
    one = dict(zip(names, np.minimum(1.0, base + gains), strict=True))
    other = dict(zip(names, base, strict=True))
    # What one lacks was hard, and what the other lacks was easy.
    for name in [name for name in names if base[names.index(name)] == 0][:4]:
        del one[name]
    for name in [name for name in names if base[names.index(name)] == 1][:4]:
        del other[name]
    # Paired by their places, the hard questions of the one would meet the easy ones of the other.
    return dict(sorted(one.items(), key=lambda item: item[1])), dict(sorted(other.items(), key=lambda item: -item[1]))


@exercise
def check_difference(
    difference: Callable[[Mapping[str, float], Mapping[str, float], np.random.Generator], tuple[float, float, float]],
) -> str:
    """The reader's paired difference: two mappings question -> accuracy, rng -> (difference, low, high)."""
    one, other = two_methods()
    try:
        said = difference(dict(one), dict(other), np.random.default_rng(0))
    except KeyError as error:
        return f"Only one of the two methods was asked {error}: take the questions that both have."
    found = numbers(said)
    if found is None or found.shape != (3,):
        return f"Return three numbers: the difference and the two ends. Yours is {said!r:.80}."
    both = sorted(one.keys() & other.keys())
    paired = np.array([one[name] - other[name] for name in both])
    rng, value = np.random.default_rng(1), paired.mean()
    right = np.array([value, *ends(means_of(paired, rng))])
    if np.isclose(found[0], value) and near([found], [right]):
        return "Right."
    if np.isclose(found[0], -value):
        return "The sign is turned around: the first minus the second, so that a gain is positive."
    every = np.mean(list(one.values())) - np.mean(list(other.values()))
    if np.isclose(found[0], every):
        return (
            "You compared all questions of the one with all of the other, and these are not the same questions: "
            f"{len(one)} and {len(other)}, {len(both)} of them in common. Use those in common."
        )
    union = sorted(one.keys() | other.keys())
    if np.isclose(found[0], np.mean([one.get(name, 0) - other.get(name, 0) for name in union])):
        return "A question that was not asked is no wrong answer: leave out those that either method lacks."
    if not np.isclose(found[0], value):
        return f"The mean difference on the {len(both)} questions in common is {value:.3f}, yours is {found[0]:.3f}."
    sides = [np.array([side[name] for name in both]) for side in (one, other)]
    if near([found[1:]], [ends(means_of(sides[0], rng) - means_of(sides[1], rng))]):
        return (
            "The two methods were resampled apart. Draw questions, and take both methods' results on each drawn "
            "question: what is hard for both then cancels."
        )
    shuffled = np.array(list(one.values())) - np.array(list(other.values()))
    if near([found[1:] - found[0]], [ends(means_of(shuffled, rng)) - shuffled.mean()]):
        return "The pairs are of different questions: look results up by question, not by their place."
    if near([found[1:]], [np.percentile(means_of(paired, rng), [0.025, 0.975])]):
        return PERCENT
    if near([found[1:]], [ends(paired)]):
        return "These are percentiles of single questions' differences, not of their mean."
    return f"The interval is near {right[1:].round(3).tolist()}, yours is {found[1:].round(3).tolist()}."


# Verdicts

FAMILIES: tuple[tuple[tuple[float, float], ...], ...] = (
    ((0.05, 0.030), (0.10, 0.001), (-0.02, 0.200), (0.08, 0.015)),
    ((0.04, 0.040), (0.06, 0.020), (0.05, 0.030)),
    ((-0.20, 0.0001), (0.03, 0.600), (0.15, 0.002)),
    ((0.07, 0.040), (0.01, 0.700), (-0.01, 0.800)),
    ((0.02, 0.050),),
    ((0.20, 0.030), (0.05, 0.001), (0.02, 0.018)),
)


def verdicts_of(family: Sequence[tuple[float, float]], in_order: bool = False) -> list[str]:
    """By Holm's steps: from the least p on (or in the order given), until one fails."""
    said = ["tie"] * len(family)
    for step, place in enumerate(sorted(range(len(family)), key=lambda i: i if in_order else family[i][1])):
        if family[place][1] * (len(family) - step) >= LEVEL:
            break
        said[place] = "ahead" if family[place][0] > 0 else "behind"
    return said


def said_by(family: Sequence[tuple[float, float]], passes: Callable[[float, int], bool]) -> list[str]:
    """What another rule says: `passes` is told p and its rank from 0."""
    ranks = {place: rank for rank, place in enumerate(sorted(range(len(family)), key=lambda i: family[i][1]))}
    side = ["ahead" if value > 0 else "behind" for value, _ in family]
    return [side[i] if passes(p, ranks[i]) else "tie" for i, (_, p) in enumerate(family)]


@exercise
def check_verdicts(verdicts: Callable[[Sequence[tuple[float, float]]], Sequence[str]]) -> str:
    """The reader's verdicts: [(difference, p), ...] -> "ahead", "behind" or "tie" for each, with Holm's correction."""
    found = []
    for family in FAMILIES:
        said = verdicts(list(family))
        if said is None:
            return "It returned nothing. To stop, leave the loop with `break`, and return the list at the end."
        said = list(said)
        if len(said) != len(family) or not set(said) <= {"ahead", "behind", "tie"}:
            return f'Return "ahead", "behind" or "tie" for each of the {len(family)} differences; yours is {said!r}.'
        found.append(said)
    if found == [verdicts_of(family) for family in FAMILIES]:
        return "Right."
    sizes = [len(family) for family in FAMILIES]

    def same(rule: Callable[[float, int, int], bool]) -> bool:
        """Whether the reader's verdicts are those of a rule that is told p, its rank and the number of claims."""
        return found == [
            said_by(family, lambda p, rank, n=n: rule(p, rank, n)) for family, n in zip(FAMILIES, sizes, strict=True)
        ]

    if same(lambda p, rank, n: True):
        return "A tie is not a win: a difference whose p is not small is none, whatever its sign."
    if same(lambda p, rank, n: p < LEVEL) or same(lambda p, rank, n: p <= LEVEL):
        return "These p are not corrected: of twenty differences that are nothing, one has p < 0.05."
    if same(lambda p, rank, n: p * n < LEVEL):
        return "That is Bonferroni's correction, times N for all. Holm's is times N, N - 1, ..., 1 from the least p on."
    if same(lambda p, rank, n: p * (n - rank) < LEVEL):
        return "Stop at the first p that fails: no larger p may pass after it."
    if same(lambda p, rank, n: p * (rank + 1) < LEVEL):
        return "The factors are the wrong way around: the least p is multiplied by N, the largest by 1."
    turned = [[word.replace("behind", "ahead") for word in verdicts_of(family)] for family in FAMILIES]
    if found == turned:
        return 'A difference below 0 that is shown is "behind": losses are told like wins.'
    unsorted = [verdicts_of(family, in_order=True) for family in FAMILIES]
    if found == unsorted:
        return "You went through the differences as they came. Holm's correction goes from the least p on."
    ordered = [verdicts_of(sorted(family, key=lambda claim: claim[1])) for family in FAMILIES]
    if found == ordered:
        return "The verdicts are in the order of p. Return them in the order in which the differences came."
    by_size = []
    for family in FAMILIES:
        ranks = sorted(family, key=lambda claim: -abs(claim[0]))
        told = dict(zip(ranks, verdicts_of(ranks, in_order=True), strict=True))
        by_size.append([told[claim] for claim in family])
    if found == by_size:
        return "You began with the largest difference. Holm's correction begins with the least p, whatever the size."
    for family, said in zip(FAMILIES, found, strict=True):
        if said != verdicts_of(family):
            return f"For {list(family)} the verdicts are {verdicts_of(family)}, yours are {said}."
    raise AssertionError


# A setting chosen on the questions that it is measured on


def settings() -> list[tuple[Array, Array]]:
    """Right or wrong by (settings, questions), for choosing and held out."""
    rng, pairs = np.random.default_rng(2), []
    for count, questions in ((5, 20), (8, 12)):
        pairs.append(((rng.random((count, questions)) < 0.5) + 0.0, (rng.random((count, questions + 4)) < 0.5) + 0.0))
    tied = np.array([[0, 1, 0, 0], [1, 1, 0, 1], [1, 0, 1, 1]], dtype=float)
    return [*pairs, (tied, np.array([[1, 1, 1, 1, 1], [0, 0, 1, 0, 0], [1, 1, 1, 0, 0]], dtype=float))]


@exercise
def check_choice(choose: Callable[[Array, Array], tuple[float, float]]) -> str:
    """The reader's choice: results for choosing and held out -> the chosen setting's accuracy on both."""
    found, pairs = [], settings()
    for tune, held in pairs:
        said = choose(tune.copy(), held.copy())
        scores = numbers(said)
        if scores is None or scores.shape != (2,):
            return f"Return two accuracies, where it was chosen and held out; yours is {said!r:.80}."
        found.append(scores)
    if all(np.isclose(one[0], tune.mean(0).max()) for one, (tune, _) in zip(found, pairs, strict=True)):
        return "A row is a setting: average along it, with mean(1). You have the best question, not the best setting."
    means = [(tune.mean(1), held.mean(1)) for tune, held in pairs]

    def same(pick: Callable[[Array, Array], tuple[float, float]]) -> bool:
        return all(np.allclose(one, pick(*each)) for one, each in zip(found, means, strict=True))

    if same(lambda tune, held: (tune.max(), held[tune.argmax()])):
        return "Right."
    if same(lambda tune, held: (tune.max(), held.max())):
        return (
            "Another setting was chosen on the held-out questions: nothing may be chosen there. Measure the first one."
        )
    if same(lambda tune, held: (tune[held.argmax()], held.max())):
        return "You chose on the held-out questions: then these are the ones that flatter."
    if same(lambda tune, held: (tune[(tune + held).argmax()], held[(tune + held).argmax()])):
        return "You chose on all questions, so that none are held out."
    if same(lambda tune, held: (tune.mean(), held.mean())):
        return "That is the mean over all settings: choose the best one on the first questions."
    if same(lambda tune, held: (tune.min(), held[tune.argmin()])):
        return "That is the worst setting: choose the one with the highest accuracy."
    if same(lambda tune, held: (float(tune.argmax()), float(tune.argmax()))) or same(
        lambda tune, held: (float(tune.argmax()), held[tune.argmax()])
    ):
        return "You returned the setting's number. Return its accuracies."
    if same(lambda tune, held: (tune.max(), held[len(tune) - 1 - tune[::-1].argmax()])):
        return "Of settings that are equally good where they are chosen, take the first."
    tune, held = means[0]
    return (
        f"In the first case setting {tune.argmax()} is chosen, with {tune.max():.3f} there and "
        f"{held[tune.argmax()]:.3f} held out; yours is {found[0].round(3).tolist()}."
    )
