"""Which folders make the pool: `data/sources` unless a run named another folder, which is then remembered in `data/pool.json`.

The file is what the command, the sensor and the assets agree on: they never see different pools.
"""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from infinity_assets.atomic import write_text
from infinity_assets.errors import InfinityError
from infinity_assets.reading.sources import find_sources

_FILE = "pool.json"

_LONGEST_NAME = 200
"""Of a source, in bytes: its files in the lake are named after it, with a suffix."""


class Pool(BaseModel):
    """The folders of a pool. Every subfolder of `sources` with data in it is a source, every subfolder of `benchmarks` a benchmark."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sources: Path
    benchmarks: Path
    only: tuple[str, ...] = ()
    """Names of the sources to take; empty for all."""

    @classmethod
    def load(cls, data: Path) -> "Pool":
        """The pool of a data folder."""
        file = data / _FILE
        if file.exists():
            return cls.model_validate_json(file.read_text(encoding="utf-8"))
        return cls(sources=data / "sources", benchmarks=data / "benchmarks")

    def save(self, data: Path) -> None:
        """Remember it, unless it is what would be assumed anyway."""
        file = data / _FILE
        if self == Pool(sources=data / "sources", benchmarks=data / "benchmarks"):
            file.unlink(missing_ok=True)
        else:
            write_text(self.model_dump_json(indent=1), file)

    def source_folders(self) -> dict[str, Path]:
        """The sources: name to folder, in the order of their names."""
        found = {folder.name: folder for folder in find_sources(self.sources)}
        unknown = sorted(set(self.only) - set(found))
        if unknown:
            raise InfinityError(
                f"{self.sources} has no source named {', '.join(unknown)}; it has {', '.join(found) or 'none'}."
            )
        taken = {name: folder for name, folder in found.items() if not self.only or name in self.only}
        for name in taken:
            check_name(name, self.sources)
        return taken

    def benchmark_folders(self) -> dict[str, Path]:
        """The benchmarks: name to folder, in the order of their names."""
        return {folder.name: folder for folder in find_sources(self.benchmarks)}


def check_name(name: str, where: Path) -> None:
    """Raise if no source in the folder `where` can be called that."""
    if not name.isprintable() or "\\" in name or "..." in name or len(name.encode()) > _LONGEST_NAME:
        raise InfinityError(
            f"{where}: a source cannot be called {name!r}: rename the folder (no control characters, no backslash, "
            f"no `...`, at most {_LONGEST_NAME} bytes)."
        )
