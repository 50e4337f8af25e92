"""The folders of the pool: those of the latest run, or by default `data/sources` and `data/benchmarks`.

The command, the sensor and the assets read them from `data/pool.json`, so they always see the same pool.
"""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from infinity_assets.atomic import write_text
from infinity_assets.errors import InfinityError
from infinity_assets.reading.sources import find_sources

_FILE = "pool.json"

_LONGEST_NAME = 200
"""Maximum length of a source's name in bytes; its files in the lake have this name and a suffix."""


class Pool(BaseModel):
    """The two folders of a pool. Each subfolder with data is a source or a benchmark."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sources: Path
    benchmarks: Path
    only: tuple[str, ...] = ()
    """Names of the sources to use; empty for all."""

    def select(self, names: str) -> "Pool":
        """Return the pool with only the sources that `names` lists, separated by commas; blank for all.

        The name of a source may hold commas itself. If a list can be read in two ways, the longer name counts.
        """
        known = {folder.name for folder in find_sources(self.sources)}
        parts = names.split(",")
        only = []
        while parts:
            joined = (",".join(parts[:size]).strip() for size in range(len(parts), 0, -1))
            name = next((name for name in joined if name in known), parts[0].strip())
            del parts[: max(name.count(",") + 1, 1)]
            only.append(name)
        wanted = tuple(filter(None, only))
        return self.model_copy(update={"only": wanted or ((names,) if names.strip() else ())})

    @classmethod
    def load(cls, data: Path) -> "Pool":
        """Load the pool of a data folder, or the default pool if none was saved."""
        file = data / _FILE
        if file.exists():
            return cls.model_validate_json(file.read_text(encoding="utf-8"))
        return cls(sources=data / "sources", benchmarks=data / "benchmarks")

    def save(self, data: Path) -> None:
        """Save the pool in a data folder, unless it is the default."""
        file = data / _FILE
        if self == Pool(sources=data / "sources", benchmarks=data / "benchmarks"):
            file.unlink(missing_ok=True)
        else:
            write_text(self.model_dump_json(indent=1), file)

    def source_folders(self) -> dict[str, Path]:
        """Return the folder of each source to use, keyed and sorted by name.

        Raises:
            InfinityError: `only` names an unknown source, or a name is not valid.
        """
        folders = {folder.name: folder for folder in find_sources(self.sources)}
        unknown = sorted(set(self.only) - set(folders))
        if unknown:
            raise InfinityError(
                f"{self.sources} has no source named {', '.join(unknown)}; it has {', '.join(folders) or 'none'}."
            )
        selected = {name: folder for name, folder in folders.items() if not self.only or name in self.only}
        for name in selected:
            check_name(name, self.sources)
        return selected

    def benchmark_folders(self) -> dict[str, Path]:
        """Return the folder of each benchmark, keyed and sorted by name."""
        return {folder.name: folder for folder in find_sources(self.benchmarks)}


def check_name(name: str, where: Path) -> None:
    """Raise `InfinityError` if `name` is not a valid name of a source in the folder `where`."""
    if not name.isprintable() or "\\" in name or "..." in name or len(name.encode()) > _LONGEST_NAME:
        raise InfinityError(
            f"{where}: a source cannot be called {name!r}: rename the folder (no control characters, no backslash, "
            f"no `...`, at most {_LONGEST_NAME} bytes)."
        )
