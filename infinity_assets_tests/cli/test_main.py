"""The `infinity` command: its help, and errors of one sentence."""

import json
import shlex
import shutil
from functools import partial
from pathlib import Path

import dagster as dg
import pytest

from infinity_assets.runs import runner
from infinity_assets.runs.runner import dagster_home
from infinity_assets.settings import Settings
from infinity_assets_tests.cli.commands import fail, infinity, succeed
from infinity_assets_tests.defs.graph import Graph


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("INFINITY_DATA", str(tmp_path))
    monkeypatch.setenv("INFINITY_INGEST__WORKERS", "1")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "sources" / "small"
    folder.mkdir(parents=True)
    (folder / "rows.json").write_text(json.dumps([{"instruction": "Name a river.", "output": "The Aare is a river."}]))
    return tmp_path


@pytest.fixture
def in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep Dagster's records of runs in memory: the tests do not need them on disk."""
    monkeypatch.setattr(runner, "run_graph", partial(runner.run_graph, instance=dg.DagsterInstance.ephemeral()))


@pytest.fixture
def graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Graph:
    """The data folder of `infinity`, with a source."""
    graph = Graph(tmp_path, monkeypatch)
    graph.source("small", [{"instruction": "Name a river.", "output": "The Aare is a river."}])
    return graph


@pytest.mark.parametrize(
    "command",
    ["", "run", "explain", "funnel", "sql", "check", "settings", "models", "export", "responses prune", "prompts"],
)
def test_every_command_has_help(command: str) -> None:
    result = infinity(*command.split(), "--help")
    assert result.exit_code == 0
    assert len(result.output.splitlines()) >= 5


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("run --until inf_instruct_x", "There is no asset `inf_instruct_x`"),
        ("run --only large", "no source named large"),
        ("run --only 'a\\b'", "no source named"),
        ("explain abc", "No row id begins with abc"),
        ("sql 'select * from nowhere'", "nowhere"),
        ("export inf_instruct_x --layout openai --out x.jsonl", "`inf_instruct_x` has not been materialized"),
    ],
)
def test_a_mistake_is_one_sentence(data: Path, command: str, says: str) -> None:
    result = infinity(*shlex.split(command))
    assert result.exit_code == 1
    assert says in result.output
    assert "Traceback" not in result.output


def test_a_folder_without_sources_is_refused(data: Path) -> None:
    (data / "empty").mkdir()
    assert "holds no source" in fail("run", "--sources", str(data / "empty"))
    assert not (data / "pool.json").exists(), "a pool that cannot be run is not saved"


def test_run_until_then_funnel_sql_and_check(data: Path) -> None:
    succeed("run", "--until", "decontaminated")
    assert "decontaminated" in infinity("funnel").output
    rows = infinity("sql", "select source, position from decontaminated", "--json").output
    assert json.loads(rows) == {"source": "small", "position": 0}
    assert "invariants hold" in infinity("check", "--quiet").output
    assert "small" in infinity("sources", "list").output


@pytest.mark.usefixtures("in_memory")
def test_a_run_names_the_sources_of_unknown_layout(data: Path) -> None:
    folder = data / "sources" / "our own"
    folder.mkdir()
    (folder / "rows.json").write_text(json.dumps([{"ask": "Which river?", "meta": {"note": "The Aare."}}]))
    named = (
        "our own: 1 of 1 records dropped (100%, unknown_layout); look at it with `infinity sources preview 'our own'`"
    )
    assert named in infinity("run", "--until", "raw_pool").output.splitlines()
    (folder / "source.yaml").write_text("layout: alpaca\nfields: {instruction: ask, output: meta.note}")
    assert "look at it" not in infinity("run", "--until", "raw_pool").output


@pytest.mark.usefixtures("in_memory")
def test_a_run_names_the_benchmarks_without_items(data: Path) -> None:
    for name, record in (("exam", {"question": "How long is the Aare?"}), ("notes", {"remark": "Mind the step."})):
        (data / "benchmarks" / name).mkdir(parents=True)
        (data / "benchmarks" / name / "rows.json").write_text(json.dumps([record]))
    shown = succeed("run", "--until", "benchmarks")
    assert "The benchmarks notes have no items, so they detect no contamination." in shown


def test_printed_settings_are_a_settings_file(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_force = Settings()
    (data / "printed.yaml").write_text(infinity("settings").output)
    monkeypatch.setenv("INFINITY_SETTINGS", str(data / "printed.yaml"))
    assert Settings() == in_force
    assert Settings.model_config.get("extra") == "forbid", "so that every printed name was read"


@pytest.mark.usefixtures("in_memory")
def test_only_is_saved_and_undone(data: Path) -> None:
    (data / "sources" / "other").symlink_to(data / "sources" / "small")
    assert "1 sources in" in infinity("run", "--until", "raw_pool", "--only", "small").output
    assert "(only small)" in infinity("run", "--until", "raw_pool").output
    assert "2 sources in" in infinity("run", "--until", "raw_pool", "--only", "").output


@pytest.mark.usefixtures("in_memory")
def test_a_run_names_what_it_did_not_read_and_rows_without_an_answer(data: Path) -> None:
    remark = "This remark of several words is read by no layout of this program."
    records = [{"instruction": f"Name river {n}.", "output": "", "remark": remark} for n in range(3)]
    for name, text in (
        ("asked/a.json", json.dumps(records)),
        ("scans/a.pdf", ""),
        ("loose.jsonl", ""),
        ("e/a.jsonl", ""),
    ):
        (data / "sources" / name).parent.mkdir(exist_ok=True)
        (data / "sources" / name).write_text(text)
    shown = succeed("run", "--until", "raw_pool")
    assert "loose.jsonl (a file: move it into a folder, whose name becomes the name of the source); scans/ (no" in shown
    assert "No record was found in e:" in shown
    assert "Rows without an answer, which are only raw material for synthesis: asked 3 of 3" in shown
    assert "asked: `remark` is read in 0 of 3 records (alpaca): 198 characters, " in shown
    assert "This remark of several words" in shown
    assert "scans" not in succeed("run", "--until", "raw_pool", "--only", "asked")


@pytest.mark.parametrize("name", ["back\\slash", "new\nline", "a...b", "x" * 201])
def test_an_invalid_source_name_is_refused(data: Path, name: str) -> None:
    (data / "sources" / "small").rename(data / "sources" / name)
    result = infinity("run", "--until", "raw_pool")
    assert result.exit_code == 1
    assert "rename the folder" in result.output


def test_names_that_look_like_markup_or_patterns_are_shown_whole(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`alpaca[en]` must not be shown as `alpaca`, and a data folder with a bracket in its path must have its views."""
    (data / "sources" / "small").rename(data / "sources" / "alpaca[en]")
    data = data.rename(data.with_name(data.name + " [x]*"))
    monkeypatch.setenv("INFINITY_DATA", str(data))
    monkeypatch.delenv("DAGSTER_HOME")
    succeed("run", "--until", "deduped")
    assert "alpaca[en]" in infinity("sql", "select source from deduped").output


def test_dagsters_storage_moves_with_the_data_folder(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DAGSTER_HOME")
    for suffix in (" #1: it's", "moved"):
        data = data.rename(data.with_name(data.name + suffix))
        monkeypatch.setenv("INFINITY_DATA", str(data))
        home = dagster_home(data)
        with dg.DagsterInstance.from_config(str(home)):
            assert home == data
            assert (data / ".dagster" / "history" / "runs.db").exists()
            shutil.rmtree(data / ".dagster")
    (data / "dagster.yaml").write_text("telemetry: {enabled: false}")
    assert dagster_home(data).joinpath("dagster.yaml").read_text() == "telemetry: {enabled: false}"


@pytest.mark.usefixtures("in_memory")
def test_an_error_in_a_source_yaml_is_one_sentence(data: Path) -> None:
    (data / "sources" / "small" / "source.yaml").write_text("domain: [/x]")
    message = f"Error: {data / 'sources' / 'small' / 'source.yaml'}: `domain`"
    assert message in infinity("run", "--until", "raw_pool").output


def test_a_data_folder_that_is_a_file_is_one_sentence(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFINITY_DATA", str(data / "sources" / "small" / "rows.json"))
    assert "Not a directory" in fail("funnel")


def test_an_empty_query_has_an_empty_answer(data: Path) -> None:
    assert infinity("sql", "").output == ""


@pytest.fixture(scope="module")
def deduped(tmp_path_factory: pytest.TempPathFactory) -> Graph:
    with pytest.MonkeyPatch.context() as patch:
        graph = Graph(tmp_path_factory.mktemp("deduped"), patch)
        graph.source(
            "small",
            [{"instruction": "Name a river.", "output": "The Aare is a river."}, {"instruction": "Answer nothing."}],
        )
        graph.make("deduped")
        return graph


@pytest.mark.parametrize("layout", ["openai", "sharegpt", "infinity_instruct", "alpaca"])
def test_export_writes_conversations(
    deduped: Graph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: str
) -> None:
    graph = deduped.copy(tmp_path, monkeypatch)
    file = graph.data / "out.jsonl"
    arguments = ["export", "deduped", "--layout", layout, "--out", str(file)]
    assert "1 conversations, 1 other rows" in succeed(*arguments)
    assert "The Aare is a river." in file.read_text()
    assert len(file.read_text().splitlines()) == 1
    written = file.read_text()
    assert "`deduped` has no row of other; it has rows of small." in fail(*arguments, "--source", "other")
    assert file.read_text() == written


def test_export_writes_tuning_data_for_a_synthesizer(graph: Graph) -> None:
    graph.make("deduped")
    file = graph.data / "out.jsonl"
    arguments = ["export", "deduped", "--layout", "synthesizer", "--out", str(file)]
    assert "name a --source that has some" in fail(*arguments)
    rows = [
        {"instruction": f"The Aare is {n} km long.\n\nHow long is the Aare?", "output": f"{n} km."} for n in range(3)
    ]
    (graph.data / "sources" / "small" / "more.json").write_text(json.dumps(rows))
    graph.make("deduped")
    result = infinity(*arguments, "--source", "small", "--max-tokens", "60")
    assert "3 examples in 2 sequences" in result.output
    assert "1 rows are about no text" in result.output
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [len(line["rows"]) for line in lines] == [2, 1]
    assert "<s> <CON> The Aare is 0 km long. </CON>\n\n<QUE> How long is the Aare? <ANS> 0 km. </END></s>" in "".join(
        line["text"] for line in lines
    )
    written = file.read_bytes()
    infinity(*arguments, "--source", "small", "--max-tokens", "60")
    assert file.read_bytes() == written


@pytest.mark.engine
def test_export_with_a_tokenizer_writes_ids_and_a_mask(graph: Graph, models_dir: Path) -> None:
    graph.source("small", [{"instruction": "Tea is hot.\n\nIs tea hot?", "output": "Yes."}])
    graph.make("deduped")
    command = f"export deduped --source small --layout synthesizer --out '{graph.data / 'out.jsonl'}' --tokenizer"
    succeed(*shlex.split(command), str(models_dir / "smollm2-135m-instruct"))
    line = json.loads((graph.data / "out.jsonl").read_text())
    assert line["text"] == "<|im_start|> <CON> Tea is hot. </CON>\n\n<QUE> Is tea hot? <ANS> Yes. </END><|im_end|>"
    assert len(line["input_ids"]) == len(line["loss_mask"])
    assert (line["loss_mask"][0], line["loss_mask"][-1]) == (0, 1)
    assert "There is no tokenizer /none" in fail(*shlex.split(command), "/none")


def test_models_are_fetched_with_the_reward_model_and_without_served_models(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched = []

    def fetch(spec, models_dir):
        fetched.append(spec.model)
        return models_dir / spec.model

    monkeypatch.setattr("infinity_assets.inference.weights.models.fetch", fetch)
    monkeypatch.setenv("INFINITY_MODELS__REWARD__MODEL", "some/reward")
    monkeypatch.setenv("INFINITY_MODELS__JUDGE__MODEL", "served")
    monkeypatch.setenv("INFINITY_MODELS__JUDGE__BACKEND", "openai")
    succeed("models", "fetch")
    assert "some/reward" in fetched
    assert "served" not in fetched
    assert len(fetched) == len(set(fetched))
