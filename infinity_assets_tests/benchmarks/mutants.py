"""Mutation testing: make one fault at a time in the product, and see whether the tests notice.

    python -m infinity_assets_tests.benchmarks.mutants                                      all mutants, this checkout
    python -m infinity_assets_tests.benchmarks.mutants --only atomic-a-failed-writer-takes-the-place
    python -m infinity_assets_tests.benchmarks.mutants --checkout ../before --out before.json

A mutant is a small change that breaks something, such as a wrong comparison or a forgotten filter. `mutants.yaml`,
beside this file, lists them, each with the tests that should fail because of it. If a test does fail, the mutant is
"killed". If all of them pass, it has "survived", and the tests have a gap. Run the list before and after tests are
rewritten: a mutant that was killed before and survives after shows what the new tests have lost.

Nothing in the checkout is changed. Its tracked files are copied to a temporary folder, with links to its virtual
environment and its models. There, one mutant at a time is made, its tests are run in one process up to the first
failure, and the file is put back. Tests that exceed the time limit count as failed, because a fault can make a program
hang. Before a mutant counts as killed, the test that failed must pass on the file as it was. A test that fails either
way says nothing about the mutant: it is left out, and the others are run again.

Results:

    killed     a test failed because of the mutant, or the tests hung or crashed
    survived   all tests passed
    outdated   the text to be replaced does not occur in the file exactly once: rewrite the mutant
    untested   none of its test files exists in this checkout
    unclear    the tests hang or crash without the mutant, too

With `--out`, every result is saved at once, and a later call continues where the last one ended. Mutants named by
`--only` are run again in any case. The exit status is 1 unless all mutants were killed.
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import yaml

LIST = Path(__file__).with_suffix(".yaml")
REPOSITORY = Path(__file__).parents[2]
LIMIT = 1200.0
"""Seconds that the tests of one mutant may take."""
HUNG, CRASHED = "timeout", "crash"
"""What stands for the name of a test when pytest did not end in time, or ended without a report."""

Status = Literal["killed", "survived", "outdated", "untested", "unclear"]

_PLUGIN = """
import os
from pathlib import Path

def _write(report):
    file = Path(os.environ["MUTANTS_FAILURE"])
    if report.failed and not file.exists():
        file.write_text(report.nodeid)

pytest_runtest_logreport = pytest_collectreport = _write
"""
"""A pytest plugin that writes the name of the first test that fails to a file, exactly as pytest wants it back."""


@dataclass(frozen=True)
class Mutant:
    """One fault."""

    id: str
    file: str
    was: str
    becomes: str
    tests: Sequence[str]

    @property
    def package(self) -> str:
        """The package that it is in, below `infinity_assets`."""
        return "/".join(Path(self.file).parts[1:-1]) or "infinity_assets"


@dataclass(frozen=True)
class Result:
    """The outcome of one mutant."""

    id: str
    package: str
    status: Status
    test: str | None = None
    """The first test that failed because of it, `HUNG` or `CRASHED`."""
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)


class Copy:
    """A copy of a checkout in which mutants are made.

    Args:
        checkout: The checkout.
        folder: An empty folder.
        limit: Seconds that one run of pytest may take.
    """

    def __init__(self, checkout: Path, folder: Path, limit: float):
        self.root, self._folder, self._limit = folder / "checkout", folder, limit
        self._passes: dict[str, bool] = {}
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=checkout, capture_output=True, check=True).stdout
        for name in filter(None, listed.decode().split("\0")):
            if (checkout / name).is_file():
                (self.root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(checkout / name, self.root / name)
        for linked in (".venv", "data/models"):
            (self.root / linked).symlink_to((checkout / linked).resolve())
        (folder / "first_failure.py").write_text(_PLUGIN)

    def try_mutant(self, mutant: Mutant) -> Result:
        """Make the fault, run its tests and put the file back."""
        tests = [test for test in mutant.tests if (self.root / test).exists()]
        notes = [f"{test} does not exist" for test in mutant.tests if test not in tests]
        file, began = self.root / mutant.file, time.monotonic()
        text = file.read_text(encoding="utf-8") if file.exists() else ""

        def result(status: Status, test: str | None = None) -> Result:
            return Result(mutant.id, mutant.package, status, test, round(time.monotonic() - began, 1), notes)

        if text.count(mutant.was) != 1:
            return result("outdated")
        if not tests:
            return result("untested")
        left_out: list[str] = []
        while True:
            self._write(file, text.replace(mutant.was, mutant.becomes))
            try:
                failed = self._run(tests, left_out, kernels="kernels" in file.name)
            finally:
                self._write(file, text)
            if failed is None:
                return result("survived")
            if failed in (HUNG, CRASHED):
                alike = self._run(tests, left_out) == failed
                return result("unclear") if alike else result("killed", failed)
            if self._passes_unmutated(failed):
                return result("killed", failed)
            if failed in left_out or "::" not in failed:
                notes.append(f"{failed} fails without the mutant, too")
                return result("unclear")
            left_out.append(failed)
            notes.append(f"{failed} fails without the mutant, too, and was left out")

    def _passes_unmutated(self, test: str) -> bool:
        if test not in self._passes:
            self._passes[test] = self._run([test], collect="::" not in test) is None
        return self._passes[test]

    def _run(
        self,
        tests: Sequence[str],
        left_out: Iterable[str] = (),
        kernels: bool = False,
        collect: bool = False,
    ) -> str | None:
        """Run tests up to the first failure.

        Args:
            tests: Files, folders or names of tests.
            left_out: Names of tests that are not run.
            kernels: Whether all compiled kernels are made anew. Numba makes anew those of a file that has changed, but
                not the kernels of other files that call them.
            collect: Whether the tests are only imported.

        Returns:
            The name of the first test that failed, the file that could not be imported, `HUNG` or `CRASHED`; None if
            all passed.
        """
        failure, scratch = self._folder / "failure", self._folder / "scratch"
        failure.unlink(missing_ok=True)
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(self.root), str(self._folder)]),
            "MUTANTS_FAILURE": str(failure),
            "NUMBA_CACHE_DIR": str((scratch if kernels else self._folder) / "numba"),
        }
        python = str(self.root / ".venv" / "bin" / "python")
        command = [python, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-p", "first_failure"]
        command += ["--basetemp", str(scratch / "tests"), *(["--collect-only"] if collect else [])]
        command += [word for test in left_out for word in ("--deselect", test)]
        process = subprocess.Popen(
            [*command, *tests],
            cwd=self.root,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            code = process.wait(self._limit)
        except subprocess.TimeoutExpired:
            return HUNG
        finally:
            _end(process)
        if code in (0, 5):  # 5: all tests were left out
            return None
        return failure.read_text() if failure.exists() else CRASHED

    @staticmethod
    def _write(file: Path, text: str) -> None:
        """Write a file, and remove what was compiled from it: Python compares whole seconds and sizes only."""
        file.write_text(text, encoding="utf-8")
        for compiled in (file.parent / "__pycache__").glob(f"{file.stem}.*.pyc"):
            compiled.unlink()


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process and all that it has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def read_mutants(only: Sequence[str] = ()) -> list[Mutant]:
    """Return the mutants of the list, or those named."""
    mutants = [Mutant(**entry) for entry in yaml.safe_load(LIST.read_text(encoding="utf-8"))]
    known = Counter(mutant.id for mutant in mutants)
    if wrong := [name for name, count in known.items() if count > 1] + [name for name in only if name not in known]:
        sys.exit(f"There is no mutant, or more than one, called {', '.join(wrong)}.")
    return [mutant for mutant in mutants if not only or mutant.id in only]


def print_table(results: Iterable[Result]) -> None:
    """Print how many mutants of each package were killed, and how many not."""
    counts: dict[str, Counter[str]] = {}
    for result in results:
        counts.setdefault(result.package.partition("/")[0], Counter())[result.status] += 1
    counts = dict(sorted(counts.items()))
    counts["all"] = sum(counts.values(), Counter())
    print(f"\n{'package':<20}{'mutants':>8}{'killed':>8}{'survived':>10}{'other':>7}")
    for package, found in counts.items():
        other = found.total() - found["killed"] - found["survived"]
        print(f"{package:<20}{found.total():>8}{found['killed']:>8}{found['survived']:>10}{other:>7}")


def main() -> None:
    """Run the mutants."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="ID", nargs="+", default=[], help="run these mutants only")
    parser.add_argument("--out", metavar="FILE", type=Path, help="save results in a JSON file, and continue from it")
    parser.add_argument("--checkout", metavar="FOLDER", type=Path, default=REPOSITORY, help="whose code and tests")
    parser.add_argument("--limit", metavar="SECONDS", type=float, default=LIMIT, help="for the tests of one mutant")
    arguments = parser.parse_args()
    mutants = read_mutants(arguments.only)
    results: dict[str, Result] = {}
    if arguments.out and arguments.out.exists():
        results = {entry["id"]: Result(**entry) for entry in json.loads(arguments.out.read_text())}
    with tempfile.TemporaryDirectory(prefix="mutants-", ignore_cleanup_errors=True) as folder:
        copy = Copy(arguments.checkout.resolve(), Path(folder), arguments.limit)
        for mutant in mutants:
            if mutant.id in results and mutant.id not in arguments.only:
                continue
            result = results[mutant.id] = copy.try_mutant(mutant)
            print(f"{result.status:<9} {result.id:<56} {result.seconds:7.1f} s  {result.test or ''}", flush=True)
            for note in result.notes:
                print(f"{'':<10}note: {note}", flush=True)
            if arguments.out:
                arguments.out.write_text(json.dumps([asdict(each) for each in results.values()], indent=1) + "\n")
    shown = [results[mutant.id] for mutant in mutants if mutant.id in results]
    print_table(shown)
    sys.exit(any(result.status != "killed" for result in shown))


if __name__ == "__main__":
    main()
