"""Rules of the house that no other tool holds."""

from __future__ import annotations

import ast
import re
import subprocess

from sluice.core.settings import ROOT
from sluice.ledger.kinds import KINDS

TOP_LEVEL = {
    "README.md",
    "dags",
    "plugins",
    "dbt_project",
    "expectations",
    "ml",
    "docker",
    "tests",
    "requirements.txt",
}


def _tracked() -> list[str]:
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        text=True,
        check=True,
    )
    return listed.stdout.splitlines()


def test_top_level_is_what_the_readme_says():
    assert {name.split("/")[0] for name in _tracked()} >= TOP_LEVEL


def test_environment_is_read_in_one_place():
    """`stack.py` passes the environment on to the processes it starts; only `settings.py` reads from it."""
    allowed = {"plugins/sluice/core/settings.py", "plugins/sluice/local/stack.py"}
    found = {
        name
        for name in _tracked()
        if re.match(r"(dags|ml|plugins)/.*\.py$", name)
        and re.search(r"os\.environ(?!\.setdefault)|getenv\(", (ROOT / name).read_text())
    }
    assert found <= allowed, f"read it in sluice/settings.py: {sorted(found - allowed)}"


def test_requirements_hash_every_package_and_leave_the_gpu_out():
    text = (ROOT / "requirements.txt").read_text()
    packages = re.findall(r"^([a-z0-9][a-z0-9._-]*)==", text, re.MULTILINE)
    assert len(packages) > 100
    for block in re.split(r"\n(?=[a-z0-9])", text):
        assert "--hash=sha256:" in block, block[:60]
    assert not [name for name in packages if name.startswith("nvidia")]


def test_make_alone_prints_help():
    shown = subprocess.run(["make", "-C", str(ROOT)], capture_output=True, text=True, check=True).stdout
    for target in (
        "install",
        "demo",
        "check",
        "test",
        "test-all",
        "test-docker",
        "lint",
        "up",
        "down",
        "supply-chain",
        "bench",
        "docs",
        "mutants",
        "lock",
        "clean",
    ):
        assert f"make {target}" in shown


def test_no_dag_file_holds_logic():
    """Wiring only: the longest DAG file stays readable in a minute."""
    for path in (ROOT / "dags").glob("*.py"):
        text = path.read_text()
        assert len(text.splitlines()) <= 120, path.name
        assert not re.search(r"^\s*(def|class|try|while) ?", text, re.MULTILINE), (
            f"{path.name}: move it to sluice"
        )
        # Airflow only parses files that hold both words.
        assert "dag" in text.lower(), path.name
        assert "airflow" in text.lower(), path.name


def test_fixtures_of_a_package_are_in_one():
    """Elsewhere pytest lets them live until the session ends, and what they start or set reaches other folders' tests."""
    folders = {
        path.parent
        for path in (ROOT / "tests").rglob("*.py")
        if re.search(r"""^@pytest\.fixture\(.*scope=["']package["']""", path.read_text(), re.MULTILINE)
    }
    assert len(folders) == 4
    assert [str(folder) for folder in folders if not (folder / "__init__.py").is_file()] == []


_NUMBERS_AND_COLLECTIONS = {
    "int",
    "float",
    "list",
    "tuple",
    "dict",
    "set",
    "Sequence",
    "Iterable",
    "Collection",
    "Mapping",
}


def _lost_defaults(tree: ast.AST) -> list[int]:
    """Lines with `given or default`, where `given` is a parameter that may be None, a number or a collection."""
    found = []
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        optional = {
            one.arg
            for one in (*function.args.args, *function.args.kwonlyargs)
            if one.annotation is not None
            and (words := set(re.findall(r"\w+", ast.unparse(one.annotation)))) >= {"None"}
            and words & _NUMBERS_AND_COLLECTIONS
        }
        for node in ast.walk(function):
            if (
                isinstance(node, ast.BoolOp)
                and isinstance(node.op, ast.Or)
                and isinstance(node.values[0], ast.Name)
            ):
                default = ast.unparse(node.values[-1])
                if node.values[0].id in optional and default not in ("()", "[]", "{}", "''", "0", "0.0"):
                    found.append(node.lineno)
    return found


def test_argument_that_is_zero_or_empty_is_not_taken_for_none():
    """Version 0 of a contract was taken for no version: write `default if given is None else given`."""
    assert _lost_defaults(
        ast.parse("def f(a: int | None, b: str | None): return a or 1, b or 'c', a or 0")
    ) == [1]
    found = [
        f"{name}:{line}"
        for name in _tracked()
        if re.match(r"(dags|ml|plugins|benchmarks)/.*\.py$", name)
        for line in _lost_defaults(ast.parse((ROOT / name).read_text()))
    ]
    assert not found, f"compare with None: {found}"


def test_every_kind_of_entry_that_is_declared_is_written():
    """`sluice ledger --kind` says which kinds there are."""
    written: set[str] = set()
    for name in _tracked():
        if re.match(r"plugins/.*\.py$", name):
            for node in ast.walk(ast.parse((ROOT / name).read_text())):
                if isinstance(node, ast.Call):
                    written.update(re.findall(r"\w+", ast.unparse(node.func)))
    unused = [record.__name__ for record in KINDS.values() if record.__name__ not in written]
    assert not unused, f"remove it from sluice/ledger/records.py: {unused}"


def _asks_the_system_clock(tree: ast.AST) -> list[int]:
    """Lines that ask the system what time it is; what measures a duration (`time.monotonic`) is none of them."""
    asking = {"now", "utcnow", "today", "time", "time_ns", "gmtime", "localtime", "ctime"}
    modules = {"datetime", "date", "dt", "time", "pendulum", "timezone"}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "time":
            found += [node.lineno for name in node.names if name.name in asking]
        if isinstance(node, ast.Attribute) and node.attr in asking:
            owner = ast.unparse(node.value).rsplit(".", 1)[-1]
            found += [node.lineno] if owner in modules else []
    return found


def test_system_clock_is_asked_in_one_place():
    """Everything else asks `sluice.core.clock`, so that tests set the clock of all processes at once."""
    allowed = {
        "plugins/sluice/core/clock.py",
        # Below the settings, which say where the clock is set; nothing is judged by when a home was made.
        "plugins/sluice/core/identity.py",
        # Times of MLflow's metrics, which are MLflow's own.
        "ml/sluice_ml/registry.py",
    }
    assert _asks_the_system_clock(
        ast.parse(
            "datetime.now(UTC)\ndate.today()\ntime.time()\nclock.today(x)\ntime.monotonic()\n"
            "datetime.datetime.utcnow()\nfrom time import time\nclock.now(x)\nfield(default_factory=datetime.now)"
        )
    ) == [7, 1, 2, 3, 6, 9]
    found = {
        name: lines
        for name in _tracked()
        if re.match(r"(dags|ml|plugins)/.*\.py$", name)
        and (lines := _asks_the_system_clock(ast.parse((ROOT / name).read_text())))
    }
    assert found.keys() <= allowed, (
        f"ask sluice.core.clock: { {n: found[n] for n in found.keys() - allowed} }"
    )


def _anchors(text: str) -> set[str]:
    """Names that a Markdown page's headings can be linked by, made as GitHub makes them."""
    headings = re.findall(
        r"^#+ (.+)$", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE
    )
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_between_the_pages_of_the_documentation_lead_somewhere():
    broken = []
    for name in _tracked():
        if not name.endswith(".md"):
            continue
        page = ROOT / name
        for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
            if re.match(r"[a-z]+:", link):
                continue
            path, _, anchor = link.partition("#")
            target = page.parent / path if path else page
            if not target.exists() or (anchor and anchor not in _anchors(target.read_text())):
                broken.append(f"{name}: {link}")
    assert broken == []
