"""Datasets of the Hugging Face Hub as sources, through the Hub's own client.

A source of the Hub is a folder whose `source.yaml` says `url: hf://datasets/owner/name`, or `...@branch`; `fetch` brings the files of its
configuration and split, and writes into `source.yaml` which commit they are of. What was fetched is listed in a receipt beside it, so
that a folder without one, or with one of another commit, is known to be unfinished and is gone on with. Only the functions here use a network.
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
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import yaml

from infinity_assets.atomic import write_text
from infinity_assets.errors import InfinityError
from infinity_assets.reading.containers import load_yaml
from infinity_assets.reading.sources import SOURCE_FILE, Source, data_files, is_data, load_source
from infinity_assets.reading.streams import plain_suffix
from infinity_assets.rows import licences

SCHEME = "hf://"
DEFAULT = "default"
"""The name of the only configuration of a dataset that names none."""

RECEIPT = ".hub.json"
"""In the folder of a source: what was fetched, as `Receipt`."""

WORK = ".hub"
"""In the folder of a source: files on their way. It goes when all have come."""

_CONNECTIONS = 8
_REQUEST_SECONDS = 30
_SHA = re.compile(r"[0-9a-f]{40}")

_NOT_ROWS = ("config.json", "dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json")
"""Files that the Hub's libraries write beside data."""

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
    """A dataset of the Hub cannot be had. The message says what to do about it and never holds a token."""


class Address(NamedTuple):
    """What a URL names."""

    repo: str
    """`owner/name`."""
    revision: str | None
    """A branch, a tag or a commit, if it says one."""

    @property
    def url(self) -> str:
        """The address as a URL. A commit is left out: it stands under `revision`."""
        follow = f"@{self.revision}" if self.revision and not _SHA.fullmatch(self.revision) else ""
        return f"{SCHEME}datasets/{self.repo}{follow}"


class File(NamedTuple):
    """A file of a dataset."""

    size: int
    """In bytes."""
    content: str
    """Changes with its content: the id of its git blob, or of its large file."""


class Plan(NamedTuple):
    """Which files make a source, and what the card says of them."""

    repo: str
    commit: str
    config: str
    split: str
    files: dict[str, File]
    """By path in the repository, in the order of the paths."""
    left_out: int
    """Files of the split that cannot be read."""
    card: dict[str, object]
    """Of the keys of `source.yaml`: licence, language or languages, description."""


class Receipt(NamedTuple):
    """What was fetched into a folder."""

    repo: str
    commit: str
    config: str | None
    split: str | None
    files: dict[str, str]
    """The `content` of each file by its path."""


def is_hub(url: str | None) -> bool:
    """Whether a URL is one of the Hub."""
    return bool(url and url.startswith(SCHEME))


def address(url: str) -> Address:
    """What `hf://datasets/owner/name` or `hf://datasets/owner/name@revision` names. Raises `HubError` for any other URL."""
    from huggingface_hub import parse_hf_uri
    from huggingface_hub.errors import HfUriError

    try:
        uri = parse_hf_uri(url)
    except HfUriError:
        uri = None
    if uri is None or uri.type != "dataset" or uri.path_in_repo:
        raise HubError(
            f"{url} is no address of a dataset: it must read hf://datasets/owner/name or hf://datasets/owner/name@revision."
        )
    return Address(uri.id, uri.revision)


def resolve(repo: str, revision: str | None = None, config: str | None = None, split: str | None = None) -> Plan:
    """Ask the Hub for the files of a configuration and a split, at the commit that a revision names now (by default `main`).

    Without `config`: the default one, or the only one. Without `split`: `train`, or the only one.
    """
    from huggingface_hub.hf_api import RepoFile

    api = _api()
    with _as_sentences(repo, revision):
        info = api.dataset_info(repo, revision=revision, timeout=_REQUEST_SECONDS)
        assert info.sha, "the Hub names the commit of every revision"
        entries = api.list_repo_tree(repo, repo_type="dataset", revision=info.sha, recursive=True)
        files: dict[str, File] = {
            entry.path: File(entry.size, entry.lfs.sha256 if entry.lfs else entry.blob_id)
            for entry in entries
            if isinstance(entry, RepoFile)
        }
    card = info.card_data.to_dict() if info.card_data else {}
    config, patterns = _configuration(repo, card, config, files)
    splits = _splits(patterns, files)
    if not splits:
        raise HubError(
            f"{repo} holds no files of data in its configuration {config}; if a script makes it, "
            f"try {SCHEME}datasets/{repo}@refs/convert/parquet."
        )
    split = split or ("train" if "train" in splits else next(iter(splits)) if len(splits) == 1 else None)
    if split is None or split not in splits:
        asked = f"has no split {split}" if split else "has several splits: say which with --split or `split:`"
        raise HubError(f"{repo} (configuration {config}) {asked}; there are {', '.join(splits)}.")
    chosen = sorted(path for path in splits[split] if _readable(path))
    if not chosen:
        suffixes = sorted({PurePosixPath(path).suffix or path for path in splits[split]})
        raise HubError(
            f"None of the {len(splits[split])} files of {repo}, split {split}, can be read: they are {', '.join(suffixes)} files."
        )
    left_out = len(splits[split]) - len(chosen)
    return Plan(repo, info.sha, config, split, {path: files[path] for path in chosen}, left_out, _said_by(card))


def add(
    folder: Path, plan: Plan, url: str, said: dict[str, object], progress: Callable[[int, int], None] | None = None
) -> bool:
    """Make `folder` the source of a plan. What `said` holds goes before what the card says.

    Returns:
        Whether anything was downloaded. A folder that holds the same already is left as it is; one that holds less is completed.

    Raises:
        HubError: the folder holds something else.
    """
    if os.path.lexists(folder):
        _agree(folder, plan, url)
    else:
        place = {
            "url": url,
            "revision": plan.commit,
            "config": None if plan.config == DEFAULT else plan.config,
            "split": plan.split,
        }
        facts = plan.card | {key: value for key, value in said.items() if value is not None}
        write_text(as_yaml({"licence": facts.pop("licence", None), **place, **facts}), folder / SOURCE_FILE)
    if not pending(folder):
        return False
    _bring(folder, plan, progress)
    return True


def pending(folder: Path) -> bool:
    """Whether `fetch` has something to do: a folder of the Hub without its files. Costs a few stats, uses no network."""
    if not (folder / SOURCE_FILE).is_file():
        return False
    source = load_source(folder)
    if not is_hub(source.url):
        return False
    receipt = _receipt(folder)
    if receipt is None:  # files without a receipt were put there by hand, unless a download of them has begun
        return (folder / WORK).exists() or not data_files(folder)
    wanted = (_repo(source), source.revision, source.config, source.split)
    return (receipt.repo, receipt.commit, receipt.config, receipt.split) != wanted or not all(
        (folder / path).is_file() for path in receipt.files
    )


def waiting(root: Path) -> list[Path]:
    """The folders of sources under a root that are `pending`, by name."""
    return (
        [path for path in sorted(root.iterdir()) if not path.name.startswith(".") and pending(path)]
        if root.is_dir()
        else []
    )


def fetch(folder: Path, progress: Callable[[int, int], None] | None = None) -> Plan | None:
    """Bring the files that the `source.yaml` of a folder asks for; null if they are there, which uses no network.

    Pins what `source.yaml` leaves open: the commit, the split, and from the card the licence and the languages. A fetch that broke off is
    gone on with: files that came are not asked for again. `progress` is told bytes done and bytes in all.
    """
    if not pending(folder):
        return None
    source = load_source(folder)
    assert source.url
    at = address(source.url)
    plan = resolve(at.repo, source.revision or at.revision, source.config, source.split)
    _pin(folder, plan, source)
    _bring(folder, plan, progress)
    return plan


def update(
    folder: Path, revision: str | None = None, progress: Callable[[int, int], None] | None = None
) -> Plan | None:
    """Move a source to the commit that a revision names now: by default the one in its URL, or `main`. Null if it is there already.

    Files that did not change are kept, those that are gone from the dataset go here too.
    """
    source = load_source(folder)
    if not is_hub(source.url):
        raise HubError(f"{folder.name} is not from the Hub: its files are changed where they lie.")
    if data_files(folder) and _receipt(folder) is None and not (folder / WORK).exists():
        raise HubError(
            f"The files of {folder.name} were not fetched by this command: take them away, then `infinity sources fetch`."
        )
    assert source.url
    at = address(source.url)
    plan = resolve(at.repo, revision or at.revision, source.config, source.split)
    if plan.commit == source.revision and not pending(folder):
        return None
    _pin(folder, plan, source)
    _bring(folder, plan, progress)
    return plan


def as_yaml(said: dict[str, object]) -> str:
    """The text of a `source.yaml`. Nulls are left out."""
    plain = {
        key: list(value) if isinstance(value, tuple) else value for key, value in said.items() if value is not None
    }
    return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=10_000) if plain else ""


# --- which files --------------------------------------------------------------------------------------------------------------------------


def _configuration(repo: str, card: dict, config: str | None, files: Iterable[str]) -> tuple[str, dict]:
    """A configuration's name and its entry in the card."""
    named = {
        str(entry.get("config_name", DEFAULT)): entry for entry in card.get("configs") or [] if isinstance(entry, dict)
    }
    if not named and config and config != DEFAULT and any(path.startswith(f"{config}/") for path in files):
        return config, {"data_dir": config}  # as in the branch refs/convert/parquet: a folder per configuration
    named = named or {DEFAULT: {}}
    marked = [name for name, entry in named.items() if entry.get("default") is True]
    chosen = config or next(
        iter(marked), DEFAULT if DEFAULT in named else next(iter(named)) if len(named) == 1 else None
    )
    if chosen is None or chosen not in named:
        asked = (
            f"has no configuration {config}"
            if config
            else "has several configurations: say which with --config or `config:`"
        )
        raise HubError(f"{repo} {asked}; there are {', '.join(named)}.")
    return chosen, named[chosen]


def _splits(entry: dict, files: dict[str, File]) -> dict[str, list[str]]:
    """The paths of each split of a configuration, by its entry in the card, else by the names of files and folders."""
    base = str(entry.get("data_dir") or "").removeprefix("./").strip("/")
    within = {path.removeprefix(f"{base}/"): path for path in files if not base or path.startswith(f"{base}/")}
    said = entry.get("data_files")
    splits = (
        _by_name({inner: files[path] for inner, path in within.items()}) if said is None else _by_pattern(said, within)
    )
    return {split: [within[inner] for inner in paths] for split, paths in splits.items() if paths}


def _by_pattern(said: object, paths: Iterable[str]) -> dict[str, list[str]]:
    """`data_files` of a card: a pattern, a list of them, a mapping from split to them, or a list of {split, path}."""
    if isinstance(said, list) and any(isinstance(item, dict) for item in said):
        said = {str(item.get("split", "train")): item.get("path", []) for item in said if isinstance(item, dict)}
    by_split = said if isinstance(said, dict) else {"train": said}
    matched = {}
    for split, patterns in by_split.items():
        globs = [_regex(str(pattern)) for pattern in (patterns if isinstance(patterns, list) else [patterns])]
        matched[str(split)] = [path for path in paths if any(glob.fullmatch(path) for glob in globs)]
    return matched


def _by_name(files: dict[str, File]) -> dict[str, list[str]]:
    """Shards named after their split, else folders, else files; where no name tells, everything is `train`.

    Of the formats in a repository only the commonest is data, as on the Hub: `requirements.txt` beside JSON Lines is none.
    """
    paths = [path for path in files if _readable(path) and not any(part.startswith("__") for part in path.split("/"))]
    formats = Counter[str]()
    for path in paths:
        formats[_format(path)] += 1
    best = max(
        formats, key=lambda name: (formats[name], sum(files[p].size for p in paths if _format(p) == name)), default=None
    )
    paths = [path for path in paths if _format(path) == best]
    sharded: dict[str, list[str]] = {}
    for path in paths:
        if match := _SHARDED.fullmatch(path):
            sharded.setdefault(match["split"], []).append(path)
    folders = {
        s: [p for p in paths if any(map(word.search, PurePosixPath(p).parent.parts))] for s, word in _WORD.items()
    }
    names = {s: [p for p in paths if word.search(PurePosixPath(p).name)] for s, word in _WORD.items()}
    return next((splits for splits in (sharded, folders, names) if any(splits.values())), {"train": paths})


def _format(path: str) -> str:
    suffix = plain_suffix(Path(path))
    return _JSON[0] if suffix in _JSON else suffix


def _readable(path: str) -> bool:
    *folders, name = path.split("/")
    return is_data(name) and name not in _NOT_ROWS and not any(folder.startswith(".") for folder in folders)


def _regex(glob: str) -> re.Pattern[str]:
    """A glob as on the Hub: `*` and `?` stay within a folder, `**` does not, `[...]` is one of some characters."""
    parts = re.split(r"(\*\*/|\*\*|\*|\?|\[[^]]+\])", glob.removeprefix("./"))
    wild = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}

    def one(part: str) -> str:
        if part[:1] == "[" and part[-1:] == "]":
            return "[" + part[1:-1].replace("\\", "\\\\").replace("[", "\\[").replace("!", "^", part[1] == "!") + "]"
        return wild.get(part) or re.escape(part)

    return re.compile("".join(map(one, parts)), re.DOTALL)


def _said_by(card: dict) -> dict[str, object]:
    """What a card says, as keys of `source.yaml`."""
    languages = card.get("language") or []
    languages = languages if isinstance(languages, list) else [languages]
    # `no`, Norwegian, is false in YAML
    tags = list(
        dict.fromkeys(
            "no" if tag is False else str(tag) for tag in languages if tag not in ("code", "multilingual", None)
        )
    )
    said: dict[str, object] = {"licence": licences.from_card(card.get("license"), card.get("license_name"))}
    if tags:
        said |= {"language": tags[0]} if len(tags) == 1 else {"languages": tags}
    if title := card.get("pretty_name"):
        said["description"] = " ".join(str(title).split())
    return said


# --- the folder ---------------------------------------------------------------------------------------------------------------------------


def _agree(folder: Path, plan: Plan, url: str) -> None:
    """Raise if a folder that is there is not the source of a plan."""
    source = load_source(folder)
    if not is_hub(source.url) or (_repo(source), source.config or DEFAULT, source.split) != (
        plan.repo,
        plan.config,
        plan.split,
    ):
        raise HubError(
            f"There is a source {folder.name} already, of other content: give this one another name with --name."
        )
    if source.revision != plan.commit:
        where = address(url).revision or "main"
        raise HubError(
            f"{folder.name} is pinned to {short(source.revision)} and {where} is at {short(plan.commit)} now: "
            f"`infinity sources update {folder.name}` moves it there."
        )


def short(revision: str | None) -> str:
    """A revision for people: the first digits of a commit."""
    return revision[:7] if revision and _SHA.fullmatch(revision) else revision or "no revision"


def _repo(source: Source) -> str:
    return address(source.url or "").repo


def _receipt(folder: Path) -> Receipt | None:
    try:
        return Receipt(**json.loads((folder / RECEIPT).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _pin(folder: Path, plan: Plan, source: Source) -> None:
    """Write the commit into a `source.yaml`, and what it leaves open; everything else in it stays as it is, comments too."""
    file = folder / SOURCE_FILE
    text = file.read_text(encoding="utf-8-sig")
    facts = {
        "revision": plan.commit,
        "config": None if plan.config == DEFAULT else plan.config,
        "split": plan.split,
        **plan.card,
    }
    facts = {key: value for key, value in facts.items() if value is not None}
    if {"language", "languages"} & source.model_fields_set:
        facts = {key: value for key, value in facts.items() if key not in ("language", "languages")}
    edited, there = re.subn(r"(?m)^revision:[^#\n]*?([ \t]*(?:#.*)?)$", rf"revision: {plan.commit}\1", text, count=1)
    open_ = {
        key: value
        for key, value in facts.items()
        if key not in source.model_fields_set or (key == "revision" and not there)
    }
    edited = edited + ("" if edited.endswith("\n") or not edited else "\n") + as_yaml(open_)
    said = load_yaml(text)
    assert isinstance(said, dict), "it was read as a source before"
    wanted = {**said, **open_, "revision": plan.commit}
    if _read(edited) != wanted:  # not written line by line
        edited = as_yaml(wanted)
    if edited != text:
        write_text(edited, file)


def _read(text: str) -> object:
    try:
        return load_yaml(text)
    except yaml.YAMLError:
        return None


def _bring(folder: Path, plan: Plan, progress: Callable[[int, int], None] | None) -> None:
    """Download the files of a plan that a folder lacks, put them in place when all have come, and take away those that it had before."""
    had = _receipt(folder)
    before = had.files if had and had.repo == plan.repo else {}
    wanted = {
        path: file
        for path, file in plan.files.items()
        if before.get(path) != file.content
        or not (folder / path).is_file()
        or (folder / path).stat().st_size != file.size
    }
    work = folder / WORK
    work.mkdir(exist_ok=True)
    _download(plan, wanted, work, progress)
    for path in wanted:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        os.replace(work / path, folder / path)
    for path in set(had.files if had else ()) - set(plan.files):
        (folder / path).unlink(missing_ok=True)
    source = load_source(folder)
    receipt = Receipt(
        plan.repo, plan.commit, source.config, source.split, {path: file.content for path, file in plan.files.items()}
    )
    write_text(json.dumps(receipt._asdict(), indent=1), folder / RECEIPT)
    shutil.rmtree(work)


def _download(plan: Plan, files: dict[str, File], work: Path, progress: Callable[[int, int], None] | None) -> None:
    """The files of a plan, at their paths under `work`; those that are there already cost nothing."""
    from huggingface_hub.utils.tqdm import silent_tqdm

    total = sum(file.size for file in files.values())
    free, there = shutil.disk_usage(work).free, _bytes_in(work)
    if total - there > free:
        raise HubError(
            f"{plan.repo} needs {_megabytes(total - there)} more and {work.parent} has {_megabytes(free)} left."
        )
    api = _api()

    def bring(path: str) -> None:
        # Parallel here and not in `snapshot_download`, whose patterns would take `[` in the name of a file for a set.
        api.hf_hub_download(
            plan.repo,
            path,
            repo_type="dataset",
            revision=plan.commit,
            local_dir=work,
            tqdm_class=silent_tqdm,  # pyright: ignore[reportArgumentType]
        )

    executor = ThreadPoolExecutor(_CONNECTIONS)
    try:
        with _as_sentences(plan.repo, plan.commit):
            waiting = {executor.submit(bring, path) for path in files}
            while waiting:
                done, waiting = wait(waiting, timeout=1, return_when=FIRST_EXCEPTION)
                for future in done:
                    future.result()
                if progress:
                    progress(min(_bytes_in(work), total), total)
    finally:
        executor.shutdown(cancel_futures=True)


def _bytes_in(work: Path) -> int:
    """What lies in a folder, finished or not."""
    total = 0
    for parent, _, names in os.walk(work):
        for name in names:
            with suppress(FileNotFoundError):  # a temporary file that has got its name meanwhile
                total += os.stat(os.path.join(parent, name)).st_size
    return total


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


# --- the Hub ------------------------------------------------------------------------------------------------------------------------------


def _api() -> Any:
    from huggingface_hub import HfApi

    return HfApi(endpoint=os.environ.get("HF_ENDPOINT") or None)


@contextmanager
def _as_sentences(repo: str, revision: str | None) -> Iterator[None]:
    """What the Hub's client raises, as one sentence that says what to do."""
    from httpx2 import HTTPError
    from huggingface_hub import errors

    page = f"https://huggingface.co/datasets/{repo}"
    try:
        yield
    except errors.GatedRepoError:
        raise HubError(
            f"{repo} is gated: accept its terms at {page}, then set HF_TOKEN to a token of that account."
        ) from None
    except errors.RepositoryNotFoundError:
        raise HubError(
            f"The Hub has no dataset {repo}, or it is private: check the name, or set HF_TOKEN to a token that may read it."
        ) from None
    except errors.RevisionNotFoundError:
        raise HubError(f"{repo} has no revision {revision}; there are {_revisions(repo)}.") from None
    except errors.DisabledRepoError:
        raise HubError(f"{repo} has been disabled on the Hub.") from None
    except errors.OfflineModeIsEnabled:
        raise HubError(f"{repo} cannot be fetched while HF_HUB_OFFLINE is set: unset it.") from None
    except errors.RemoteEntryNotFoundError:
        raise HubError(f"A file of {repo} is listed by the Hub but cannot be found at {short(revision)}.") from None
    except (
        errors.LocalEntryNotFoundError
    ) as error:  # the client's word for a file that it found no way to; why is in its cause
        with _as_sentences(repo, revision):
            raise error.__cause__ or ConnectionError() from None
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        if status in (401, 403):
            raise HubError(
                f"The Hub refuses {repo} (status {status}): check the token in HF_TOKEN and what it may read."
            ) from None
        raise HubError(f"The Hub answered with status {status} for {repo}: try again later.") from None
    except ValueError:
        raise HubError(
            f"What answers for {repo} does not speak as the Hub does: check HF_ENDPOINT and proxies."
        ) from None
    except HTTPError as error:
        raise HubError(
            f"The Hub cannot be reached ({type(error).__name__}): check the network, HF_ENDPOINT and proxies, then run it again."
        ) from None
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise HubError(
                f"The disk is full: make room, then run it again; what of {repo} has come is kept."
            ) from None
        if error.errno is None:  # the client's own complaint, about a download of another length for one
            raise HubError(f"A download from {repo} broke off: run it again; what has come is kept.") from None
        raise


def _revisions(repo: str) -> str:
    """Branches and tags, for a message."""
    from httpx2 import HTTPError

    try:
        refs = _api().list_repo_refs(repo, repo_type="dataset")
    except (HTTPError, OSError):
        return "others"
    names = [ref.name for ref in (*refs.branches, *refs.tags)]
    return ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
