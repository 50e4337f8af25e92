"""Accuracy and speed of language and domain detection: the tables of docs/language_and_domain.md.

    python -m infinity_assets_tests.benchmarks.language_and_domain SOURCES

The true language of a text is that of its file or folder (XQuAD, ChatterBot) or source. The true domain of a row is
labelled by hand (domain_labels.csv) or, in sources that the classifier has not seen, is that of the source, file or
task. Nothing is asserted here.
"""

import glob
import json
import time
from collections.abc import Collection
from hashlib import blake2b
from pathlib import Path

import polars as pl
import yaml
import zstandard

from infinity_assets.reading.sources import load_source
from infinity_assets.rows import conversation
from infinity_assets.scoring import domain, language
from infinity_assets_tests.benchmarks.measuring import parser
from infinity_assets_tests.reading.in_memory import read

_CHATTERBOT = {
    "bengali": "bn", "chinese": "zh", "dutch": "nl", "english": "en", "french": "fr", "german": "de", "hebrew": "he", "hindi": "hi",
    "hinglish": "hi-Latn", "indonesian": "id", "italian": "it", "japanese": "ja", "korean": "ko", "marathi": "mr", "oriya": "or",
    "persian": "fa", "portuguese": "pt", "russian": "ru", "spanish": "es", "swedish": "sv", "tamil": "ta", "telugu": "te", "thai": "th",
    "traditionalchinese": "zh", "turkish": "tr", "ukrainian": "uk", "urdu": "ur", "yoruba": "yo",
}  # fmt: skip
_BY_SOURCE = {"alpaca_en_head": "en", "gsm8k_train": "en", "carbonz0_alpaca_zh": "zh", "smile_zh_multiturn": "zh"}
_LENGTHS = [10, 20, 40, 80, 160]
"""Upper ends of the buckets, in characters."""
_PER_SOURCE = 4000
_OF_MANY_FILES = ("natural_instructions_v1", "alpaca_cot")
_SPEED_ROWS = 40_000


def first_of(**conditions: pl.Expr) -> pl.Expr:
    """Return the name of the first condition that is true, or null."""
    return pl.coalesce(pl.when(condition).then(pl.lit(name)) for name, condition in conditions.items())


_FILE = pl.col("file")
HELD_OUT: dict[str, pl.Expr] = {
    "alpaca_cot": first_of(math=_FILE.str.contains("aqua"), knowledge=pl.lit(True)),
    "natural_instructions_v1": first_of(knowledge=~_FILE.str.contains("winogrande|paraphras|story_gen")),
    "squad_dev_contexts": pl.lit("knowledge"),
    "probe_gsm8k_8shot": pl.lit("math"),
    "codealpaca": pl.lit("code"),
    "fastchat_dummy": pl.lit("chat"),
    "moss_sft_samples": first_of(math=_FILE.str.contains("calculator|equation_solver")),
    "alpaca_zh_hikariming": first_of(
        code=_FILE.str.contains("代码问题"),
        math=_FILE.str.contains("整数加减法"),
        knowledge=_FILE.str.contains("名词解释|传统诗词|学术问题|气候|三国"),
        chat=_FILE.str.contains("建议类|申请书|心得体会|翻译问题|情绪"),
    ),
}
"""Sources that the classifier was not trained on, with the label of a row; null skips the row."""


def rows_of(folder: Path, files: Collection[str] = ()) -> pl.DataFrame:
    """Return the rows of a source, or of the named files.

    Returns:
        source, file, position, prompt (all user turns), answer (the last).
    """
    source = load_source(folder)
    if files:
        source = source.model_copy(update={"include": tuple(glob.escape(file) for file in sorted(files))})
    texts = {"prompt": conversation.content_of("user"), "answer": conversation.answer()}
    return read(source).rows.select("source", "file", "position", **texts)


def text_key(prompt: pl.Expr) -> pl.Expr:
    """Return a hash of a prompt's lower-case letters, by which a hand label finds its row however the row is read."""
    letters = prompt.str.to_lowercase().str.replace_all(r"[^\p{L}]+", "")
    return letters.map_batches(_checksums, return_dtype=pl.String, is_elementwise=True)


def _checksums(letters: pl.Series) -> pl.Series:
    hashes = [None if text is None else blake2b(text.encode(), digest_size=8).hexdigest() for text in letters]
    return pl.Series(hashes, dtype=pl.String)


def hand_labels() -> pl.DataFrame:
    """Return the rows labelled by hand: source, file, position, text (a `text_key`), label, draw.

    The rows were drawn at random within each source. The phrases and settings of the classifier were chosen in view of
    the rows of draw 1, and after the requests of draw 2 had been read. Draw 3 was drawn and labelled when the weights
    were final.
    """
    return pl.read_csv(Path(__file__).with_name("domain_labels.csv"))


def labelled_rows(sources: Path, without: Collection[str] = ()) -> pl.DataFrame:
    """Return the hand labels whose rows are in the sources, except the sources `without`, with prompt and answer."""
    labels, parts = hand_labels(), []
    for (name,), group in labels.group_by("source", maintain_order=True):
        if name not in without and (sources / str(name)).is_dir():
            # A source may have hundreds of files; only files with a label are read.
            rows = rows_of(sources / str(name), set(group["file"]) if name in _OF_MANY_FILES else ())
            rows = rows.select("prompt", "answer", text=text_key(pl.col("prompt")))
            rows = rows.unique("text", keep="first", maintain_order=True).select("text", "prompt", "answer")
            parts.append(group.join(rows, on="text", maintain_order="left"))
    return pl.concat([labels.clear().with_columns(prompt=pl.lit(""), answer=pl.lit("")), *parts])


def held_out_rows(sources: Path) -> pl.DataFrame:
    """Return labelled rows of unseen sources, at most 1,000 of a part.

    Returns:
        source, part (file name or source), prompt, answer, label.
    """
    parts = []
    for name, label in HELD_OUT.items():
        if (sources / name).is_dir():
            by_file = name in ("alpaca_cot", "alpaca_zh_hikariming")
            part = _FILE.str.split("/").list.last() if by_file else pl.col("source")
            rows = rows_of(sources / name).with_columns(label.alias("label"), part.alias("part")).drop_nulls("label")
            rows = rows.sort("file", "position").sample(fraction=1, shuffle=True, seed=0)
            most = rows.group_by("part", maintain_order=True).head(1000)
            parts.append(most.select("source", "part", "prompt", "answer", "label"))
    return pl.concat(parts)


def language_texts(sources: Path, without: Collection[str] = ()) -> pl.DataFrame:
    """Return the distinct texts with a known language, except from the sources `without`: kind, tag, text."""
    rows = [*_xquad(sources / "xquad_contexts"), *_chatterbot(sources / "chatterbot_corpus")]
    for name, tag in _BY_SOURCE.items():
        if name not in without and (sources / name).is_dir():
            table = rows_of(sources / name).sort("file", "position")
            sample = table.sample(min(_PER_SOURCE, table.height), seed=0)
            for prompt, answer in sample.select("prompt", "answer").rows():
                rows += [(f"{name}: prompts", tag, prompt), (f"{name}: rows", tag, f"{prompt}\n\n{answer or ''}")]
    texts = pl.DataFrame(rows, schema=["kind", "tag", "text"], orient="row")
    return texts.unique(maintain_order=True)


def _xquad(folder: Path):
    for file in sorted(folder.glob("xquad.*.zst")):
        with zstandard.open(file) as stream:
            articles = json.load(stream)["data"]
        for paragraph in (paragraph for article in articles for paragraph in article["paragraphs"]):
            yield "XQuAD contexts", file.name.split(".")[1], paragraph["context"]
            for question in paragraph["qas"]:
                yield "XQuAD questions", file.name.split(".")[1], question["question"]


def _chatterbot(folder: Path):
    for file in sorted(folder.glob("*/*.yml")):
        for talk in yaml.load(file.read_text(encoding="utf-8"), yaml.CSafeLoader)["conversations"]:
            turns = [turn for turn in talk if isinstance(turn, str)] if isinstance(talk, list) else []
            yield from (("ChatterBot turns", _CHATTERBOT[file.parent.name], turn) for turn in turns)
            yield "ChatterBot rows", _CHATTERBOT[file.parent.name], "\n\n".join(turns)


def main() -> None:
    sources = parser(__doc__, sources="folder whose subfolders are the sources").parse_args().sources
    pl.Config(tbl_rows=-1, tbl_cols=-1, tbl_hide_column_data_types=True, tbl_hide_dataframe_shape=True)
    pl.Config(fmt_str_lengths=60)

    texts = language_texts(sources)
    began = time.process_time()
    told = texts.with_columns(language.detect(pl.col("text")).alias("told"))
    print(f"language: {texts.height / (time.process_time() - began):,.0f} texts/s of one core")
    told = told.with_columns((pl.col("told") == pl.col("tag")).alias("right"), (pl.col("told") == "und").alias("und"))
    right, und = pl.col("right").mean().round(4), pl.col("und").mean().round(4)
    print(told.group_by("kind").agg(pl.len(), right, und).sort("kind"))
    by_tag = told.group_by("kind", "tag").agg(pl.len(), right)
    print(by_tag.pivot("kind", index="tag", values="right", sort_columns=True).sort("tag"))
    length = pl.col("text").str.len_chars()
    length = pl.coalesce(
        *(pl.when(length <= most).then(pl.lit(f"up to {most:>3}")) for most in _LENGTHS), pl.lit("up to any")
    )
    print(told.group_by(length.alias("characters"), "kind").agg(pl.len(), right).sort("kind", "characters"))

    labelled = labelled_rows(sources).with_columns(domain.classify(pl.col("prompt"), pl.col("answer")).alias("told"))
    labelled = labelled.with_columns(
        (pl.col("told") == pl.col("label")).alias("right"), (~pl.col("source").is_in(list(HELD_OUT))).alias("seen")
    )
    right = pl.col("right").mean().round(3)
    print(f"domain: {labelled.height} of {hand_labels().height} labelled rows found")
    print(labelled.group_by("draw").agg(pl.len(), right).sort("draw"))
    print(labelled.group_by("draw", "source").agg(right).pivot("draw", index="source", values="right").sort("source"))
    for (draw,), rows in sorted(labelled.group_by("draw")):
        print(f"draw {draw}: a line is the true domain")
        counts = rows.group_by("label", "told").len()
        print(counts.pivot("told", index="label", values="len", sort_columns=True).fill_null(0).sort("label"))
    held_out = held_out_rows(sources).with_columns(domain.classify(pl.col("prompt"), pl.col("answer")).alias("told"))
    held_out = held_out.with_columns((pl.col("told") == pl.col("label")).alias("right"))
    print(held_out.group_by("source", "part", "label").agg(pl.len(), right).sort("source", "part"))
    pairs = pl.concat([held_out, held_out, held_out, held_out]).head(_SPEED_ROWS)
    began = time.process_time()
    pairs.select(domain.classify(pl.col("prompt"), pl.col("answer")))
    print(f"domain: {pairs.height / (time.process_time() - began):,.0f} rows/s of one core")


if __name__ == "__main__":
    main()
