"""The examples in the docstrings are run as they stand."""

import doctest
import importlib

import pytest

KERNEL = ("agent", "budget", "chains", "critic", "planner", "residual", "search", "searcher", "selection", "steps")
MODULES = [*KERNEL, "trace", "tree", "models.scripted", "tasks.data", "tasks.encyclopedia", "tasks.lookup"]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    module = importlib.import_module(f"bavt_minimal.{name}")
    done = doctest.testmod(module, optionflags=doctest.ELLIPSIS)
    assert done.attempted and not done.failed
