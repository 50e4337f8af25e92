"""Fixtures of reference models, and the order of tests that open an engine."""

from pathlib import Path

import pytest

from infinity_assets.inference.weights.models import local_path
from infinity_assets.settings.models import ModelSpec
from infinity_assets_tests.inference.plain import Plain


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run tests that open another model in vLLM last, so that the embedded one is opened only once."""
    items.sort(key=lambda item: "rewards_in_vllm" in getattr(item, "fixturenames", ()))


@pytest.fixture(scope="session")
def plain(models_dir: Path) -> Plain:
    """The embedded model in plain transformers."""
    return Plain(local_path(ModelSpec(), models_dir))


@pytest.fixture(scope="session")
def plain_tiny(tiny_model: Path) -> Plain:
    """The tiny model in plain transformers."""
    return Plain(tiny_model)
