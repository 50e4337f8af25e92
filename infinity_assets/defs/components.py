"""Dagster components for the `defs.yaml` files of other projects."""

import shutil
from pathlib import Path
from typing import Annotated, Any

import dagster as dg
from pydantic import Field

from infinity_assets.defs.automation import register_sources
from infinity_assets.defs.resources import LakeResource
from infinity_assets.reading import folders
from infinity_assets.reading.sources import Source


class InstructionSource(dg.Component, dg.Resolvable, dg.Model):
    """An asset that makes a folder or file of instruction data a source of the pool.

    The asset links the data into the sources folder and registers the partition. The sensor `watch_sources` or the next
    run ingests the data. If `source` is set, materialize the asset again after you have added files to the folder.
    """

    path: Annotated[str, Field(description="Folder or file with the data, absolute or relative to the defs.yaml.")]
    name: Annotated[str | None, Field(description="Name of the source. Default: the name of the folder or file.")] = (
        None
    )
    source: Annotated[dict[str, Any], Field(description="Keys of `source.yaml`: licence, domain, language, ...")] = {}
    deps: Annotated[list[str], Field(description="Keys of the assets that write the data, such as `raw/faq`.")] = []
    key_prefix: Annotated[list[str], Field(description="Prefix of the asset's key.")] = ["instruction_sources"]

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Return the asset, which needs the resource `lake` from `infinity_assets.definitions.build_defs`."""
        path = (context.path / self.path).absolute()
        name = self.name or path.name.split(".")[0]
        declared = Source.model_validate({**self.source, "name": name, "path": path})

        @dg.asset(
            key=[*self.key_prefix, name],
            deps=[dg.AssetKey.from_user_string(key) for key in self.deps],
            description=f"The source `{name}` of the pool, from {self.path}.",
            metadata={"path": dg.MetadataValue.path(str(path)), "licence": declared.licence},
            automation_condition=dg.AutomationCondition.eager(),
        )
        def instruction_source(context: dg.AssetExecutionContext, lake: LakeResource) -> dg.MaterializeResult:
            put_source(lake.pool().sources, path, name, self.source)
            register_sources(context.instance, lake.pool(), lake.open())
            return dg.MaterializeResult(metadata={"files": len(folders.data_files(path)) if path.is_dir() else 1})

        return dg.Definitions(assets=[instruction_source])


def put_source(root: Path, path: Path, name: str, fields: dict[str, Any]) -> None:
    """Link the data at `path` into the sources folder `root` as the source `name`, in place of earlier links.

    Raises:
        InfinityError: The name or layout is invalid, `path` has no data, or the replaced folder has files of its own.
    """
    prepared = root / f".{name}.declared"
    shutil.rmtree(prepared, ignore_errors=True)
    try:
        # The links are replaced in an instant, because the sensor deletes the rows of a source that it does not find.
        new = folders.add(prepared, path, name, fields, copy=False)
        if (root / name).is_symlink() or (root / name).exists():
            folders.remove(root, name, delete=False)
        new.rename(root / name)
    finally:
        shutil.rmtree(prepared, ignore_errors=True)
