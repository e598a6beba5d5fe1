"""A causal language model from transformers behind the three verbs: sample, score, encode.

Three things make it quick on a CPU. A prompt is read once, whatever the number of candidates.
Keys and values of earlier prompts are kept, so that a new prompt pays only for what differs.
Partial sequences form a tree whose nodes are fed side by side in one row, each seeing the prompt
and its own ancestors (tree attention, as in SpecInfer, arXiv 2305.09781): samples that have
said the same so far share a node, and no copy of the prompt is made for each candidate.
"""

from __future__ import annotations

import copy
import inspect
import os
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache
from transformers.cache_utils import DynamicLayer
from transformers.utils import logging as transformers_logging

from ..checks import check_count, check_range
from ..steps import Sample
from .adapters import find_adapter, load_adapter, read_card, switch
from .request import check_sampling, check_text, check_texts, uniforms
from .weights import MODEL_NAME, WeightsError, fetch_default

Tokens = tuple[int, ...]  # token ids of a partial sequence, without its prompt
SAMPLES_AT_ONCE = 64  # bounds the logits and the tree held for one request
PATHS_AT_ONCE = 256  # bounds the logits (PATHS_AT_ONCE, vocabulary) held while scoring


class HFModel:
    """A transformers causal model with its tokenizer, in eval mode.

    `prefix_cache_tokens` bounds the prompts whose keys and values are kept, in tokens; 0 keeps
    none. A token costs 2 (key, value) x layers x key-value heads x head size x 4 bytes: 46 KB for
    SmolLM2-135M (30 x 3 x 64), so the default of 2048 tokens holds at most 94 MB.
    While it samples, each distinct token drawn costs as much again until the call returns.

    Counters, all in tokens: `prompt_tokens` asked for, `cached_prompt_tokens` of these found in
    the cache, `fed_tokens` that went through the model. Not for use by two threads at once.
    """

    model: Any
    tokenizer: Any
    fed_tokens: int

    def __init__(self, model: Any, tokenizer: Any, *, name: str = "", prefix_cache_tokens: int = 2048) -> None:
        self.prefix_cache_tokens: int = check_count("prefix_cache_tokens", prefix_cache_tokens)
        self.model, self.tokenizer = model.eval(), tokenizer
        self.name: str = name or str(getattr(model.config, "_name_or_path", "")) or "model"
        config = model.config.get_text_config()
        self.n_layers: int = config.num_hidden_layers
        self.hidden_size: int = config.hidden_size
        self.max_length: int | None = getattr(config, "max_position_embeddings", None)
        ends = getattr(model.generation_config, "eos_token_id", None)
        self._ends = {tokenizer.eos_token_id, *(ends if isinstance(ends, list) else [ends])}
        start = tokenizer.bos_token_id
        self.start_tokens: list[int] = [start] if start is not None and tokenizer("a").input_ids[0] == start else []
        self._known: OrderedDict[Tokens, list[tuple[torch.Tensor, torch.Tensor]]] = OrderedDict()
        self._last_only = "logits_to_keep" in inspect.signature(model.forward).parameters
        self.adapter = ""  # the name of the adapter that this view of the network switches on
        self.prompt_tokens = self.cached_prompt_tokens = self.fed_tokens = 0
        self._packs = self._can_pack()
        self.fed_tokens = 0

    def with_adapter(self, source: str | os.PathLike[str], strength: float = 1.0) -> HFModel:
        """The same network in another role: a LoRA adapter is switched on for this view's calls only.

        `source`: "critic" or "planner" (shipped), or a folder that `bavt train` wrote. `strength` in [0, 1] is what
        the adapter's part is multiplied by: 1 as it was trained, 0 the base model. The view has a prefix cache and
        counters of its own. Raises FileNotFoundError for a folder without an adapter, `WeightsError` for weights that
        are damaged or not those of the card, ValueError for another base model, shapes that do not fit or such a
        strength.
        """
        strength = check_range("strength", strength, 0.0, 1.0)
        folder = find_adapter(source)
        card = read_card(folder, self.name)
        name = str(card["sha256"])[:16]  # two folders of one name do not clash, and equal weights are loaded once
        if strength == 0.0:
            return self.view("")
        if strength != 1.0:  # an adapter of its own, so that views of other strengths are not touched
            name += f"x{strength!r}".replace(".", "_")  # a module's name has no point in it
        if name not in getattr(self.model, "peft_config", {}):
            try:
                rank = check_count("rank", card["recipe"]["rank"], least=1)
            except (KeyError, TypeError, ValueError) as error:
                raise WeightsError(f"adapter {folder}: card.json is damaged ({error}); train it again") from error
            load_adapter(self.model, name, folder, rank, strength)
        return self.view(name)

    def view(self, adapter: str) -> HFModel:
        """The same network with a loaded adapter switched on, or with none (""), and a cache of its own."""
        view = copy.copy(self)
        view.adapter, view._known = adapter, OrderedDict()
        view.prompt_tokens = view.cached_prompt_tokens = view.fed_tokens = 0
        return view

    def switch(self) -> None:
        """Make the network play this view's role; `sample`, `score` and `encode` do so themselves."""
        switch(self.model, self.adapter)

    # The verbs

    @torch.inference_mode()
    def sample(
        self,
        prompt: str,
        k: int,
        *,
        first: int = 0,
        seed: int = 0,
        max_new_tokens: int = 8,
        temperature: float = 0.8,
        top_k: int = 40,
        stop: Sequence[str] = ("\n",),
        layers: Sequence[int] = (),
    ) -> list[Sample]:
        """Draw continuations number `first` .. `first + k - 1` of `prompt`.

        Sample j depends on (seed, prompt, j) only, not on the batch; with a smaller
        `max_new_tokens` it is a prefix of the longer one. `temperature=0` is greedy, `top_k=0`
        keeps the whole vocabulary. A sample ends with the token that completes a stop string or
        is an end-of-sequence token; that token counts. `text` is cut before the stop string,
        rid of special tokens and of white space around it. `layers` are numbered as transformers'
        `output_hidden_states`: 0 the embeddings, n after block n. With `max_new_tokens=0`
        nothing is drawn and `hidden` is empty.
        """
        check_sampling(prompt, k, first, seed, max_new_tokens, temperature, top_k, stop)
        layers = self._check_layers(layers)
        ids = self._prompt_ids(prompt, max_new_tokens)
        if max_new_tokens == 0:
            return [Sample("", 0, (), False) for _ in range(k)]
        samples: list[Sample] = []
        for start in range(first, first + k, SAMPLES_AT_ONCE):
            numbers = range(start, min(start + SAMPLES_AT_ONCE, first + k))
            draws = {j: uniforms(seed, prompt, j, max_new_tokens) for j in numbers}
            samples += self._decode(_Tree(self, ids, layers), draws, temperature, top_k, stop)
        return samples

    @torch.inference_mode()
    def score(self, prompt: str, continuations: Sequence[str]) -> list[tuple[float, ...]]:
        """Return the log-probability of each token of each continuation after `prompt`.

        Natural logarithm, plain softmax. Prompt and continuation are split into tokens apart.
        """
        check_text("prompt", prompt)
        texts = [tuple(self.tokens(text)) for text in check_texts("continuations", continuations)]
        ids = self._prompt_ids(prompt, max(map(len, texts), default=0))
        if not any(texts):
            return [() for _ in texts]
        tree = _Tree(self, ids, ())
        follow: dict[Tokens, set[int]] = {}
        for text in texts:
            for i, token in enumerate(text):
                follow.setdefault(text[:i], set()).add(token)
        logprobs: dict[Tokens, float] = {}
        # In sorted order a path comes after its ancestors, which it needs in the cache.
        paths = sorted(follow)
        for at in range(0, len(paths), PATHS_AT_ONCE):
            block = paths[at : at + PATHS_AT_ONCE]
            for path, row in zip(block, tree.feed(block)[0], strict=True):
                total = row.logsumexp(-1)
                for token in follow[path]:
                    logprobs[(*path, token)] = float(row[token] - total)
        return [tuple(logprobs[text[: i + 1]] for i in range(len(text))) for text in texts]

    @torch.inference_mode()
    def encode(self, texts: Sequence[str], layers: Sequence[int]) -> list[dict[int, np.ndarray]]:
        """Return for each text a dict layer -> hidden states (T, H), float32, T its tokens."""
        chosen, found = self._check_layers(layers), []
        for text in check_texts("texts", texts):
            ids = self.start_tokens + self.tokens(text)
            if not ids or not chosen:
                found.append({n: np.zeros((len(ids), self.hidden_size), np.float32) for n in chosen})
                continue
            self._check_length(ids, 0)
            states = self._forward(torch.tensor([ids]), chosen, use_cache=False).hidden_states
            found.append({n: states[n][0].float().cpu().numpy() for n in chosen})
        return found

    def count_tokens(self, text: str) -> int:
        """Return the number of tokens of `text`, without special tokens added at its start."""
        return len(self.tokens(check_text("text", text)))

    # Decoding

    def _decode(
        self, tree: _Tree, draws: dict[int, np.ndarray], temperature: float, top_k: int, stop: Sequence[str]
    ) -> list[Sample]:
        done: dict[int, Sample] = {}
        active: dict[int, Tokens] = dict.fromkeys(draws, ())
        logprobs: dict[Tokens, tuple[float, ...]] = {(): ()}
        for position in range(max(map(len, draws.values()), default=0)):
            paths = list(dict.fromkeys(active.values()))
            logits, hidden = tree.feed(paths)
            totals = logits.logsumexp(-1)
            tables = _choices(logits, temperature, top_k)
            rows = {path: row for row, path in enumerate(paths)}
            cuts: dict[Tokens, str | None] = {}
            for j, path in list(active.items()):
                row = rows[path]
                tokens, cumulated = tables[row]
                draw = np.searchsorted(cumulated, draws[j][position] * cumulated[-1], "right")
                token = int(tokens[min(int(draw), len(tokens) - 1)])
                grown = active[j] = (*path, token)
                if grown not in cuts:
                    logprobs[grown] = (*logprobs[path], float(logits[row, token] - totals[row]))
                    cuts[grown] = self._cut(grown, stop)
                text = cuts[grown]
                if text is not None or position + 1 == len(draws[j]):
                    whole = self._tidy(self._text(grown) if text is None else text)
                    states = {n: states[row] for n, states in hidden.items()}
                    done[j] = Sample(whole, len(grown), logprobs[grown], text is not None, states)
                    del active[j]
            if not active:
                break
        return [done[j] for j in draws]

    def _cut(self, path: Tokens, stop: Sequence[str]) -> str | None:
        """Return the text before the stop if the sequence ends with its last token, else None."""
        ended = path[-1] in self._ends
        # The whole sequence each time: a stop string or a character may span tokens.
        text = self._text(path[:-1] if ended else path)
        places = [text.find(mark) for mark in stop if mark in text]
        return text[: min(places)] if places else text if ended else None

    def _text(self, path: Tokens) -> str:
        return self.tokenizer.decode(list(path), skip_special_tokens=False, clean_up_tokenization_spaces=False)

    def _tidy(self, text: str) -> str:
        for mark in self.tokenizer.all_special_tokens:
            text = text.replace(mark, "")
        return text.rstrip("\ufffd").strip()  # the cap may fall inside a character

    # Tokens and checks

    def tokens(self, text: str) -> list[int]:
        """Return the token ids of `text`, without special tokens added at its start."""
        return list(self.tokenizer(text, add_special_tokens=False).input_ids)

    def _prompt_ids(self, prompt: str, more: int) -> Tokens:
        ids = self.tokens(prompt)
        if ids[: len(self.start_tokens)] != self.start_tokens:
            ids = self.start_tokens + ids
        if not ids:
            raise ValueError("prompt is empty: give at least one token of text")
        self._check_length(ids, more)
        return tuple(ids)

    def _check_length(self, ids: Sequence[int], more: int) -> None:
        if self.max_length is not None and len(ids) + more > self.max_length:
            raise ValueError(
                f"prompt of {len(ids)} tokens and {more} new ones are more than the"
                f" {self.max_length} that {self.name} can read: shorten the prompt"
            )

    def _check_layers(self, layers: Sequence[int]) -> tuple[int, ...]:
        if isinstance(layers, str) or not hasattr(layers, "__iter__"):
            raise TypeError(f"layers must be a list or tuple of whole numbers, got {layers!r}")
        chosen = tuple(check_count("layers", layer) for layer in layers)
        if any(layer > self.n_layers for layer in chosen):
            raise ValueError(f"layers must be 0 .. {self.n_layers} for {self.name}, got {chosen}")
        return chosen

    # The network and its cache

    def _forward(self, ids: torch.Tensor, layers: Sequence[int], keep: int = 1, **more: Any) -> Any:
        self.switch()
        self.fed_tokens += ids.numel()
        if self._last_only:
            more["logits_to_keep"] = keep
        return self.model(input_ids=ids.to(self.model.device), output_hidden_states=bool(layers), **more)

    def _can_pack(self) -> bool:
        """Try tree attention on a toy tree: not every architecture takes such a mask."""
        empty = DynamicCache(config=self.model.config)
        if not empty.layers or any(type(layer) is not DynamicLayer for layer in empty.layers):
            return False
        paths, found = [(4,), (5,), (4, 6), (5, 6), (4, 6, 7)], []
        with torch.inference_mode():
            for packs in (True, False):
                self._packs = packs
                try:
                    found.append(_Tree(self, (1, 2, 3), (), remember=False).feed(paths)[0])
                except (TypeError, ValueError, RuntimeError, IndexError, AttributeError):
                    return False
        packed, plain = found
        return bool((packed - plain).abs().max() <= 0.03 * plain.std())

    def _recall(self, ids: Tokens) -> tuple[int, DynamicCache]:
        """Return how many tokens of `ids` are known, and a cache that holds these."""
        cache, length, best = DynamicCache(config=self.model.config), 0, None
        wanted = np.array(ids)
        for known in self._known:
            n = min(len(known), len(ids) - 1)  # the last token is fed, for its logits
            differ = np.flatnonzero(np.array(known[:n]) != wanted[:n])
            n = int(differ[0]) if len(differ) else n
            if n > length:
                length, best = n, known
        if best is not None:
            self._known.move_to_end(best)
            for layer, (keys, values) in zip(cache.layers, self._known[best], strict=True):
                # Views are safe: an update concatenates, it never writes in place.
                layer.lazy_initialization(keys, values)
                layer.keys, layer.values = keys[:, :, :length], values[:, :, :length]
        return length, cache

    def _remember(self, ids: Tokens, cache: DynamicCache) -> None:
        if len(ids) > self.prefix_cache_tokens or ids in self._known:
            return
        for known in [known for known in self._known if ids[: len(known)] == known]:
            del self._known[known]
        self._known[ids] = [(layer.keys, layer.values) for layer in cache.layers]
        while sum(map(len, self._known)) > self.prefix_cache_tokens:
            self._known.popitem(last=False)


class _Tree:
    """A prompt and the partial sequences grown from it, one cache slot for each token."""

    def __init__(self, host: HFModel, ids: Tokens, layers: Sequence[int], remember: bool = True) -> None:
        self.host, self.ids, self.layers = host, ids, layers
        self.slots: dict[Tokens, int] = {}
        host.prompt_tokens += len(ids) if remember else 0
        if not host._packs:
            return
        known, self.cache = host._recall(ids) if remember else (0, DynamicCache(config=host.model.config))
        out = host._forward(torch.tensor([ids[known:]]), layers, past_key_values=self.cache)
        self.root = self._last(out, 1)
        if remember:
            host.cached_prompt_tokens += known
            host._remember(ids, self.cache)

    def feed(self, paths: Sequence[Tokens]) -> tuple[torch.Tensor, dict[int, np.ndarray]]:
        """Return logits (R, V) on the CPU and hidden states layer -> (R, H) after each path."""
        if not self.host._packs:
            return self._feed_plainly(paths)
        new = [path for path in paths if path]
        if not new:
            return self.root
        past = len(self.ids) + len(self.slots)
        self.slots.update({path: past + i for i, path in enumerate(new)})
        model = self.host.model
        mask = torch.full((len(new), past + len(new)), torch.finfo(model.dtype).min)
        mask[:, : len(self.ids)] = 0
        for i, path in enumerate(new):
            mask[i, [self.slots[path[:n]] for n in range(1, len(path) + 1)]] = 0
        out = self.host._forward(
            torch.tensor([[path[-1] for path in new]]),
            self.layers,
            keep=len(new),
            past_key_values=self.cache,
            attention_mask=mask[None, None].to(model.device, model.dtype),
            position_ids=torch.tensor([[len(self.ids) + len(path) - 1 for path in new]]).to(model.device),
        )
        logits, hidden = self._last(out, len(new))
        if len(new) == len(paths):
            return logits, hidden
        # The prompt itself is asked for only when scoring, where it sorts first.
        return torch.cat([self.root[0], logits]), {}

    def _feed_plainly(self, paths: Sequence[Tokens]) -> tuple[torch.Tensor, dict[int, np.ndarray]]:
        """The same without any cache: slow, and right for every causal architecture."""
        logits: list[Any] = [None] * len(paths)
        hidden: dict[int, list[Any]] = {n: [None] * len(paths) for n in self.layers}
        for length in sorted({len(path) for path in paths}):
            rows = [row for row, path in enumerate(paths) if len(path) == length]
            ids = torch.tensor([self.ids + paths[row] for row in rows])
            out = self.host._forward(ids, self.layers, use_cache=False)
            for i, row in enumerate(rows):
                logits[row] = out.logits[i, -1].float().cpu()
                for n in self.layers:
                    hidden[n][row] = out.hidden_states[n][i, -1].float().cpu().numpy()
        return torch.stack(logits), {n: np.stack(rows) for n, rows in hidden.items()}

    def _last(self, out: Any, count: int) -> tuple[torch.Tensor, dict[int, np.ndarray]]:
        states = {n: out.hidden_states[n][0, -count:].float().cpu().numpy() for n in self.layers}
        return out.logits[0, -count:].float().cpu(), states


def _choices(logits: torch.Tensor, temperature: float, top_k: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return for each row the tokens that may be drawn, by token id, and their cumulated weights.

    Order by id, not by probability: a tiny difference between two batch shapes then moves the
    bounds by as little and swaps nothing.
    """
    if temperature == 0:
        return [(np.array([int(row.argmax())]), np.ones(1)) for row in logits]
    size = logits.shape[-1]
    tokens = logits.topk(min(top_k or size, size)).indices.sort(-1).values
    scaled = logits.gather(-1, tokens).double().numpy()
    # Highest to 0 before the division, so that the smallest temperature cannot overflow upward.
    with np.errstate(over="ignore"):
        weights = np.exp((scaled - scaled.max(-1, keepdims=True)) / temperature)
    return list(zip(tokens.numpy(), weights.cumsum(-1), strict=True))


def load_model(
    source: str | os.PathLike[str] | None = None, *, device: str = "cpu", prefix_cache_tokens: int = 2048
) -> HFModel:
    """Load a causal language model in float32.

    `source`: None for the default (SmolLM2-135M-Instruct, fetched on the first call and offline
    from then on), a folder written by `save_pretrained`, or a model's id on the Hugging Face hub.
    Raises FileNotFoundError for a folder that is not there or holds no model, `WeightsError` when
    the weights cannot be had, ValueError for a model that is not a causal language model.
    """
    if source is not None and not isinstance(source, (str, os.PathLike)):
        raise TypeError(f"source must be None, a folder or a hub id, got {type(source).__name__}")
    check_count("prefix_cache_tokens", prefix_cache_tokens)
    if source is None:
        name, place, local = MODEL_NAME, str(fetch_default()), True
    else:
        name = place = os.fspath(source)
        folder = Path(place).expanduser()
        looks_local = isinstance(source, os.PathLike) or place.startswith((".", "/", "~", "\\"))
        local = looks_local or folder.is_dir() or not place
        if local:
            place = str(folder)
            if not place or not (folder / "config.json").is_file():
                raise FileNotFoundError(
                    f"source {name!r} is not a folder with a config.json: give a folder written by"
                    " save_pretrained, or a hub id such as HuggingFaceTB/SmolLM2-135M-Instruct"
                )
    bars = transformers_logging.is_progress_bar_enabled()
    if local:
        transformers_logging.disable_progress_bar()
    try:
        model = AutoModelForCausalLM.from_pretrained(place, dtype=torch.float32, local_files_only=local)
        tokenizer = AutoTokenizer.from_pretrained(place, local_files_only=local)
    except (OSError, SafetensorError) as error:
        hint = "is the folder complete?" if local else "is the id right, and the hub in reach?"
        raise WeightsError(f"could not load {name!r}: {hint} ({_first_line(error)})") from error
    except (ValueError, KeyError, ImportError) as error:
        raise ValueError(
            f"source {name!r} is not a causal language model that this transformers can load: {_first_line(error)}"
        ) from error
    finally:
        if bars:
            transformers_logging.enable_progress_bar()
    return HFModel(model.to(device), tokenizer, name=name, prefix_cache_tokens=prefix_cache_tokens)


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
