"""Train a LoRA adapter on the base model: low-rank additions to its frozen weights (peft, Hu et al. 2021).

An example is a list of (text, learn) pieces; the loss is the mean negative log-likelihood of the tokens of the pieces
with `learn`, so a page is read but not learned. An example depends on its number only, so a run that was cut off goes
on where it stopped.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save, save_file

from ..checks import check_count, check_range
from ..models.adapters import CARD, PREFIX, WEIGHTS, add_adapter, freeze, remove_adapter
from ..models.hf import HFModel
from ..models.weights import sha256

Example = Sequence[tuple[str, bool]]
Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
DRAFT = "draft"  # the adapter's name while it learns
TOKENS_AT_ONCE = 640  # of a step, padding included; about 3 MB each are held for the way back through SmolLM2-135M
SAY_EVERY = 10.0  # seconds


@dataclass(frozen=True)
class Recipe:
    """How an adapter is trained. AdamW; the learning rate warms up over a tenth of the steps and falls to 0."""

    steps: int
    batch: int = 8  # examples a step
    learning_rate: float = 1e-3
    rank: int = 8
    seed: int = 0  # of the adapter's first weights

    def __post_init__(self) -> None:
        check_count("steps", self.steps, least=2)
        check_count("batch", self.batch, least=1)
        check_count("rank", self.rank, least=1)
        check_count("seed", self.seed)
        check_range("learning_rate", self.learning_rate, 1e-9, 1.0)

    def rate(self, step: int) -> float:
        """Learning rate of step 0 .. steps - 1."""
        warm = max(1, self.steps // 10)
        return self.learning_rate * min((step + 1) / warm, (self.steps - step) / (self.steps - warm + 1))


def train_adapter(
    model: HFModel,
    role: str,
    example: Callable[[int], Example],
    recipe: Recipe,
    out: Path,
    *,
    facts: dict[str, Any] | None = None,
    checkpoint_every: int = 10,
    say: Callable[[str], Any] = print,
) -> HFModel:
    """Train an adapter on `example(0)`, `example(1)`, ... and write it to the folder `out`, in float16.

    Returns the view of `model` that has it switched on; the card in `out` says what was done, `facts` (data, command)
    included. A checkpoint in `out` of the same recipe is gone on with; the result is the same as that of one run: bit
    for bit, on one machine with one number of threads. Raises FileExistsError for a finished adapter in `out`,
    ValueError for a checkpoint of another recipe or a model that adapters do not fit, OSError if it cannot write.
    """
    check_count("checkpoint_every", checkpoint_every, least=1)
    refuse_finished(out)
    same = {"role": role, "base": model.name, "recipe": asdict(recipe), "examples": digest(example, recipe)}
    network, checkpoint = model.model, out / "checkpoint.safetensors"
    out.mkdir(parents=True, exist_ok=True)
    (out / "checkpoint.tmp").touch()  # a folder that cannot be written is better found out now than at the end
    try:
        config = add_adapter(network, DRAFT, recipe.rank, recipe.seed)
        view = model.view(DRAFT)
        view.switch()
        weights = {name: w.requires_grad_() for name, w in network.named_parameters() if f".{DRAFT}." in name}
        optimizer = torch.optim.AdamW(weights.values(), lr=recipe.learning_rate, weight_decay=0.0)
        losses, before = _restore(checkpoint, weights, optimizer, same)
        first, clock, said = len(losses), time.monotonic(), 0.0
        for step in range(first, recipe.steps):
            for group in optimizer.param_groups:
                group["lr"] = recipe.rate(step)
            losses.append(_learn(view, [example(step * recipe.batch + i) for i in range(recipe.batch)], optimizer))
            seconds = time.monotonic() - clock
            if step + 1 == recipe.steps or seconds >= said + SAY_EVERY:
                left = seconds / (step + 1 - first) * (recipe.steps - step - 1)
                say(f"{role}: step {step + 1} of {recipe.steps}, loss {losses[-1]:.3f}, {left:.0f} s left")
                said = seconds
            if (step + 1) % checkpoint_every == 0:
                _keep(checkpoint, weights, optimizer, same, losses, before + seconds)
        card = _write(out, config, network, weights, same, losses)
    finally:
        (out / "checkpoint.tmp").unlink(missing_ok=True)
        if DRAFT in getattr(network, "peft_config", {}):
            remove_adapter(network, DRAFT)
        freeze(network)
    card |= {"seconds": round(before + time.monotonic() - clock, 3), "peak_memory_mb": peak_memory_mb()}
    write_card(out, card | {"versions": versions(), "threads": torch.get_num_threads()} | (facts or {}))
    checkpoint.unlink(missing_ok=True)
    return model.with_adapter(out)


def refuse_finished(out: Path) -> None:
    """Raise FileExistsError if `out` holds a finished adapter: minutes of work are not overwritten."""
    if (out / CARD).is_file():
        try:
            recipe = json.loads((out / CARD).read_text(encoding="utf-8"))["recipe"]
            said = ", ".join(f"{key} {value}" for key, value in recipe.items())
        except (ValueError, KeyError, TypeError, AttributeError):
            said = "its card is damaged"
        raise FileExistsError(f"{out} holds a finished training already ({said}): delete it, or give another --out")


def write_card(out: Path, card: dict[str, Any]) -> None:
    """Keep what is known of an adapter beside it."""
    draft = out / f"{CARD}.tmp"
    draft.write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    draft.replace(out / CARD)


def digest(example: Callable[[int], Example], recipe: Recipe) -> str:
    """SHA-256 of the examples of the first and the last step: another data set is another recipe."""
    last = (recipe.steps - 1) * recipe.batch
    numbers = [*range(recipe.batch), *range(last, last + recipe.batch)]
    return hashlib.sha256(json.dumps([list(map(list, example(n))) for n in numbers]).encode()).hexdigest()


def versions() -> dict[str, str]:
    """Versions that the weights may depend on."""
    import peft
    import transformers

    return {"torch": torch.__version__, "transformers": transformers.__version__, "peft": peft.__version__}


def peak_memory_mb() -> int | None:
    """Most memory that this process ever had, in MB; None where that cannot be known (Windows)."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1e6 if sys.platform == "darwin" else 1e3))


def greedy(model: HFModel, prompts: Sequence[str], targets: Sequence[str]) -> list[bool]:
    """Whether greedy decoding of each prompt gives its target: one pass over both shows it, without decoding."""
    right: list[bool] = []
    model.switch()
    with torch.inference_mode():
        # One row at a time, without padding: a plan must not depend on its neighbors.
        for prompt, target in zip(prompts, targets, strict=True):
            ids, seen, learned = _rows(model, [[(prompt, False), (target, True)]])
            logits, tokens = _learned(model, (ids, seen, learned))
            right.append(bool((logits.argmax(-1) == tokens).all()))
    return right


def _learn(model: HFModel, examples: Sequence[Example], optimizer: torch.optim.Optimizer) -> float:
    """One step of AdamW on the mean loss over all learned tokens of a batch; returns that loss."""
    optimizer.zero_grad()
    parts = [_rows(model, part) for part in _parts(model, examples)]
    count = sum(int(learned[:, 1:].sum()) for _, _, learned in parts)
    if not count:
        raise ValueError("a batch has no token to learn: mark a piece of each example with True")
    total = 0.0
    for part in parts:  # gradients add up; memory is that of one part
        logits, tokens = _learned(model, part)
        loss = torch.nn.functional.cross_entropy(logits, tokens, reduction="sum") / count
        loss.backward()
        total += float(loss.detach())
    torch.nn.utils.clip_grad_norm_([w for group in optimizer.param_groups for w in group["params"]], 1.0)
    optimizer.step()
    return total


def _parts(model: HFModel, examples: Sequence[Example]) -> Iterator[list[Example]]:
    """The examples from the shortest to the longest, in parts of at most TOKENS_AT_ONCE with padding."""
    lengths = [sum(len(model.tokens(text)) for text, _ in pieces) for pieces in examples]
    part: list[Example] = []
    for number in sorted(range(len(examples)), key=lengths.__getitem__):
        if part and (len(part) + 1) * lengths[number] > TOKENS_AT_ONCE:
            yield part
            part = []
        part.append(examples[number])
    yield part


def _rows(model: HFModel, examples: Sequence[Example]) -> Batch:
    """Token ids, which are there and which are learned, each (B, T), padded at the right."""
    rows = []
    for pieces in examples:
        row = [(token, False) for token in model.start_tokens]
        row += [(token, learn) for text, learn in pieces for token in model.tokens(text)]
        rows.append(row)
    length = max(map(len, rows))
    if model.max_length is not None and length > model.max_length:
        raise ValueError(f"an example has {length} tokens, more than the {model.max_length} that {model.name} can read")
    ids, seen, learned = (torch.zeros(len(rows), length, dtype=torch.long) for _ in range(3))
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor([token for token, _ in row])
        learned[i, : len(row)] = torch.tensor([int(learn) for _, learn in row])
        seen[i, : len(row)] = 1
    return ids, seen, learned


def _learned(model: HFModel, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """For the N learned tokens of a batch: logits (N, V) before each, and the token (N,)."""
    network = model.model
    ids, seen, learned = (part.to(network.device) for part in batch)
    hidden = network.base_model(input_ids=ids, attention_mask=seen, use_cache=False).last_hidden_state
    # Only the learned positions go through the output layer, which has the largest matrix of the model.
    target = learned[:, 1:].bool()
    return network.get_output_embeddings()(hidden[:, :-1][target]).float(), ids[:, 1:][target]


def _write(
    out: Path, config: Any, network: Any, weights: dict[str, Any], same: dict[str, Any], losses: Sequence[float]
) -> dict[str, Any]:
    """Write the weights and peft's configuration; returns the card's first part."""
    from peft import get_peft_model_state_dict

    state = get_peft_model_state_dict(network, adapter_name=DRAFT)
    # Not by save_file, whose files only their owner may read: an installed adapter is for everybody.
    (out / WEIGHTS).write_bytes(save({PREFIX + name: w.detach().half().contiguous() for name, w in state.items()}))
    config.base_model_name_or_path, config.inference_mode = same["base"], True
    config.save_pretrained(str(out))
    last = losses[-10:]
    return {
        "role": same["role"],
        "base": same["base"],
        "sha256": sha256(out / WEIGHTS),
        "recipe": same["recipe"],
        "examples": same["examples"],
        "parameters": sum(w.numel() for w in weights.values()),
        "loss": {"first": round(losses[0], 4), "last": round(sum(last) / len(last), 4)},
    }


def _keep(
    path: Path,
    weights: dict[str, Any],
    optimizer: torch.optim.Optimizer,
    same: dict[str, Any],
    losses: Sequence[float],
    seconds: float,
) -> None:
    tensors = {f"weight/{name}": w.detach().contiguous() for name, w in weights.items()}
    for name, weight in weights.items():
        tensors |= {f"{key}/{name}": value.contiguous() for key, value in optimizer.state[weight].items()}
    facts = {"same": json.dumps(same), "losses": json.dumps(list(losses)), "seconds": str(seconds)}
    draft = path.with_suffix(".tmp")
    save_file(tensors, draft, metadata=facts)
    draft.replace(path)


def _restore(
    path: Path, weights: dict[str, Any], optimizer: torch.optim.Optimizer, same: dict[str, Any]
) -> tuple[list[float], float]:
    """Losses of the steps done, and the seconds that they took."""
    if not path.is_file():
        return [], 0.0
    try:
        with safe_open(path, "pt") as file:
            facts = file.metadata()
            kept = json.loads(facts["same"])
            if kept != same:
                differ = ", ".join(sorted(key for key in same if kept.get(key) != same[key]))
                raise ValueError(f"it is of another training ({differ}: {facts['same'][:300]})")
            with torch.no_grad():
                for name, weight in weights.items():
                    weight.copy_(file.get_tensor(f"weight/{name}"))
                    optimizer.state[weight] = {
                        key: file.get_tensor(f"{key}/{name}") for key in ("step", "exp_avg", "exp_avg_sq")
                    }
            return list(json.loads(facts["losses"])), float(facts["seconds"])
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise ValueError(f"{path} cannot be gone on with: {error}; delete it, or give another --out") from error
