"""Right and wrong answers to the exercises of 05_efficiency: check -> (right, {what is wrong: answer})."""

from collections import Counter

import numpy as np

from bavt_minimal.steps import normalize

# Majority vote


def my_vote(answers):
    votes = Counter(normalize(answer) for answer in answers)
    return max(answers, key=lambda answer: votes[normalize(answer)])


def last_of_a_tie(answers):
    found = my_vote(answers[::-1])
    return next(answer for answer in answers if normalize(answer) == normalize(found))


def by_the_alphabet(answers):
    votes = Counter(normalize(answer) for answer in answers)
    found = max(sorted(votes), key=votes.get)
    return next(answer for answer in answers if normalize(answer) == found)


def absolute_majority(answers):
    found = my_vote(answers)
    return found if 2 * sum(normalize(each) == normalize(found) for each in answers) > len(answers) else ""


VOTE = (
    my_vote,
    {
        "spellings apart": lambda answers: Counter(answers).most_common(1)[0][0],
        "normalized": lambda answers: normalize(my_vote(answers)),
        "last spelling": lambda answers: [each for each in answers if normalize(each) == normalize(my_vote(answers))][
            -1
        ],
        "last of a tie": last_of_a_tie,
        "alphabet decides": by_the_alphabet,
        "absolute majority": absolute_majority,
        "with its count": lambda answers: Counter(answers).most_common(1)[0],
        "the first": lambda answers: answers[0],
    },
)

# Bootstrap


def my_interval(right, rng):
    means = right.mean(1)
    drawn = rng.integers(len(means), size=(2000, len(means)))
    return np.percentile(means[drawn].mean(1), [2.5, 97.5])


def of_runs(right, rng):
    return my_interval(right.reshape(-1, 1), rng)


def of_seeds(right, rng):
    drawn = rng.integers(right.shape[1], size=(2000, *right.shape))
    return np.percentile(np.take_along_axis(right[None], drawn, 2).mean((1, 2)), [2.5, 97.5])


def of_both(right, rng):
    questions = right[rng.integers(len(right), size=(2000, len(right)))]
    drawn = rng.integers(right.shape[1], size=questions.shape)
    return np.percentile(np.take_along_axis(questions, drawn, 2).mean((1, 2)), [2.5, 97.5])


def at(*percentiles):
    def interval(right, rng):
        means = right.mean(1)
        drawn = rng.integers(len(means), size=(2000, len(means)))
        return np.percentile(means[drawn].mean(1), percentiles)

    return interval


def by_formula(right, rng, ddof=1):
    means = right.mean(1)
    error = means.std(ddof=ddof) / len(means) ** 0.5
    return means.mean() - 1.96 * error, means.mean() + 1.96 * error


def of_seed_means(right, rng):
    return my_interval(right.T, rng)


def too_many(right, rng):
    means = right.mean(1)
    return np.percentile(rng.choice(means, (2000, 2000)).mean(1), [2.5, 97.5])


def without_replacement(right, rng):
    return np.percentile([rng.permutation(right.mean(1)).mean().round(9) for _ in range(200)], [2.5, 97.5])


INTERVAL = (
    my_interval,
    {
        "runs": of_runs,
        "seeds": of_seeds,
        "both": of_both,
        "90 %": at(5, 95),
        "one standard error": at(16, 84),
        "shares for percents": at(0.025, 0.975),
        "means of seeds": of_seed_means,
        "too many questions": too_many,
        "turned round": at(97.5, 2.5),
        "with the mean": at(2.5, 50, 97.5),
        "single questions": lambda right, rng: np.percentile(right.mean(1), [2.5, 97.5]),
        "a formula": by_formula,
        "a formula, n for n - 1": lambda right, rng: by_formula(right, rng, ddof=0),
        "without replacement": without_replacement,
        "of the wrong answers": lambda right, rng: 1 - my_interval(right, rng)[::-1],
    },
)

# Paired differences


def bootstrap(values, rng):
    drawn = rng.integers(len(values), size=(2000, len(values)))
    return values[drawn].mean(1)


def my_difference(one, other, rng):
    both = sorted(one.keys() & other.keys())
    gains = np.array([one[name] - other[name] for name in both])
    return gains.mean(), *np.percentile(bootstrap(gains, rng), [2.5, 97.5])


def arrays(one, other):
    both = sorted(one.keys() & other.keys())
    return np.array([one[name] for name in both]), np.array([other[name] for name in both])


def unpaired(one, other, rng):
    first, second = arrays(one, other)
    apart = bootstrap(first, rng) - bootstrap(second, rng)
    return first.mean() - second.mean(), *np.percentile(apart, [2.5, 97.5])


def all_of_each(one, other, rng):
    first, second = np.array(list(one.values())), np.array(list(other.values()))
    apart = bootstrap(first, rng) - bootstrap(second, rng)
    return first.mean() - second.mean(), *np.percentile(apart, [2.5, 97.5])


def by_place(one, other, rng):
    first, second = arrays(one, other)
    by_chance = np.array(list(one.values())) - np.array(list(other.values()))
    interval = np.percentile(bootstrap(by_chance, rng), [2.5, 97.5]) - by_chance.mean()
    return first.mean() - second.mean(), *(interval + first.mean() - second.mean())


def missing_is_wrong(one, other, rng):
    gains = np.array([one.get(name, 0) - other.get(name, 0) for name in sorted(one.keys() | other.keys())])
    return gains.mean(), *np.percentile(bootstrap(gains, rng), [2.5, 97.5])


def single_questions(one, other, rng):
    first, second = arrays(one, other)
    return (first - second).mean(), *np.percentile(first - second, [2.5, 97.5])


def most_questions(one, other, rng):
    both = sorted(one.keys() & other.keys())[:-3]
    return my_difference({name: one[name] for name in both}, other, rng)


def all_of_the_first(one, other, rng):
    gains = np.array([one[name] - other[name] for name in one])
    return gains.mean(), *np.percentile(bootstrap(gains, rng), [2.5, 97.5])


def shares_for_percents(one, other, rng):
    first, second = arrays(one, other)
    return (first - second).mean(), *np.percentile(bootstrap(first - second, rng), [0.025, 0.975])


def one_end(one, other, rng):
    value, low, _ = my_difference(one, other, rng)
    return value, low, value


DIFFERENCE = (
    my_difference,
    {
        "unpaired": unpaired,
        "not the same questions": all_of_each,
        "paired by place": by_place,
        "turned round": lambda one, other, rng: my_difference(other, one, rng),
        "missing is wrong": missing_is_wrong,
        "single questions": single_questions,
        "some left out": most_questions,
        "all of the first": all_of_the_first,
        "shares for percents": shares_for_percents,
        "one end only": one_end,
        "nested": lambda one, other, rng: (my_difference(one, other, rng)[0], my_difference(one, other, rng)[1:]),
        "interval only": lambda one, other, rng: my_difference(one, other, rng)[1:],
    },
)

# Verdicts


def my_verdicts(family):
    said = ["tie"] * len(family)
    order = sorted(range(len(family)), key=lambda place: family[place][1])
    for step, place in enumerate(order):
        value, p = family[place]
        if p * (len(family) - step) >= 0.05:
            break
        said[place] = "ahead" if value > 0 else "behind"
    return said


def rule(passes):
    def verdicts(family):
        order = sorted(range(len(family)), key=lambda place: family[place][1])
        side = ["ahead" if value > 0 else "behind" for value, _ in family]
        return [side[i] if passes(p, order.index(i), len(family)) else "tie" for i, (_, p) in enumerate(family)]

    return verdicts


def benjamini_hochberg(family):
    order = sorted(range(len(family)), key=lambda place: family[place][1])
    last = max((k for k, place in enumerate(order) if family[place][1] * len(family) / (k + 1) < 0.05), default=-1)
    return rule(lambda p, rank, n: rank <= last)(family)


def largest_first(family):
    order = sorted(range(len(family)), key=lambda place: -abs(family[place][0]))
    said = as_they_came([family[place] for place in order])
    return [said[order.index(place)] for place in range(len(family))]


def as_they_came(family):
    said, stop = [], False
    for place, (value, p) in enumerate(family):
        stop = stop or p * (len(family) - place) >= 0.05
        said.append("tie" if stop else "ahead" if value > 0 else "behind")
    return said


VERDICTS = (
    my_verdicts,
    {
        "as they came": as_they_came,
        "the largest first": largest_first,
        "by its sign": rule(lambda p, rank, n: True),
        "not corrected": rule(lambda p, rank, n: p < 0.05),
        "Bonferroni": rule(lambda p, rank, n: p * n < 0.05),
        "stops without an answer": lambda family: my_verdicts(family) if max(p for _, p in family) < 0.01 else None,
        "does not stop": rule(lambda p, rank, n: p * (n - rank) < 0.05),
        "factors turned round": rule(lambda p, rank, n: p * (rank + 1) < 0.05),
        "no losses": lambda family: [word.replace("behind", "ahead") for word in my_verdicts(family)],
        "in the order of p": lambda family: my_verdicts(sorted(family, key=lambda claim: claim[1])),
        "false discovery rate": benjamini_hochberg,
        "other words": lambda family: [word == "ahead" for word in my_verdicts(family)],
    },
)

# Chosen on test


def my_choice(tune, held):
    best = tune.mean(1).argmax()
    return tune[best].mean(), held[best].mean()


def on_all(tune, held):
    best = (tune.mean(1) + held.mean(1)).argmax()
    return tune[best].mean(), held[best].mean()


def last_of_equals(tune, held):
    best = len(tune) - 1 - tune.mean(1)[::-1].argmax()
    return tune[best].mean(), held[best].mean()


CHOICE = (
    my_choice,
    {
        "chosen twice": lambda tune, held: (tune.mean(1).max(), held.mean(1).max()),
        "chosen on the held-out": lambda tune, held: my_choice(held, tune)[::-1],
        "chosen on all": on_all,
        "the mean": lambda tune, held: (tune.mean(), held.mean()),
        "the worst": lambda tune, held: (tune.mean(1).min(), held[tune.mean(1).argmin()].mean()),
        "its number": lambda tune, held: (tune.mean(1).argmax(), held[tune.mean(1).argmax()].mean()),
        "the last of equals": last_of_equals,
        "the best question": lambda tune, held: (tune.mean(0).max(), held.mean(0).max()),
        "one accuracy": lambda tune, held: my_choice(tune, held)[1],
        "the first setting": lambda tune, held: (tune[0].mean(), held[0].mean()),
    },
)

EXERCISES = {
    "check_vote": VOTE,
    "check_interval": INTERVAL,
    "check_difference": DIFFERENCE,
    "check_verdicts": VERDICTS,
    "check_choice": CHOICE,
}
