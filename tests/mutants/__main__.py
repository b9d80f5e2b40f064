"""Find out which mistakes in the code the tests do not see: `make mutants`.

`mechanisms.toml` declares functions and the tests that guard them. In a copy of the checkout each function is changed
in one place at a time, and its tests are run; a change with which they all pass has survived. One that may survive is
declared there with its reason. The exit status is 1 if another one survived, or if a declared one did not.
"""

from __future__ import annotations

import argparse
import gc
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Container, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from mutate import Mutant, mutants

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
# Imported once, like pytest's plugins, before each run of tests is forked off: they cost seconds, and no mutant is in them.
PRELOADED = (
    "aiosmtpd.controller",
    "pydantic_settings",
    "great_expectations",
    "duckdb",
    "pandas",
    "pyiceberg.catalog.sql",
    "pytest",
    "hypothesis",
    "xgboost",
    "mlflow",
)
# Seconds that the tests of a mutant may take, as a multiple of what they take on the code as it is, and at least.
PATIENCE, AT_LEAST = 5, 60


@dataclass(frozen=True)
class Mechanism:
    """Functions of a file, and the tests that must not pass where one of them is wrong."""

    name: str
    file: str
    functions: list[str]
    tests: list[str]

    def mutants(self) -> Iterator[Mutant]:
        source = (ROOT / self.file).read_text()
        for function in self.functions:
            yield from (
                Mutant(f"{function}: {each.change}", each.source) for each in mutants(source, function)
            )


def declared() -> tuple[list[Mechanism], dict[str, str]]:
    """Return the mechanisms, and the reasons of the mutants that may survive, by `<file> <change>`."""
    stated = tomllib.loads((HERE / "mechanisms.toml").read_text())
    return [Mechanism(**each) for each in stated["mechanism"]], {
        f"{each['file']} {each['change']}": each["why"] for each in stated.get("survivor", [])
    }


def copied(into: Path) -> Path:
    """Copy what git tracks, as it is in the working tree."""
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, into / name)
    return into


def run_tests(checkout: Path, tests: list[str], seconds: float) -> tuple[bool, str]:
    """Run tests in a forked process; return whether all passed, and the end of what they printed.

    Tests that do not end in time, or cannot even be collected, have not passed.
    """
    log = checkout / "mutant.log"
    child = os.fork()
    if child == 0:
        os.setsid()
        os.chdir(checkout)
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(output, 1)
        os.dup2(output, 2)
        paths = [str(checkout / "plugins"), str(checkout)]
        sys.path[:0] = paths
        # For the processes that a test starts.
        os.environ["PYTHONPATH"] = os.pathsep.join(paths)
        import pytest

        # What has failed with an earlier mutant is likely to fail with the next one: it is run first.
        chosen = ["-x", "-q", "--failed-first", "-p", "no:randomly", "-m", "not long"]
        os._exit(int(pytest.main([*chosen, *tests])))
    status = _ended(child, seconds)
    tail = log.read_text(errors="replace")[-2000:]
    return status == 0, tail


def _ended(child: int, seconds: float) -> int | None:
    """Return the exit status of a child; None, after killing its process group, if it does not end in time."""
    from psutil import Process, TimeoutExpired

    try:
        return Process(child).wait(timeout=seconds)
    except TimeoutExpired:
        os.killpg(child, 9)
        os.waitpid(child, 0)
        return None


def main() -> int:
    mechanisms, accepted = declared()
    parser = argparse.ArgumentParser(prog="python tests/mutants", description=__doc__.splitlines()[0])
    names = [each.name for each in mechanisms]
    parser.add_argument("name", nargs="*", help=f"a mechanism (default: all): {', '.join(names)}")
    parser.add_argument("--sample", type=int, metavar="N", help="that many mutants of each mechanism, drawn")
    parser.add_argument("--seed", type=int, default=0, help="of the draw (default: 0)")
    parser.add_argument("--list", action="store_true", help="name the mutants, and run nothing")
    options = parser.parse_args()
    if unknown := sorted(set(options.name) - set(names)):
        parser.error(f"no such mechanism: {', '.join(unknown)} (there are: {', '.join(names)})")
    chosen = [each for each in mechanisms if not options.name or each.name in options.name]
    draw = random.Random(options.seed)  # a draw of tests, no secret
    drawn: dict[str, list[Mutant]] = {}
    for mechanism in chosen:
        every = list(mechanism.mutants())
        count = len(every) if options.sample is None else min(options.sample, len(every))
        drawn[mechanism.name] = sorted(draw.sample(every, count), key=lambda mutant: mutant.change)
    if options.list:
        for mechanism in chosen:
            for mutant in drawn[mechanism.name]:
                print(f"{mechanism.file} {mutant.change}")
        return 0
    _preload()
    with tempfile.TemporaryDirectory(prefix="sluice-mutants-") as folder:
        checkout = copied(Path(folder).resolve())
        survived = [
            name for each in chosen for name in _survivors(checkout, each, drawn[each.name], set(accepted))
        ]
    tried = {f"{each.file} {mutant.change}" for each in chosen for mutant in drawn[each.name]}
    return _report(tried, survived, accepted)


def _preload() -> None:
    for name in PRELOADED:
        __import__(name)
    for plugin in entry_points(group="pytest11"):
        plugin.load()
    # The collector would touch, and so copy, all of it in each forked process.
    gc.collect()
    gc.freeze()


def _survivors(
    checkout: Path, mechanism: Mechanism, tried: list[Mutant], accepted: Container[str]
) -> list[str]:
    """Try the mutants of a mechanism, and return those with which its tests pass."""
    begun = time.monotonic()
    passed, output = run_tests(checkout, mechanism.tests, 900)
    if not passed:
        raise SystemExit(f"The tests of {mechanism.name} fail on the code as it is:\n{output}")
    seconds = time.monotonic() - begun
    print(f"{mechanism.name}: {len(tried)} mutants, {seconds:.0f} s for the tests", flush=True)
    target, found = checkout / mechanism.file, []
    original = target.read_text()
    for number, mutant in enumerate(tried, 1):
        target.write_text(mutant.source)
        alive, _ = run_tests(checkout, mechanism.tests, max(AT_LEAST, PATIENCE * seconds))
        name = f"{mechanism.file} {mutant.change}"
        found += [name] if alive else []
        said = ("survived, as declared" if name in accepted else "SURVIVED") if alive else "killed"
        print(f"{mechanism.name} {number}/{len(tried)} {said}: {mutant.change}", flush=True)
    target.write_text(original)
    return found


def _report(tried: Set[str], survived: Sequence[str], accepted: Mapping[str, str]) -> int:
    """Say what survived; return the exit status."""
    unexplained = [name for name in survived if name not in accepted]
    seen = sorted((tried & accepted.keys()) - set(survived))
    for name in survived:
        print(f"survived: {name}{f'  ({accepted[name]})' if name in accepted else ''}")
    for name in seen:
        print(f"declared as a survivor, but the tests see it: {name}. Take it out of mechanisms.toml.")
    print(
        f"{len(tried)} mutants: {len(tried) - len(survived)} killed, {len(survived)} survived, "
        f"{len(unexplained)} of them without a declared reason."
    )
    return 1 if unexplained or seen else 0


if __name__ == "__main__":
    sys.exit(main())
