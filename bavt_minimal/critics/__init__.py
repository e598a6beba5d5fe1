"""Critics that were fitted or prompted, their calibration and their evaluation. The kernel imports none of them.

Each has two methods: `probabilities(steps, ledger)`, how likely each step is right, and `__call__`, the residuals
`scale * (2p - 1)` that the search takes.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .agent import load_critic, trained_agent

__all__ = ["load_critic", "trained_agent"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from . import agent  # here, so that one critic can be imported without the rest

        return getattr(agent, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
