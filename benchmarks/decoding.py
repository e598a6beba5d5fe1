"""Time k candidates of one step through `HFModel.sample` against plain `generate` calls.

    python benchmarks/decoding.py [--repeats 7] [--k 8] [--tokens 8]

Every repetition has pages of its own behind the same worked examples, and times in turn: our decoding
with nothing cached, our decoding with the worked examples cached (as in a search), k plain `generate` calls,
and one call with `num_return_sequences=k`. All draw every sample at full length; only an end-of-sequence
token may end one. The last row is ours as the search uses it, stopping at the newline. Ratios are taken
within a repetition; medians are printed. Tokens per second include the reading of the prompt.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable

import torch

from bavt_minimal.models import HFModel, load_model

NAMES = ["Arlow", "Tarn", "Kessel", "Quill", "Oster", "Brand", "Varo", "Lund", "Mora", "Pell", "Sarn", "Dovel"]


def page(rng: random.Random) -> str:
    """Return a worked example of about 90 tokens, without its answer."""
    a, b, c, d, e, f = rng.sample(NAMES, 6)
    return (
        f"Page: {a} {b} was born in {c}, a town on the River {d}, and studied in {e} before moving to {f}. Today"
        f" {a} {b} works for {d} {e} after leaving {f} and Sons, and lives in {e} with a view of Mount {c}.\n"
        f"Question: Where was {a} {b} born?\nAnswer:"
    )


def timed(call: Callable[..., object], *arguments: object, **options: object) -> float:
    start = time.perf_counter()
    call(*arguments, **options)
    return time.perf_counter() - start


def measure(model: HFModel, repeats: int, k: int, tokens: int) -> None:
    rng = random.Random(0)
    shots = "".join(f"{page(rng)} {rng.choice(NAMES)}\n\n" for _ in range(4))
    cold = HFModel(model.model, model.tokenizer, name=model.name, prefix_cache_tokens=0)
    tokenizer = model.tokenizer

    def generate(prompt: str, count: int) -> torch.Tensor:
        inputs = tokenizer(prompt, return_tensors="pt", add_special_tokens=False)
        with torch.inference_mode():
            return model.model.generate(
                **inputs,
                do_sample=True,
                temperature=0.8,
                top_k=40,
                max_new_tokens=tokens,
                num_return_sequences=count,
                pad_token_id=tokenizer.pad_token_id,
            )

    names = ["ours, nothing cached", "ours, worked examples cached", f"{k} generate calls"]
    names += [f"1 call, num_return_sequences={k}", "ours, cached, stop at newline"]
    rows: dict[str, list[float]] = {name: [] for name in names}
    lengths, drawn = [], []
    for repeat in range(-1, repeats):  # the first one warms up and is not counted
        prompt, other = shots + page(rng), shots + page(rng)
        lengths.append(model.count_tokens(prompt))
        times = [
            timed(cold.sample, prompt, k, max_new_tokens=tokens, stop=()),
            timed(model.sample, prompt, k, max_new_tokens=tokens, stop=()),
            timed(lambda text: [generate(text, 1) for _ in range(k)], prompt),
            timed(generate, prompt, k),
            timed(model.sample, other, k, max_new_tokens=tokens),
        ]
        drawn.append(sum(s.tokens for s in model.sample(other, k, max_new_tokens=tokens)))
        if repeat >= 0:
            for name, taken in zip(names, times, strict=True):
                rows[name].append(taken)
    print(
        f"{model.name}, {torch.get_num_threads()} threads, prompts of {min(lengths)}-{max(lengths)} tokens, k={k},"
        f" {tokens} new tokens ({statistics.mean(drawn) / k:.1f} to the newline), medians of {repeats}"
    )
    print(f"{'':32}{'seconds':>9}{f'x vs {k} calls':>14}{'x vs 1 call':>13}{'tokens/s':>10}")
    plain, batched = rows[names[2]], rows[names[3]]
    for name, times in rows.items():
        against_plain = statistics.median(p / t for p, t in zip(plain, times, strict=True))
        against_batched = statistics.median(b / t for b, t in zip(batched, times, strict=True))
        seconds = statistics.median(times)
        speed = "" if "newline" in name else f"{k * tokens / seconds:10.0f}"
        print(f"{name:32}{seconds:9.3f}{against_plain:14.1f}{against_batched:13.1f}{speed}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--k", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=8)
    options = parser.parse_args()
    measure(load_model(), max(1, options.repeats), max(1, options.k), max(1, options.tokens))


if __name__ == "__main__":
    main()
