"""What several test packages share: the embedded model, fetched once into the models folder."""

import os
from pathlib import Path

import pytest

from infinity_assets.inference.models import fetch
from infinity_assets.settings import ModelSpec


@pytest.fixture(scope="session")
def models_dir() -> Path:
    """The models folder (INFINITY_MODELS, or data/models of the repository) with the embedded language model in it."""
    folder = Path(os.environ.get("INFINITY_MODELS", Path(__file__).parents[1] / "data" / "models")).absolute()
    fetch(ModelSpec(), folder)
    return folder
