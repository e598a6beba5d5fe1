"""How much of a search's time is spent outside the model, and its peak memory.

python benchmarks/overhead.py
"""

from __future__ import annotations

import resource
import time
from typing import Any

from bavt_minimal import Budget, BudgetAwareValueTreeSearch
from bavt_minimal.models import load_model
from bavt_minimal.tasks import Lookup, make_world


class Timed:
    """A model that keeps the time spent in it."""

    def __init__(self, model: Any):
        self.model, self.name, self.seconds = model, model.name, 0.0

    def __getattr__(self, verb: str) -> Any:
        def call(*args: Any, **options: Any) -> Any:
            began = time.perf_counter()
            try:
                return getattr(self.model, verb)(*args, **options)
            finally:
                self.seconds += time.perf_counter() - began

        return call


def main() -> None:
    began = time.perf_counter()
    model = Timed(load_model())
    print(f"model loaded in {time.perf_counter() - began:.1f} s")
    world, _ = make_world(0, questions=6)
    tool = Lookup(world.pages)
    total = 0.0
    for question in world.questions:
        search = BudgetAwareValueTreeSearch(model, budget=Budget(64, 16), tool=tool, stop_value=2.0)
        began = time.perf_counter()
        search.search(question.text, plan=question.plan)
        total += time.perf_counter() - began
    outside = total - model.seconds
    print(f"{len(world.questions)} searches of 64 tokens: {total:.1f} s, outside the model {outside / total:.1%}")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB (Linux)")


if __name__ == "__main__":
    main()
