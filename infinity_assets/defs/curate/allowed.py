"""`allowed`: widely quoted texts, which are no evidence of contamination."""

from infinity_assets.catalog.lake import Outcome
from infinity_assets.decontamination.allowed import ALLOWED, FILE, SHIPPED, read_allowed_texts
from infinity_assets.defs.dataset import dataset
from infinity_assets.defs.step import Step
from infinity_assets.rows.ids import digest


def _allowed_files(step: Step) -> dict[str, str]:
    files = (SHIPPED, step.pool.benchmarks / FILE)
    return {
        file.name + str(place): digest(file.read_text(encoding="utf-8", errors="replace"))
        for place, file in enumerate(files)
        if file.is_file()
    }


@dataset(group="curate", files=_allowed_files, columns=ALLOWED, kinds=("polars", "parquet", "yaml"))
def allowed(step: Step) -> Outcome:
    """Widely quoted texts: a span inside one of them is no evidence that a row contains a benchmark item.

    Grain: one text. Key: name, text. The package contains a list; `allowed.yaml` in the benchmarks folder adds to it.
    """
    return Outcome(read_allowed_texts(step.pool.benchmarks))
