"""Checks of 02_the_critic."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from bavt_minimal import Sample, Step, TreeNode
from bavt_minimal.residual import residual
from bavt_minimal.tasks.encyclopedia import Reading

from . import exercise

Builder = Callable[[Step, Reading], str]

# Values along a path

CHANCES = [0.9, 0.9, 0.9, 0.2, 0.05, 0.05, 0.05, 0.6]  # reaches both ends of the range, and comes back


def along(chances: Sequence[float], v0: float, scale: float, v_min: float) -> list[float]:
    """The module's own values along a path."""
    node, found = TreeNode("", value=v0), []
    for chance in chances:
        node = node.add_child("", residual(chance, scale), v_min)
        found.append(node.value)
    return found


@exercise
def check_values(values: Callable[..., Sequence[float]]) -> str:
    """The reader's values: (chances, v0, scale, v_min) -> V after each step."""
    v0, scale, v_min = 0.4, 0.3, 0.1
    found = np.asarray(values(CHANCES, v0, scale, v_min), dtype=float)
    right, steps = np.array(along(CHANCES, v0, scale, v_min)), np.array([residual(p, scale) for p in CHANCES])
    if found.shape == () and np.isclose(found, right[-1]):
        return "That is the value after the last step. Return a list: the value after each step."
    if found.shape == (len(CHANCES) + 1,) and np.allclose(found[1:], right):
        return "Leave v0 out: return the values after each step, not that of the root."
    if found.shape != right.shape:
        return f"There are {len(CHANCES)} steps, so return {len(CHANCES)} values; yours has shape {found.shape}."
    if np.allclose(found, right):
        return "Right. A value remembers what came before, and it never leaves [v_min, 1]."
    if np.allclose(found, CHANCES):
        return "These are the chances themselves: absolute values, which forget all earlier steps."
    if np.allclose(found, np.clip(v0 + steps, v_min, 1)):
        return "Each of these starts at v0 again. Start at the value of the parent, which is the step before."
    plain = v0 + np.cumsum(steps)
    if np.allclose(found, plain):
        return "Nothing is clipped here: some of these values are above 1 or below v_min."
    if np.allclose(found, np.clip(plain, v_min, 1)):
        return "You clip after adding all up. Clip at each step, or a node at the ceiling hides a reserve above 1."
    if np.allclose(found, along(CHANCES, v0, scale, 0.0)):
        return "The floor is v_min, not 0. At 0 a node could never be drawn again."
    if np.allclose(found, along([(1 + p) / 2 for p in CHANCES], v0, scale, v_min)):
        return "You add scale * p, which is never negative. A residual is scale * (2p - 1): a likely error takes away."
    if np.allclose(found, np.full(len(CHANCES), v_min)):
        return "It falls to v_min and stays. Is it scale * (2 * p - 1), with the brackets?"
    defaults = {"v0": (0.5, scale, v_min), "scale": (v0, 0.4, v_min), "v_min": (v0, scale, 0.05)}
    for name, instead in defaults.items():
        if np.allclose(found, along(CHANCES, *instead)):
            return f"Use the argument {name}: here it is {locals()[name]}, and you calculate with its default."
    if np.allclose(found, along(CHANCES, v0, 1.0, v_min)):
        return "Multiply 2p - 1 by scale; here one step can move a value across the whole range."
    return f"For p = {CHANCES} the values are {right.round(3).tolist()}, yours are {found.round(3).tolist()}."


# AUC


@exercise
def check_auc(auc: Callable[[Sequence[float], Sequence[bool]], float]) -> str:
    """The reader's AUC: (scores, right) -> a number in [0, 1]."""
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(2)
    for scores, right in (
        ([0.1, 0.4, 0.4, 0.9, 0.3], [0, 0, 1, 1, 1]),
        (rng.integers(0, 6, 60) / 10, rng.integers(0, 3, 60) == 0),
        (-rng.random(40) * 5, rng.random(40) < 0.7),  # log-probabilities: no threshold of 0.5 makes sense
    ):
        x, y = np.asarray(scores, dtype=float), np.asarray(right, dtype=bool)
        try:  # what the notebook has is 1.0 and 0.0, and these are no mask
            found, wanted = np.asarray(auc(x, y.astype(float)), dtype=float), float(roc_auc_score(y, x))
        except (IndexError, TypeError) as error:
            if isinstance(error, IndexError) or "invert" in str(error):
                return "`right` has the numbers 1.0 and 0.0. `right == 1` and `right == 0` make masks of them."
            raise
        if found.shape != ():
            return f"Return one number; yours has shape {found.shape}."
        if np.isnan(found):
            return "Your function returned no number. Is a `return` missing?"
        if np.isclose(found, wanted):
            continue
        gaps = x[y][:, None] - x[~y][None, :]
        pairs = gaps.size
        if np.isclose(found, 1 - wanted):
            return "This is the chance that a wrong step scores higher: the pair is the other way around."
        if np.isclose(found, (gaps > 0).sum() / pairs):
            return "Ties count nothing here. A tie is a coin flip: count it half."
        if np.isclose(found, (gaps >= 0).sum() / pairs):
            return "Ties count as won here. A critic that says the same of every step would get 1; count a tie half."
        if np.isclose(found, ((gaps > 0) + 0.5 * (gaps == 0)).sum()):
            return "This counts pairs. Divide by the number of pairs of a right and a wrong step."
        won = ((gaps > 0) + 0.5 * (gaps == 0)).sum()
        if np.isclose(found, [won / len(x) ** 2, won / (len(x) * (len(x) - 1) / 2)]).any():
            return "You divide by all pairs of steps. Only pairs of a right and a wrong step count."
        if np.isclose(found, [((x > cut) == y).mean() for cut in (0.5, np.median(x))]).any():
            return "This is accuracy at a threshold. AUC needs none: it compares scores with scores."
        if np.isclose(found, np.mean([a > b for a, b in zip(x[y], x[~y], strict=False)])):
            return "Each right step meets one wrong step only. Compare it with every wrong step."
        if np.isclose(found, x[y].mean() - x[~y].mean()):
            return "This is a difference of means. AUC looks at the order only: how often is right above wrong?"
        shown = f"scores {np.round(x[:5], 2).tolist()} and right {y[:5].astype(int).tolist()}{', ...' * (len(x) > 5)}"
        return f"For {shown} the AUC is {wanted:.3f}, yours is {float(found):.3f}."
    return "Right. It agrees with scikit-learn, ties included."


# The predictor


@exercise
def check_predictor(kind: type) -> str:
    """The reader's network: (B, H) -> (B, 1), Linear(H, 2H), ReLU, Linear(2H, 1)."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    size, batch = 5, 7
    mine = kind(size)
    if not isinstance(mine, nn.Module):
        return f"It must be a torch nn.Module, not {type(mine).__name__}."
    weights = [w.detach() for w in mine.parameters()]
    found, wanted = sorted(tuple(w.shape) for w in weights), [(1,), (1, 2 * size), (2 * size,), (2 * size, size)]
    if found != wanted:
        if found == [(1, 2 * size), (2 * size, size)]:
            return "Both layers lack their bias."
        if found == [(1,), (1, size), (size,), (size, size)]:
            return "The hidden layer is as wide as the input. The guide doubles it: 2 * hidden_dim."
        if not found:
            return "There are no parameters. Are the layers kept as attributes of self?"
        return f"For hidden_dim = {size} the weights have shapes {wanted}; yours have {found}."
    shaped = {tuple(w.shape): w for w in weights}
    w1, b1, w2, b2 = (shaped[shape] for shape in [(2 * size, size), (2 * size,), (1, 2 * size), (1,)])
    with torch.no_grad():
        for rows in (batch, 1):
            x = torch.randn(rows, size) * 3
            inner = x @ w1.T + b1
            right, got = inner.relu() @ w2.T + b2, mine(x)
            if got is None:
                return "`forward` returns nothing. Is a `return` missing?"
            if tuple(got.shape) != (rows, 1):
                if rows == batch and tuple(got.shape) == (batch,):
                    return "The output has shape (B,). Keep the last dimension: (B, 1)."
                return f"For {rows} states the output must have shape ({rows}, 1); yours has {tuple(got.shape)}."
            if torch.allclose(got, right, atol=1e-5):
                continue
            if torch.allclose(got, inner @ w2.T + b2, atol=1e-5):
                return "There is no ReLU between the layers: two linear layers in a row are one linear layer."
            if torch.allclose(got, right.sigmoid(), atol=1e-5):
                return "Leave the sigmoid out: the output is log-odds, and the loss (BCEWithLogitsLoss) has its own."
            if torch.allclose(got, right.relu(), atol=1e-5):
                return "No ReLU after the last layer: log-odds below 0, a likely mistake, would all become 0."
            return "The shapes fit, the numbers do not: it must be Linear, then ReLU, then Linear, and nothing else."
    count = sum(w.numel() for w in kind(576).parameters())
    return f"Right. For a hidden state of 576 numbers it has {count:,} weights."


# Calibration

# None is on the edge of a bin, where rounding decides; only 1 is.
SAID = [0.06, 0.16, 0.31, 0.22, 0.94, 1.0, 0.86, 0.81, 0.46, 0.56]
WAS = [0, 0, 1, 0, 1, 1, 0, 1, 0, 1]


def diagram(p: Sequence[float], right: Sequence[float], bins: int) -> list[tuple[int, float, float]]:
    """The module's reliability diagram of bins of equal width."""
    from bavt_minimal.critics.calibration import reliability

    return [tuple(each) for each in reliability(p, right, bins, by="width")]


@exercise
def check_reliability(reliability: Callable[..., Sequence[Sequence[float]]]) -> str:
    """The reader's diagram: (p, right, bins) -> rows of (steps, mean p, share right), empty bins left out."""
    p, y = np.array(SAID), np.array(WAS, dtype=float)
    for bins in (5, 4, 20):
        wanted = diagram(p, y, bins)
        rows = [tuple(float(x) for x in row) for row in reliability(p, y, bins)]
        if any(len(row) != 3 for row in rows):
            return "A row has three numbers: how many steps, their mean p, and the share that is right."
        counts = [row[0] for row in rows]
        if len(rows) == bins and min(counts) > 0 and max(counts) - min(counts) <= 1:
            return "Your bins hold equally many steps. Here they are equally wide: 0 to 1/bins, and so on."
        if len(rows) == len(wanted) + 1 and rows[-1][1] == 1:
            return "p = 1 has a bin of its own here. It belongs to the last one."
        if len(rows) == bins and len(wanted) < bins:
            return f"Leave empty bins out: of {bins} bins only {len(wanted)} have steps in them."
        if sum(counts) == len(p) - 1:
            return "A step got lost. p = 1 belongs to the last bin."
        if len(rows) != len(wanted):
            return f"With {bins} bins there are {len(wanted)} rows that have steps; yours are {len(rows)}."
        found, right = np.array(rows), np.array(wanted)
        if np.allclose(found, right):
            continue
        if np.allclose(found[::-1], right):
            return "The rows go from low p to high p; yours go down."
        if np.allclose(found[:, [0, 2, 1]], right):
            return "Mean p comes before the share that is right; you have them the other way around."
        if np.allclose(found[:, [0, 2]], right[:, [0, 2]]):
            return "The counts and the shares are right. The second number is the mean p in the bin, not its middle."
        if np.allclose(found[:, 2], right[:, 2] * right[:, 0] / len(p)):
            return "You divide by all steps. A share is taken within a bin."
        if np.allclose(found[:, 1:], right[:, 1:] * right[:, :1]):
            return "These are sums. Divide by the number of steps in the bin."
        first = int(np.argmax(~np.isclose(found, right).all(axis=1)))
        said = f"{right[first].round(3).tolist()}, yours is {found[first].round(3).tolist()}"
        return f"With {bins} bins row {first + 1} is {said}."
    edges, truth = np.array([0.0, 0.5, 0.75, 1.0]), np.array([0.0, 1.0, 0.0, 1.0])
    rows = [tuple(float(x) for x in row) for row in reliability(edges, truth, 4)]
    if sum(row[0] for row in rows) < len(edges):
        return "A step with p = 0 got lost: it belongs to the first bin."
    if rows != [tuple(float(x) for x in row) for row in diagram(edges, truth, 4)]:
        return "A p on the edge between two bins belongs to the upper one: with 4 bins, 0.5 goes to the third."
    return "Right. In each row, mean p above the share that is right means overconfident."


# Leaks

PAGE = "Ada Ley is a judge. Born in Oakton, Ada Ley studied in Millford and lives in Northwest Harbury."
READING = Reading(0, PAGE, "home", "In which city does Ada Ley live?", "Northwest Harbury")


def said(text: str) -> Step:
    """A step that gives this answer to READING."""
    return Step(READING.question, "Ada Ley", PAGE, "", Sample(text, 3, (-0.1,), True), True)


def frame(step: Step) -> str:
    return f"{step.trajectory()}\nIs it right?"


# name -> (how it builds the prompt, whether it leaks)
BUILDERS: dict[str, tuple[Builder, bool]] = {
    "the page, the question and the step": (lambda step, reading: frame(step), False),
    "the step twice": (lambda step, reading: f"{frame(step)}\nAnswer again: {step.text}", False),
    "the gold answer": (lambda step, reading: f"Key: {reading.answer}\n{frame(step)}", True),
    "right or wrong, in a word": (
        lambda step, reading: f"{frame(step)}{' (checked)' if step.text == reading.answer else ''}",
        True,
    ),
    "the gold answer's length": (
        lambda step, reading: f"{step.question} In {len(reading.answer)} letters: {step.text}\nIs it right?",
        True,
    ),
    "candidates, the right one first": (
        lambda step, reading: (
            f"{', '.join(dict.fromkeys([reading.answer, 'Northwest Harbury', 'Oakton', 'Millford']))}\n" + frame(step)
        ),
        True,
    ),
}
# The gold answer is of a length that hardly anybody would swap in by chance.
TRIED = [("Northwest Harbury", "a right step"), ("Millford", "a wrong step"), ("Oakton", "another wrong step")]


@exercise
def check_leaks(leaks: Callable[[Builder, Step, Reading], bool]) -> str:
    """The reader's detector: (build, step, reading) -> whether the prompt depends on the gold answer."""
    found = {}
    for name, (build, _) in BUILDERS.items():
        for text, what in TRIED:
            answer = leaks(build, said(text), READING)
            if not isinstance(answer, (bool, np.bool_)):
                return f"Return True or False; yours returns {type(answer).__name__}."
            found[name, what] = bool(answer)
    wanted = {(name, what): BUILDERS[name][1] for name, what in found}
    if found == wanted:
        return "Right. It clears the two honest prompts, in which the page tells the answer, and finds all four leaks."
    if all(found.values()):
        return "This says that everything leaks. A prompt that stays as it is when the gold answer changes does not."
    if not any(found.values()):
        return "This finds no leak at all. Change the gold answer, build the prompt again, and compare."
    if found == {key: not value for key, value in wanted.items()}:
        return "All answers are the wrong way around: True means that the prompt depends on the gold answer."
    steps = {what: said(text) for text, what in TRIED}
    if found == {(name, what): "Northwest Harbury" in BUILDERS[name][0](steps[what], READING) for name, what in found}:
        return (
            "You look for the gold answer in the prompt. An honest prompt has it too, because the page states it; and a"
            " leak may tell no more than its length."
        )
    missed = [key for key in wanted if wanted[key] and not found[key]]
    wrongly = [key for key in wanted if found[key] and not wanted[key]]
    if len(wrongly) == len(TRIED) * sum(not leaky for _, leaky in BUILDERS.values()):
        return "Both honest prompts leak, you say, and others do not. Do you compare with == in place of !=?"
    if wrongly:
        return f"You say that the prompt with {wrongly[0][0]} leaks, for {wrongly[0][1]}. None of it is from the gold."
    if missed == [("right or wrong, in a word", "a wrong step"), ("right or wrong, in a word", "another wrong step")]:
        return (
            "You miss a prompt that says only whether the step is right: while the step stays wrong, one gold answer is"
            " as good as another. Try the step's own text as the gold answer too."
        )
    if {what for _, what in missed} == {"a right step"}:
        return "For a right step, its own text as the gold answer changes nothing. Try an answer of another text too."
    return f"You miss the prompt with {missed[0][0]}, for {missed[0][1]}."
