"""Semantic de-duplication of contents with the same meaning in other words (SemDeDup, arXiv 2303.09540, no clusters).

A content is a distinct normalized conversation. It has one vector for its prompt (user turns) and one for its answer
(assistant turns, or the prompt again if there is no answer). The similarity of two contents is the lower of the two
cosines, so that a long prompt cannot hide a difference in the answers, nor a long answer one in the prompts. A content
is not judged if its vectors are unreliable: if its prompt is longer than the embedder reads, or if the embedder does
not know enough of its tokens. Details that vectors do not distinguish are compared literally, as `facts`.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import polars as pl

from infinity_assets.dedup.close_pairs import Pairs, concat_pairs, find_close_pairs, keep_strongest
from infinity_assets.inference.engines.embedder import Embedder
from infinity_assets.rows import conversation
from infinity_assets.rows.ids import digest
from infinity_assets.rows.text import TOKEN

PAIRS = pl.Schema({"a": pl.String, "b": pl.String, "similarity": pl.Float32})
"""Pairs of contents: their content hashes (a < b), and the lower of the cosines of their prompts and of their answers.
Sorted by a and b."""

_NUMBER = (
    r"\p{Nd}+(?:[.,]\p{Nd}+)*"
    r"|\b(?:two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|hundred|thousand|million|billion)\b"
    r"|[二两三四五六七八九十百千]"
)
_NEGATION = r"\b(?:not|no|never|without|none|nor|neither|cannot)\b|n['’]t\b|[不没無无非勿未别]"
_SHORT = 5
"""Maximum number of tokens of an answer that belongs to the facts (a label, a number, a name), because vectors hardly
distinguish such answers."""


def embedding_schema(width: int) -> pl.Schema:
    """Return the schema of a source's embeddings, with one line per distinct content.

    Vectors are in half precision, which changes a cosine by about 0.0001 and halves the file. `prompt` is null if too
    many of its tokens are unknown to the embedder. `answer` and `facts` are null if the content is not judged.
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
    """Return the texts of every distinct content among rows of the pool with their fingerprints.

    Columns: content_hash, system, prompt, answer. The lines keep the order of the rows.
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
    """Return an expression for the facts of a content, one text: contents with different facts are not duplicates.

    The facts are a hash of the system prompt, the numbers in the prompt in their order, the count of negations in the
    prompt, and the whole answer if it is short.
    """
    prompt = pl.col("prompt").str.normalize("NFKC").str.to_lowercase()
    answer = pl.col("answer").str.extract_all(TOKEN)  # with its case and raised digits, which may be the answer
    system = pl.col("system").map_batches(
        lambda texts: pl.Series([digest(t)[:8] if t else "" for t in texts], dtype=pl.String), pl.String
    )
    numbers = prompt.str.extract_all(_NUMBER).list.join(" ")
    negations = prompt.str.count_matches(_NEGATION).cast(pl.String)
    whole = answer.list.join(" ")
    whole = whole.str.head(1).str.to_lowercase() + whole.str.slice(1)
    short = pl.when(answer.list.len() <= _SHORT).then(whole).otherwise(pl.lit(""))
    return pl.concat_str(system, numbers, negations, short, separator="|")


def embed(contents: pl.DataFrame, encoder: Embedder, max_unknown: float) -> pl.DataFrame:
    """Return the embeddings of contents (from `extract_texts`), with the schema `embedding_schema`.

    A text gets no vector if more than the share `max_unknown` of its tokens is unknown. Equal texts are embedded once.
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
    """Return the pairs of close contents, with the schema `PAIRS`.

    With `known`, only two groups of contents are compared with all others: fresh contents, and contents that had the
    maximum number of pairs and lost one. The result equals that without `known`, byte for byte.

    Args:
        contents: Distinct contents with reliable vectors, sorted by hash: content_hash, prompt, answer, facts.
        floor, most, exact_up_to, advance: As in `find_close_pairs`. `known` is ignored above `exact_up_to` contents.
        facts: Whether two contents must have equal facts to form a pair.
        known: The pairs of an earlier call with the same settings.
        fresh: Mask of the contents that are new, or whose vectors changed, since that call.
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
    """Return the known pairs that remain valid, and a mask of the contents that must be compared with all again."""
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
    # `known` has all pairs of a content with fewer than `most`. With `most`, a weaker pair may replace a lost one.
    lost = np.zeros(len(hashes) + 1, bool)
    lost[left[broken]] = lost[right[broken]] = True
    again = fresh | (full & lost[:-1])
    stands = ~broken & ~again[left] & ~again[right]
    return Pairs(left[stands], right[stands], known["similarity"].to_numpy()[stands]), again


def count_losers(pairs: pl.DataFrame, threshold: float) -> int:
    """Count the contents that would be dropped at a threshold, if the lower hash had priority in every pair.

    A content is dropped if it is close to a content of lower hash that stays.
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
