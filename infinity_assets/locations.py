"""Paths of the data folder and the models folder. They come from the environment, so that no settings are loaded."""

import os
from pathlib import Path


def data_dir() -> Path:
    """Return the data folder: INFINITY_DATA, or `data` in the working directory."""
    return Path(os.environ.get("INFINITY_DATA", "data")).absolute()


def models_dir() -> Path:
    """Return the folder of the models' weights: INFINITY_MODELS, or `models` in the data folder."""
    return Path(os.environ["INFINITY_MODELS"]).absolute() if "INFINITY_MODELS" in os.environ else data_dir() / "models"
