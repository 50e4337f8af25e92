"""`synthesized_from_text`: question-answer pairs about the texts of a source. Grain: a conversation written by the synthesizer. Key: row_id."""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import orjson
import polars as pl

from infinity_assets import prompts
from infinity_assets.catalog.lake import Outcome
from infinity_assets.defs.accounting import spent
from infinity_assets.defs.step import Step, dataset
from infinity_assets.inference.client import Inference
from infinity_assets.inference.requests import CompleteRequest
from infinity_assets.inference.tokens import Tokens, tokens_of
from infinity_assets.prompts import Prompt
from infinity_assets.report import charts
from infinity_assets.rows import conversation, schema
from infinity_assets.rows.ids import draw, with_row_ids
from infinity_assets.rows.licences import most_restrictive
from infinity_assets.rows.text import word_count
from infinity_assets.settings import FromText, Sampling, models_dir
from infinity_assets.synthesis.from_text import OPERATION, Example, Grammar, Parsed, cut, exemplars, few_shot, groups
from infinity_assets.synthesis.from_text import conversation as conversation_of

_EVIDENCE_CHARS = 300
_CHINESE, _ENGLISH = _EXEMPLARS = "pairs_from_text_zh", "pairs_from_text_en"

COLUMNS = pl.Schema({**schema.SYNTHETIC_ROW, "context_chars": pl.Int64})


class Written(NamedTuple):
    """What became of a text."""

    context: str
    """The text as the model saw it: whole, or cut."""
    parsed: Parsed
    finish_reason: str | None
    error: str | None
    text: str

    @property
    def failure(self) -> str | None:
        """Why it has no pair; null if it has one."""
        if self.parsed.pairs:
            return None
        return self.error or ("unfinished" if self.finish_reason == "length" else "no_pair")


@dataset(
    group="ingest",
    reads=("raw_pool",),
    settings=lambda s: (s.from_text, s.models.of_texts.reach, *(prompts.load(name).hash for name in _EXEMPLARS)),
    columns=COLUMNS,
    meaning={"context_chars": "length of the text at the beginning of the first turn, in characters"},
    kinds=("polars", "parquet", "vllm"),
)
def synthesized_from_text(step: Step) -> Outcome:
    """Instruction Pre-Training: conversations that the synthesizer made of a source's texts (arXiv 2406.14491).

    Grain: one conversation about one text. Key: row_id. The first turn is the text and a question, the answer and further pairs follow; source,
    file, position, licence, domain and language are the text's, which is its parent. A row in is a text that was taken; each is in
    `decisions`, as `superseded` by its conversation or with the reason why it got none. The text itself stays in the pool.
    """
    recipe, spec = step.settings.from_text, step.settings.models.of_texts
    texts = _taken(step.read("raw_pool"), recipe)
    if texts.is_empty():
        return Outcome(schema.empty(COLUMNS), rows_in=0, rows_created=0)
    inference = step.inference()
    known = tokens_of(spec, models_dir())
    written: dict[str, Written] = {}
    calls = []
    for (language,), some in texts.group_by("language", maintain_order=True):
        shown = prompts.load(_CHINESE if str(language).startswith("zh") else _ENGLISH) if recipe.exemplars else None
        for answers, books in _rounds(step, inference, known, some.select("row_id", "text").rows(), shown):
            written |= answers
            calls.append(books)
    made = _rows(texts, written)
    generations = pl.concat(calls)
    thrown = Counter(reason for w in written.values() for reason in w.parsed.rejected)
    kept = sum(len(w.parsed.pairs) for w in written.values())
    return Outcome(
        made.select(pl.col(name).cast(dtype) for name, dtype in COLUMNS.items()),
        rows_in=texts.height,
        rows_created=made.height,
        decisions=_decisions(texts, made, written),
        edges=made.select(child_id="row_id", parent_id=pl.col("parents").list.first(), operation="operation"),
        generations=generations,
        measures={"texts with pairs": made.height, "pairs kept": kept, "pairs thrown away": thrown.total(), **spent(generations)},
        charts={
            "thrown away": charts.table(pl.DataFrame(sorted(thrown.items()), schema={"reason": pl.String, "pairs": pl.Int64}, orient="row"))
        },
    )


def _taken(pool: pl.LazyFrame, recipe: FromText) -> pl.DataFrame:
    """The texts to write about, by language and row id: each once, at its first place, with `text`."""
    body = conversation.instruction()
    texts = pool.filter((pl.col("kind") == "text") & (word_count(body) >= recipe.min_words))
    ids = texts.select(pl.col("row_id").unique()).collect()["row_id"]
    chosen = ids.to_frame().with_columns(draw("from_text", ids).alias("draw")).sort("draw", "row_id").head(recipe.max_texts)
    return (
        texts.join(chosen.lazy().select("row_id"), on="row_id", how="semi")
        .with_columns(most_restrictive(pl.col("licence")).over("row_id"), text=body)
        .sort("row_id", "file", "position")
        .unique("row_id", keep="first", maintain_order=True)
        .sort("language", "row_id")
        .collect()
    )


def _rounds(
    step: Step, inference: Inference, known: Tokens, texts: list[tuple[str, str]], shown: Prompt | None
) -> Iterator[tuple[dict[str, Written], pl.DataFrame]]:
    """M-shot over rounds: what was written about each text by its row id, and the books, round by round.

    A text without a pair ends its chain: the next round of that chain starts afresh.
    """
    recipe, spec = step.settings.from_text, step.settings.models.of_texts
    grammar = Grammar(known.bos if recipe.bos is None else recipe.bos, recipe.eos or known.eos)
    sampling = Sampling(temperature=0.0, top_p=1.0, max_tokens=recipe.max_new_tokens)
    room = spec.max_model_len - recipe.max_new_tokens

    def measured(text: str) -> Example:
        return Example(text, known.count(text))

    fixed = [measured(grammar.example(*example)) for example in exemplars(shown)] if shown else []
    places = groups(len(texts), recipe.rounds)
    chains: list[list[Example]] = [[] for _ in places[0]]
    for group in places:
        contexts = [cut(texts[place][1], min(recipe.max_context_tokens, room), known.count) for place in group]
        requests = [
            CompleteRequest(
                row_id=texts[place][0],
                prompt=shown.name if shown else OPERATION,
                prompt_hash=shown.hash if shown else "",
                text=few_shot(measured(grammar.context(context)), fixed, chain, room),
                sampling=sampling,
                stop=grammar.stops,
            )
            for place, context, chain in zip(group, contexts, chains, strict=False)
        ]
        answers = inference.complete(spec, requests, "synthesize")
        written = {}
        lines = answers.frame.select("row_id", "text", "finish_reason", "error").rows()
        for number, ((row_id, text, finish, error), context) in enumerate(zip(lines, contexts, strict=True)):
            parsed = grammar.parse(text or "")
            written[row_id] = Written(context, parsed, finish, error, text or "")
            chains[number] = [*chains[number], measured(grammar.example(context, parsed.pairs))] if parsed.pairs else []
        yield written, answers.generations


def _rows(texts: pl.DataFrame, written: dict[str, Written]) -> pl.DataFrame:
    """The conversations, one per text that has a pair, sorted by row id."""
    made = texts.filter(pl.Series([written[row].failure is None for row in texts["row_id"]], dtype=pl.Boolean))
    told = [written[row] for row in made["row_id"]]
    made = made.with_columns(
        pl.concat_list("row_id").alias("parents"),
        pl.Series("messages", [conversation_of(w.context, w.parsed.pairs) for w in told], dtype=schema.MESSAGES),
        pl.Series("context_chars", [len(w.context) for w in told], dtype=pl.Int64),
        pl.lit("conversation").alias("kind"),
        pl.lit(OPERATION).alias("operation"),
        pl.lit(0).alias("round"),
    )
    return with_row_ids(made.drop("row_id")).sort("row_id", pl.col("parents").list.first())


def _decisions(texts: pl.DataFrame, made: pl.DataFrame, written: dict[str, Written]) -> pl.DataFrame:
    """One line per text."""
    children = {parents[0]: row_id for row_id, parents in made.select("row_id", "parents").iter_rows()}

    def detail(row_id: str) -> str:
        w = written[row_id]
        evidence = {"finish": w.finish_reason, "wrote": w.text[:_EVIDENCE_CHARS]} if w.failure else {"child": children[row_id]}
        return orjson.dumps({**evidence, "pairs": len(w.parsed.pairs), "thrown_away": dict(Counter(w.parsed.rejected))}).decode()

    return texts.with_columns(
        pl.lit("dropped").alias("verdict"),
        pl.Series("reason", [written[row].failure or "superseded" for row in texts["row_id"]], dtype=pl.String),
        pl.Series("detail", [detail(row) for row in texts["row_id"]], dtype=pl.String),
    ).select(list(schema.DECISIONS))
