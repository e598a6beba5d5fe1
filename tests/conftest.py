"""The real model, loaded once. On a fresh machine this fetches and converts it: the end-to-end test."""

from __future__ import annotations

import pytest

from bavt_minimal.models.hf import HFModel, load_model


@pytest.fixture(scope="session")
def real_model() -> HFModel:
    return load_model()
