"""Fitted and prompted critics: closed forms, scikit-learn as a second opinion, and what judging costs."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, roc_auc_score
from transformers import LlamaConfig, LlamaForCausalLM

from bavt_minimal import Budget, BudgetAwareValueTreeSearch, Ledger, Sample, Step, TreeNode
from bavt_minimal.budget import BudgetExceeded
from bavt_minimal.cli.main import main
from bavt_minimal.critics import calibration as cal
from bavt_minimal.critics import data, evaluate, fit
from bavt_minimal.critics.adapter import AdapterCritic, load_adapter_critic
from bavt_minimal.critics.head import CriticHead, ResidualValuePredictor, fit_predictor
from bavt_minimal.critics.mix import LogProb, MixCritic, fit_mix
from bavt_minimal.critics.path import path_residuals
from bavt_minimal.critics.prompted import FORMS, SHOTS, FormCritic
from bavt_minimal.models.hf import HFModel
from bavt_minimal.models.scripted import ScriptedModel
from bavt_minimal.models.weights import WeightsError
from bavt_minimal.steps import Generator
from bavt_minimal.tasks.encyclopedia import GROUPS, RELATIONS
from bavt_minimal.training.labels import SEEN_RELATIONS, SEEN_WORDINGS, UNSEEN_RELATIONS, UNSEEN_WORDINGS

RNG = np.random.default_rng(0)


def step(text: str = "Rome", logprobs: tuple[float, ...] = (-0.5,), page: str = "A page.", **more: Any) -> Step:
    hidden = more.pop("hidden", {})
    prompt = f"Few words.\nPage: {page}\nQuestion: Where?\nAnswer:"
    return Step("Where?", "it", page, prompt, Sample(text, len(logprobs), logprobs, True, hidden), False, **more)


def walk(node: TreeNode) -> Iterator[TreeNode]:
    yield node
    for child in node.children:
        yield from walk(child)


def noisy(count: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Scores with ties, and labels that follow them loosely."""
    y = (RNG.random(count) < 0.6).astype(float)
    return np.round(RNG.normal(size=count) + 1.5 * y, 1), y


@pytest.fixture(scope="module")
def tiny(real_model: HFModel) -> HFModel:
    """A small random network with the real tokenizer."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(real_model.tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=3,
        num_attention_heads=2,
        num_key_value_heads=1,
        pad_token_id=2,
    )
    return HFModel(LlamaForCausalLM(config), real_model.tokenizer, name="tiny")


# Calibration


def test_ece_and_brier_in_closed_form() -> None:
    p, y = [0.1, 0.1, 0.9, 0.9], [0, 1, 1, 1]
    # Two bins: predicted .1 and .5 right, predicted .9 and all right.
    assert cal.ece(p, y, bins=2) == pytest.approx((0.4 + 0.1) / 2)
    assert cal.ece(p, y, bins=2, by="width") == pytest.approx((0.4 + 0.1) / 2)
    assert cal.brier(p, y) == pytest.approx((0.01 + 0.81 + 0.01 + 0.01) / 4)
    assert cal.reliability(p, y, 2) == [cal.Bin(2, 0.1, 0.5), cal.Bin(2, 0.9, 1.0)]
    assert cal.ece([0.0, 1.0], [0, 1]) == 0 and cal.ece([1.0, 0.0], [0, 1]) == 1


def test_bins_of_equal_mass_and_of_equal_width() -> None:
    p = np.array([0.01, 0.02, 0.03, 0.99])
    assert [row.steps for row in cal.reliability(p, [0, 0, 0, 1], 2)] == [2, 2]
    assert [row.steps for row in cal.reliability(p, [0, 0, 0, 1], 2, "width")] == [3, 1]
    assert [row.steps for row in cal.reliability([0.5, 1.0], [1, 1], 10, "width")] == [1, 1]


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=50), st.integers(1, 12))
def test_ece_is_within_its_bounds_and_no_step_is_lost(rows: list[tuple[float, bool]], bins: int) -> None:
    p, y = [a for a, _ in rows], [int(b) for _, b in rows]
    for by in cal.BINNINGS:
        assert 0 <= cal.ece(p, y, bins, by) <= 1
        assert sum(row.steps for row in cal.reliability(p, y, bins, by)) == len(rows)
        # The mean error cannot be less than the error of the means.
        assert cal.ece(p, y, bins, by) >= abs(np.mean(p) - np.mean(y)) - 1e-9


def test_auc_and_brier_agree_with_scikit_learn() -> None:
    scores, y = noisy()
    assert cal.auc(scores, y) == pytest.approx(roc_auc_score(y, scores))
    assert cal.brier(cal.sigmoid(scores), y) == pytest.approx(brier_score_loss(y, cal.sigmoid(scores)))
    assert math.isnan(cal.auc([1.0, 2.0], [1, 1]))
    assert cal.auc([-math.inf, 0.0], [0, 1]) == 1 and cal.auc([math.nan, 0.0], [0, 1]) == 1


def test_the_interval_resamples_worlds() -> None:
    scores, y = noisy(600)
    worlds = np.repeat(np.arange(30), 20)
    found = cal.auc_interval(scores, y, worlds, draws=300)
    assert found.value == pytest.approx(roc_auc_score(y, scores))
    # The slow way: whole worlds, drawn with replacement, put one after the other.
    rng, slow = np.random.default_rng(5), []
    for _ in range(300):
        rows = np.concatenate([np.flatnonzero(worlds == w) for w in rng.integers(30, size=30)])
        slow.append(roc_auc_score(y[rows], scores[rows]))
    low, high = np.percentile(slow, [2.5, 97.5])
    assert found.low == pytest.approx(low, abs=0.012) and found.high == pytest.approx(high, abs=0.012)
    assert found == cal.auc_interval(scores, y, worlds, draws=300)


def test_an_interval_of_copies_is_as_wide_as_that_of_the_originals() -> None:
    scores, y = noisy(100)
    copies = cal.auc_interval(np.repeat(scores, 8), np.repeat(y, 8), np.repeat(np.arange(100), 8))
    once = cal.auc_interval(scores, y, np.arange(100))
    assert copies == pytest.approx(once)
    assert math.isnan(cal.auc_interval(scores, y, [0] * 100).low)


def test_platt_finds_the_temperature_and_agrees_with_scikit_learn() -> None:
    odds = RNG.normal(size=20_000) * 2
    y = (RNG.random(20_000) < cal.sigmoid(odds)).astype(float)
    platt = cal.Platt.fit(3 * odds + 6, y)
    assert platt.slope == pytest.approx(1 / 3, rel=0.06) and platt.intercept == pytest.approx(-2, rel=0.06)
    assert cal.ece(platt(3 * odds + 6), y) < 0.02 < cal.ece(cal.sigmoid(3 * odds + 6), y)
    plain = LogisticRegression(C=1e4).fit(odds[:, None], y)
    again = cal.Platt.fit(odds, y)
    assert [again.slope, again.intercept] == pytest.approx([plain.coef_[0, 0], plain.intercept_[0]], abs=1e-3)


def test_calibrations_are_monotone_and_survive_json() -> None:
    scores, y = noisy()
    grid = np.linspace(-9, 9, 50)
    for calibration in (cal.Platt.fit(scores, y), cal.Isotonic.fit(scores, y)):
        p = calibration(grid)
        assert (np.diff(p) >= 0).all() and (p >= 0).all() and (p <= 1).all()
        assert cal.read_calibration(json.loads(json.dumps(asdict(calibration)))) == calibration
        assert np.isfinite(calibration([math.nan, -math.inf, math.inf])).all()
    with pytest.raises(ValueError, match="a calibration has"):
        cal.read_calibration({"slope": 1})


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: cal.ece([0.5, 1.5], [0, 1]), "p must"),
        (lambda: cal.ece([math.nan], [0]), "p must"),
        (lambda: cal.ece([], []), "p must"),
        (lambda: cal.brier([0.5], [2]), "y must"),
        (lambda: cal.brier([0.5], [0, 1]), "y must"),
        (lambda: cal.ece([0.5], [1], bins=0), "bins must"),
        (lambda: cal.ece([0.5], [1], by="depth"), "by must"),
        (lambda: cal.auc([[1.0]], [1]), "scores must"),
        (lambda: cal.auc_interval([1.0, 2.0], [0, 1], [0]), "clusters must"),
        (lambda: cal.Platt.fit([1.0, 2.0], [1, 1]), "y must"),
    ],
)
def test_bad_figures_are_named(call: Any, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        call()


# The head


@pytest.mark.parametrize("size", [1, 8, 576])
def test_the_predictor_has_the_guides_shapes(size: int) -> None:
    predictor = ResidualValuePredictor(size)
    assert [tuple(w.shape) for w in predictor.parameters()] == [(2 * size, size), (2 * size,), (1, 2 * size), (1,)]
    assert predictor(torch.zeros(5, size)).shape == (5, 1)
    first, _, last = predictor.layers
    x = torch.randn(4, size)
    by_hand = torch.relu(x @ first.weight.T + first.bias) @ last.weight.T + last.bias
    torch.testing.assert_close(predictor(x), by_hand)


def separable(count: int = 600, size: int = 8) -> tuple[np.ndarray, np.ndarray]:
    x = RNG.normal(size=(count, size)) * 50 + 300
    return x.astype(np.float32), np.where(x[:, 0] * x[:, 1] > 300**2, 1.0, -1.0)


def test_a_fitted_head_ranks_unseen_rows_and_shuffled_labels_teach_nothing() -> None:
    model = ScriptedModel({}, default={"a": 1})
    x, y = separable(1200)
    head = CriticHead(model, layers=(3,))
    head.fit(x[:900], y[:900])
    assert cal.auc(head.judge(x[900:]), y[900:] > 0) > 0.85
    # One direction in a few dimensions is never at .5 by itself, so the mean of several controls is taken.
    found = []
    for seed in range(10):
        control = CriticHead(model, layers=(3,))
        control.fit(x[:900], RNG.permutation(y[:900]), seed)
        found.append(cal.auc(control.judge(x[900:]), y[900:] > 0))
    assert abs(np.mean(found) - 0.5) < 0.2 and min(found) < 0.5


def test_a_fit_is_the_same_twice_and_leaves_the_random_state_alone() -> None:
    x, y = separable(100)
    before = torch.random.get_rng_state()
    one, two = fit_predictor(x, y, seed=3, epochs=3), fit_predictor(x, y, seed=3, epochs=3)
    assert torch.equal(before, torch.random.get_rng_state())
    other = fit_predictor(x, y, seed=4, epochs=3)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_states_that_came_with_the_samples_are_free() -> None:
    model = ScriptedModel({}, default={"Rome": 1, "Paris": 2})
    head, ledger = CriticHead(model, layers=(1, 4)), Ledger(Budget(0), charge_prompt=True)
    samples = model.sample("Where?", 4, layers=head.layers)
    steps = [replace(step(), sample=sample) for sample in samples]
    residuals = head(steps, ledger)
    assert not ledger.rows and all(-0.4 <= r <= 0.4 for r in residuals)
    rows = np.stack([np.concatenate([s.hidden[1], s.hidden[4]]) for s in samples])
    assert residuals == pytest.approx([0.4 * (2 * p - 1) for p in head.judge(rows)])
    assert head([], ledger) == []


def test_a_state_read_again_is_that_of_the_sample(tiny: HFModel) -> None:
    prompt = "Page: Ann lives in Rome.\nQuestion: Where does Ann live?\nAnswer:"
    head = CriticHead(tiny, layers=(1, 3))
    (sample,) = tiny.sample(prompt, 1, layers=head.layers, stop=(" ", "e"), max_new_tokens=40)
    with_states = replace(step(), prompt=prompt, sample=sample)
    # The same sample, resumed from a trace: its text is all that is known.
    text = tiny.tokenizer.decode([*tiny.tokens(prompt)])
    bare = replace(with_states, sample=replace(sample, text="Rome", hidden={}))
    ledger = Ledger()
    states = head.states([bare], ledger)
    (encoded,) = tiny.encode([f"{text} Rome"], head.layers)
    np.testing.assert_allclose(states[0], np.concatenate([encoded[1][-1], encoded[3][-1]]), atol=1e-5)
    row = ledger.rows[0]
    assert (row.role, row.tokens, row.prompt_tokens) == ("critic", 0, len(tiny.tokens(f"{prompt} Rome")))
    with pytest.raises(BudgetExceeded):
        head([bare], Ledger(Budget(5), charge_prompt=True))
    assert head.states([with_states], Ledger()).shape == (1, 32)


def test_the_real_models_state_is_the_same_sampled_or_read(real_model: HFModel) -> None:
    prompt = "Page: Ann lives in Rome.\nQuestion: Where does Ann live?\nAnswer:"
    head = CriticHead(real_model, layers=(20,))
    sample = next(s for s in real_model.sample(prompt, 8, layers=head.layers) if s.finished and s.text == "Rome")
    sampled = head.states([replace(step(), prompt=prompt, sample=sample)], Ledger())
    read = head.states([replace(step(), prompt=prompt, sample=replace(sample, hidden={}))], Ledger())
    np.testing.assert_allclose(read, sampled, rtol=1e-3, atol=1e-2)


@given(st.text("ab c", min_size=1).filter(str.strip), st.floats(0, 1))
def test_the_guides_name_gives_a_residual_in_range(text: str, scale: float) -> None:
    head = CriticHead(ScriptedModel({}, default={"a": 1}), scale=scale)
    value = head.estimate_residual_value(text)
    assert isinstance(value, float) and -scale <= value <= scale


def test_an_empty_trajectory_is_refused() -> None:
    with pytest.raises(ValueError, match="trajectory_text"):
        CriticHead(ScriptedModel({}, default={"a": 1})).estimate_residual_value("")


def test_states_that_are_no_numbers_are_no_evidence() -> None:
    head = CriticHead(ScriptedModel({}, default={"a": 1}), layers=(0,))
    assert head.judge(np.full((2, 8), np.nan)) == [0.5, 0.5]
    assert all(0 <= p <= 1 for p in head.judge(np.full((1, 8), np.inf)))


def test_a_head_is_saved_and_loaded(tmp_path: Path) -> None:
    model = ScriptedModel({}, default={"a": 1})
    x, y = separable(60)
    head = CriticHead(model, layers=(7,), scale=0.3)
    head.fit(x, y, epochs=2)
    card = head.save(tmp_path / "head", seed=0)
    again = CriticHead.load(model, tmp_path / "head")
    assert again.judge(x) == head.judge(x) and repr(again) == repr(head)
    assert (again.layers, again.scale, card["seed"], card["base"]) == ((7,), 0.3, 0, "scripted")


def test_damaged_and_foreign_heads_are_named(tmp_path: Path) -> None:
    model = ScriptedModel({}, default={"a": 1})
    head = CriticHead(model, layers=(7,))
    card = head.save(tmp_path)
    with pytest.raises(ValueError, match="base model scripted, not to other"):
        CriticHead.load(ScriptedModel({}, default={"a": 1}, name="other"), tmp_path)
    with pytest.raises(ValueError, match="hidden|predictor takes 8 numbers"):
        CriticHead.load(ScriptedModel({}, default={"a": 1}, hidden_size=9), tmp_path)
    (tmp_path / "card.json").write_text(json.dumps({**card, "hidden_dim": 5}))
    with pytest.raises(ValueError, match="shapes"):
        CriticHead.load(model, tmp_path)
    (tmp_path / "card.json").write_text(json.dumps(card | {"layers": 3}))
    with pytest.raises(WeightsError, match="damaged"):
        CriticHead.load(model, tmp_path)
    (tmp_path / "card.json").write_text(json.dumps(card))
    weights = tmp_path / "head.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(WeightsError, match="sha256"):
        CriticHead.load(model, tmp_path)
    weights.unlink()
    with pytest.raises(FileNotFoundError, match="no head.safetensors"):
        CriticHead.load(model, tmp_path)


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda m: CriticHead(m, layers=()), "layers must"),
        (lambda m: CriticHead(m, layers=(-1,)), "layers must"),
        (lambda m: CriticHead(m, scale=2), "scale must"),
        (lambda m: CriticHead(m, ResidualValuePredictor(9)), "predictor takes 9"),
        (lambda m: CriticHead(m).judge(np.zeros((2, 7))), "states must"),
        (lambda m: CriticHead(m).fit(np.zeros((3, 8)), [1, 1]), "targets must"),
        (lambda m: CriticHead(m).fit(np.zeros((3, 8)), [1, 1, 2]), "targets must"),
        (lambda m: CriticHead(m).fit(np.zeros((1, 8)), [1]), "targets must"),
        (lambda m: ResidualValuePredictor(0), "hidden_dim must"),
    ],
)
def test_bad_arguments_of_a_head_are_named(call: Any, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        call(ScriptedModel({}, default={"a": 1}))


def test_a_layer_that_the_model_lacks_is_named(tiny: HFModel) -> None:
    with pytest.raises(ValueError, match=r"layers must be 0 .. 3 for tiny"):
        CriticHead(tiny)


def test_a_search_with_a_head_ends_well() -> None:
    model = ScriptedModel({}, default={"Rome": 1, "Paris": 1, "Oslo": 2})
    head = CriticHead(model, layers=(2,))
    search = BudgetAwareValueTreeSearch(model, head, 60, layers=head.layers)
    result = search.search("Where?", plan=["Where?", "And #1?"])
    assert result.answer and "critic" not in result.ledger.by_role()
    assert "CriticHead(layers=(2,)" in str(search.trace.header["critic"])


# The path


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6), st.floats(0.01, 1))
def test_a_step_is_judged_with_all_before_it(chances: list[float], scale: float) -> None:
    residuals: tuple[float, ...] = ()
    for place, chance in enumerate(chances, 1):
        residuals += tuple(path_residuals([chance], scale, [step(residuals=residuals)]))
        assert residuals[-1] == pytest.approx(scale * (2 * math.prod(chances[:place]) - 1), abs=1e-9)
    assert list(residuals[1:]) == sorted(residuals[1:], reverse=True) or residuals == pytest.approx(
        sorted(residuals)[::-1]
    )


def test_residuals_of_another_scale_do_no_harm() -> None:
    for earlier, before in [((0.9,), 1.0), ((-0.9,), 0.0), ((), 1.0), ((-0.4, 0.4), 1.0)]:
        assert path_residuals([0.5], 0.4, [step(residuals=earlier)]) == pytest.approx([0.4 * (before - 1)])
    assert path_residuals([0.5], 0.0, [step(residuals=(0.0,))]) == [0.0]


def test_in_a_search_a_right_reading_of_a_wrong_page_adds_nothing() -> None:
    pages = {"Where is Ann?": "Rome or Oslo", "Rome": "the end", "Oslo": "the end"}
    model = ScriptedModel(
        {"Page: Rome or Oslo\nQuestion: Where is Ann?\nAnswer:": {"Rome": 9, "Oslo": 1}}, default={"Done": 1}
    )
    search = BudgetAwareValueTreeSearch(model, AdapterCritic(model), 60, pages.__getitem__, stop_value=2.0)
    result = search.search("Where?", plan=["Where is Ann?", "And #1?"])
    ends = [node for node in walk(result.root) if node.terminal]
    assert {node.parent.text for node in ends} == {"Rome", "Oslo"}
    for node in ends:
        before = {"Rome": 0.9, "Oslo": 0.1}[node.parent.text]
        assert node.residual_value == pytest.approx(0.4 * (2 * before - 1))
        assert node.state.residuals == (node.parent.residual_value,)


# The adapter


def test_candidates_of_a_state_share_its_prefill_and_are_metered(tiny: HFModel) -> None:
    prompts: list[tuple[str, list[str]]] = []

    class Spy:
        name = "spy"
        count_tokens = staticmethod(tiny.count_tokens)

        @staticmethod
        def score(prompt: str, texts: Sequence[str]) -> list[tuple[float, ...]]:
            prompts.append((prompt, list(texts)))
            return tiny.score(prompt, texts)

    steps = [step("Rome"), step("Port Rose"), step("Rome"), step("Rome", page="Another page.")]
    ledger = Ledger()
    critic = AdapterCritic(Spy())  # type: ignore[arg-type]
    residuals = critic(steps, ledger)
    one, two = (f"Page: {page}\nQuestion: Where?\nAnswer:" for page in ("A page.", "Another page."))
    assert prompts == [(one, [" Rome\n", " Port Rose\n"]), (two, [" Rome\n"])]
    counts = [[tiny.tokenizer(t, add_special_tokens=False).input_ids for t in (p, *texts)] for p, texts in prompts]
    assert [row.prompt_tokens for row in ledger.rows] == [sum(map(len, ids)) for ids in counts]
    assert all((row.role, row.tokens, row.tool_calls) == ("critic", 0, 0) for row in ledger.rows)
    # The probability of the whole text, by the plain model.
    for (prompt_ids, text_ids, *_), at in zip(counts, (0, 3), strict=True):
        with torch.inference_mode():
            rows = tiny.model(torch.tensor([prompt_ids + text_ids])).logits[0].double().log_softmax(-1)
        total = sum(float(rows[len(prompt_ids) + i - 1, token]) for i, token in enumerate(text_ids))
        assert residuals[at] == pytest.approx(0.4 * (2 * math.exp(total) - 1), abs=1e-4)
    assert residuals[0] == residuals[2]


def test_the_adapters_prompt_tokens_are_charged_if_prompts_are() -> None:
    model = ScriptedModel({}, default={"Rome": 1, "Oslo": 3})
    exact = 6 + 1  # "Page: A page. Question: Where? Answer:" and "Rome", in words
    ledger = Ledger(Budget(exact), charge_prompt=True)
    assert AdapterCritic(model).probabilities([step()], ledger) == pytest.approx([0.25])
    assert ledger.left("tokens") == 0
    poor = Ledger(Budget(exact - 1), charge_prompt=True)
    with pytest.raises(BudgetExceeded):
        AdapterCritic(model)([step()], poor)
    assert not poor.rows


def test_an_impossible_text_scores_lowest_and_calibration_is_used() -> None:
    model = ScriptedModel({}, default={"Rome": 1, "Oslo": 3})
    steps = [step("Rome"), step("Nowhere"), step("")]
    assert AdapterCritic(model)(steps, Ledger()) == pytest.approx([-0.2, -0.4, -0.4])
    platt = cal.Platt(2.0, 1.0)
    found = AdapterCritic(model, calibration=platt).probabilities(steps, Ledger())
    assert found[0] == pytest.approx(1 / (1 + math.exp(-(2 * math.log(0.25) + 1)))) and found[1] == pytest.approx(0)
    assert AdapterCritic(model)([], Ledger()) == [] == AdapterCritic(model, calibration=platt)([], Ledger())


def test_without_a_page_there_is_no_page_in_the_prompt() -> None:
    assert AdapterCritic.prompt(step(page="")) == "Question: Where?\nAnswer:"


def test_the_calibration_beside_an_adapter_is_loaded(tmp_path: Path) -> None:
    model = ScriptedModel({}, default={"Rome": 1})
    assert load_adapter_critic(tmp_path, model).calibration is None
    (tmp_path / "calibration.json").write_text('{"slope": 2.0, "intercept": 1.0}')
    assert load_adapter_critic(tmp_path, model).calibration == cal.Platt(2.0, 1.0)
    (tmp_path / "calibration.json").write_text("{}")
    with pytest.raises(ValueError, match="calibration.json is damaged"):
        load_adapter_critic(tmp_path, model)


# The mix


def test_a_view_of_the_log_probabilities() -> None:
    one = step(logprobs=(-0.5, -2.0, -0.1))
    expected = {"mean": -2.6 / 3, "sum": -2.6, "min": -2.0, "first": -0.5}
    for view, total in expected.items():
        assert LogProb(view).probabilities([one], Ledger()) == pytest.approx([math.exp(total)])
    bad = [step(logprobs=()), step(logprobs=(math.nan,)), step(logprobs=(-math.inf, 0.0))]
    assert LogProb("mean")(bad, Ledger()) == [-0.4] * 3


def test_a_mix_weighs_log_odds() -> None:
    one = step(logprobs=(-0.5, -1.0))
    mix = MixCritic({"sum": LogProb("sum"), "first": LogProb("first")}, {"sum": 2.0, "first": -1.0}, 0.3, 0.5)
    odds = [math.log(p / (1 - p)) for p in (math.exp(-1.5), math.exp(-0.5))]
    p = 1 / (1 + math.exp(-(0.3 + 2 * odds[0] - odds[1])))
    assert mix.probabilities([one], Ledger()) == pytest.approx([p])
    assert mix([one], Ledger()) == pytest.approx([0.5 * (2 * p - 1)])
    again = MixCritic(mix.parts, **json.loads(json.dumps(mix.to_json())))
    assert again.probabilities([one], Ledger()) == mix.probabilities([one], Ledger())


def test_a_mix_tells_what_its_parts_need() -> None:
    model = ScriptedModel({}, default={"yes": 1, "no": 1})
    parts = {"head": CriticHead(model, layers=(5, 2)), "asked": FormCritic(model), "sum": LogProb("sum")}
    mix = MixCritic(parts, dict.fromkeys(parts, 1.0))
    assert mix.layers == (2, 5) and mix.tokens_per_step == 1
    with pytest.raises(ValueError, match="weights must name the parts"):
        MixCritic(parts, {"sum": 1.0})
    with pytest.raises(ValueError, match="finite"):
        MixCritic({"sum": LogProb()}, {"sum": math.nan})


def test_a_mix_of_two_noisy_judges_beats_each() -> None:
    y = (RNG.random(3000) < 0.5).astype(float)
    chances = {name: cal.sigmoid(RNG.normal(size=3000) + 2 * y - 1) for name in "ab"}
    weights, intercept = fit_mix(chances, y)
    mixed = intercept + sum(weights[name] * cal.logit(p) for name, p in chances.items())
    assert cal.auc(mixed, y) > max(cal.auc(p, y) for p in chances.values()) + 0.03
    assert cal.ece(cal.sigmoid(mixed), y) < 0.04
    assert weights["a"] == pytest.approx(weights["b"], rel=0.2)


# Prompted forms


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_within_range_and_pays_for_each_question(form: str) -> None:
    prompts: list[str] = []

    def table(prompt: str) -> dict[str, float]:
        prompts.append(prompt)
        return {reply.strip(): 1.0 + i for i, reply in enumerate(FORMS[form].replies)}

    model, ledger = ScriptedModel(table), Ledger()
    critic = FormCritic(model, form)
    (p,) = critic.probabilities([step("Port Rose")], ledger)
    assert 0 <= p <= 1 and "Port Rose" in prompts[0] and "A page." in prompts[0]
    assert [(row.role, row.tokens) for row in ledger.rows] == [("critic", 1)] * critic.tokens_per_step
    assert [row.prompt_tokens for row in ledger.rows] == [len(prompt.split()) for prompt in prompts]
    with pytest.raises(BudgetExceeded):
        critic([step()], Ledger(Budget(0)))


def test_a_rating_is_the_expected_value() -> None:
    model = ScriptedModel({}, default={"1": 1, "2": 0, "3": 2, "4": 0, "5": 1, "often": 9})
    assert FormCritic(model, "rating").probabilities([step()], Ledger()) == pytest.approx([0.5])
    assert FormCritic(ScriptedModel({}, default={"?": 1}), "rating").probabilities([step()], Ledger()) == [0.5]


def test_a_corrected_form_asks_what_the_candidate_changes() -> None:
    def table(prompt: str) -> dict[str, float]:
        return {"yes": 3, "no": 1} if "Answer: Rome\n" in prompt else {"yes": 6, "no": 1}

    found = FormCritic(ScriptedModel(table), "pmi").probabilities([step("Rome")], Ledger())
    assert found == pytest.approx([0.5 / 1.5])  # odds 3 against 6


def test_the_shots_are_half_right_and_name_what_is_on_their_page() -> None:
    assert SHOTS.count("Right: yes") == SHOTS.count("Right: no") == 2
    for block in SHOTS.strip().split("\n\n"):
        assert block.split("Answer: ")[1].split("\n")[0] in block.split("\n")[0]


# Evaluation, and that nothing leaks


def reader(prompt: str) -> dict[str, float]:
    """Often reads the last name of the page."""
    page = prompt.rpartition("Page: ")[2].split("\n")[0]
    names = [word.strip(".,") for word in page.split() if word[0].isupper()]
    return {names[-1]: 3.0, names[0]: 1.0}


def test_steps_are_spread_over_worlds_and_share_nothing_with_training() -> None:
    model = ScriptedModel(reader)
    for split in ("dev", "test"):
        for unseen in (False, True):
            drawn = list(data.draw_steps(model, split, 400, unseen=unseen))
            assert len(drawn) == 400 and len({labeled.reading.seed for labeled in drawn}) >= 4
            data.check_apart(drawn, split, unseen)
            with pytest.raises(AssertionError, match="wrong set"):
                data.check_apart(drawn, split, not unseen)
    train = list(data.draw_steps(model, "train", 80, first=data.FIT_ON["train"]))
    with pytest.raises(AssertionError, match="train world"):
        data.check_apart(train, "test")


def test_unseen_relations_and_wordings_are_in_no_training_question() -> None:
    assert not set(SEEN_RELATIONS) & set(UNSEEN_RELATIONS) and not set(SEEN_WORDINGS) & set(UNSEEN_WORDINGS)
    kept = {RELATIONS[name].asks[i] for name in UNSEEN_RELATIONS for i in UNSEEN_WORDINGS}
    trained = {RELATIONS[name].asks[i] for name in SEEN_RELATIONS for i in SEEN_WORDINGS}
    assert not kept & trained
    sentences = [[group[i] for groups in GROUPS.values() for group in groups for i in way] for way in ((0, 1, 2), (3,))]
    assert not set(sentences[0]) & set(sentences[1])


def test_a_critic_is_judged_by_step_and_pays_once_for_equal_candidates() -> None:
    drawn = list(data.draw_steps(ScriptedModel(reader), "dev", 160))
    judge_model = ScriptedModel(reader)
    row = evaluate.evaluate("x", AdapterCritic(judge_model), drawn)
    y = [labeled.right for labeled in drawn]
    p = [judge_model.probabilities(labeled.step.prompt)[labeled.step.text] for labeled in drawn]
    if len(set(y)) == 2:
        assert row.auc is not None and row.auc.value == pytest.approx(roc_auc_score(y, p))
    assert row.brier == pytest.approx(np.mean((np.array(p) - y) ** 2))
    states = {labeled.reading: {labeled.step.text for labeled in drawn} for labeled in drawn}
    for labeled in drawn:
        states[labeled.reading] = {other.step.text for other in drawn if other.reading == labeled.reading}
    tokens = sum(
        len(AdapterCritic.prompt(next(x.step for x in drawn if x.reading == reading)).split()) + len(texts)
        for reading, texts in states.items()
    )
    assert row.cost is not None
    assert row.cost.prompt == pytest.approx(tokens / sum(map(len, states.values())))
    assert row.cost.generated == 0 and row.steps == 160


def test_untrained_and_foreign_critics_are_listed(
    tiny: HFModel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("bavt_minimal.critics.head.SHIPPED", tmp_path)
    monkeypatch.setattr("bavt_minimal.models.adapters.SHIPPED", tmp_path)
    drawn = list(data.draw_steps(ScriptedModel(reader), "dev", 16))
    rows = list(evaluate.evaluate_all(tiny, ["head", "mix", "adapter", "logprob"], drawn, drawn))
    assert [row.note for row in rows] == ["not trained"] * 3 + [""]
    assert evaluate.best(rows[:3]) is None
    CriticHead(ScriptedModel({}, default={"a": 1})).save(tmp_path / "head")
    (row,) = evaluate.evaluate_all(tiny, ["head"], drawn)
    assert row.note.startswith("not for this model")
    assert json.dumps(row.to_json())


def test_the_control_never_counts_as_best() -> None:
    high = evaluate.Row(evaluate.CONTROLS[0], auc=cal.Interval(0.9, 0.8, 1.0))
    low = evaluate.Row("x", auc=cal.Interval(0.6, 0.5, 0.7))
    assert evaluate.best([high, low]) is low


def test_without_the_page_is_without_the_page() -> None:
    seen: list[str] = []

    class Spy:
        def probabilities(self, steps: Sequence[Step], ledger: Ledger) -> list[float]:
            seen.extend(step.page for step in steps)
            return [0.5] * len(steps)

    assert evaluate.WithoutPage(Spy()).probabilities([step()], Ledger()) == [0.5] and seen == [""]


# The whole fit, in small


def test_a_head_and_its_mix_are_fitted_saved_and_loaded(tiny: HFModel, tmp_path: Path) -> None:
    said: list[str] = []
    card = fit.fit_head(Learner(tiny), tmp_path, steps=64, dev_steps=48, choices=((1,), (1, 3)), say=said.append)
    mix, head = fit.load_mix(tiny, tmp_path), CriticHead.load(tiny, tmp_path)
    assert mix.layers == head.layers == tuple(card["layers"]) and card["data"]["train"]["steps"] == 64
    assert card["data"]["train"]["first world"] >= data.FIT_ON["train"]
    assert card["data"]["dev"]["first world"] >= 10_000 + data.FIT_ON["dev"]
    assert set(card["dev"]["auc by layers"]) == {"1", "1+3"} and any("layers" in line for line in said)
    kept = fit.load_features(tmp_path)
    assert kept["train.states"].shape == (64, head.predictor.hidden_dim) and kept["dev.targets"].shape == (48,)
    assert set(np.unique(kept["train.targets"])) == {-1.0, 1.0}
    facts = json.loads((tmp_path / "mix.json").read_text())
    (tmp_path / "mix.json").write_text(json.dumps(facts | {"head": "other"}))
    with pytest.raises(WeightsError, match="another head"):
        fit.load_mix(tiny, tmp_path)
    (tmp_path / "mix.json").write_text("[]")
    with pytest.raises(WeightsError, match="damaged"):
        fit.load_mix(tiny, tmp_path)


class Learner:
    """The tiny network, with names of the page for samples: it alone would never be right."""

    def __init__(self, host: HFModel) -> None:
        self.host, self.name, self.n_layers, self.hidden_size = host, host.name, host.n_layers, host.hidden_size
        self.encode = host.encode
        self.count_tokens = host.count_tokens

    def sample(self, prompt: str, k: int, *, seed: int = 0, layers: Sequence[int] = (), **more: Any) -> list[Sample]:
        page = prompt.rpartition("Page: ")[2].split("\n")[0]
        texts = re.findall(r"(?:[A-Z]\w+ ?)+", page.partition(".")[2])
        found = []
        for i in range(k):
            text = texts[i % len(texts)].strip()
            (states,) = self.host.encode([f"{prompt} {text}"], layers)
            found.append(Sample(text, 2, (-0.1 - i, -0.2), True, {n: s[-1] for n, s in states.items()}))
        return found


@pytest.mark.parametrize("kind", ["platt", "isotonic"])
def test_an_adapters_calibration_is_fitted_on_dev_and_kept_beside_it(
    kind: str, tiny: HFModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner = Learner(tiny)
    # An overconfident adapter: it finds every text almost certain, right ones a little more.
    drawn = list(data.draw_steps(learner, "dev", 160, first=data.FIT_ON["dev"]))
    right = {labeled.step.text for labeled in drawn if labeled.right}
    view = ScriptedModel({}, default={"x": 1})
    monkeypatch.setattr(view, "score", lambda _, texts: [(-0.01 if t.strip() in right else -0.02,) for t in texts])
    monkeypatch.setattr(learner, "with_adapter", lambda folder: view, raising=False)
    figures = fit.fit_calibration(learner, tmp_path, steps=160, kind=kind, say=lambda line: None)
    assert figures["ece"] < 0.15 < 0.4 < figures["ece before"] and figures["brier"] < figures["brier before"]
    critic = load_adapter_critic(tmp_path, view)
    assert isinstance(critic.calibration, cal.Platt if kind == "platt" else cal.Isotonic)
    said = critic.probabilities([labeled.step for labeled in drawn], Ledger())
    assert cal.ece(said, [labeled.right for labeled in drawn]) == pytest.approx(figures["ece"], abs=1e-3)


def test_a_calibration_that_mends_nothing_is_not_kept(
    tiny: HFModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner, view = Learner(tiny), ScriptedModel({}, default={"x": 1})
    drawn = data.draw_steps(learner, "dev", 160, first=data.FIT_ON["dev"])
    right = {(AdapterCritic.prompt(each.step), f" {each.step.text}\n") for each in drawn if each.right}
    monkeypatch.setattr(view, "score", lambda p, texts: [(-1e-9 if (p, t) in right else -30.0,) for t in texts])
    monkeypatch.setattr(learner, "with_adapter", lambda folder: view, raising=False)
    figures = fit.fit_calibration(learner, tmp_path, steps=160, say=lambda line: None)
    assert not figures["kept"] and not (tmp_path / "calibration.json").exists()


def test_calibrating_the_last_layer_is_calibrating_the_log_odds() -> None:
    predictor, x = ResidualValuePredictor(4), torch.randn(5, 4)
    before = predictor(x).detach().numpy()
    fit.calibrate(predictor, cal.Platt(0.5, -1.0))
    np.testing.assert_allclose(predictor(x).detach().numpy(), 0.5 * before - 1, atol=1e-6)


def test_a_generator_gives_the_head_its_states() -> None:
    model = ScriptedModel({}, default={"Rome": 1})
    head = CriticHead(model, layers=(1,))
    generator = Generator(model, layers=head.layers).start(("Where?",))
    ledger = Ledger()
    steps = generator.propose((), generator.prompt((), ledger), 2, ledger)
    assert all(set(s.sample.hidden) == {1} for s in steps) and len(head(steps, ledger)) == 2


# The command


def test_the_command_ends_with_the_best_auc(
    tiny: HFModel, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr("bavt_minimal.cli.critics.load_model", lambda source: Learner(tiny))
    out = tmp_path / "rows.json"
    options = ["--steps", "200", "--split", "dev", "--only", "logprob,logprob-sum", "--by-relation", "--out", str(out)]
    assert main(["critics", *options]) == 0
    printed = capsys.readouterr().out
    assert re.fullmatch(r"best AUC [01]\.\d{3} \[[01]\.\d{3}, [01]\.\d{3}\] logprob(-sum)?", printed.splitlines()[-1])
    assert "AUC by relation" in printed and "200 steps" in printed
    rows = json.loads(out.read_text())
    assert [row["name"] for row in rows] == ["logprob", "logprob-sum"] and rows[0]["cost"]["generated"] == 0
    best = max(rows, key=lambda row: row["auc"]["value"])
    assert printed.splitlines()[-1].startswith(f"best AUC {best['auc']['value']:.3f}")


def test_a_critic_that_is_not_there_is_named(
    tiny: HFModel, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("bavt_minimal.cli.critics.load_model", lambda source: tiny)
    assert main(["critics", "--only", "logprob,psychic"]) == 2
    assert "--only: no critic 'psychic'; there are logprob" in capsys.readouterr().err
    assert main(["critics", "--steps", "0"]) == 2
    assert "--steps must be at least 1" in capsys.readouterr().err
    monkeypatch.setattr("bavt_minimal.cli.critics.evaluate_all", lambda *_: iter([evaluate.Row("head", "not trained")]))
    assert main(["critics", "--only", "head", "--steps", "8"]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "best AUC unknown: no critic could be judged"
