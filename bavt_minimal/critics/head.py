"""A small network on the model's hidden states that says how much the last step added.

Source: implementation guide, `ResidualValuePredictor` and `CriticHead`. The states come with the samples while these
are drawn, so judging costs no forward pass of the model. No weight of the model is changed.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ..budget import Ledger
from ..checks import check_count, check_range
from ..models.adapters import SHIPPED, read_card
from ..models.weights import WeightsError, sha256
from ..residual import residual
from ..steps import LanguageModel, Step
from .path import path_residuals

Array = NDArray[np.float32]
WEIGHTS, CARD = "head.safetensors", "card.json"
HELD_OUT = 0.1  # share of the rows, the last ones, on which training is stopped
PATIENCE = 4  # epochs without a better loss there


class ResidualValuePredictor(nn.Module):
    """Linear(H, 2H), ReLU, Linear(2H, 1), as in the guide: (B, H) -> (B, 1), the log-odds that the step is right."""

    def __init__(self, hidden_dim: int) -> None:
        super().__init__()
        self.hidden_dim: int = check_count("hidden_dim", hidden_dim, least=1)
        self.layers: nn.Sequential = nn.Sequential(
            nn.Linear(hidden_dim, 2 * hidden_dim), nn.ReLU(), nn.Linear(2 * hidden_dim, 1)
        )

    def forward(self, states: Tensor) -> Tensor:
        """(B, H) -> (B, 1)."""
        return cast(Tensor, self.layers(states))


class CriticHead:
    """A critic that reads the hidden state at the step's last token, of one layer or of several side by side.

    `layers` are numbered as in `LanguageModel.encode`; pass them to the search too (`layers=head.layers`), so that
    samples bring their states along. `predictor` must take `hidden_size * len(layers)` numbers; None: a new one, drawn
    from seed 0, to be fitted. `CriticHead.load(model)` has the shipped one.
    """

    model: LanguageModel
    scale: float

    def __init__(
        self,
        model: LanguageModel,
        predictor: ResidualValuePredictor | None = None,
        layers: Sequence[int] = (24,),
        scale: float = 0.4,
    ) -> None:
        if not layers:
            raise ValueError("layers must name one layer or more, got none")
        self.model, self.scale = model, check_range("scale", scale, 0.0, 1.0)
        self.layers: tuple[int, ...] = tuple(check_count("layers", layer) for layer in layers)
        deepest = getattr(model, "n_layers", max(self.layers))
        if max(self.layers) > deepest:
            raise ValueError(f"layers must be 0 .. {deepest} for {model.name}, got {self.layers}")
        size = hidden_size(model) * len(self.layers)
        if predictor is None:
            with torch.random.fork_rng():
                torch.manual_seed(0)
                predictor = ResidualValuePredictor(size)
        if predictor.hidden_dim != size:
            raise ValueError(
                f"predictor takes {predictor.hidden_dim} numbers, and {len(self.layers)} layer(s) of {model.name} have"
                f" {size}: give the layers that it was fitted on"
            )
        self.predictor: ResidualValuePredictor = predictor.eval()

    def __repr__(self) -> str:
        """Goes into a trace's header: another fit is another critic."""
        return f"CriticHead(layers={self.layers}, scale={self.scale:g}, weights={self.digest()[:12]})"

    def __call__(self, steps: Sequence[Step], ledger: Ledger) -> list[float]:
        """Residuals in [-scale, scale]. Free if the states came with the samples; else see `states`."""
        return path_residuals(self.probabilities(steps, ledger), self.scale, steps)

    def probabilities(self, steps: Sequence[Step], ledger: Ledger) -> list[float]:
        """How likely each step is right; .5 for states that are not numbers."""
        return self.judge(self.states(steps, ledger)) if steps else []

    def estimate_residual_value(self, trajectory_text: str) -> float:
        """The residual in [-scale, scale] of the last step of a text (guide), which ends with that step's answer."""
        if not self.model.count_tokens(trajectory_text):
            raise ValueError("trajectory_text must have at least one token, got an empty text")
        return residual(self.judge(self._read(trajectory_text)[None])[0], self.scale)

    def states(self, steps: Sequence[Step], ledger: Ledger) -> Array:
        """Hidden states (N, D) at each step's last token, layers side by side.

        A sample without them (after a resume, or drawn with other `layers`) is read again, and its prompt tokens are
        the critic's. Raises BudgetExceeded if these are charged and too many.
        """
        rows = []
        for step in steps:
            found = step.sample.hidden
            if all(layer in found for layer in self.layers):
                rows.append(np.concatenate([np.asarray(found[layer], np.float32) for layer in self.layers]))
                continue
            text = f"{step.prompt} {step.text}" if step.text else step.prompt
            with ledger.reserve("critic", prompt_tokens=self.model.count_tokens(text)):
                rows.append(self._read(text))
        return np.stack(rows)

    @torch.inference_mode()
    def judge(self, states: ArrayLike) -> list[float]:
        """Probabilities of states (N, D); .5 for a state that is not all numbers."""
        rows = check_states(states, self.predictor.hidden_dim)
        odds = self.predictor(torch.from_numpy(rows)).squeeze(-1).double()
        return [float(p) for p in torch.nan_to_num(odds, nan=0.0).sigmoid()]

    def fit(self, features: ArrayLike, targets: ArrayLike, seed: int = 0, **options: Any) -> None:
        """Replace the predictor by one fitted to features (N, D) and targets (N,); see `fit_predictor`."""
        self.predictor = fit_predictor(check_states(features, self.predictor.hidden_dim), targets, seed, **options)

    def digest(self) -> str:
        """SHA-256 of the predictor's numbers."""
        return hashlib.sha256(b"".join(w.numpy().tobytes() for w in self.predictor.state_dict().values())).hexdigest()

    def save(self, folder: str | os.PathLike[str], **facts: Any) -> dict[str, Any]:
        """Write the weights and their card, `facts` included, to `folder`. Returns the card."""
        out = Path(folder)
        out.mkdir(parents=True, exist_ok=True)
        save_file({name: w.contiguous() for name, w in self.predictor.state_dict().items()}, out / WEIGHTS)
        card: dict[str, Any] = {"role": "head", "base": self.model.name, "sha256": sha256(out / WEIGHTS)}
        card |= {"layers": list(self.layers), "hidden_dim": self.predictor.hidden_dim, "scale": self.scale, **facts}
        (out / CARD).write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
        return card

    @classmethod
    def load(cls, model: LanguageModel, source: str | os.PathLike[str] = "head") -> CriticHead:
        """The shipped head ("head"), or one that `save` wrote to a folder.

        Raises FileNotFoundError, `WeightsError` for damaged files, ValueError for another base model or shape.
        """
        folder = find_head(source)
        card = read_card(folder, model.name, WEIGHTS)
        try:
            layers, scale, size = tuple(card["layers"]), card["scale"], int(card["hidden_dim"])
            weights = load_file(folder / WEIGHTS)
        except (KeyError, TypeError, ValueError, SafetensorError) as error:
            raise WeightsError(f"head {folder} is damaged ({error!r}): fit it again") from error
        # A size that is made up could ask for any memory.
        if size not in {n for w in weights.values() for n in w.shape}:
            raise ValueError(f"head {folder}: the weights do not have the shapes of its card: no {size} in them")
        predictor = ResidualValuePredictor(size)
        try:
            predictor.load_state_dict(weights)
        except RuntimeError as error:
            raise ValueError(f"head {folder}: the weights do not have the shapes of its card: {error}") from error
        return cls(model, predictor, layers, scale)

    def _read(self, text: str) -> Array:
        (found,) = self.model.encode([text], self.layers)
        return np.concatenate([np.asarray(found[layer][-1], np.float32) for layer in self.layers])


def fit_predictor(
    features: ArrayLike,
    targets: ArrayLike,
    seed: int = 0,
    epochs: int = 40,
    batch: int = 128,
    learning_rate: float = 3e-4,
) -> ResidualValuePredictor:
    """Fit a predictor to features (N, D) and residual targets (N,) in [-1, 1]; seconds on a CPU.

    Binary cross-entropy on (target + 1) / 2. The last tenth of the rows says when to stop, so rows should come world by
    world. Features are standardized; the first layer takes that in, so that the result wants raw states.
    """
    x = torch.from_numpy(check_states(features))
    wanted = torch.from_numpy(check_targets(targets, len(x)))[:, None]
    held = max(1, int(len(x) * HELD_OUT))
    center, spread = x[:-held].mean(0), x[:-held].std(0).clamp_min(1e-6)
    x = (x - center) / spread
    with torch.random.fork_rng():
        torch.manual_seed(check_count("seed", seed))
        predictor = ResidualValuePredictor(x.shape[1])
        optimizer = torch.optim.AdamW(predictor.parameters(), lr=learning_rate, weight_decay=0.0)
        loss_of, best, kept, waited = nn.BCEWithLogitsLoss(), float("inf"), copy.deepcopy(predictor.state_dict()), 0
        for _ in range(check_count("epochs", epochs, least=1)):
            for rows in torch.randperm(len(x) - held).split(check_count("batch", batch, least=1)):
                optimizer.zero_grad()
                loss_of(predictor(x[rows]), wanted[rows]).backward()
                optimizer.step()
            with torch.no_grad():
                loss = float(loss_of(predictor(x[-held:]), wanted[-held:]))
            waited += 1
            if loss < best:
                best, kept, waited = loss, copy.deepcopy(predictor.state_dict()), 0
            if waited == PATIENCE:
                break
    predictor.load_state_dict(kept)
    with torch.no_grad():
        first = cast(nn.Linear, predictor.layers[0])
        first.weight.div_(spread)
        first.bias.sub_(first.weight @ center)
    return predictor.eval()


def hidden_size(model: LanguageModel) -> int:
    """Numbers in one hidden state. Raises TypeError for a model that does not say."""
    size = getattr(model, "hidden_size", None)
    if not isinstance(size, int):
        raise TypeError(f"model must have an attribute hidden_size for a head to read its states, got {model!r:.100}")
    return size


def check_states(states: ArrayLike, size: int | None = None) -> Array:
    """Return `states` as float32 (N, D), N > 0; raise ValueError for another shape."""
    rows = np.array(states, dtype=np.float32, ndmin=2)  # a copy, which torch may write to
    if rows.ndim != 2 or not rows.size or size not in (None, rows.shape[1]):
        raise ValueError(f"states must be (N, {size or 'D'}), N > 0, got shape {rows.shape}")
    return rows


def check_targets(targets: ArrayLike, count: int) -> Array:
    """Return `targets` as float32 (N,) in [0, 1], from residuals in [-1, 1]; raise ValueError for anything else."""
    found = np.asarray(targets, dtype=np.float32)
    if found.shape != (count,) or not (np.abs(found) <= 1).all():
        raise ValueError(f"targets must be {count} numbers in [-1, 1], got shape {found.shape}: {found!r:.80}")
    if count < 2:
        raise ValueError("targets must be 2 or more, got 1: one is held out")
    return np.asarray((found + 1) / 2, np.float32)


def find_head(source: str | os.PathLike[str] = "head") -> Path:
    """The folder of the shipped head ("head"), or the folder given. Raises FileNotFoundError if it holds no head."""
    folder = SHIPPED / "head" if source == "head" else Path(source).expanduser()
    for name in (WEIGHTS, CARD):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"head {os.fspath(source)!r}: no {name} in {folder}; `bavt train head` writes one")
    return folder
