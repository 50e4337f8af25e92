"""What several test packages share: the embedded model, and one whole run of the graph on the sample sources."""

import os
from pathlib import Path

import pytest

from infinity_assets.inference.weights.models import fetch
from infinity_assets.model_settings import ModelSpec
from infinity_assets_tests.project import Project, sources_arguments


@pytest.fixture(scope="session")
def models_dir() -> Path:
    """The models folder (INFINITY_MODELS, or data/models of the repository) with the embedded language model in it."""
    folder = Path(os.environ.get("INFINITY_MODELS", Path(__file__).parents[1] / "data" / "models")).absolute()
    fetch(ModelSpec(), folder)
    return folder


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Project:
    """The graph, run once from nothing with the embedded models."""
    made = Project(tmp_path_factory.mktemp("project"), models_dir)
    print(made.infinity("run", *sources_arguments()))
    return made
