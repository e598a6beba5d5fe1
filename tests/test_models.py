"""The real model's verbs against plain calls of transformers, which know none of its shortcuts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    GPT2Config,
    LlamaConfig,
    MambaConfig,
    MistralConfig,
)

from bavt_minimal.models import hf
from bavt_minimal.models.hf import HFModel, load_model
from bavt_minimal.models.weights import WeightsError

SHOTS = "".join(
    f"Page: {a} was born in {b}, studied in {c} and now works in {d}.\nQuestion: Where was {a} born?\nAnswer: {b}\n\n"
    for a, b, c, d in [("Dana Pell", "Arlow", "Tarn", "Kessel"), ("Ivo Marn", "Quill", "Oster", "Brand")]
)
PROMPT = (
    SHOTS + "Page: Mira Kell was born in Lund, studied in Graz and now lives in Varo. She works for Kelm after"
    " leaving Oda.\nQuestion: Where does Mira Kell live?\nAnswer:"
)
CHAT = "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n"
PROMPTS = [PROMPT, CHAT, "Once upon a time", "1, 2, 3, 4,"]


def fresh(model: HFModel, tokens: int = 2048) -> HFModel:
    """The same network with an empty prefix cache."""
    return HFModel(model.model, model.tokenizer, name=model.name, prefix_cache_tokens=tokens)


def ids_of(model: HFModel, text: str) -> list[int]:
    return list(model.tokenizer(text, add_special_tokens=False).input_ids)


@torch.inference_mode()
def plain_logprobs(model: HFModel, ids: list[int]) -> torch.Tensor:
    return model.model(torch.tensor([ids]), use_cache=False).logits[0].double().log_softmax(-1)


@torch.inference_mode()
def plain_greedy(model: Any, ids: list[int], length: int, pad: int = 2) -> list[int]:
    inputs = torch.tensor([ids])
    out = model.generate(
        inputs,
        attention_mask=torch.ones_like(inputs),
        do_sample=False,
        max_new_tokens=length,
        pad_token_id=pad,
    )
    return out[0, len(ids) :].tolist()


def through_stop(model: HFModel, tokens: list[int], stop: str, eos: int = 2) -> tuple[str, int, bool]:
    """Text, count and ending of a sequence that ran on: written apart from the code under test."""
    for count in range(1, len(tokens) + 1):
        text = model.tokenizer.decode(tokens[:count])
        if stop in text:
            return text.split(stop)[0].strip(), count, True
        if tokens[count - 1] == eos:
            return model.tokenizer.decode(tokens[: count - 1]).strip(), count, True
    return model.tokenizer.decode(tokens).strip(), len(tokens), False


def same(left: list[Any], right: list[Any]) -> None:
    assert [(s.text, s.tokens, s.finished) for s in left] == [(s.text, s.tokens, s.finished) for s in right]
    for a, b in zip(left, right, strict=True):
        np.testing.assert_allclose(a.logprobs, b.logprobs, atol=1e-3)


# A sample depends on (seed, prompt, number) only


def test_sample_is_the_same_in_any_company(real_model: HFModel) -> None:
    model = fresh(real_model)
    many = model.sample(PROMPT, 32, seed=3)
    assert len({sample.text for sample in many}) > 3
    assert len({sample.tokens for sample in many}) > 1
    for number in (0, 7, 31):
        same(model.sample(PROMPT, 1, first=number, seed=3), many[number : number + 1])
    same(model.sample(PROMPT, 5, first=20, seed=3), many[20:25])
    same(fresh(real_model, 0).sample(PROMPT, 32, seed=3), many)
    threads = torch.get_num_threads()
    try:
        for count in {1, 2} - {threads}:
            torch.set_num_threads(count)
            same(fresh(real_model).sample(PROMPT, 8, seed=3), many[:8])
    finally:
        torch.set_num_threads(threads)


def test_sample_is_the_same_across_groups(real_model: HFModel, monkeypatch: pytest.MonkeyPatch) -> None:
    many = real_model.sample(PROMPT, 10, max_new_tokens=4)
    monkeypatch.setattr(hf, "SAMPLES_AT_ONCE", 3)
    same(real_model.sample(PROMPT, 10, max_new_tokens=4), many)


def test_a_shorter_cap_gives_a_prefix(real_model: HFModel) -> None:
    long = real_model.sample(PROMPT, 8, seed=1, max_new_tokens=8, temperature=1.2)
    for cap in (1, 3):
        for short, whole in zip(
            real_model.sample(PROMPT, 8, seed=1, max_new_tokens=cap, temperature=1.2), long, strict=True
        ):
            assert short.tokens == min(cap, whole.tokens)
            assert short.finished == (whole.finished and whole.tokens <= cap)
            assert whole.text.startswith(short.text)
            np.testing.assert_allclose(short.logprobs, whole.logprobs[: short.tokens], atol=1e-3)


def test_seed_prompt_and_number_all_matter(real_model: HFModel) -> None:
    def texts(prompt: str, **more: int) -> list[str]:
        return [s.text for s in real_model.sample(prompt, 6, max_new_tokens=3, temperature=2.0, **more)]

    base = texts(PROMPT)
    assert texts(PROMPT) == base
    assert texts(PROMPT, seed=1) != base
    assert texts(PROMPT, first=6) != base
    assert len(set(base)) > 1


# What is drawn


@pytest.mark.parametrize("prompt", PROMPTS)
def test_greedy_equals_generate(real_model: HFModel, prompt: str) -> None:
    wanted = plain_greedy(real_model.model, ids_of(real_model, prompt), 12)
    text, count, finished = through_stop(real_model, wanted, "\n")
    for sample in real_model.sample(prompt, 3, max_new_tokens=12, temperature=0):
        assert (sample.text, sample.tokens, sample.finished) == (text, count, finished)


def test_one_token_follows_the_exact_distribution(real_model: HFModel) -> None:
    temperature, top_k, n = 1.5, 6, 1500
    ids = ids_of(real_model, PROMPT)
    logits = plain_logprobs(real_model, ids)[-1]
    best = logits.topk(top_k)
    exact = (best.values / temperature).softmax(-1).numpy()
    samples = real_model.sample(PROMPT, n, max_new_tokens=1, temperature=temperature, top_k=top_k, stop=())
    drawn = np.array([[s.logprobs[0] for s in samples]])
    # Told apart by log-probability, which these six tokens do not share.
    nearest = np.abs(drawn - best.values.numpy()[:, None]).argmin(0)
    assert np.abs(drawn[0] - best.values.numpy()[nearest]).max() < 1e-3
    assert chisquare(np.bincount(nearest, minlength=top_k), exact * n).pvalue > 1e-3


@given(
    logits=st.lists(st.floats(-30, 30, width=32), min_size=1, max_size=12, unique=True),
    temperature=st.one_of(st.floats(0.05, 5), st.just(1e-310), st.just(1e300)),
    top_k=st.integers(0, 14),
)
def test_choices_are_the_top_k_softmax(logits: list[float], temperature: float, top_k: int) -> None:
    ((tokens, cumulated),) = hf._choices(torch.tensor([logits]), temperature, top_k)
    kept = sorted(sorted(range(len(logits)), key=lambda i: -logits[i])[: top_k or len(logits)])
    assert list(tokens) == kept
    best = max(logits[i] for i in kept)
    exact = np.array([np.exp(max((logits[i] - best) / temperature, -1000)) for i in kept])
    np.testing.assert_allclose(cumulated / cumulated[-1], exact.cumsum() / exact.sum(), atol=1e-9)


def test_logprobs_hidden_states_and_count_are_those_of_a_plain_pass(
    real_model: HFModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, layers, prompt = fresh(real_model), (0, 24, 30), ids_of(real_model, PROMPT)
    paths: list[tuple[int, ...]] = []
    cut = model._cut
    monkeypatch.setattr(model, "_cut", lambda path, stop: (paths.append(path), cut(path, stop))[1])
    finished = set()
    for number in range(4):
        cap = (2, 8)[number % 2]
        (sample,) = model.sample(PROMPT, 1, first=number, temperature=1.5, max_new_tokens=cap, layers=layers)
        tokens = list(paths[-1])  # a sample does not carry its tokens
        assert (sample.text, sample.tokens, sample.finished) == through_stop(model, tokens, "\n")
        finished.add(sample.finished)
        with torch.inference_mode():
            out = model.model(torch.tensor([prompt + tokens]), output_hidden_states=True)
        exact = out.logits[0].log_softmax(-1)[len(prompt) - 1 : -1].gather(-1, torch.tensor(tokens)[:, None])
        np.testing.assert_allclose(sample.logprobs, exact[:, 0].numpy(), atol=1e-3)
        assert set(sample.hidden) == set(layers)
        for layer in layers:
            state = out.hidden_states[layer][0, -2].numpy()  # the last token drawn was not fed
            assert sample.hidden[layer].shape == (576,) and sample.hidden[layer].dtype == np.float32
            assert np.linalg.norm(sample.hidden[layer] - state) < 1e-3 * np.linalg.norm(state)
    assert finished == {True, False}


def test_score_is_that_of_a_plain_pass(real_model: HFModel) -> None:
    texts = [" Lund\n", " Varo\n", "", " Varo, where she works for Kelm\n", " Varo\n", "x"]
    prompt = ids_of(real_model, PROMPT)
    for text, scores in zip(texts, real_model.score(PROMPT, texts), strict=True):
        ids = ids_of(real_model, text)
        plain = plain_logprobs(real_model, prompt + ids)
        exact = [float(plain[len(prompt) - 1 + i, token]) for i, token in enumerate(ids)]
        assert len(scores) == len(ids)
        np.testing.assert_allclose(scores, exact, atol=1e-3)
    assert real_model.score(PROMPT, []) == []
    assert real_model.score(PROMPT, [""]) == [()]


def test_score_in_blocks(real_model: HFModel, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [" Varo, where she works", " Graz", " Varo, Lund"]
    whole = real_model.score(PROMPT, texts)
    monkeypatch.setattr(hf, "PATHS_AT_ONCE", 2)
    for left, right in zip(real_model.score(PROMPT, texts), whole, strict=True):
        np.testing.assert_allclose(left, right, atol=1e-3)


def test_score_of_a_sample_is_its_logprobs(real_model: HFModel) -> None:
    for sample in real_model.sample(PROMPT, 4):
        text = f" {sample.text}\n"
        if sample.finished and real_model.count_tokens(text) == sample.tokens:
            np.testing.assert_allclose(real_model.score(PROMPT, [text])[0], sample.logprobs, atol=1e-3)


def test_encode_is_a_plain_pass(real_model: HFModel) -> None:
    texts = ["Mira Kell lives in Varo.", "", "two words"]
    for text, states in zip(texts, real_model.encode(texts, [0, 24]), strict=True):
        ids = ids_of(real_model, text)
        assert set(states) == {0, 24} and states[24].shape == (len(ids), 576)
        if ids:
            with torch.inference_mode():
                exact = real_model.model(torch.tensor([ids]), output_hidden_states=True).hidden_states
            np.testing.assert_allclose(states[24], exact[24][0].numpy(), rtol=1e-3, atol=1e-3)
    assert real_model.encode([], [0]) == []


# Where a sample ends


def test_a_stop_string_may_span_tokens(real_model: HFModel) -> None:
    tokens = plain_greedy(real_model.model, ids_of(real_model, PROMPTS[2]), 16)
    text = real_model.tokenizer.decode(tokens)
    stop = text[18:27]
    assert len(ids_of(real_model, stop)) > 1
    wanted = through_stop(real_model, tokens, stop)
    for stops in ([stop], ["never", stop, text[20:]]):
        (sample,) = real_model.sample(PROMPTS[2], 1, max_new_tokens=16, temperature=0, stop=stops)
        assert (sample.text, sample.tokens, sample.finished) == wanted
        assert len(sample.logprobs) == sample.tokens


def test_the_end_of_sequence_token_counts(real_model: HFModel) -> None:
    tokens = plain_greedy(real_model.model, ids_of(real_model, CHAT), 24)
    assert tokens[-1] == 2
    (sample,) = real_model.sample(CHAT, 1, max_new_tokens=24, temperature=0, stop=())
    assert sample.finished and sample.tokens == len(tokens)
    assert sample.text == real_model.tokenizer.decode(tokens[:-1]).strip()


def test_a_cap_inside_a_character(real_model: HFModel) -> None:
    prompt = "🙂🦊🙂🦊🙂🦊🙂🦊🙂🦊"
    lengths = []
    for cap in range(1, 7):
        (sample,) = real_model.sample(prompt, 1, max_new_tokens=cap, temperature=0)
        assert "\ufffd" not in sample.text and sample.tokens == cap
        lengths.append(len(sample.text))
    assert 0 < lengths[-1] < 6  # several tokens to a character


def test_nothing_asked(real_model: HFModel) -> None:
    assert real_model.sample(PROMPT, 0) == []
    (sample,) = real_model.sample(PROMPT, 1, max_new_tokens=0, layers=[24])
    assert (sample.text, sample.tokens, sample.logprobs, sample.finished) == ("", 0, (), False)
    assert not sample.hidden


# What is computed


def test_equal_partial_sequences_share_their_work(real_model: HFModel) -> None:
    model = fresh(real_model, 0)
    (alone,) = model.sample(PROMPT, 1, temperature=0)
    fed = model.fed_tokens
    assert fed == model.count_tokens(PROMPT) + alone.tokens - 1
    model.sample(PROMPT, 32, temperature=0)
    assert model.fed_tokens == 2 * fed


def test_prefix_cache_is_used_and_bounded(real_model: HFModel) -> None:
    model = fresh(real_model, 300)
    length = model.count_tokens(PROMPT)
    model.sample(PROMPT, 1)
    assert (model.prompt_tokens, model.cached_prompt_tokens) == (length, 0)
    model.sample(PROMPT, 1)
    assert model.cached_prompt_tokens == length - 1
    model.score(SHOTS + "Page: other", [" text"])
    shared = model.count_tokens(SHOTS + "Page:")
    assert abs(model.cached_prompt_tokens - (length - 1) - shared) <= 1
    for i in range(4):
        model.sample(f"{i} {PROMPT}", 1, max_new_tokens=1)
        assert 0 < sum(map(len, model._known)) <= 300
    off = fresh(real_model, 0)
    off.sample(PROMPT, 1), off.sample(PROMPT, 1)
    assert off.cached_prompt_tokens == 0 and not off._known


TINY: dict[str, tuple[Callable[[], Any], bool]] = {
    "llama": (
        lambda: LlamaConfig(
            hidden_size=32, intermediate_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2
        ),
        True,
    ),
    "gpt2": (lambda: GPT2Config(n_embd=32, n_layer=2, n_head=2), True),
    "sliding window": (
        lambda: MistralConfig(
            hidden_size=32,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            sliding_window=8,
        ),
        False,
    ),
    "alibi": (lambda: BloomConfig(hidden_size=32, n_layer=2, n_head=2), False),
    "state space": (lambda: MambaConfig(hidden_size=32, num_hidden_layers=2, state_size=4), False),
}


@pytest.mark.parametrize("kind", TINY)
def test_other_architectures(real_model: HFModel, kind: str) -> None:
    make, packs = TINY[kind]
    config = make()
    config.vocab_size, config.bos_token_id, config.eos_token_id, config.pad_token_id = 49152, 1, 2, 2
    torch.manual_seed(0)
    network = AutoModelForCausalLM.from_config(config).eval()
    for parameter in network.parameters():  # far enough from uniform to tell tokens apart
        parameter.data.mul_(3)
    model = HFModel(network, real_model.tokenizer)
    assert model._packs == packs
    ids = ids_of(model, PROMPTS[2])
    wanted = plain_greedy(network, ids, 10)
    many = model.sample(PROMPTS[2], 6, max_new_tokens=10, stop=(), layers=[1])
    same(model.sample(PROMPTS[2], 1, first=4, max_new_tokens=10, stop=()), many[4:5])
    (sample,) = model.sample(PROMPTS[2], 1, max_new_tokens=10, temperature=0, stop=(), layers=[1])
    assert sample.tokens == len(wanted) and sample.hidden[1].shape == (32,)
    texts = [" a time", " a b c"]
    for text, scores in zip(texts, model.score("Once", texts), strict=True):
        plain = plain_logprobs(model, ids_of(model, "Once" + text))
        np.testing.assert_allclose(scores, [plain[i, t] for i, t in enumerate(ids_of(model, text))], atol=1e-3)
    exact = [float(plain_logprobs(model, ids + wanted)[len(ids) - 1 + i, t]) for i, t in enumerate(wanted)]
    np.testing.assert_allclose(sample.logprobs, exact, atol=1e-3)


# Bad input


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"k": -1}, ValueError, "k must"),
        ({"k": 1.5}, TypeError, "k must"),
        ({"k": True}, TypeError, "k must"),
        ({"first": -1}, ValueError, "first"),
        ({"seed": -1}, ValueError, "seed"),
        ({"seed": "a"}, TypeError, "seed"),
        ({"max_new_tokens": -1}, ValueError, "max_new_tokens"),
        ({"max_new_tokens": 10_000}, ValueError, "8192"),
        ({"temperature": -0.1}, ValueError, "temperature"),
        ({"temperature": float("nan")}, ValueError, "temperature"),
        ({"temperature": None}, TypeError, "temperature"),
        ({"top_k": -1}, ValueError, "top_k"),
        ({"stop": "\n"}, TypeError, "stop"),
        ({"stop": [""]}, ValueError, "stop"),
        ({"stop": [3]}, TypeError, "stop"),
        ({"layers": [31]}, ValueError, "layers"),
        ({"layers": [-1]}, ValueError, "layers"),
        ({"layers": 24}, TypeError, "layers"),
        ({"prompt": ""}, ValueError, "prompt"),
        ({"prompt": None}, TypeError, "prompt"),
        ({"prompt": "a\ud800"}, ValueError, "prompt"),
        ({"prompt": "word " * 9000}, ValueError, "shorten"),
    ],
)
def test_bad_requests_name_the_argument(
    real_model: HFModel, change: dict[str, Any], error: type[Exception], says: str
) -> None:
    request = {"prompt": "Hello", "k": 1, **change}
    with pytest.raises(error, match=says):
        real_model.sample(**request)


def test_bad_texts(real_model: HFModel) -> None:
    for call in (lambda: real_model.score("a", "b"), lambda: real_model.encode("b", [0])):
        with pytest.raises(TypeError, match="list or tuple"):
            call()
    with pytest.raises(ValueError, match="prompt is empty"):
        real_model.score("", ["a"])
    with pytest.raises(TypeError, match="text"):
        real_model.count_tokens(3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="prefix_cache_tokens"):
        fresh(real_model, -1)


# Loading


def test_the_default_has_a_name_and_is_float32(real_model: HFModel) -> None:
    assert real_model.name == "SmolLM2-135M-Instruct"
    assert {p.dtype for p in real_model.model.parameters()} == {torch.float32}
    assert not real_model.model.training
    assert real_model._packs


def test_a_folder_loads(real_model: HFModel, tmp_path: Path) -> None:
    config = TINY["llama"][0]()
    config.vocab_size = 49152
    AutoModelForCausalLM.from_config(config).half().save_pretrained(tmp_path)
    real_model.tokenizer.save_pretrained(tmp_path)
    for source in (tmp_path, str(tmp_path)):
        model = load_model(source)
        assert {p.dtype for p in model.model.parameters()} == {torch.float32}
        assert len(model.sample("Hello", 2)) == 2
    (tmp_path / "model.safetensors").write_bytes(b"x" * 100)
    with pytest.raises(WeightsError, match="complete"):
        load_model(tmp_path)


def test_bad_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TypeError, match="source"):
        load_model(3)  # type: ignore[arg-type]
    for missing in (tmp_path / "none", tmp_path, ""):
        with pytest.raises(FileNotFoundError, match="config.json"):
            load_model(missing)
    for kind in ("clip", "wonder"):
        (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}))
        with pytest.raises(ValueError, match="not a causal language model"):
            load_model(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(WeightsError, match="complete"):
        load_model(tmp_path)

    def no_network(*_: Any, **__: Any) -> None:
        raise OSError("no network")

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", no_network)
    with pytest.raises(WeightsError, match="hub in reach"):
        load_model("nobody/nothing")
