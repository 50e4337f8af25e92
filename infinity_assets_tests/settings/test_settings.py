"""Settings come from three places. A value that is written in one of them and is not in force is an error."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from infinity_assets.errors import InfinityError
from infinity_assets.locations import data_dir, models_dir
from infinity_assets.settings import Settings, settings_hash
from infinity_assets.settings.chat import Evolution, Seeds


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The settings file in force, empty."""
    path = tmp_path / "settings.yaml"
    path.touch()
    monkeypatch.setenv("INFINITY_SETTINGS", str(path))
    return path


def test_a_variable_overrides_the_file_and_the_file_the_default(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().chat.seeds == Seeds()
    file.write_text("chat: {seeds: {max_seeds: 7, min_labels: 9}}\nshards: 2\n")
    assert (Settings().chat.seeds.max_seeds, Settings().chat.seeds.min_labels, Settings().shards) == (7, 9, 2)
    assert Settings().chat.seeds.raw_share == Seeds().raw_share
    monkeypatch.setenv("INFINITY_CHAT__SEEDS__MAX_SEEDS", "8")
    assert (Settings().chat.seeds.max_seeds, Settings().chat.seeds.min_labels) == (8, 9)
    assert Settings(shards=3).shards == 3


def test_the_default_file_is_the_one_in_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("INFINITY_SETTINGS", raising=False)
    monkeypatch.chdir(tmp_path)
    assert Settings().shards == 4
    Path("infinity.yaml").write_text("shards: 5\n")
    assert Settings().shards == 5


@pytest.mark.parametrize(
    "written",
    [
        "chat: {seeds: {max_seed: 7}}", "chatt: {}", "shards: 0", "shards: 100", "chat: {rounds: 4}",
        "models: {judge: {backend: gpt}}", "foundation: {keep_share: {poetry: 0.5}}",
        "decontamination: {report: {question: [nobody]}}", "chat: {seeds: {max_seeds: many}}",
        "chat: {seeds: {max_seeds: -5}}", "foundation: {max_similarity: 7}", "decontamination: {ngram: 0}", "chat: 5",
        "chat: [", "- shards", "models: {students: []}", "models: {students: [{name: a}, {name: a}]}",
        "chat: {conversations: {turns: [4, 2]}}", "chat: {conversations: {turns: [0, 2]}}",
        "chat: {seeds: {ifd_range: [1, 0]}}", "chat: {seeds: {ifd_range: [.nan, 1]}}", "chat: {seeds: {criteria: []}}",
        "chat: {seeds: {loss_sigma: .nan}}", "chat: {evolution: {elimination: {min_similarity: 0.99}}}",
        "chat: {seeds: {criteria: [small_loss_drop]}}",
    ],
)  # fmt: skip
def test_an_invalid_value_is_an_error_in_one_line(file: Path, written: str) -> None:
    file.write_text(written)
    with pytest.raises(InfinityError) as error:
        Settings()
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("INFINITY_SHARDSS", "3", "There is no setting INFINITY_SHARDSS"),
        ("INFINITY_CHAT__SEED", "3", "There is no setting `chat.seed`"),
        ("INFINITY_SHARDS", "many", "Setting `shards` cannot be 'many'"),
        ("INFINITY_CHAT", "{", "cannot be read"),
        ("INFINITY_FOUNDATION__RECIPE", '{"math": ["best"]}', "'best': Input should be 'deita', .*'seed_replay'"),
    ],
)
def test_a_misspelt_variable_is_named(
    file: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, message: str
) -> None:
    """A misspelt variable was once ignored."""
    monkeypatch.setenv(variable, value)
    with pytest.raises(InfinityError, match=message):
        Settings()


def test_the_variables_of_folders_are_not_settings(file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """INFINITY_MODELS, a folder, was once read as the section `models`, so that nothing started with it."""
    for name in ("DATA", "MODELS"):
        monkeypatch.setenv(f"INFINITY_{name}", str(tmp_path / name))
    monkeypatch.setenv("INFINITY_MODELS__JUDGE__MODEL", "judge")
    assert Settings().models.judge.model == "judge"
    assert (data_dir(), models_dir()) == (tmp_path / "DATA", tmp_path / "MODELS")
    monkeypatch.delenv("INFINITY_MODELS")
    assert models_dir() == tmp_path / "DATA" / "models"


def test_settings_cannot_be_changed_during_a_run(file: Path) -> None:
    with pytest.raises(ValidationError):
        Settings().chat.seeds.max_seeds = 1  # pyrefly: ignore[read-only]


def test_the_hash_depends_on_the_given_sections_alone(file: Path) -> None:
    before = Settings()
    file.write_text("chat: {evolution: {steps: 3}}")
    after = Settings()
    assert settings_hash(before.chat.evolution) == settings_hash(Evolution()) != settings_hash(after.chat.evolution)
    assert settings_hash(before.chat) != settings_hash(after.chat)
    assert settings_hash(before) != settings_hash(after)
    assert settings_hash(before.foundation, before.chat.seeds) == settings_hash(after.foundation, after.chat.seeds)


def test_different_lists_of_sections_have_different_hashes() -> None:
    lists = [
        (), ("a",), ("a", "b"), ("ab",), ("a\nb",), ("b", "a"), (1,), ("1",), (1.0,), (Seeds(),), (Seeds(max_seeds=1),), (Seeds(), "a"),
    ]  # fmt: skip
    assert len({settings_hash(*parts) for parts in lists}) == len(lists)


def test_the_identity_holds_the_attributes_that_decide_an_answer() -> None:
    models = Settings().models
    judge = models.judge.model_copy(update={"concurrency": 99, "engine": {"tensor_parallel_size": 2}})
    assert judge.weights_id == models.judge.weights_id != judge.model_copy(update={"revision": "v2"}).weights_id
    assert models.embedder.weights_id != models.embedder.model_copy(update={"max_tokens": 64}).weights_id


def test_a_missing_settings_file_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing file was once ignored, and the run went on with the defaults."""
    monkeypatch.setenv("INFINITY_SETTINGS", str(tmp_path / "missing.yaml"))
    with pytest.raises(InfinityError, match=r"missing\.yaml"):
        Settings()


def test_the_synthesizer_defaults_to_the_generator(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFINITY_MODELS__GENERATOR__MODEL", "generator")
    assert Settings().models.effective_synthesizer == Settings().models.generator
    monkeypatch.setenv("INFINITY_MODELS__SYNTHESIZER__MODEL", "tuned")
    assert Settings().models.effective_synthesizer.model == "tuned"
    assert Settings().models.generator.model == "generator"


def test_a_threshold_for_paraphrases_needs_embeddings(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFINITY_DECONTAMINATION__PARAPHRASE_THRESHOLD", "0.9")
    with pytest.raises(InfinityError, match=r"paraphrase_threshold` needs `dedup\.semantic\.enabled"):
        Settings()
    monkeypatch.setenv("INFINITY_DEDUP__SEMANTIC__ENABLED", "true")
    assert Settings().decontamination.paraphrase_threshold == 0.9
