"""Fails an asset that reads a setting, a model or a prompt that it has not declared.

An asset declares in `settings=` what its result depends on. If a declaration lacks something, stale rows are served
silently: the setting changes, and the asset is not made again. `watched` wraps an asset's function, records what it
reads, and compares that with the declaration: for every setting that was read, another value must lead to another hash.
"""

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import BaseModel

from infinity_assets import prompts
from infinity_assets.catalog.lake import Outcome
from infinity_assets.defs.registry import Registered
from infinity_assets.defs.step import Step
from infinity_assets.errors import InfinityError
from infinity_assets.settings import Settings, settings_hash
from infinity_assets.settings.models import EmbedderSpec, Price, Section, Weights

INDECISIVE = ("ingest.workers", "calls.shards_at_once", "calls.warn_failed", "calls.budget", "prompts_dir")
"""Settings that do not affect the rows, and the folder of prompts, whose texts are declared by their hashes."""

OF_MODELS = ("model", "revision", "terms")
"""Fields of a model's specification that affect its answers or their terms. The others only affect how it runs."""


class _Recorder:
    """A recorder of the settings and prompts that any thread reads while it is switched on."""

    def __init__(self) -> None:
        self._lock, self._users = threading.Lock(), 0
        self.fields: set[tuple[int, str]] = set()
        self.prompts: set[str] = set()
        self.comparing = threading.local()
        """Whether this thread loads prompts to compare, not for an asset."""
        self._load = prompts.load

    @contextmanager
    def recording(self) -> Iterator[None]:
        with self._lock:
            self._users += 1
            if self._users == 1:
                self.fields.clear()
                self.prompts.clear()
                for model in (Section, Settings):
                    model.__getattribute__ = self._read  # type: ignore[method-assign, assignment]
                prompts.load = self._loaded  # pyrefly: ignore[bad-assignment]
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if not self._users:
                    for model in (Section, Settings):
                        del model.__getattribute__
                    prompts.load = self._load

    @property
    def _read(self) -> Any:
        def read(model: BaseModel, name: str) -> Any:
            value = object.__getattribute__(model, name)
            if not name.startswith("_") and name in type(model).model_fields:
                self.fields.add((id(model), name))
            return value

        return read

    def _loaded(self, name: str, *arguments: Any) -> Any:
        if not getattr(self.comparing, "on", False):
            self.prompts.add(name)
        return self._load(name, *arguments)


_RECORDER = _Recorder()


def watched(registered: Registered) -> Registered:
    """Return the asset with a function that fails if it reads what the asset has not declared."""

    def function(step: Step) -> Outcome:
        with _RECORDER.recording():
            outcome = registered.function(step)
            read, loaded = set(_RECORDER.fields), set(_RECORDER.prompts)
        if step.ledger.generations.filter(pl.col("kind").is_in(["generate", "complete"])).is_empty():
            read = {
                (section, name)
                for section, name in read
                if section != id(step.settings.calls.retries) and name != "retries"
            }
        undeclared = sorted(path for path in _paths(read, step.settings) if not _decides(path, registered, step))
        assert not undeclared, (
            f"`{registered.asset}` reads {', '.join(undeclared)}, and `settings=` does not declare it"
        )
        missing = _undeclared_prompts(loaded, registered, step.settings)
        assert not missing, f"`{registered.asset}` loads the prompts {missing}, and `settings=` has no hashes of them"
        return outcome

    return replace(registered, function=function)


def _undeclared_prompts(loaded: set[str], registered: Registered, settings: Settings) -> list[str]:
    """Return the names of the loaded prompts whose hashes an asset does not declare."""
    _RECORDER.comparing.on = True
    try:
        parts = {str(part) for part in registered.settings(settings) if isinstance(part, str)} if loaded else set()
        return [name for name in sorted(loaded) if not set(prompts.hashes(settings.prompts_dir, name)) <= parts]
    finally:
        _RECORDER.comparing.on = False


def _paths(read: set[tuple[int, str]], settings: Settings) -> Iterator[str]:
    """Return the fields that were read and hold a value, not a section, by their path in the settings."""
    for path, section in _sections(settings):
        for name in type(section).model_fields:
            if (id(section), name) in read and not isinstance(section.__dict__[name], BaseModel):
                full = f"{path}.{name}".lstrip(".")
                run_only = isinstance(section, Price) or (
                    isinstance(section, Weights | EmbedderSpec) and name not in OF_MODELS
                )
                if not run_only and not full.startswith(INDECISIVE):
                    yield full


def _sections(section: BaseModel, path: str = "") -> Iterator[tuple[str, BaseModel]]:
    yield path, section
    for name in type(section).model_fields:
        value = section.__dict__[name]
        if isinstance(value, BaseModel):
            yield from _sections(value, f"{path}.{name}".lstrip("."))


_DECIDES: dict[tuple[object, str, str], bool] = {}
"""Results of `_decides`, by declaration, path and settings: the same asset is made many times."""


def _decides(path: str, registered: Registered, step: Step) -> bool:
    """Return whether another value at a path leads to another key of a materialization."""
    known = registered.settings, path, step.settings.model_dump_json()
    if known not in _DECIDES:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a changed value need not be of the field's type
            try:
                others = list(_others(step.settings, path.split(".")))
                _DECIDES[known] = _settings_differ(registered, step, others) or _files_differ(registered, step, others)
            except (AttributeError, InfinityError, KeyError, TypeError):  # the value is read, and cannot be this one
                _DECIDES[known] = True
    return _DECIDES[known]


def _settings_differ(registered: Registered, step: Step, others: list[Settings]) -> bool:
    before = settings_hash(*registered.settings(step.settings))
    return any(settings_hash(*registered.settings(other)) != before for other in others)


def _files_differ(registered: Registered, step: Step, others: list[Settings]) -> bool:
    before = dict(registered.files(step))
    return any(dict(registered.files(replace(step, settings=other))) != before for other in others)


def _others(section: Any, path: list[str]) -> Iterator[Any]:
    """Return copies of a section with other values at a path."""
    name, *rest = path
    value = section.__dict__[name]
    for other in _others(value, rest) if rest else _other_values(value):
        yield section.model_copy(update={name: other})


def _other_values(value: Any) -> tuple[Any, ...]:
    match value:
        case bool():
            return (not value,)
        case int() | float():
            return value + 1, value - 1
        case str():
            return (f"{value}?",)
        case tuple():
            return ((*value, *value[:1]) if value else ("?",),)
        case dict():
            return ({**value, "?": next(iter(value.values()), 1)},)
        case Path():
            return (value / "other",)
    return (1,)
