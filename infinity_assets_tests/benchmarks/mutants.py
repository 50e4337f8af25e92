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
hang. At the end, the tests that failed are run once more without any mutant. One that fails either way says nothing
about a mutant: it is left out, and the other tests of that mutant are run again.

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
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

import yaml

LIST = Path(__file__).with_suffix(".yaml")
REPOSITORY = Path(__file__).parents[2]
LIMIT = 1200.0
"""Seconds that the tests of one mutant may take."""
HUNG, CRASHED = "timeout", "crash"
"""Stand-ins for the name of a test if pytest did not end in time, or ended without a report."""

Status = Literal["killed", "survived", "outdated", "untested", "unclear"]

_PLUGIN = """
import os

def _write(report):
    if report.failed:
        with open(os.environ["MUTANTS_FAILED"], "a") as file:
            print(report.nodeid, file=file)

pytest_runtest_logreport = pytest_collectreport = _write
"""
"""A pytest plugin that writes the names of the tests that fail to a file, exactly as pytest wants them back."""


@dataclass(frozen=True)
class Mutant:
    """A fault in the product."""

    id: str
    file: str
    was: str
    becomes: str
    tests: Sequence[str]

    @property
    def package(self) -> str:
        """The package of the fault, below `infinity_assets`."""
        return "/".join(Path(self.file).parts[1:-1]) or "infinity_assets"


@dataclass(frozen=True)
class Result:
    """The outcome of one mutant."""

    id: str
    package: str
    status: Status
    test: str | None = None
    """The first test that failed because of the mutant, `HUNG` or `CRASHED`."""
    seconds: float = 0.0
    checked: bool = True
    """Whether the test is known to pass without the mutant."""
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
        self.broken: set[str] = set()
        """Tests that fail without any mutant."""
        self._clock = time.time()
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=checkout, capture_output=True, check=True).stdout
        for name in filter(None, listed.decode().split("\0")):
            if (checkout / name).is_file():
                (self.root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(checkout / name, self.root / name)
        for linked in (".venv", "data/models"):
            (self.root / linked).symlink_to((checkout / linked).resolve())
        (folder / "failed_tests.py").write_text(_PLUGIN)

    def try_mutant(self, mutant: Mutant) -> Result:
        """Make the fault, run its tests and restore the file."""
        tests = [test for test in mutant.tests if (self.root / test).exists()]
        notes = [f"{test} does not exist" for test in mutant.tests if test not in tests]
        file, began = self.root / mutant.file, time.monotonic()
        text = file.read_text(encoding="utf-8") if file.exists() else ""

        def result(status: Status, test: str | None = None, checked: bool = True) -> Result:
            return Result(mutant.id, mutant.package, status, test, round(time.monotonic() - began, 1), checked, notes)

        if text.count(mutant.was) != 1:
            return result("outdated")
        if not tests:
            return result("untested")
        notes += [f"{test} fails without the mutant, too, and was left out" for test in self._left_out(tests)]
        self._write(file, text.replace(mutant.was, mutant.becomes))
        try:
            failed = self._run(tests, kernels="kernels" in file.name)
        finally:
            self._write(file, text)
        if not failed:
            return result("survived")
        if failed[0] in (HUNG, CRASHED):
            return result("unclear") if self._run(tests) == failed else result("killed", failed[0])
        return result("killed", failed[0], checked=False)

    def find_broken(self, tests: set[str]) -> set[str]:
        """Return those tests that fail without any mutant, and leave them out from now on."""
        failed = self._run(sorted(tests), all_of_them=True)
        suspects = tests if CRASHED in failed else tests.intersection(failed)
        found = {test for test in suspects if self._run([test])}  # alone: others may have made it fail
        self.broken |= found
        return found

    def _left_out(self, tests: Sequence[str]) -> list[str]:
        return sorted(test for test in self.broken if test.startswith(tuple(tests)))

    def _run(self, tests: Sequence[str], kernels: bool = False, all_of_them: bool = False) -> list[str]:
        """Run tests up to the first failure.

        Args:
            tests: Files, folders or names of tests.
            kernels: Whether all kernels are compiled again. Numba compiles the kernels of a changed file again, but not
                the kernels of other files that call them.
            all_of_them: Whether the run goes on after a failure.

        Returns:
            The names of the failed tests, or of files that could not be imported; `HUNG` or `CRASHED` alone if there is
            no such name.
        """
        names, scratch = self._folder / "failed", self._folder / "scratch"
        names.write_text("")
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(self.root), str(self._folder)]),
            "MUTANTS_FAILED": str(names),
            # Compiling all that is imported takes longer than most of the tests.
            "PYTHONDONTWRITEBYTECODE": "",
            "PYTHONPYCACHEPREFIX": str(self._folder / "compiled"),
            "NUMBA_CACHE_DIR": str((scratch if kernels else self._folder) / "numba"),
        }
        python = str(self.root / ".venv" / "bin" / "python")
        command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "failed_tests"]
        command += ["--basetemp", str(scratch / "tests"), *([] if all_of_them else ["-x"])]
        command += [word for test in self._left_out(tests) for word in ("--deselect", test)]
        process = subprocess.Popen(
            [*command, *tests],
            cwd=self.root,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            code = process.wait(None if all_of_them else self._limit)
        except subprocess.TimeoutExpired:
            return [HUNG]
        finally:
            _end(process)
        if code in (0, 5):  # 5: all tests were left out
            return []
        return names.read_text().splitlines() or [CRASHED]

    def _write(self, file: Path, text: str) -> None:
        """Write a file with a new time in seconds, by which Python decides what to compile."""
        file.write_text(text, encoding="utf-8")
        self._clock += 10
        os.utime(file, (self._clock, self._clock))


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process and its children."""
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


def save_results(results: Mapping[str, Result], file: Path | None) -> None:
    """Write results as JSON, if there is a file for them."""
    if file:
        file.write_text(json.dumps([asdict(result) for result in results.values()], indent=1) + "\n")


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
    waiting = [mutant for mutant in mutants if mutant.id not in results or mutant.id in arguments.only]
    with tempfile.TemporaryDirectory(prefix="mutants-", ignore_cleanup_errors=True) as folder:
        copy = Copy(arguments.checkout.resolve(), Path(folder), arguments.limit)
        while True:
            for mutant in waiting:
                result = results[mutant.id] = copy.try_mutant(mutant)
                print(f"{result.status:<9} {result.id:<56} {result.seconds:7.1f} s  {result.test or ''}", flush=True)
                for note in result.notes:
                    print(f"{'':<10}note: {note}", flush=True)
                save_results(results, arguments.out)
            unchecked = [found for mutant in mutants if not (found := results[mutant.id]).checked]
            if not unchecked:
                break
            broken = copy.find_broken({result.test for result in unchecked if result.test})
            results |= {result.id: replace(result, checked=result.test not in broken) for result in unchecked}
            save_results(results, arguments.out)
            waiting = [mutant for mutant in mutants if not results[mutant.id].checked]
    shown = [results[mutant.id] for mutant in mutants]
    print_table(shown)
    sys.exit(any(result.status != "killed" for result in shown))


if __name__ == "__main__":
    main()
