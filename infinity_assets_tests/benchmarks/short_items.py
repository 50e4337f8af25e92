"""Recall of the gate on short benchmark items in wrappers, and its new hits in a pool.

    python -m infinity_assets_tests.benchmarks.short_items BENCHMARKS LAKE

500 short items (at most 12 tokens) of BENCHMARKS are each put into a wrapper, chosen by the item's id from templates
that were written apart from the gate's list of words. LAKE is a data folder with `raw_pool`: the rows that only the
search among other words finds are printed, to be judged by eye. Not a test.
"""

import numpy as np
import polars as pl

from infinity_assets.catalog.lake import Lake
from infinity_assets.decontamination.allowed import read_allowed_texts
from infinity_assets.decontamination.gate import Gate
from infinity_assets.decontamination.index import LONGEST, Index
from infinity_assets.reading.benchmarks import read_benchmark
from infinity_assets.reading.sources import find_sources
from infinity_assets.rows.ids import draw
from infinity_assets.rows.token_hashes import hash_tokens
from infinity_assets.settings import Decontamination
from infinity_assets_tests.benchmarks.measuring import Watch, load, parser, peak

ITEMS = 500
WRAPPERS = (
    "Question: {}\nAnswer:",
    "Q: {}\nA:",
    "{} Answer briefly.",
    "Please answer the following question. {}",
    "{}\n\nGive only the final answer, without any explanation.",
    "I have a question for you: {} Thanks in advance!",
    "Solve this problem step by step.\n\n{}",
    "### Question\n{}\n### Answer\n",
    "Can you help me with this one? {}",
    "Answer in one sentence: {}",
    "**{}**\n\nThink it through before you respond.",
    "Exercise 7. {}",
    "{} Options: (A) a tree (B) a river (C) a bridge (D) a cloud",
    "{}\nA. red\nB. green\nC. blue\nD. yellow\nAnswer with the letter only.",
    "Quiz time: {}",
    "Hello! {} Reply with a short phrase.",
    "User: {}\nAssistant:",
    "Task: {} Explain your reasoning.",
    "&quot;{}&quot; - what is the correct answer?",
    "Pub quiz, round 3: {}",
    "You are a helpful assistant. Give a concise and accurate reply.\n\n{}",
    "{} Put your final answer in a box.",
    "以下是一个问题，请回答：{}",
)


def wrap(items: pl.DataFrame) -> pl.DataFrame:
    """Return a row for each item, with its prompt in a wrapper: row_id (the item's id), messages, wrapper."""
    places = (draw("wrapper", items["item_id"]) * len(WRAPPERS)).cast(pl.Int64).to_list()
    texts = [WRAPPERS[place].format(prompt) for place, prompt in zip(places, items["prompt"], strict=True)]
    return pl.DataFrame(
        {
            "row_id": items["item_id"],
            "messages": [[{"role": "user", "content": text}] for text in texts],
            "wrapper": [WRAPPERS[place] for place in places],
        }
    )


def main() -> None:
    options = parser(
        __doc__, benchmarks="folder whose subfolders are the benchmarks", lake="data folder in which raw_pool is made"
    )
    arguments = options.parse_args()
    print(f"load {load():.2f}")
    items = pl.concat([read_benchmark(folder).items for folder in find_sources(arguments.benchmarks)])
    sizes = np.diff(hash_tokens(items["prompt"]).offsets)
    rule = Decontamination()
    words = items["prompt"].str.count_matches(r"[\p{L}\p{N}]+")
    short = items.filter(pl.Series(sizes <= LONGEST), words >= rule.exact_words)
    short = short.unique("prompt", maintain_order=True).sort(
        draw("item", short.unique("prompt", maintain_order=True)["item_id"])
    )
    chosen = wrap(short.head(ITEMS))
    gate = Gate(items, rule, read_allowed_texts(arguments.benchmarks)["text"])
    found = set(gate.hits(chosen)["row_id"])
    hit = chosen["row_id"].is_in(found)
    print(f"recall on {chosen.height} of {short.height} short items: {hit.mean():.3f}")
    for row in chosen.filter(~hit).iter_rows(named=True):
        print("  missed:", repr(row["messages"][0]["content"][:160]))

    find_wrapped, Index.find_wrapped = Index.find_wrapped, lambda self, tokens: np.zeros((0, 5), np.int64)
    seconds, new, rows = {True: 0.0, False: 0.0}, [], 0
    pool = Lake(arguments.lake).scan("raw_pool").select("row_id", "messages")
    for batch in pool.collect_batches(chunk_size=25_000, maintain_order=True, engine="streaming"):
        rows += batch.height
        hits = {}
        for wrapped in (False, True):
            Index.find_wrapped = find_wrapped if wrapped else (lambda self, tokens: np.zeros((0, 5), np.int64))
            watch = Watch()
            hits[wrapped] = gate.hits(batch)
            seconds[wrapped] += watch.lap()
        new.append(hits[True].join(hits[False], on="row_id", how="anti").join(batch, on="row_id"))
    Index.find_wrapped = find_wrapped
    table = pl.concat(new)
    print(f"{rows:,} rows: {table.height} found only among other words", end="; ")
    print(f"{seconds[False]:.1f} s without, {seconds[True]:.1f} s with; peak memory {peak():.2f} GiB")
    for row in table.iter_rows(named=True):
        print(f"  {row['benchmark']} {row['span']!r} in {row['messages'][0]['content'][:200]!r}")


if __name__ == "__main__":
    main()
