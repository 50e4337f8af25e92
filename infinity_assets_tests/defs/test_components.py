"""`InstructionSource`: a source that another project declares in YAML."""

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import dagster as dg
import pytest
import yaml

from infinity_assets.catalog.lake import Lake
from infinity_assets.defs.components import InstructionSource, put_source
from infinity_assets.defs.ingest.raw_pool import raw_pool
from infinity_assets.defs.resources import default_resources
from infinity_assets.errors import InfinityError

RECORD = '{"question": "What is a fjord?", "answer": "A bay."}\n'


@pytest.fixture
def declare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dg.Definitions]:
    """A function that loads a project whose `defs.yaml` declares a source."""
    folder = tmp_path / "declared_sources" / "faq"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "declared_sources", raising=False)

    def load(**attributes: object) -> dg.Definitions:
        kind = f"{InstructionSource.__module__}.{InstructionSource.__name__}"
        (folder / "defs.yaml").write_text(yaml.safe_dump({"type": kind, "attributes": attributes}))
        return dg.load_defs(import_module("declared_sources"), project_root=tmp_path)

    return load


def test_a_declared_source_gets_into_the_pool(declare: Callable[..., dg.Definitions], tmp_path: Path) -> None:
    (tmp_path / "faq").mkdir()
    (tmp_path / "faq" / "one.jsonl").write_text(RECORD)
    resources = default_resources(str(tmp_path / "data"))
    with dg.DagsterInstance.ephemeral() as instance:
        for licence in ("MIT", "CC0-1.0"):
            loaded = declare(path="../../faq", source={"licence": licence}, deps=["raw/faq"])
            asset = loaded.get_assets_def(["instruction_sources", "faq"])
            assert dg.materialize([asset], resources=resources, instance=instance).success
            assert dg.materialize([raw_pool], partition_key="faq", resources=resources, instance=instance).success
            assert Lake(tmp_path / "data").scan("raw_pool").collect()["licence"].to_list() == [licence]
        assert instance.get_dynamic_partitions("source") == ["faq"]
    assert asset.dependency_keys == {dg.AssetKey(["raw", "faq"])}


def test_an_unknown_key_of_the_source_is_an_error_when_the_definitions_load(
    declare: Callable[..., dg.Definitions],
) -> None:
    with pytest.raises(Exception, match=r"defs\.yaml") as caught:
        declare(path="faq", source={"license": "MIT"})
    assert "license" in str(caught.value.__cause__)


def test_files_of_the_pool_are_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "faq.jsonl").write_text(RECORD)
    own = tmp_path / "sources" / "faq" / "own.jsonl"
    own.parent.mkdir(parents=True)
    own.write_text(RECORD)
    with pytest.raises(InfinityError, match="files that exist only there"):
        put_source(tmp_path / "sources", tmp_path / "faq.jsonl", "faq", {})
    assert own.read_text() == RECORD
    assert [folder.name for folder in own.parents[1].iterdir()] == ["faq"]
