"""Training of the weights in `infinity_assets/scoring/domain.npz`.

    python -m infinity_assets_tests.benchmarks.train_domain SOURCES

The training rows are: sources whose licence permits it (MIT, Apache-2.0, CC0, BSD, CC BY-SA), labelled by source, file
or task name; rows of one of them whose first words leave no doubt; and requests made from domain_phrases.yaml, which
cover Chinese where the sources do not. The weights belong to hashes and contain no text. Rows labelled by hand
(domain_labels.csv) are left out. The same sources give the same weights.
"""

import itertools
from pathlib import Path

import numpy as np
import polars as pl
import yaml
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression

from infinity_assets.rows.domains import DOMAINS
from infinity_assets.scoring import domain
from infinity_assets_tests.benchmarks.language_and_domain import first_of, hand_labels, rows_of, text_key
from infinity_assets_tests.benchmarks.measuring import parser

_PER_LABEL = 8000
"""Maximum number of rows per source and domain."""
_PER_PHRASE = 25
"""Requests made from a phrase."""
_MADE_WEIGHT = 1.5
"""Weight of a domain's made requests, relative to a source with the same number of rows."""
_STRENGTH = 5.0
"""Inverse of the regularization."""
_PRIOR = {"math": -0.3, "code": -0.3, "knowledge": 0.3, "chat": 0.0}
"""Added to the biases: all domains weigh the same in training, but knowledge is the most frequent in the pool."""

_FILE, _PROMPT = pl.col("file"), pl.col("prompt")
_TOOL = r"(?s)toolformer access:\s*(?:{})"
_TOOLS = first_of(
    math=_PROMPT.str.contains(_TOOL.format("wolfram|calculator")),
    code=_PROMPT.str.contains(_TOOL.format("shell|terminal")),
    knowledge=_PROMPT.str.contains(_TOOL.format("news|search|wikipedia|wikisearch|weather")),
)
_MADE_OF = yaml.safe_load(Path(__file__).with_name("domain_phrases.yaml").read_text(encoding="utf-8"))
_ANY_OF = {name: "|".join(alternatives) for name, alternatives in _MADE_OF["patterns"].items()}


def _begins_with(name: str) -> pl.Expr:
    return _PROMPT.str.contains(rf"(?i)^\W*(?:{_ANY_OF[name]})\b")


_INTENT = first_of(
    code=_PROMPT.str.contains(rf"(?i)\b(?:{_ANY_OF['code']})\b|```"),
    math=_begins_with("math") & _PROMPT.str.contains(r"\d"),
    chat=_begins_with("chat"),
    knowledge=_begins_with("knowledge") & ~_PROMPT.str.contains(r"(?i)\b(?:you|your|my|i)\b"),
)
"""The domain of a request whose first words leave no doubt."""

LABELS: dict[str, pl.Expr] = {
    "gsm8k_train": pl.lit("math"),
    "smile_zh_multiturn": pl.lit("chat"),
    "sgd_train": pl.lit("chat"),
    "xquad_contexts": first_of(knowledge=~_FILE.str.contains("xquad.en")),
    "text_corpora": first_of(knowledge=_PROMPT.str.len_chars() > 40),
    "t0_train_50k": first_of(chat=_FILE.str.contains(_ANY_OF["writing"]), knowledge=pl.lit(True)),
    "gpteacher": pl.coalesce(
        first_of(code=_FILE.str.contains("codegen"), chat=_FILE.str.contains("roleplay.*json")),
        pl.when(_FILE.str.contains("dedupe-only")).then(_TOOLS),
    ),
    "chatterbot_corpus": first_of(
        chat=_FILE.str.contains(_ANY_OF["small_talk"]),
        knowledge=_FILE.str.contains("history|science|trivia|literature"),
    ),
    "self_instruct": pl.when(_FILE.str.contains("self_instruct_5k|seed_tasks")).then(_INTENT),
}
"""Sources to learn from, with the label of a row; null skips the row."""


def made_requests() -> pl.DataFrame:
    """Return requests from every phrase with several topics, without answers: source, prompt, answer, label."""
    generator = np.random.default_rng(0)
    rows = []
    for label, languages in _MADE_OF["phrases"].items():
        for language, phrases in languages.items():
            for phrase, _ in itertools.product(phrases, range(_PER_PHRASE)):
                filled = phrase
                while "{}" in filled:
                    filled = filled.replace("{}", str(generator.choice(_MADE_OF["topics"][language])), 1)
                for mark, things in _MADE_OF["things"].items():
                    filled = filled.replace(f"{{{mark}}}", str(generator.choice(things)))
                for mark in "abc":
                    filled = filled.replace(f"{{{mark}}}", str(generator.integers(2, 300)))
                rows.append(("made", filled, None, label))
    schema = pl.Schema({"source": pl.String, "prompt": pl.String, "answer": pl.String, "label": pl.String})
    return pl.DataFrame(rows, schema=schema, orient="row").unique(maintain_order=True)


def training_rows(sources: Path) -> pl.DataFrame:
    """Return the training rows: source, prompt, answer, label."""
    parts = []
    for at, (name, label) in enumerate(LABELS.items()):
        rows = rows_of(sources / name).with_columns(label.alias("label"), text_key(_PROMPT).alias("text"))
        rows = rows.join(hand_labels(), on=["source", "text"], how="anti").drop_nulls("label")
        rows = rows.sort("file", "position").sample(fraction=1, shuffle=True, seed=at)
        most = rows.group_by("label", maintain_order=True).head(_PER_LABEL)
        parts.append(most.select("source", "prompt", "answer", "label"))
    return pl.concat([*parts, made_requests()])


def train(rows: pl.DataFrame) -> dict[str, np.ndarray]:
    """Train and return the arrays of domain.npz.

    Every domain has the same weight; within it, the weight of a source is the square root of its number of rows.
    """
    # Half of the rows lose their answer, because many rows have no answer and the request alone must suffice.
    rows = rows.with_columns(pl.when(pl.int_range(pl.len()) % 2 == 0).then("answer").alias("answer"))
    buckets, owner = domain.features(rows)
    counts = np.maximum(np.bincount(owner, minlength=rows.height), 1)
    matrix = csr_matrix((1 / np.sqrt(counts[owner]), (owner, buckets)), shape=(rows.height, domain.BUCKETS))
    factor = pl.when(pl.col("source") == "made").then(_MADE_WEIGHT).otherwise(1)
    weighed = rows.with_columns(weight=pl.len().over("source", "label").cast(pl.Float64).pow(-0.5) * factor)
    weight = weighed.select(pl.col("weight") / pl.col("weight").sum().over("label")).to_series()
    labels = rows["label"].replace_strict({name: at for at, name in enumerate(DOMAINS)}, return_dtype=pl.Int64)
    model = LogisticRegression(C=_STRENGTH, max_iter=200, tol=1e-3)
    model.fit(matrix, labels.to_numpy(), sample_weight=weight.to_numpy() * rows.height / len(DOMAINS))
    scale = np.abs(model.coef_).max(axis=1) / 127
    return {
        "weights": np.round(model.coef_.T / scale).astype(np.int8),
        "scale": scale.astype(np.float32),
        "bias": np.add(model.intercept_, [_PRIOR[name] for name in DOMAINS]).astype(np.float32),
    }


def main() -> None:
    rows = training_rows(parser(__doc__, sources="folder whose subfolders are the sources").parse_args().sources)
    with pl.Config(tbl_rows=-1):
        print(rows.group_by("source", "label").len().sort("source", "label"))
    np.savez_compressed(domain.WEIGHTS, allow_pickle=False, **train(rows))
    print(f"{domain.WEIGHTS}: {domain.WEIGHTS.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
