"""Tests that the layouts of the corpus are read as is right, or not at all."""

from pathlib import Path

import pytest

from infinity_assets_tests.reading.layout_corpus import CorpusLayout, load_layouts, read_layout, write_file

NOT_READ: set[str] = {
    "Anthropic, log of requests and responses",
    "Argilla, records of a dataset",
    "BFCL",
    "BigCodeBench",
    "ChatGPT, export",
    "Claude, export",
    "Gemini, tuning files",
    "Gorilla, APIBench",
    "HelpSteer3, preferences",
    "LMSYS, human preferences in a table",
    "Label Studio, export",
    "LangChain, messages with a type",
    "Langfuse, export of generations",
    "NarrativeQA, Parquet",
    "Open WebUI, export",
    "OpenAI, requests of a batch",
    "StoryCloze",
    "WebGPT comparisons",
    "a table of frequent questions in German",
    "a trajectory with a reward",
    "axolotl, segments without a template",
    "lists as NumPy writes them in a cell",
    "lists as Python writes them in a cell",
    "log of requests and responses",
    "messages one level deeper",
    "names without a hint, questions and their answers",
    "requests and answers one level deeper",
    "summaries with feedback",
    "the datasets server's rows",
}
"""Layouts of which records that could be read are dropped, with a reason."""

READ_WRONGLY: set[str] = {
    "AgentInstruct",
    "Chatbot Arena",
    "EmpatheticDialogues, one utterance per line",
    "Glaive, function calling",
    "KTO of LLaMA-Factory",
    "KTO of TRL",
    "LLaMA-Factory, audio",
    "LLaVA",
    "OpenAI, messages with weights",
    "OpenAI, tools with nulls from Arrow",
    "OpenAssistant, one message per row",
    "P3, rank classification",
    "RACE, one article per file",
    "SVAMP",
    "ShareGPT with kto_tag",
    "TRL, supervised steps",
    "a table with no input as NaN",
    "answers that the data calls wrong",
    "axolotl, ShareGPT with masks",
    "interviews as text",
    "ms-swift, a rejected response",
    "ms-swift, images beside messages",
    "pairs of a name and a text",
    "texts in chat templates",
    "transcripts of a support desk",
}
"""Layouts of which rows are known to be wrong."""


@pytest.mark.parametrize("layout", load_layouts(), ids=lambda layout: layout.name)
def test_a_layout_is_read_as_is_right_or_not_at_all(layout: CorpusLayout, tmp_path: Path) -> None:
    write_file(layout, tmp_path)
    outcome = read_layout(layout, tmp_path)
    assert layout.name in READ_WRONGLY or not outcome.wrong
    assert layout.name in NOT_READ | READ_WRONGLY or not outcome.refused


def test_the_corpus_is_large_enough() -> None:
    layouts = load_layouts()
    names = [layout.name for layout in layouts]
    assert len(set(names)) == len(names) >= 80
    assert sum(layout.held_out for layout in layouts) >= 10
    assert {*names} >= NOT_READ | READ_WRONGLY
