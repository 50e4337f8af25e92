"""Names that datasets use for keys and files."""

from pathlib import Path

from infinity_assets.rows.words import load_words

NAMES: dict[str, tuple[str, ...]] = {
    name: tuple(words) for name, words in load_words(Path(__file__).with_name("names.yaml")).items()
}
"""Keys and file names by the name of their list in `names.yaml`."""
