"""Semantic de-duplication: contents with the same meaning in other words (SemDeDup, arXiv 2303.09540, without its
clusters).

A content has two vectors, of its prompt (user turns) and of its answer (assistant turns; the prompt again if there is
no answer). The similarity of two contents is the lower of the two cosines, so that neither a long prompt hides another
answer nor an answer another prompt. A content is not judged if its vectors are not reliable: its prompt is longer than
the embedder reads, or a text consists of unknown tokens. Details to which vectors are blind are compared literally, as
`facts`.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import polars as pl

from infinity_assets.dedup.close_pairs import Pairs, concat_pairs, find_close_pairs, keep_strongest
from infinity_assets.inference.engines.embedder import Embedder
from infinity_assets.rows import conversation
from infinity_assets.rows.ids import digest
from infinity_assets.rows.text import tokens

PAIRS = pl.Schema({"a": pl.String, "b": pl.String, "similarity": pl.Float32})
"""A pair of contents, by content hash, a < b, and the smaller cosine of their prompts and their answers. Sorted by a
and b."""

_NUMBER = (
    r"\p{Nd}+(?:[.,]\p{Nd}+)*"
    r"|\b(?:two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|hundred|thousand|million|billion)\b"
    r"|[二两三四五六七八九十百千]"
)
_NEGATION = r"\b(?:not|no|never|without|none|nor|neither|cannot)\b|n['’]t\b|[不没無无非勿未别]"
_SHORT = 5
"""An answer of at most this many tokens (a label, a number, a name) is a fact: vectors hardly distinguish such
answers."""


def embedding_schema(width: int) -> pl.Schema:
    """Return the schema of the distinct contents of a source with their vectors.

    Vectors are in half precision: that moves a cosine by some 0.0001 and halves the file. `prompt` is null if too much
    of it is unknown to the embedder, `answer` and `facts` if the content is not judged.
    """
    vector = pl.Array(pl.Float16, width)
    return pl.Schema(
        {
            "content_hash": pl.String,
            "prompt": vector,
            "answer": vector,
            "facts": pl.String,
            "cut": pl.Boolean,
            "unknown": pl.Float32,
        }
    )


def extract_texts(rows: pl.LazyFrame, fingerprints: pl.LazyFrame) -> pl.LazyFrame:
    """Return the texts of every distinct content of the pool, from its rows and their fingerprints.

    Columns: content_hash, system, prompt, answer; in the order of the rows.
    """
    one = fingerprints.group_by("content_hash").agg(pl.col("row_id").min())
    distinct = rows.select("row_id", "messages").join(one, on="row_id", maintain_order="left")
    return distinct.unique("row_id", keep="first", maintain_order=True).select(
        "content_hash",
        system=conversation.content_of("system"),
        prompt=conversation.content_of("user"),
        answer=conversation.content_of("assistant"),
    )


def extract_facts() -> pl.Expr:
    """Return the facts to which vectors are blind, as a text: two contents are duplicates only if it is equal.

    They are the system prompt (its hash), the numbers of the prompt in their order, the number of its negations, and
    the whole answer if it is short.
    """
    prompt = pl.col("prompt").str.normalize("NFKC").str.to_lowercase()
    answer = tokens(pl.col("answer"))
    system = pl.col("system").map_batches(
        lambda texts: pl.Series([digest(t)[:8] if t else "" for t in texts], dtype=pl.String), pl.String
    )
    numbers = prompt.str.extract_all(_NUMBER).list.join(" ")
    negations = prompt.str.count_matches(_NEGATION).cast(pl.String)
    short = pl.when(answer.list.len() <= _SHORT).then(answer.list.join(" ")).otherwise(pl.lit(""))
    return pl.concat_str(system, numbers, negations, short, separator="|")


def embed(contents: pl.DataFrame, encoder: Embedder, max_unknown: float) -> pl.DataFrame:
    """Return the vectors of contents (from `extract_texts`) as `embedding_schema`. Equal texts are embedded once.

    A text with a share of unknown tokens above `max_unknown` has no vector.
    """
    prompt, answer = (encoder.read(contents[side].to_list()) for side in ("prompt", "answer"))
    readable = prompt.unknown <= max_unknown
    judged = readable & ~prompt.cut & (answer.unknown <= max_unknown)
    prompts = contents["prompt"].set(pl.Series(~readable), None)
    answers = contents["prompt"].zip_with(contents["answer"] == "", contents["answer"])
    answers = answers.set(pl.Series(~judged), None)
    distinct = pl.concat([prompts, answers]).drop_nulls().unique(maintain_order=True)
    vectors = encoder.encode(distinct.to_list()) if len(distinct) else np.zeros((0, encoder.width))
    schema = embedding_schema(encoder.width)
    table = pl.DataFrame({"text": distinct, "vector": pl.Series(vectors.astype(np.float16), dtype=schema["prompt"])})

    def look_up(wanted: pl.Series) -> pl.Series:
        return wanted.alias("text").to_frame().join(table, on="text", how="left", maintain_order="left")["vector"]

    return contents.select(
        "content_hash",
        look_up(prompts).alias("prompt"),
        look_up(answers).alias("answer"),
        pl.when(pl.Series(judged)).then(extract_facts()).alias("facts"),
        pl.Series("cut", prompt.cut),
        pl.Series("unknown", prompt.unknown),
    ).cast(schema)


def find_neighbours(
    contents: pl.DataFrame,
    floor: float,
    most: int,
    *,
    facts: bool,
    exact_up_to: int,
    known: pl.DataFrame | None = None,
    fresh: pl.Series | None = None,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> pl.DataFrame:
    """Return the pairs of close contents, as `PAIRS`.

    With `known`, only pairs that can have changed are compared: the fresh contents with all, and contents that had the
    maximum number of pairs and lost one. The result is the same as without `known`, to the byte.

    Args:
        contents: Contents with reliable vectors, each once, sorted by hash: content_hash, prompt, answer, facts.
        floor, most, exact_up_to, advance: See `find_close_pairs`. Above `exact_up_to` contents `known` is not used.
        facts: Whether contents with different facts do not form a pair.
        known: The pairs of an earlier call with the same arguments.
        fresh: A mask of the contents that are new, or have another vector, since then.
    """
    if contents.height < 2:
        return pl.DataFrame(schema=PAIRS)
    hashes = contents["content_hash"]
    keys = hashes.str.slice(0, 16).str.to_integer(base=16, dtype=pl.UInt64).to_numpy()
    groups = contents["facts"].rank("dense").to_numpy() if facts else None
    kept, again = None, None
    if known is not None and fresh is not None and contents.height <= exact_up_to:
        kept, again = _split_known(known, hashes, fresh.to_numpy(), most)
    views = [contents["prompt"].to_numpy(), contents["answer"].to_numpy()]
    close = find_close_pairs(
        views, floor, most, keys=keys, groups=groups, fresh=again, exact_up_to=exact_up_to, advance=advance
    )
    if kept is not None:
        close = keep_strongest(concat_pairs(kept, close), contents.height, most, keys)
    columns = {"a": hashes.gather(close.left), "b": hashes.gather(close.right), "similarity": close.similarity}
    return pl.DataFrame(columns, schema=PAIRS).sort("a", "b")


def _split_known(
    known: pl.DataFrame, hashes: pl.Series, fresh: npt.NDArray[np.bool_], most: int
) -> tuple[Pairs, npt.NDArray[np.bool_]]:
    """Return the known pairs that still hold, and a mask of the contents that must be compared with all again."""
    place = pl.DataFrame({"hash": hashes, "place": np.arange(len(hashes))})
    ends = [
        known.select(pl.col(end).alias("hash")).join(place, on="hash", how="left", maintain_order="left")["place"]
        for end in "ab"
    ]
    left, right = (end.fill_null(-1).to_numpy() for end in ends)
    gone = np.append(fresh, True)  # place -1 stands for a removed content
    broken = gone[left] | gone[right]
    touched = np.concatenate([left, right])
    full = np.bincount(touched[touched >= 0], minlength=len(hashes)) >= most
    # Below the maximum number of pairs, `known` holds all pairs of a content; at it, a weaker pair may replace one.
    lost = np.zeros(len(hashes) + 1, bool)
    lost[left[broken]] = lost[right[broken]] = True
    again = fresh | (full & lost[:-1])
    stands = ~broken & ~again[left] & ~again[right]
    return Pairs(left[stands], right[stands], known["similarity"].to_numpy()[stands]), again


def count_losers(pairs: pl.DataFrame, threshold: float) -> int:
    """Return the number of contents that would be dropped at a threshold if in every pair the lower hash had priority.

    A content is dropped if it is close to an earlier one that stays.
    """
    close = pairs.filter(pl.col("similarity") >= threshold)
    hashes = pl.concat([close["a"], close["b"]]).unique().sort()
    place = pl.DataFrame({"hash": hashes, "place": np.arange(len(hashes))})
    one, other = (
        close.select(hash=end).join(place, on="hash", maintain_order="left")["place"].to_numpy() for end in "ab"
    )
    gone, stays = np.zeros(len(hashes), bool), np.zeros(len(hashes), bool)
    while len(one):
        waiting = np.zeros(len(hashes), bool)
        waiting[other] = True
        stays |= ~waiting & ~gone
        gone[other[stays[one]]] = True
        undecided = ~gone[one] & ~gone[other] & ~stays[one]
        one, other = one[undecided], other[undecided]
    return int(gone.sum())
