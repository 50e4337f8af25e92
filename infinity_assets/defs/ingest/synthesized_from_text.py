"""`synthesized_from_text`: question-answer pairs about the texts of a source. Grain: a conversation. Key: row_id."""

from collections import Counter, defaultdict
from typing import NamedTuple

import orjson
import polars as pl

from infinity_assets import prompts
from infinity_assets.catalog.lake import Outcome
from infinity_assets.defs.dataset import dataset
from infinity_assets.defs.step import Step
from infinity_assets.inference.requests import CompleteRequest
from infinity_assets.inference.weights.tokens import tokens_of
from infinity_assets.report import charts
from infinity_assets.rows import conversation, schema
from infinity_assets.rows.frames import conform, decide
from infinity_assets.rows.ids import add_row_ids, draw
from infinity_assets.rows.licences import most_restrictive
from infinity_assets.rows.text import word_count
from infinity_assets.settings import FromText
from infinity_assets.settings.models import Sampling
from infinity_assets.synthesis import from_text

_EVIDENCE_CHARS = 300
_EXEMPLARS = "pairs_from_text"

COLUMNS = pl.Schema({**schema.SYNTHETIC_ROW, "context_chars": pl.Int64})


class Written(NamedTuple):
    """The synthesizer's output for a text."""

    context: str
    """The text as it is in the prompt, whole or cut."""
    parsed: from_text.Parsed
    finish_reason: str | None
    error: str | None
    text: str

    @property
    def failure(self) -> str | None:
        """Reason why there is no pair, or None if there is one."""
        if self.parsed.pairs:
            return None
        return self.error or ("unfinished" if self.finish_reason == "length" else "no_pair")


@dataset(
    group="ingest",
    partitions="source",
    invariants=("conservation", "grammar", "lineage", "licence"),
    planned=True,
    reads=("raw_pool",),
    settings=lambda s: (
        s.from_text, s.calls.retries, s.models.effective_synthesizer.answer_id,
        *prompts.hashes(s.prompts_dir, _EXEMPLARS),
    ),
    columns=COLUMNS,
    kinds=("polars", "parquet", "vllm"),
)  # fmt: skip
def synthesized_from_text(step: Step) -> Outcome:
    """Conversations that the synthesizer wrote about a source's texts (Instruction Pre-Training, arXiv 2406.14491).

    Grain: one conversation about one text. Key: row_id. The first turn holds the text and a question. Its answer and
    further question-answer pairs follow. The text is the parent of the conversation, which inherits its source, file,
    position, licence, domain and language. `decisions` has every selected text, as `superseded` by its conversation or
    with the reason why there is no conversation. The text itself stays in the pool.
    """
    pool = step.read("raw_pool")
    # Most sources hold no text. One column shows this, without counting words.
    kinds = pool.select(pl.col("kind").unique()).collect()["kind"] if step.settings.from_text.max_texts else ()
    texts = _select_texts(pool, step.settings.from_text) if "text" in kinds else None
    if texts is None or texts.is_empty():
        return Outcome(COLUMNS.to_frame(), rows_in=0, rows_created=0)
    texts = step.sampled(texts)
    written = _synthesize(step, texts)
    conversations = _rows(texts, written)
    rejected = Counter(reason for w in written.values() for reason in w.parsed.rejected)
    by_reason = pl.DataFrame(sorted(rejected.items()), schema={"reason": pl.String, "pairs": pl.Int64}, orient="row")
    kept = sum(len(w.parsed.pairs) for w in written.values())
    return Outcome(
        conform(conversations, COLUMNS),
        rows_in=texts.height,
        rows_created=conversations.height,
        decisions=_decisions(texts, conversations, written),
        edges=conversations.select(child_id="row_id", parent_id=pl.col("parents").list.first(), operation="operation"),
        measures={"texts with pairs": conversations.height, "pairs kept": kept, "pairs rejected": rejected.total()},
        charts={"rejected pairs": charts.table(by_reason)},
    )


def _select_texts(pool: pl.LazyFrame, recipe: FromText) -> pl.DataFrame:
    """Return one row per text to write about, with a column `text`, sorted by language and row id."""
    body = conversation.instruction()
    texts = pool.filter((pl.col("kind") == "text") & (word_count(body) >= recipe.min_words))
    ids = texts.select(pl.col("row_id").unique()).collect()
    drawn = ids.with_columns(draw("from_text", ids["row_id"])).sort("draw", "row_id").head(recipe.max_texts)
    return (
        texts.join(drawn.lazy(), on="row_id", how="semi")
        .with_columns(most_restrictive(pl.col("licence")).over("row_id"), text=body)
        .sort("row_id", "file", "position")
        .unique("row_id", keep="first", maintain_order=True)
        .sort("language", "row_id")
        .collect()
    )


def _synthesize(step: Step, texts: pl.DataFrame) -> dict[str, Written]:
    """Let the synthesizer write about texts in rounds. A prompt shows the earlier texts of its chain as examples.

    A chain has one language, because a model answers in the language of its examples. A text without a pair ends its
    chain, and the next round starts a new one.

    Returns:
        The output for each text, by its row id.
    """
    recipe, spec, inference = step.settings.from_text, step.settings.models.effective_synthesizer, step.inference()
    known = tokens_of(spec, step.models.engines.folder)
    grammar = from_text.Grammar(known.bos if recipe.bos is None else recipe.bos, recipe.eos or known.eos)
    sampling = Sampling(temperature=0.0, max_tokens=recipe.max_new_tokens)
    room = spec.max_model_len - recipe.max_new_tokens

    def make_example(text: str) -> from_text.Example:
        return from_text.Example(text, known.count(text))

    prompt = prompts.load_bilingual(_EXEMPLARS, step.settings.prompts_dir)
    shown = {wording.label: from_text.read_exemplars(wording) for wording in prompt} if recipe.exemplars else {}
    fixed = {
        label: [make_example(grammar.format_example(*example)) for example in examples]
        for label, examples in shown.items()
    }
    chains: dict[tuple[str, int], list[tuple[from_text.Example, tuple[from_text.Pair, ...]]]] = defaultdict(list)
    written: dict[str, Written] = {}
    for places in _plan(texts, recipe.rounds):
        asked, requests = [], []
        for chain, row_id, text in places:
            wording = prompt.choose(chain[0])
            context = from_text.cut(text, min(recipe.max_context_tokens, room), known.count)
            earlier = [example for example, _ in chains[chain]]
            asks = make_example(grammar.format_context(context))
            requests.append(
                CompleteRequest(
                    row_id=row_id,
                    prompt=wording.label if recipe.exemplars else from_text.OPERATION,
                    prompt_hash=wording.hash if recipe.exemplars else "",
                    text=from_text.build_few_shot(asks, fixed.get(wording.label, []), earlier, room),
                    sampling=sampling,
                    stop=grammar.stops,
                )
            )
            # A model that needs our exemplars may copy them. A tuned model may rightly give several texts one answer.
            sources = (*shown[wording.label], *chains[chain]) if recipe.exemplars else ()
            asked.append((chain, context, [pair for _, pairs in sources for pair in pairs]))
        answers = inference.complete(spec, requests, "synthesize")
        lines = answers.frame.select("row_id", "text", "finish_reason", "error").rows()
        for (row_id, text, finish, error), (chain, context, copies) in zip(lines, asked, strict=True):
            parsed = grammar.parse(text or "", copies)
            written[row_id] = Written(context, parsed, finish, error, text or "")
            example = (make_example(grammar.format_example(context, parsed.pairs)), parsed.pairs)
            chains[chain] = [*chains[chain], example] if parsed.pairs else []
    return written


def _plan(texts: pl.DataFrame, rounds: int) -> list[list[tuple[tuple[str, int], str, str]]]:
    """Return the texts of each round: chain (language and number), row id, text."""
    plan: list[list[tuple[tuple[str, int], str, str]]] = [[] for _ in range(rounds)]
    for (language,), group_texts in texts.group_by("language", maintain_order=True):
        lines = group_texts.select("row_id", "text").rows()
        for places, group in zip(plan, from_text.split_groups(len(lines), rounds), strict=False):
            places += [((str(language), number), *lines[place]) for number, place in enumerate(group)]
    return [places for places in plan if places]


def _rows(texts: pl.DataFrame, written: dict[str, Written]) -> pl.DataFrame:
    """Return the conversations, one per text with a pair, sorted by row id."""
    rows = texts.filter(pl.Series([written[row].failure is None for row in texts["row_id"]], dtype=pl.Boolean))
    outputs = [written[row] for row in rows["row_id"]]
    rows = rows.with_columns(
        parents=pl.concat_list("row_id"),
        messages=pl.Series([from_text.conversation(w.context, w.parsed.pairs) for w in outputs], dtype=schema.MESSAGES),
        context_chars=pl.Series([len(w.context) for w in outputs], dtype=pl.Int64),
        kind=pl.lit("conversation"),
        operation=pl.lit(from_text.OPERATION),
        round=0,
    )
    return add_row_ids(rows.drop("row_id")).sort("row_id", pl.col("parents").list.first())


def _decisions(texts: pl.DataFrame, conversations: pl.DataFrame, written: dict[str, Written]) -> pl.DataFrame:
    """Return a decision on each text."""
    children = {parents[0]: row_id for row_id, parents in conversations.select("row_id", "parents").iter_rows()}
    reasons, details = [], []
    for row_id in texts["row_id"]:
        w = written[row_id]
        failed = {"finish": w.finish_reason, "wrote": w.text[:_EVIDENCE_CHARS]}
        counts = {"pairs": len(w.parsed.pairs), "thrown_away": dict(Counter(w.parsed.rejected))}
        reasons.append(w.failure or "superseded")
        details.append(orjson.dumps({**(failed if w.failure else {"child": children[row_id]}), **counts}).decode())
    return decide(texts, reason=pl.Series(reasons), detail=pl.Series(details))
