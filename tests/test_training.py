"""Labels, adapters and their training, on networks so small that a step takes a few milliseconds."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterator
from itertools import chain, islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig

from bavt_minimal import Budget, Planner, parse_plan
from bavt_minimal.cli.main import main
from bavt_minimal.models import adapters
from bavt_minimal.models.hf import HFModel
from bavt_minimal.models.weights import WeightsError
from bavt_minimal.tasks.encyclopedia import EXTRA_ASKS, RELATIONS, SPLITS, SYMMETRIC, readings, split_of
from bavt_minimal.training import critic, labels, lora, planner
from bavt_minimal.training.drills import DRILLS
from bavt_minimal.training.labels import UNSEEN_PAIRS, UNSEEN_RELATIONS, UNSEEN_WORDINGS, made_up_steps, title_of
from bavt_minimal.training.lora import Example, Recipe, train_adapter

RECIPE = Recipe(steps=6, batch=3, learning_rate=0.02)
LLAMA = {"intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
Make = Callable[..., HFModel]


@pytest.fixture
def make(real_model: HFModel) -> Make:
    """Makes equal tiny networks, each with nothing on it."""

    def tiny(hidden: int = 32, name: str = "tiny", config: Any = None) -> HFModel:
        config = config or LlamaConfig(hidden_size=hidden, **LLAMA)
        config.vocab_size, config.bos_token_id, config.eos_token_id, config.pad_token_id = 49152, 1, 2, 2
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = AutoModelForCausalLM.from_config(config)
        for parameter in network.parameters():  # far enough from uniform to tell tokens apart
            parameter.data.mul_(3)
        return HFModel(network, real_model.tokenizer, name=name)

    return tiny


def example(number: int) -> Example:
    """Rows of different lengths: a name after its number."""
    return [(f"Page: {'so ' * (number % 4)}it is {number}.\nQuestion: Who?\nAnswer:", False), (" Anna\n", True)]


def other(number: int) -> Example:
    return [(f"Question: {number}\nPlan:", False), (" none\n", True)]


def quiet(_: str) -> None:
    pass


def train(model: HFModel, out: Path, *, what: Callable[[int], Example] = example, **options: Any) -> HFModel:
    recipe = options.pop("recipe", RECIPE)
    return train_adapter(model, options.pop("role", "critic"), what, recipe, out, say=quiet, **options)


def card(out: Path) -> dict[str, Any]:
    return dict(json.loads((out / "card.json").read_text(encoding="utf-8")))


def probe(model: HFModel) -> tuple[list[Any], list[Any]]:
    """What a model says and how sure it is, to the last bit. Nothing is remembered: a known prefix may cost a bit."""
    model = model.view(model.adapter)
    drawn = model.sample("Page: it is.\nQuestion: Who?\nAnswer:", 4, layers=(1,))
    return [(s.text, s.logprobs, s.hidden[1].tobytes()) for s in drawn], model.score("It is", [" Anna", " a dog"])


@pytest.fixture
def two(make: Make, tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """Two adapters of one base, in folders of the same name."""
    model = make()
    folders = tmp_path / "a" / "critic", tmp_path / "b" / "critic"
    train(model, folders[0]), train(model, folders[1], what=other)
    yield folders


# Training


def test_second_run_gives_the_same_digest_and_a_resumed_one_too(make: Make, tmp_path: Path) -> None:
    def cut_off(number: int) -> Example:
        if number == 3 * RECIPE.batch + 1:  # in step 4, after a checkpoint at step 3
            raise KeyboardInterrupt
        return example(number)

    train(make(), tmp_path / "one")
    train(make(), tmp_path / "two")
    model = make()
    with pytest.raises(KeyboardInterrupt):
        # The digest of the data reads the first and last examples only, and so both runs are of one recipe.
        train(model, tmp_path / "cut", what=cut_off, checkpoint_every=3)
    assert {path.name for path in (tmp_path / "cut").iterdir()} == {"checkpoint.safetensors"}
    assert not getattr(model.model, "peft_config", {})
    said: list[str] = []
    train_adapter(model, "critic", example, RECIPE, tmp_path / "cut", say=said.append)
    assert said[-1].startswith("critic: step 6 of 6, loss ")
    digests = {card(tmp_path / name)["sha256"] for name in ("one", "two", "cut")}
    assert len(digests) == 1
    assert {path.name for path in (tmp_path / "cut").iterdir()} == {*(adapters.CONFIG, adapters.WEIGHTS, adapters.CARD)}
    one, cut = card(tmp_path / "one"), card(tmp_path / "cut")
    assert one["loss"] == cut["loss"] and one["loss"]["last"] < one["loss"]["first"]


def test_training_beside_other_adapters_is_the_same(make: Make, two: tuple[Path, Path], tmp_path: Path) -> None:
    model = make()
    first = model.with_adapter(two[1])
    before, base = probe(first), probe(model)
    again = train(model, tmp_path / "again")
    assert card(tmp_path / "again")["sha256"] == card(two[0])["sha256"]
    assert probe(first) == before and probe(model) == base and probe(again) not in (before, base)


def test_what_training_leaves(make: Make, tmp_path: Path) -> None:
    model, state = make(), torch.random.get_rng_state()
    base = probe(make())
    weights = {name: w.clone() for name, w in model.model.named_parameters()}
    view = train(model, tmp_path, facts={"data": {"pages": 18}, "command": "train it"})
    assert torch.equal(torch.random.get_rng_state(), state)
    assert not model.model.training and not any(w.requires_grad for w in model.model.parameters())
    now = {name.replace(".base_layer", ""): w for name, w in model.model.named_parameters() if ".lora_" not in name}
    assert now.keys() == weights.keys() and all(torch.equal(w, now[name]) for name, w in weights.items())
    assert probe(model) == base != probe(view)
    assert probe(make().with_adapter(tmp_path)) == probe(view)  # what is returned is what was written
    assert not any(w.requires_grad for w in model.model.parameters())
    found = card(tmp_path)
    assert found["sha256"] == hashlib.sha256((tmp_path / adapters.WEIGHTS).read_bytes()).hexdigest()
    assert found["data"] == {"pages": 18} and found["command"] == "train it" and found["base"] == "tiny"
    assert found["recipe"] == {"steps": 6, "batch": 3, "learning_rate": 0.02, "rank": 8, "seed": 0}
    assert found["threads"] == torch.get_num_threads() and found["versions"]["torch"] == torch.__version__
    assert found["parameters"] == sum(w.numel() for n, w in model.model.named_parameters() if ".lora_" in n)
    assert found["seconds"] > 0 and found["peak_memory_mb"] > 100


def test_seed_and_rank_matter(make: Make, two: tuple[Path, Path], tmp_path: Path) -> None:
    train(make(), tmp_path / "seed", recipe=Recipe(6, 3, 0.02, seed=1))
    assert card(tmp_path / "seed")["sha256"] != card(two[0])["sha256"]
    view = train(make(), tmp_path / "rank", recipe=Recipe(6, 3, 0.02, rank=2))
    assert probe(make().with_adapter(tmp_path / "rank")) == probe(view)


def test_loss_is_of_the_marked_tokens_only(make: Make) -> None:
    model = make()
    pieces = [("Page: a\n", False), ("Answer:", False), (" b\n", True), ("Answer:", False), (" c d\n", True)]
    tokens = [(token, learn) for text, learn in pieces for token in model.tokens(text)]
    with torch.inference_mode():
        logprobs = model.model(torch.tensor([[token for token, _ in tokens]])).logits[0].log_softmax(-1)
    losses = [-float(logprobs[i - 1, token]) for i, (token, learn) in enumerate(tokens) if learn]
    nothing = torch.optim.SGD(model.model.parameters(), lr=0.0)
    assert lora._learn(model, [pieces], nothing) == pytest.approx(np.mean(losses), rel=1e-5)
    # Of a batch it is the mean over all its tokens, however it is cut into parts.
    padded = [pieces, [*pieces[:2], (" b\n", True)]]
    first = float(np.sum(losses[: len(model.tokens(" b\n"))]))
    whole = (sum(losses) + first) / (len(losses) + len(model.tokens(" b\n")))
    assert lora._learn(model, padded, nothing) == pytest.approx(whole, rel=1e-5)
    with pytest.raises(ValueError, match="no token to learn"):
        lora._learn(model, [[("a", False)]], nothing)


def test_parts_bound_the_memory_and_change_nothing(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    batch, gradients = [example(number) for number in range(8)], []
    for most in (10_000, 40, 1):
        monkeypatch.setattr(lora, "TOKENS_AT_ONCE", most)
        model = make()
        parts = list(lora._parts(model, batch))
        assert sum(map(len, parts)) == 8 and (len(parts) > 1) == (most < 10_000)
        assert all(lora._rows(model, part)[0].numel() <= max(most, 40) for part in parts)
        lora._learn(model, batch, torch.optim.SGD(model.model.parameters(), lr=0.0))
        gradients.append(model.model.get_parameter("model.layers.0.mlp.up_proj.weight").grad)
    torch.testing.assert_close(gradients[0], gradients[1])
    torch.testing.assert_close(gradients[0], gradients[2])


def test_greedy_is_what_greedy_decoding_says(make: Make) -> None:
    model = make()
    prompts = ["Page: it is.\nAnswer:", "Once upon a time"]
    said = []
    for prompt in prompts:
        ids = torch.tensor([model.tokens(prompt)])
        out = model.model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=5)
        said.append(model.tokenizer.decode(out[0, ids.shape[1] :]))
    same = [model.tokens(text) == model.tokens(model.tokenizer.decode(model.tokens(text))) for text in said]
    assert all(same)
    assert lora.greedy(model, prompts, said) == [True, True]
    assert lora.greedy(model, prompts, [said[0] + " dog", said[1]]) == [False, True]


def test_learning_rate_warms_up_and_falls_to_zero() -> None:
    for steps in (2, 3, 10, 60, 235):
        rates = [Recipe(steps).rate(step) for step in range(steps)]
        top = rates.index(max(rates))
        assert max(rates) == pytest.approx(1e-3) and 0 < rates[-1] <= 1e-3 * 2 / steps + 1e-9
        assert all(a < b for a, b in pairwise(rates[: top + 1])) and all(a > b for a, b in pairwise(rates[top:]))


@pytest.mark.parametrize(
    "bad", [{"steps": 1}, {"batch": 0}, {"rank": 0}, {"learning_rate": 0.0}, {"seed": -1}, {"learning_rate": 5.0}]
)
def test_recipe_rejects(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        Recipe(**{"steps": 6, **bad})


def test_checkpoint_of_another_training_is_refused(make: Make, tmp_path: Path) -> None:
    def cut_off(number: int) -> Example:
        if number == 3 * RECIPE.batch + 1:
            raise RuntimeError("power cut")
        return example(number)

    with pytest.raises(RuntimeError, match="power cut"):
        train(make(), tmp_path, what=cut_off, checkpoint_every=1)
    kept = (tmp_path / "checkpoint.safetensors").read_bytes()
    model = make()
    for options, why in [
        ({"recipe": Recipe(7, 3, 0.02)}, "examples, recipe"),
        ({"role": "planner"}, "role"),
        ({"what": other}, "examples"),
    ]:
        with pytest.raises(ValueError, match=rf"checkpoint.safetensors cannot .* another training \({why}: .*--out"):
            train(model, tmp_path, **options)
    with pytest.raises(ValueError, match="another training \\(base"):
        train(make(name="another"), tmp_path)
    assert (tmp_path / "checkpoint.safetensors").read_bytes() == kept
    (tmp_path / "checkpoint.safetensors").write_bytes(kept[:500])
    with pytest.raises(ValueError, match="cannot be gone on with"):
        train(model, tmp_path)
    assert not getattr(model.model, "peft_config", {}) and probe(model) == probe(make())


def test_finished_adapter_is_not_overwritten(make: Make, two: tuple[Path, Path]) -> None:
    kept = (two[0] / adapters.WEIGHTS).read_bytes()
    with pytest.raises(FileExistsError, match=r"finished .*steps 6.*rank 8.*--out"):
        train(make(), two[0], recipe=Recipe(7, 3))
    (two[0] / adapters.CARD).write_text("[]")
    with pytest.raises(FileExistsError, match="its card is damaged"):
        train(make(), two[0])
    assert (two[0] / adapters.WEIGHTS).read_bytes() == kept


def test_models_and_folders_that_do_not_do(make: Make, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"GPT2LMHeadModel\) has no q_proj, k_proj"):
        train(make(config=GPT2Config(n_embd=32, n_layer=2, n_head=2)), tmp_path / "gpt2")
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        train(make(), tmp_path / "file")
    with pytest.raises(OSError, match="file"):
        train(make(), tmp_path / "file" / "below")
    long = make(config=LlamaConfig(hidden_size=32, max_position_embeddings=8, **LLAMA))
    with pytest.raises(ValueError, match="an example has .* tokens, more than the 8 that tiny can read"):
        train(long, tmp_path / "long")


# Adapters


def test_adapters_off_leave_the_base_bit_for_bit(make: Make, two: tuple[Path, Path]) -> None:
    base = probe(make())
    model = make()
    assert probe(model) == base
    one, other_one = model.with_adapter(two[0]), model.with_adapter(two[1])
    assert probe(model) == base  # loaded, not on
    first, second = probe(one), probe(other_one)
    assert base != first != second != base
    for _ in range(2):  # in any order, any number of times
        assert probe(other_one) == second
        assert probe(model) == base
        assert probe(one) == first
    assert len(model.model.peft_config) == 2
    model.with_adapter(two[0])  # a second view of the same weights
    assert len(model.model.peft_config) == 2
    assert probe(HFModel(model.model, model.tokenizer)) == base
    assert make().with_adapter(two[1]).score("a", [" b"]) == other_one.score("a", [" b"])


def test_views_share_no_prefix_and_no_counter(make: Make, two: tuple[Path, Path]) -> None:
    model = make()
    view = model.with_adapter(two[0])
    prompt = "Page: it is what it is, and so it is.\nQuestion: Who?\nAnswer:"
    model.sample(prompt, 1)
    assert view.prompt_tokens == 0 and not view._known
    alone = make().with_adapter(two[0]).sample(prompt, 2)
    assert view.sample(prompt, 2) == alone
    assert view.cached_prompt_tokens == 0 and view.prompt_tokens == view.count_tokens(prompt)
    assert [s.text for s in model.sample(prompt, 2)] == [s.text for s in make().sample(prompt, 2)]


def test_an_adapter_of_any_strength(make: Make, two: tuple[Path, Path]) -> None:
    ids = torch.tensor([[5, 6, 7, 8]])

    @torch.inference_mode()
    def logits(view: HFModel) -> torch.Tensor:
        view.switch()
        return view.model(ids).logits.clone()

    model, alone = make(), make().with_adapter(two[0])
    strengths = (0.0, 0.25, 0.5, 1.0, 1e-5)
    views = {strength: model.with_adapter(two[0], strength) for strength in strengths}
    assert torch.equal(logits(views[0.0]), logits(make())) and torch.equal(logits(views[1.0]), logits(alone))
    base, whole = logits(views[0.0]), logits(views[1.0])
    away = [float((logits(views[strength]) - base).norm()) for strength in (1e-5, 0.25, 0.5, 1.0)]
    assert 0 < away[0] < away[1] < away[2] < away[3] and away[0] < 1e-3 * away[3]
    half = logits(views[0.5])
    assert (half - whole).norm() < (base - whole).norm()
    layers = [layer for layer in model.model.modules() if hasattr(layer, "lora_A")]
    for layer in layers:
        layer.scaling[alone.adapter] /= 2
    assert torch.equal(logits(views[1.0]), half)
    for layer in layers:
        layer.scaling[alone.adapter] *= 2
    said = {strength: probe(view) for strength, view in views.items()}
    assert len({repr(each) for each in said.values()}) == len(strengths)
    for strength in (*reversed(strengths), *strengths):  # in any order
        assert probe(views[strength]) == said[strength]
    assert said[1.0] == probe(alone) and said[0.0] == probe(make())
    assert model.with_adapter(two[0], 1).adapter == alone.adapter and len(model.model.peft_config) == 4
    assert probe(model.with_adapter(two[0], 0.5)) == said[0.5] and len(model.model.peft_config) == 4
    for bad in (-0.1, 1.5, float("nan"), "half", None):
        with pytest.raises(ValueError, match=r"strength must be a number in \[0, 1\], got"):
            model.with_adapter(two[0], bad)  # type: ignore[arg-type]


def damage(folder: Path, **changes: Any) -> None:
    found = card(folder)
    for key, value in changes.items():
        found.pop(key) if value is None else found.update({key: value})
    (folder / adapters.CARD).write_text(json.dumps(found), encoding="utf-8")


def sealed(folder: Path, data: bytes) -> None:
    """Other weights under a digest that is right."""
    (folder / adapters.WEIGHTS).write_bytes(data)
    damage(folder, sha256=hashlib.sha256(data).hexdigest())


def flip(folder: Path) -> None:
    data = bytearray((folder / adapters.WEIGHTS).read_bytes())
    data[-1] ^= 1
    (folder / adapters.WEIGHTS).write_bytes(data)


def cut(folder: Path) -> None:
    sealed(folder, (folder / adapters.WEIGHTS).read_bytes()[:-100])


DAMAGES: dict[str, tuple[Callable[[Path], Any], type[Exception], str]] = {
    "a flipped bit": (flip, WeightsError, "weights have sha256 .* the card says"),
    "another base": (lambda f: damage(f, base="Qwen"), ValueError, "belongs to the base model Qwen, not to tiny"),
    "no card": (lambda f: (f / adapters.CARD).unlink(), FileNotFoundError, "no card.json"),
    "no weights": (lambda f: (f / adapters.WEIGHTS).unlink(), FileNotFoundError, "no adapter_model.safetensors"),
    "no digest": (lambda f: damage(f, sha256=None), WeightsError, "card.json is damaged"),
    "no recipe": (lambda f: damage(f, recipe=None), WeightsError, "card.json is damaged"),
    "a recipe of words": (lambda f: damage(f, recipe="x"), WeightsError, "card.json is damaged"),
    "rank 0": (lambda f: damage(f, recipe={"rank": 0}), WeightsError, "card.json is damaged"),
    "another rank": (lambda f: damage(f, recipe={"rank": 4}), ValueError, "does not fit its card: the rank"),
    "no JSON": (lambda f: (f / adapters.CARD).write_text("{"), WeightsError, "card.json is damaged"),
    "a list": (lambda f: (f / adapters.CARD).write_text("[1]"), WeightsError, "card.json is damaged"),
    "a pickle": (lambda f: sealed(f, b"\x80\x04K\x01."), WeightsError, "no safetensors file"),
    "cut short": (cut, WeightsError, "no safetensors file"),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_damaged_adapters_are_refused(make: Make, two: tuple[Path, Path], kind: str) -> None:
    change, error, said = DAMAGES[kind]
    change(two[0])
    model = make()
    with pytest.raises(error, match=said):
        model.with_adapter(two[0])
    assert not getattr(model.model, "peft_config", {}) and probe(model) == probe(make())
    model.with_adapter(two[1])  # and the next one works


def test_adapter_of_another_shape_is_refused(make: Make, two: tuple[Path, Path]) -> None:
    wide = make(hidden=64)
    with pytest.raises(ValueError, match=r"does not fit the model: .* is \(\d+, \d+\), not \(\d+, \d+\)"):
        wide.with_adapter(two[0])
    flat = make(config=LlamaConfig(hidden_size=32, **{**LLAMA, "num_hidden_layers": 1}))
    with pytest.raises(ValueError, match="not None"):
        flat.with_adapter(two[0])
    deep = make(config=LlamaConfig(hidden_size=32, **{**LLAMA, "num_hidden_layers": 3}))
    with pytest.raises(ValueError, match="is None, not"):
        deep.with_adapter(two[0])


def test_config_file_changes_nothing(make: Make, two: tuple[Path, Path]) -> None:
    before = probe(make().with_adapter(two[0]))
    config = json.loads((two[0] / adapters.CONFIG).read_text())
    assert config["base_model_name_or_path"] == "tiny" and config["peft_type"] == "LORA"
    (two[0] / adapters.CONFIG).write_text(json.dumps(config | {"lora_alpha": 999, "r": 3}))
    assert probe(make().with_adapter(two[0])) == before


def test_peft_itself_reads_the_folder(make: Make, two: tuple[Path, Path]) -> None:
    from peft import PeftModel

    ids = torch.tensor([[5, 6, 7]])
    with torch.inference_mode():
        found = PeftModel.from_pretrained(make().model, str(two[0]))(ids).logits
        view = make().with_adapter(two[0])
        view.switch()
        assert torch.equal(found, view.model(ids).logits)


def test_unknown_sources(make: Make, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no adapter_config.json in .*give critic or planner"):
        make().with_adapter(tmp_path)
    with pytest.raises(TypeError, match="source must be critic or planner, or a folder"):
        make().with_adapter(3)  # type: ignore[arg-type]


# Labels


def test_unseen_pairs_leave_every_relation_in_both_places() -> None:
    pairs = {(a, b) for a in RELATIONS for b in RELATIONS if RELATIONS[a].value == RELATIONS[b].subject}
    pairs -= {(name, name) for name in SYMMETRIC}
    assert pairs > UNSEEN_PAIRS and 0.12 <= len(UNSEEN_PAIRS) / len(pairs) <= 0.18
    for place in (0, 1):
        assert {pair[place] for pair in pairs - UNSEEN_PAIRS} == {pair[place] for pair in pairs}
    assert sorted(UNSEEN_PAIRS)[:2] == [("camp", "poet"), ("chief", "employer")]  # shipped adapters depend on them


def test_made_up_steps() -> None:
    asked = readings(SPLITS["train"][3], relations=(*RELATIONS, *EXTRA_ASKS))
    found = list(made_up_steps(asked))
    assert found == list(made_up_steps(asked))
    for each in found:
        step, reading = each.step, each.reading
        assert each.right == (step.text == reading.answer) == (each.source in ("gold", "repeat"))
        assert each.target == {"gold": 1.0, "repeat": 0.0}.get(each.source, -1.0)
        assert step.page == reading.page and step.question == reading.question and step.query in reading.page
        assert (each.source == "self") == (step.text == step.query)
        assert (step.text in step.page) == (each.source != "other entity")
        assert (step.fault() == "repeat") == (each.source in ("self", "repeat"))
        assert split_of(step.text) == "train"
    sources = [each.source for each in found]
    assert {source: sources.count(source) for source in labels.MADE_UP} == dict.fromkeys(labels.MADE_UP, len(asked))
    assert len({each.step.text for each in found if each.source == "other entity"}) > 20
    assert {each.source for each in made_up_steps(asked, ("self",))} == {"self"}
    with pytest.raises(ValueError, match="'guess'"):
        list(made_up_steps(asked, ("guess",)))


def test_drills_are_told_on_the_page_and_say_nothing_that_is_kept_back() -> None:
    for drill in DRILLS:
        assert len(drill.sentences) == 2 and all("{s}" in sentence for sentence in drill.sentences)
        assert all(sentence.count(slot) == 1 for sentence in drill.sentences for slot in ("{a}", "{b}"))
        assert all(len(asks) == 2 and all(ask.count("{}") == 1 for ask in asks) for asks in drill.asks)
    told = " ".join(text for drill in DRILLS for text in (*drill.sentences, *chain(*drill.asks))).lower()
    assert not {"taught", "teacher", "pupil", "rival", "competes", "north", "south", "nearest", "foot"} & set(
        re.findall(r"\w+", told)
    )
    seen = set()
    for number in range(1, 400, 2):
        asked = critic._asked(number)
        (page,) = {reading.page for reading in asked}
        extra = [reading for reading in asked if reading.relation == "drill"]
        assert len(extra) == 4 and len({reading.answer for reading in extra}) == 4
        assert all(reading.answer in page and title_of(reading) in page for reading in asked)
        assert all(split_of(reading.answer) == "train" for reading in asked)
        seen |= {reading.question.replace(title_of(reading), "{}") for reading in extra}
    assert len(seen) > 80


def test_data_card_counts() -> None:
    found = labels.data_card("dev", 2)
    asked = [r for seed in SPLITS["dev"][:2] for r in readings(seed, (0, 1, 2), labels.SEEN_RELATIONS)]
    assert found["worlds"] == 2 and found["steps"] == 5 * len(asked) and found["split"] == "dev"
    assert all(sum(counts.values()) == found["steps"] for counts in found["by"].values())
    assert found["by"]["label"]["progress"] == found["by"]["source"]["gold"] == len(asked)
    assert set(found["by"]["wording"]) == {"0", "1", "2"} and not set(found["by"]["relation"]) & set(UNSEEN_RELATIONS)
    own = [labels.LabeledStep(each.step, each.reading, each.right) for each in made_up_steps(asked[:3])]
    assert labels.data_card("dev", 2, own)["by"]["source"]["policy"] == 15


def test_wilson() -> None:
    assert labels.wilson(0, 10)[0] == 0 and labels.wilson(10, 10)[1] == 1
    low, high = labels.wilson(85, 100)
    assert (low, high) == pytest.approx((0.767, 0.907), abs=1e-3)  # R: prop.test(85, 100, correct = FALSE)


# The critic's examples


def test_critic_examples_depend_on_their_number_only() -> None:
    late = critic.example(1003)
    critic._pages.cache_clear()
    assert critic.example(1003) == late != critic.example(1004)
    assert critic.example(10_000 * critic.PER_WORLD)[0] == critic.example(0)[0]  # the worlds start again
    for number in range(0, 200, 7):
        pieces = critic.example(number)
        text = "".join(piece for piece, _ in pieces)
        assert (
            text.startswith("Page: ") and text.endswith("\n") and [learn for _, learn in pieces[1:3]] == [False, True]
        )
        for (asked, _), (answer, learn) in zip(pieces[1::2], pieces[2::2], strict=True):
            assert asked.startswith("Question: ") and asked.endswith("?\nAnswer:") and learn
            assert answer.strip() in pieces[0][0] and split_of(answer.strip()) == "train"


def test_critic_examples_keep_relations_and_wordings_back() -> None:
    facts = critic.data()
    assert facts["pages"] == critic.RECIPE.steps * critic.RECIPE.batch and facts["worlds"] == -(-facts["pages"] // 16)
    assert not set(facts["relations"]) & set(UNSEEN_RELATIONS) and set(labels.SEEN_RELATIONS) <= set(facts["relations"])
    asks = {name: row.asks for name, row in RELATIONS.items()} | EXTRA_ASKS
    kept = [
        ask for name in asks for i, ask in enumerate(asks[name]) if name in UNSEEN_RELATIONS or i in UNSEEN_WORDINGS
    ]
    taught = [ask for name in critic.TAUGHT for ask in asks[name][:3]]
    for number in range(200):
        for reading in critic._asked(number):
            title = labels.title_of(reading)
            assert reading.relation == "drill" or reading.question in {ask.format(title) for ask in taught}
            assert reading.question not in {ask.format(title) for ask in kept}


def test_evaluate_critic_without_a_right_step(make: Make) -> None:
    model = make()
    found = critic.evaluate_critic(model, model.view(""), steps=9)
    assert found == {"steps": 9, "right": 0.0, "auc": None, "auc_logprob": None}


# The planner's examples


def test_planner_examples() -> None:
    late = planner.example(4001)
    planner._chosen.cache_clear()
    assert planner.example(4001) == late
    assert planner.example(80_000)[1] == planner.example(0)[1]  # the worlds start again
    seen: set[str] = set()
    counts: dict[int, int] = {}
    for number in range(160):
        (text, learn), (target, learned) = planner.example(number)
        assert not learn and learned and target.endswith("\n\n") and "\n\n" not in target[:-2]
        steps = parse_plan(target)
        counts[len(steps)] = counts.get(len(steps), 0) + 1
        budget, question, end = text.split("\n")
        tokens, calls = budget.removeprefix("Budget: ").removesuffix(" lookups").split(" tokens, ")
        given = Budget(*(None if n == "unlimited" else int(n) for n in (tokens, calls)))
        assert text == Planner(Words()).prompt(question.removeprefix("Question: "), given)  # type: ignore[arg-type]
        assert end == "Plan:"
        seen.add(budget)
    assert counts == {2: 40, 3: 40, 4: 80} and "Budget: unlimited tokens, unlimited lookups" in seen and len(seen) > 40


class Words:
    """Enough of a language model for a planner to hold."""

    name = "words"

    def sample(self, *_: Any, **__: Any) -> list[Any]:
        return []

    def count_tokens(self, text: str) -> int:
        return len(text.split())


def test_plans_are_those_of_the_questions() -> None:
    plans: dict[str, tuple[str, ...]] = {}
    for seed in (*SPLITS["train"][:40], *SPLITS["dev"][:20]):
        for asked in planner.planned(seed, 20, (0, 1, 2, 3)):
            assert plans.setdefault(asked.text, asked.plan) == asked.plan  # a plan is a function of the question
            assert asked.start in asked.text and asked.start in asked.plan[0]
            assert all(f"#{hop}" in step for hop, step in enumerate(asked.plan[1:], 1))
    assert planner.canonical_plan("Ashton", ["mayor", "teacher"]) == ("Who is the mayor of Ashton?", "Who taught #1?")


def test_planner_keeps_pairs_wordings_and_names_back() -> None:
    trained = [planner._chosen(seed) for seed in SPLITS["train"][:60]]
    used = {pair for world in trained for asked in world for pair in pairwise(asked.relations)}
    assert not used & UNSEEN_PAIRS and len(used) > 35
    assert {name for asked in chain(*trained) for name in asked.relations} == set(RELATIONS)
    assert all(split_of(asked.start) == "train" for asked in chain(*trained))
    nouns = [row.nouns[i].split("{}")[0] for row in RELATIONS.values() for i in UNSEEN_WORDINGS]
    alone = [n for n in nouns if n.strip() and not any(n in m for r in RELATIONS.values() for m in r.nouns[:3])]
    assert alone and not any(noun in asked.text for asked in chain(*trained) for noun in alone)
    for split in ("dev", "test"):
        for pairs in ("seen", "unseen"):
            found = list(islice(planner.questions_of(split, pairs), 60))
            assert all(asked.unseen == (pairs == "unseen") for asked in found)
            assert all(split_of(asked.start) == split for asked in found)
    facts = planner.data(Recipe(10, 16))
    assert facts["questions"] == 160 and facts["worlds"] == 20 and facts["hops"] == {"2": 40, "3": 40, "4": 80}
    with pytest.raises(ValueError, match="pairs must be one of"):
        next(planner.questions_of("dev", "some"))


def test_other_words_for_the_same_question() -> None:
    worded = {name: set(row.nouns) for name, row in RELATIONS.items()}
    phrases = {name: planner.PHRASES[name].split("|") for name in RELATIONS}
    known = [phrase for all_of in (*phrases.values(), *worded.values()) for phrase in all_of]
    assert len(known) == len(set(known)) and all(phrase.count("{}") == 1 for phrase in known)
    for seed in SPLITS["train"][:40]:
        own, free = planner._chosen(seed)[:4], planner._chosen(seed)[4:]
        assert [len(asked.relations) for asked in own] == [len(asked.relations) for asked in free]
        assert all(one.start == two.start and two.start in two.text for one, two in zip(own, free, strict=True))
        asked_by_the_world = {asked.relations for asked in planner.planned(seed, planner.ASKED)}
        assert {asked.relations for asked in own} <= asked_by_the_world
    chains = {
        pair
        for seed in SPLITS["train"][:60]
        for asked in planner._chosen(seed)[4:]
        for pair in pairwise(asked.relations)
    }
    senseless = {(a, b) for a, b in chains if RELATIONS[a].value != RELATIONS[b].subject}
    assert len(senseless) > 80 and "mouth" not in {b for _, b in chains}


def test_what_is_wrong_with_a_plan() -> None:
    asked = planner.Planned("", "Ashton", ("mayor", "teacher"))
    right = asked.plan
    assert planner.compare(right, asked) == ""
    for plan, said in [
        (right[:1], "1 hops, not 2"),
        ((*right, "Who taught #2?"), "3 hops, not 2"),
        ((right[0], "Who is married to #1?"), "wrong relation at hop 2"),
        (("Who is mayor of Ashton now?", right[1]), "wrong relation at hop 1"),
        (("Who is the mayor of Ashdale?", right[1]), "wrong name copied"),
        ((right[0], "Who taught Ashton?"), "wrong reference"),
    ]:
        assert planner.compare(plan, asked) == said


def test_evaluate_planner(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    model, said = make(), []
    found = planner.evaluate_planner(model, questions=6, say=said.append)
    assert found["exact"] == 0 and found["errors"] == {"malformed": 6} and len(said) == 6
    monkeypatch.setattr(planner, "greedy", lambda model, prompts, targets: [True] * 5 + [False])
    found = planner.evaluate_planner(model, "test", 6, "unseen", UNSEEN_WORDINGS, quiet)
    assert found["exact"] == 0.8333 and found["interval"] == labels.wilson(5, 6)
    assert sum(asked for _, asked in found["by_hops"].values()) == 6


# bavt train


@pytest.fixture
def folder(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny model's folder, an empty working folder, and a planner's evaluation that is short."""
    model = make()
    model.model.save_pretrained(tmp_path / "model")
    model.tokenizer.save_pretrained(tmp_path / "model")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    evaluate = planner.evaluate_planner
    monkeypatch.setattr(planner, "evaluate_planner", lambda view, split, n, say: evaluate(view, split, 4, say=say))
    return tmp_path / "model"


def test_train_critic_command(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["train", "critic", "--steps", "2", "--model", str(folder), "--seed", "3"]
    assert main(command) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[-1].startswith("critic adapter in trained/critic: AUC unknown, 0.000 of 400 dev steps")
    found = card(Path("trained/critic"))
    assert found["figures"]["steps"] == 400 and found["recipe"]["seed"] == 3 and found["data"]["pages"] == 16
    assert found["command"] == "bavt train critic --steps 2 --seed 3"
    assert main(command) == 0  # finished: only said again
    assert capsys.readouterr().out.splitlines() == said[-1:]
    assert main([*command[:3], "4", *command[4:]]) == 1
    assert "holds a finished training already (steps 2" in capsys.readouterr().err
    assert main([*command, "--out", "again"]) == 0
    assert card(Path("again"))["sha256"] == found["sha256"]
    flip(Path("again"))
    capsys.readouterr()
    assert main([*command, "--out", "again"]) == 1
    assert "the card says" in capsys.readouterr().err


def test_train_planner_command_goes_on(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["train", "planner", "--steps", "2", "--model", str(folder), "--out", "deep/er"]
    short = planner.evaluate_planner

    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(planner, "evaluate_planner", stop)
    assert main(command) == 130
    assert "figures" not in card(Path("deep/er"))
    monkeypatch.setattr(planner, "evaluate_planner", short)
    capsys.readouterr()
    assert main(command) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "evaluating on dev worlds ..."
    assert said[-1].startswith("planner adapter in deep/er: 0.000 [0.000, 0.490] of 4 dev plans exact")
    assert card(Path("deep/er"))["figures"]["errors"] == {"malformed": 4}


def test_train_command_errors(folder: Path, make: Make, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    def says(code: int, *arguments: str) -> str:
        assert main(["train", *arguments]) == code
        err = capsys.readouterr().err
        assert err.count("\n") == 1, err
        return err

    assert "--steps must be at least 2, got 1" in says(2, "critic", "--steps", "1")
    assert "--threads must be 1 .. " in says(2, "critic", "--threads", "0")
    assert "is not a folder" in says(1, "critic", "--model", "./nowhere")
    Path("file").touch()
    assert "file" in says(1, "critic", "--model", str(folder), "--steps", "2", "--out", "file")
    gpt2 = make(config=GPT2Config(n_embd=32, n_layer=2, n_head=2))
    gpt2.model.save_pretrained(tmp_path / "gpt2"), gpt2.tokenizer.save_pretrained(tmp_path / "gpt2")
    capsys.readouterr()
    said = says(1, "planner", "--model", str(tmp_path / "gpt2"), "--steps", "2")
    assert "has no q_proj, k_proj" in said and not Path("trained/planner/card.json").exists()
    Path("made").mkdir()
    shutil.copy(folder / "config.json", "made/card.json")
    assert "its card is damaged" in says(1, "head", "--out", "made")
    with pytest.raises(SystemExit) as stopped:
        main(["train", "actor"])
    assert stopped.value.code == 2


def test_train_head_command(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from bavt_minimal.cli import train as command

    def fit(model: HFModel, out: Path, **options: Any) -> dict[str, Any]:
        out.mkdir(parents=True)
        (out / "card.json").write_text("{}")
        return {"dev": {"auc of the mix": 0.9}} | options

    monkeypatch.setattr(command, "fit_head", fit)
    assert main(["train", "head", "--model", str(folder), "--steps", "40"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("head in trained/head: AUC 0.900 on dev")
    assert main(["train", "head", "--model", str(folder)]) == 1
    assert "finished training already" in capsys.readouterr().err
