"""Imports of a run of the graph, done once in the process that `forks` forks."""

import atexit
import os

import dagster._cli
import dagster._core.storage.event_log.sqlite  # noqa: F401
import sentence_transformers  # noqa: F401
import sklearn.neighbors  # noqa: F401

import infinity_assets.catalog.explain
import infinity_assets.cli.run
import infinity_assets.inference.engines.openai_engine
import infinity_assets.report.terminal  # noqa: F401
import infinity_assets_tests.defs.graph
import infinity_assets_tests.forks  # noqa: F401

# DuckDB's bindings report leaks on stderr when the interpreter ends.
atexit.register(lambda: os.dup2(os.open(os.devnull, os.O_WRONLY), 2))
