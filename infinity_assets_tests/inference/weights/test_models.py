"""Only complete and correct weights are used."""

import json
import time

import pytest

from infinity_assets.durable import new_folder
from infinity_assets.errors import InfinityError
from infinity_assets.inference.weights import embedded, models
from infinity_assets.inference.weights.embedded import DownloadFailed
from infinity_assets.inference.weights.models import ModelMissing, fetch, local_path, slug
from infinity_assets.settings.models import EmbedderSpec, ModelSpec


def test_a_model_on_this_machine_is_not_fetched_again(models_dir, capsys):
    began = time.monotonic()
    folder = fetch(ModelSpec(), models_dir)
    assert capsys.readouterr().out == ""
    assert time.monotonic() - began < 0.1
    origin = json.loads((folder / "origin.json").read_text())
    assert (origin["licence"], origin["wheel_sha256"]) == ("Apache-2.0", embedded.WHEEL_SHA256)


def test_a_missing_model_names_the_command_that_fetches_it(tmp_path):
    for spec in (ModelSpec(), ModelSpec(model="Qwen/Qwen2.5-7B-Instruct"), EmbedderSpec(model="BAAI/bge-m3")):
        with pytest.raises(ModelMissing, match="infinity models fetch"):
            local_path(spec, tmp_path)


def test_a_model_can_be_a_folder(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    assert local_path(ModelSpec(model=str(folder)), tmp_path / "models") == folder
    assert fetch(ModelSpec(model=str(folder)), tmp_path / "models") == folder


def test_the_embedded_embedder_is_in_its_package(tmp_path):
    assert (local_path(EmbedderSpec(), tmp_path) / "model.safetensors").is_file()


def test_a_model_on_a_server_cannot_be_fetched(tmp_path):
    with pytest.raises(InfinityError, match="runs on a server"):
        fetch(ModelSpec(backend="openai", model="gpt"), tmp_path)


def test_a_file_with_another_hash_is_not_used(tmp_path, monkeypatch):
    def forged(folder, package):
        (folder / "llm.whl").write_bytes(b"something else")
        return folder / "llm.whl"

    monkeypatch.setattr(embedded, "download_wheel", forged)
    with pytest.raises(DownloadFailed, match="sha256"):
        fetch(ModelSpec(), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_fetch_that_dies_leaves_no_folder_and_can_be_repeated(tmp_path, monkeypatch):
    def half(folder):
        (folder / "config.json").write_text("{}")
        raise KeyboardInterrupt

    monkeypatch.setattr(models, "write_embedded_model", half)
    with pytest.raises(KeyboardInterrupt):
        fetch(ModelSpec(), tmp_path)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(models, "write_embedded_model", lambda folder: (folder / "config.json").write_text("{}"))
    assert fetch(ModelSpec(), tmp_path) == tmp_path / "smollm2-135m-instruct"


def test_the_first_of_two_concurrent_fetches_wins(tmp_path):
    with new_folder(tmp_path / "model") as slow:
        (slow / "who").write_text("slow")
        with new_folder(tmp_path / "model") as fast:
            (fast / "who").write_text("fast")
    assert (tmp_path / "model" / "who").read_text() == "fast"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_each_revision_has_its_own_folder():
    assert slug("Qwen/Qwen2.5-7B-Instruct") == "Qwen--Qwen2.5-7B-Instruct"
    assert slug("Qwen/Qwen2.5-7B-Instruct", "abc123") == "Qwen--Qwen2.5-7B-Instruct@abc123"
    assert "/" not in slug("/models/mine")
