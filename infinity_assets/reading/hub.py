"""Datasets of the Hugging Face Hub as sources, fetched with the Hub's own client.

A source of the Hub is a folder whose `source.yaml` has `url: hf://datasets/owner/name` or `...@branch`. `fetch`
downloads the files of its configuration and split and writes their commit into `source.yaml`. A receipt in the folder
lists the fetched files. If it is missing or names another commit, the next fetch resumes the download. Files that were
put there by hand need no receipt. No other module of `reading` uses the network.
"""

import errno
import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, cast
from urllib.parse import unquote

import yaml

from infinity_assets.atomic import write_text
from infinity_assets.errors import InfinityError
from infinity_assets.reading.containers import load_yaml
from infinity_assets.reading.sources import SOURCE_FILE, Source, data_files, is_data, load_source
from infinity_assets.reading.streams import plain_suffix
from infinity_assets.rows import licences

SCHEME = "hf://"
DEFAULT = "default"
"""Name of the only configuration of a dataset that does not name any."""

RECEIPT = ".hub.json"
"""File in the folder of a source that holds its `Receipt`."""

WORK = ".hub"
"""Folder of unfinished downloads in the folder of a source. It is deleted when all files are complete."""

_CONNECTIONS = 8
_REQUEST_SECONDS = 30
_PAGE = re.compile(r"(https?://)?(www\.)?(huggingface\.co|hf\.co)/")
_VIEWER = re.compile(r"(.*/datasets/[^/]+/[^/]+)/viewer(?:/([^/?#]+))?(?:/([^/?#]+))?(?:[/?#].*)?$")
_SHA = re.compile(r"[0-9a-f]{40}")

_NOT_ROWS = ("config.json", "dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json")
"""Files without rows that the Hub's libraries write beside data."""

_JSON = (".json", ".jsonl", ".ndjson")

# https://huggingface.co/docs/hub/datasets-file-names-and-splits
_SHARDED = re.compile(r"data/(?P<split>\w+(?:\.\w+)*)-\d{5}-of-\d{5}[^/]*\.[^/]*")
_KEYWORDS = {
    "train": "train|training",
    "validation": "validation|valid|dev|val",
    "test": "test|testing|eval|evaluation",
}
_WORD = {split: re.compile(rf"(?:^|[-._ 0-9])(?:{words})(?:[-._ 0-9]|$)") for split, words in _KEYWORDS.items()}


class HubError(InfinityError):
    """A dataset of the Hub cannot be used. The message says what to do about it and never contains a token."""


class Address(NamedTuple):
    """The dataset that a URL names, and the part of it if the URL names one."""

    repo: str
    """`owner/name`."""
    revision: str | None
    path: str | None = None
    """A file or folder of the dataset."""
    config: str | None = None
    split: str | None = None

    @property
    def url(self) -> str:
        """The address as a URL. A commit is left out, because `source.yaml` has it under `revision`."""
        from huggingface_hub import HfUri

        follow = None if self.revision and _SHA.fullmatch(self.revision) else self.revision
        return HfUri(type="dataset", id=self.repo, revision=follow, path_in_repo=self.path or "").to_uri()


class File(NamedTuple):
    """A file of a dataset."""

    size: int
    """In bytes."""
    content: str
    """Id of the git blob, or SHA-256 of a large file. It changes with the content."""


class Plan(NamedTuple):
    """The files to download for a source, and metadata from the dataset card."""

    repo: str
    commit: str
    config: str
    split: str
    files: dict[str, File]
    """Files by path in the repository, sorted by path."""
    left_out: int
    """Number of files of the split in formats that cannot be read."""
    card: dict[str, object]
    """Values for the keys `licence`, `language` or `languages`, and `description` of `source.yaml`."""

    @property
    def fields(self) -> dict[str, object]:
        """Keys and values for a `source.yaml`."""
        config = None if self.config == DEFAULT else self.config
        return {"revision": self.commit, "config": config, "split": self.split, **self.card}


class Receipt(NamedTuple):
    """The files that were fetched into a folder."""

    repo: str
    commit: str
    config: str | None
    split: str | None
    files: dict[str, str]
    """`File.content` of each file, by path."""


Progress = Callable[[int, int], None]
"""Function called with the number of bytes downloaded so far and in total."""


def is_hub(url: str | None) -> bool:
    """Return whether a URL begins with `hf://`."""
    return bool(url and url.startswith(SCHEME))


def is_page(url: str) -> bool:
    """Return whether a URL is that of a page of the Hub, as a browser shows it, with or without `https://`."""
    return bool(_PAGE.match(url)) or url.startswith(f"{_endpoint()}/")


def parse_address(url: str) -> Address:
    """Parse `hf://datasets/owner/name[@revision][/path]`, or the URL of a page about a dataset, a folder or a file.

    A page of the viewer names a configuration and a split. The page of a README means the dataset.

    Raises:
        HubError: The URL has another form.
    """
    from huggingface_hub import parse_hf_uri
    from huggingface_hub.errors import HfUriError

    viewed = _VIEWER.match(url)
    dataset, config, split = viewed.groups() if viewed else (url, None, None)
    try:
        uri = parse_hf_uri(dataset, _endpoint())
    except HfUriError:
        uri = None
    if uri is None or uri.type != "dataset":
        form = "it must read hf://datasets/owner/name, with @revision and /path if needed, or be the URL of its page"
        raise HubError(f"{url} is not the address of a dataset: {form}.")
    path = "" if PurePosixPath(uri.path_in_repo).name.lower() == "readme.md" else uri.path_in_repo.strip("/")
    revision = None if uri.revision == "main" and not is_hub(url) else uri.revision
    return Address(uri.id, revision, path or None, config and unquote(config), split and unquote(split))


def _endpoint() -> str:
    return os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")


def resolve(
    repo: str,
    revision: str | None = None,
    config: str | None = None,
    split: str | None = None,
    path: str | None = None,
) -> Plan:
    """Ask the Hub for the files of a configuration and a split at the current commit of a revision (default: `main`).

    `config` defaults to the default or only configuration, `split` to `train` or the only split. With `path`, a file or
    folder of the dataset, its names alone tell the splits.

    Raises:
        HubError: The Hub is not available, it does not have this dataset, revision, configuration, split or path, or
            the dataset has several configurations or splits and no default.
    """
    from huggingface_hub.hf_api import RepoFile

    api = _api()
    with _explain_errors(repo, revision):
        info = api.dataset_info(repo, revision=revision, timeout=_REQUEST_SECONDS)
        assert info.sha, "the Hub names the commit of every revision"
        entries = api.list_repo_tree(repo, repo_type="dataset", revision=info.sha, recursive=True)
        files: dict[str, File] = {
            entry.path: File(entry.size, entry.lfs.sha256 if entry.lfs else entry.blob_id)
            for entry in entries
            if isinstance(entry, RepoFile)
        }
    card = info.card_data.to_dict() if info.card_data else {}
    if path is None:
        config, patterns = _find_configuration(repo, card, config, files)
    else:
        config, patterns = config or DEFAULT, {}
        files = {name: file for name, file in files.items() if name == path or name.startswith(f"{path}/")}
        if not files:
            raise HubError(f"{repo} has no file or folder {path} at revision {revision or 'main'}.")
    splits = _find_splits(patterns, files)
    if not splits:
        converted = f"{SCHEME}datasets/{repo}@refs/convert/parquet"
        problem = f"{repo} holds no data files in its configuration {config}"
        raise HubError(f"{problem}; if a script generates it, try {converted}.")
    default = "train" if "train" in splits else next(iter(splits)) if len(splits) == 1 else None
    split = split or default
    if split is None or split not in splits:
        problem = f"has no split {split}" if split else "has several splits: say which with --split or `split:`"
        raise HubError(f"{repo} (configuration {config}) {problem}; there are {', '.join(splits)}.")
    chosen = sorted(path for path in splits[split] if _readable(path))
    if not chosen:
        suffixes = sorted({PurePosixPath(path).suffix or path for path in splits[split]})
        those = f"{len(splits[split])} files of {repo}, split {split}"
        raise HubError(f"None of the {those}, can be read: they are {', '.join(suffixes)} files.")
    left_out = len(splits[split]) - len(chosen)
    return Plan(repo, info.sha, config, split, {path: files[path] for path in chosen}, left_out, _facts_of_card(card))


def add(folder: Path, plan: Plan, url: str, fields: dict[str, object], progress: Progress | None = None) -> bool:
    """Create the source `folder` from a plan and download its files. `fields` takes precedence over the card.

    Returns:
        True if a download was needed. A complete folder stays unchanged; an incomplete one is completed.

    Raises:
        HubError: The folder holds another source or commit, or a download failed.
    """
    if os.path.lexists(folder):
        _check_same_source(folder, plan, url)
    else:
        facts = plan.fields | {key: value for key, value in fields.items() if value is not None}
        write_text(to_yaml({"licence": facts.pop("licence", None), "url": url, **facts}), folder / SOURCE_FILE)
    if not is_pending(folder):
        return False
    _download_missing(folder, plan, progress)
    return True


def is_pending(folder: Path) -> bool:
    """Return whether `fetch` has files to download into a folder. Opens no data file and no connection."""
    if not (folder / SOURCE_FILE).is_file():
        return False
    source = load_source(folder)
    if not is_hub(source.url):
        return False
    receipt = _read_receipt(folder)
    if receipt is None:  # files without a receipt were put there by hand, unless a download has begun
        return (folder / WORK).exists() or not data_files(folder)
    wanted = (_repo(source), source.revision, source.config, source.split)
    moved = (receipt.repo, receipt.commit, receipt.config, receipt.split) != wanted
    return moved or not all((folder / path).is_file() for path in receipt.files)


def pending_folders(root: Path) -> list[Path]:
    """Return the source folders in `root` that are pending, sorted by name."""
    folders = sorted(root.iterdir()) if root.is_dir() else []
    return [path for path in folders if not path.name.startswith(".") and is_pending(path)]


def fetch(folder: Path, progress: Progress | None = None) -> Plan | None:
    """Download the files that the `source.yaml` of a folder asks for, except those that are complete already.

    Adds missing values to the `source.yaml`: the commit, the configuration, the split, and from the card the license,
    the languages and the description.

    Returns:
        The plan, or `None` if all files are present, which needs no network.

    Raises:
        HubError: The dataset is not available, or a download failed.
    """
    if not is_pending(folder):
        return None
    source = load_source(folder)
    return _move_to(source, source.revision, progress)


def update(folder: Path, revision: str | None = None, progress: Progress | None = None) -> Plan | None:
    """Move a source to the current commit of a revision (default: the one in its URL, or `main`).

    Unchanged files are kept, files that the dataset no longer has are deleted. Returns `None` if nothing changed.

    Raises:
        HubError: The source is not from the Hub, not fetched by this module or not available, or a download failed.
    """
    source = load_source(folder)
    if not is_hub(source.url):
        raise HubError(f"{folder.name} is not from the Hub: change its files in place.")
    if data_files(folder) and _read_receipt(folder) is None and not (folder / WORK).exists():
        fix = "remove them, then run `infinity sources fetch`"
        raise HubError(f"The files of {folder.name} were not fetched by this command: {fix}.")
    return _move_to(source, revision, progress)


def _move_to(source: Source, revision: str | None, progress: Progress | None) -> Plan | None:
    """Pin a source to the commit of a revision and download missing files. Returns `None` if nothing changed."""
    at = parse_address(source.url or "")
    plan = resolve(at.repo, revision or at.revision, source.config, source.split, at.path)
    if plan.commit == source.revision and not is_pending(source.path):
        return None
    _pin(source.path, plan, source)
    _download_missing(source.path, plan, progress)
    return plan


def to_yaml(fields: dict[str, object]) -> str:
    """Return the text of a `source.yaml` with the fields that are not `None`."""
    plain = {key: list(value) if isinstance(value, tuple) else value for key, value in fields.items()}
    present = {key: value for key, value in plain.items() if value is not None}
    return yaml.safe_dump(present, sort_keys=False, allow_unicode=True, width=10_000) if present else ""


# --- files of a split -------------------------------------------------------------------------------------------------


def _find_configuration(repo: str, card: dict, config: str | None, files: Iterable[str]) -> tuple[str, dict]:
    """Return the name of the configuration and its entry in the card."""
    named = {
        str(entry.get("config_name", DEFAULT)): entry for entry in card.get("configs") or [] if isinstance(entry, dict)
    }
    if not named and config and config != DEFAULT and any(path.startswith(f"{config}/") for path in files):
        return config, {"data_dir": config}  # the branch refs/convert/parquet has a folder per configuration
    named = named or {DEFAULT: {}}
    marked = [name for name, entry in named.items() if entry.get("default") is True]
    only = DEFAULT if DEFAULT in named else next(iter(named)) if len(named) == 1 else None
    chosen = config or next(iter(marked), only)
    if chosen is None or chosen not in named:
        several = "has several configurations: say which with --config or `config:`"
        problem = f"has no configuration {config}" if config else several
        raise HubError(f"{repo} {problem}; there are {', '.join(named)}.")
    return chosen, named[chosen]


def _find_splits(entry: dict, files: dict[str, File]) -> dict[str, list[str]]:
    """Return the paths of each split, from the card entry of the configuration or else from file and folder names."""
    base = str(entry.get("data_dir") or "").removeprefix("./").strip("/")
    within = {path.removeprefix(f"{base}/"): path for path in files if not base or path.startswith(f"{base}/")}
    fields = entry.get("data_files")
    splits = (
        _splits_by_name({inner: files[path] for inner, path in within.items()})
        if fields is None
        else _splits_by_pattern(fields, within)
    )
    return {split: [within[inner] for inner in paths] for split, paths in splits.items() if paths}


def _splits_by_pattern(fields: object, paths: Iterable[str]) -> dict[str, list[str]]:
    """Return the paths of each split by a card's `data_files`: patterns for `train` alone, or for each split."""
    if isinstance(fields, list) and any(isinstance(item, dict) for item in fields):
        fields = {str(item.get("split", "train")): item.get("path", []) for item in fields if isinstance(item, dict)}
    by_split = fields if isinstance(fields, dict) else {"train": fields}
    matched = {}
    for split, patterns in by_split.items():
        globs = [_translate_glob(str(pattern)) for pattern in (patterns if isinstance(patterns, list) else [patterns])]
        matched[str(split)] = [path for path in paths if any(glob.fullmatch(path) for glob in globs)]
    return matched


def _splits_by_name(files: dict[str, File]) -> dict[str, list[str]]:
    """Return the paths of each split by the names of shards, else folders, else files; otherwise all are `train`.

    As on the Hub, only the most frequent format of a repository is data: `requirements.txt` beside JSON Lines is not.
    """
    paths = [path for path in files if _readable(path) and not any(part.startswith("__") for part in path.split("/"))]
    formats = Counter(map(_format, paths))
    sizes = Counter[str]()
    for path in paths:
        sizes[_format(path)] += files[path].size
    best = max(formats, key=lambda name: (formats[name], sizes[name]), default=None)
    paths = [path for path in paths if _format(path) == best]
    sharded: dict[str, list[str]] = {}
    for path in paths:
        if match := _SHARDED.fullmatch(path):
            sharded.setdefault(match["split"], []).append(path)

    def find(parts: Callable[[PurePosixPath], Iterable[str]]) -> dict[str, list[str]]:
        return {
            split: [path for path in paths if any(map(word.search, parts(PurePosixPath(path))))]
            for split, word in _WORD.items()
        }

    folders = find(lambda path: path.parent.parts)
    names = find(lambda path: [path.name])
    return next((splits for splits in (sharded, folders, names) if any(splits.values())), {"train": paths})


def _format(path: str) -> str:
    suffix = plain_suffix(Path(path))
    return _JSON[0] if suffix in _JSON else suffix


def _readable(path: str) -> bool:
    *folders, name = path.split("/")
    return is_data(name) and name not in _NOT_ROWS and not any(folder.startswith(".") for folder in folders)


def _translate_glob(glob: str) -> re.Pattern[str]:
    """Translate a glob of the Hub into a regular expression: `*` and `?` stay in a folder, `**` does not."""
    parts = re.split(r"(\*\*/|\*\*|\*|\?|\[[^]]+\])", glob.removeprefix("./"))
    wild = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}

    def one(part: str) -> str:
        if part[:1] == "[" and part[-1:] == "]":
            return "[" + part[1:-1].replace("\\", "\\\\").replace("[", "\\[").replace("!", "^", part[1] == "!") + "]"
        return wild.get(part) or re.escape(part)

    return re.compile("".join(map(one, parts)), re.DOTALL)


def _facts_of_card(card: dict) -> dict[str, object]:
    """Return the license, languages and title of a dataset card under the keys of `source.yaml`."""
    languages = card.get("language") or []
    names = languages if isinstance(languages, list) else [languages]
    known = [name for name in names if name not in ("code", "multilingual", None)]
    tags = list(dict.fromkeys("no" if tag is False else str(tag) for tag in known))  # YAML reads `no` as false
    fields: dict[str, object] = {"licence": licences.licence_from_card(card.get("license"), card.get("license_name"))}
    if tags:
        fields |= {"language": tags[0]} if len(tags) == 1 else {"languages": tags}
    if title := card.get("pretty_name"):
        fields["description"] = " ".join(str(title).split())
    return fields


# --- the folder -------------------------------------------------------------------------------------------------------


def _check_same_source(folder: Path, plan: Plan, url: str) -> None:
    """Raise `HubError` if an existing folder holds another source or another commit than the plan."""
    source = load_source(folder)
    wanted = (plan.repo, parse_address(url).path, plan.config, plan.split)
    at = parse_address(source.url) if source.url and is_hub(source.url) else None
    if at is None or (at.repo, at.path, source.config or DEFAULT, source.split) != wanted:
        raise HubError(
            f"There is already a source {folder.name} with other content: give this one another name with --name."
        )
    if source.revision != plan.commit:
        where = parse_address(url).revision or "main"
        raise HubError(
            f"{folder.name} is pinned to {shorten(source.revision)} and {where} is at {shorten(plan.commit)} now: "
            f"`infinity sources update {folder.name}` moves it there."
        )


def shorten(revision: str | None) -> str:
    """Return a revision for display; a commit is cut to seven digits."""
    return revision[:7] if revision and _SHA.fullmatch(revision) else revision or "no revision"


def _repo(source: Source) -> str:
    return parse_address(source.url or "").repo


def _read_receipt(folder: Path) -> Receipt | None:
    try:
        return Receipt(**json.loads((folder / RECEIPT).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _pin(folder: Path, plan: Plan, source: Source) -> None:
    """Write the commit and missing values into a `source.yaml`. The rest is kept, with comments where possible."""
    file = folder / SOURCE_FILE
    text = file.read_text(encoding="utf-8-sig")
    facts = {key: value for key, value in plan.fields.items() if value is not None}
    if {"language", "languages"} & source.model_fields_set:
        facts = {key: value for key, value in facts.items() if key not in ("language", "languages")}
    edited, present = re.subn(r"(?m)^revision:[^#\n]*?([ \t]*(?:#.*)?)$", rf"revision: {plan.commit}\1", text, count=1)
    open_ = {key: value for key, value in facts.items() if key not in source.model_fields_set}
    if not present:
        open_["revision"] = plan.commit
    edited = edited + ("" if edited.endswith("\n") or not edited else "\n") + to_yaml(open_)
    wanted = {**cast(dict, load_yaml(text)), **open_, "revision": plan.commit}
    if _parse_yaml(edited) != wanted:  # the file does not have one key per line
        edited = to_yaml(wanted)
    if edited != text:
        write_text(edited, file)


def _parse_yaml(text: str) -> object:
    try:
        return load_yaml(text)
    except yaml.YAMLError:
        return None


def _download_missing(folder: Path, plan: Plan, progress: Progress | None) -> None:
    """Download the missing files of a plan, move them into place when all are complete, and delete obsolete ones."""
    old_receipt = _read_receipt(folder)
    before = old_receipt.files if old_receipt and old_receipt.repo == plan.repo else {}
    wanted = {
        path: file
        for path, file in plan.files.items()
        if before.get(path) != file.content or _size_of(folder / path) != file.size
    }
    work = folder / WORK
    work.mkdir(exist_ok=True)
    _download(plan, wanted, work, progress)
    for path in wanted:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        os.replace(work / path, folder / path)
    for path in set(old_receipt.files if old_receipt else ()) - set(plan.files):
        (folder / path).unlink(missing_ok=True)
    source = load_source(folder)
    contents = {path: file.content for path, file in plan.files.items()}
    receipt = Receipt(plan.repo, plan.commit, source.config, source.split, contents)
    write_text(json.dumps(receipt._asdict(), indent=1), folder / RECEIPT)
    shutil.rmtree(work)


def _download(plan: Plan, files: dict[str, File], work: Path, progress: Progress | None) -> None:
    """Download files of a plan to their paths under `work`, except those already there."""
    from huggingface_hub.utils.tqdm import silent_tqdm

    total = sum(file.size for file in files.values())
    free = shutil.disk_usage(work).free
    present = _bytes_in(work)
    if total - present > free:
        raise HubError(
            f"{plan.repo} needs {_megabytes(total - present)} more and {work.parent} has {_megabytes(free)} left."
        )
    # `snapshot_download` would return an incomplete earlier attempt as success while the Hub cannot be reached.
    download = partial(
        _api().hf_hub_download,
        plan.repo,
        repo_type="dataset",
        revision=plan.commit,
        local_dir=work,
        tqdm_class=silent_tqdm,
    )
    executor = ThreadPoolExecutor(_CONNECTIONS)
    try:
        with _explain_errors(plan.repo, plan.commit):
            running = {executor.submit(download, path) for path in files}
            while running:
                done, running = wait(running, timeout=1, return_when=FIRST_EXCEPTION)
                for future in done:
                    future.result()
                if progress:
                    progress(min(_bytes_in(work), total), total)
    finally:
        executor.shutdown(cancel_futures=True)


def _size_of(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None


def _bytes_in(work: Path) -> int:
    """Return the total size of the files in a folder in bytes, including unfinished ones."""
    total = 0
    for parent, _, names in os.walk(work):
        for name in names:
            with suppress(FileNotFoundError):  # a temporary file that was renamed meanwhile
                total += os.stat(os.path.join(parent, name)).st_size
    return total


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


# --- the Hub ----------------------------------------------------------------------------------------------------------


def _api() -> Any:
    from huggingface_hub import HfApi

    return HfApi(endpoint=os.environ.get("HF_ENDPOINT") or None)


@contextmanager
def _explain_errors(repo: str, revision: str | None) -> Iterator[None]:
    """Turn errors of the Hub's client into a `HubError` with one sentence that says what to do."""
    try:
        yield
    except Exception as error:
        message = _explain(error, repo, revision)
        if message is None:
            raise
        raise HubError(message) from None


def _explain(error: BaseException, repo: str, revision: str | None) -> str | None:
    """Return the message for an error, or `None` if neither Hub, network nor disk caused it."""
    from httpx2 import HTTPError
    from huggingface_hub import errors

    match error:
        case errors.GatedRepoError():
            page = f"https://huggingface.co/datasets/{repo}"
            return f"{repo} is gated: accept its terms at {page}, then set HF_TOKEN to a token of that account."
        case errors.RepositoryNotFoundError():
            fix = "check the name, or set HF_TOKEN to a token that may read it."
            return f"The Hub has no dataset {repo}, or it is private: {fix}"
        case errors.RevisionNotFoundError():
            return f"{repo} has no revision {revision}; there are {_list_revisions(repo)}."
        case errors.DisabledRepoError():
            return f"{repo} has been disabled on the Hub."
        case errors.OfflineModeIsEnabled():
            return f"{repo} cannot be fetched while HF_HUB_OFFLINE is set: unset it."
        case errors.RemoteEntryNotFoundError():
            return f"A file of {repo} is listed by the Hub but cannot be found at {shorten(revision)}."
        case errors.LocalEntryNotFoundError():  # raised for any unreachable file; the reason is in the cause
            return _explain(error.__cause__ or ConnectionError(), repo, revision)
        case errors.HfHubHTTPError() if (status := error.response.status_code) in (401, 403):
            fix = "check the token in HF_TOKEN and its permissions."
            return f"The Hub refuses access to {repo} (status {status}): {fix}"
        case errors.HfHubHTTPError():
            return f"The Hub answered with status {error.response.status_code} for {repo}: try again later."
        case ValueError():
            return f"The server that answers for {repo} is not the Hub: check HF_ENDPOINT and proxies."
        case HTTPError():
            fix = "check the network, HF_ENDPOINT and proxies, then try again."
            return f"The Hub cannot be reached ({type(error).__name__}): {fix}"
        case OSError(errno=errno.ENOSPC | errno.EDQUOT | errno.EFBIG):
            return f"The disk is full: make room, then try again; the downloaded files of {repo} are kept."
        case OSError(errno=None):  # raised by the client itself, for example if a download has the wrong length
            return f"A download from {repo} broke off: try again; the downloaded files are kept."
    return None


def _list_revisions(repo: str) -> str:
    """Return the names of the branches and tags, as part of a message."""
    from httpx2 import HTTPError

    try:
        refs = _api().list_repo_refs(repo, repo_type="dataset")
    except (HTTPError, OSError):
        return "others"
    names = [ref.name for ref in (*refs.branches, *refs.tags)]
    return ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
