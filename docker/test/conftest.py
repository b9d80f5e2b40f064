"""The image and the compose installation, built and run for real, and removed again.

`make test-docker`; not part of `make test`. It takes podman with podman-compose, or Docker with its compose, whichever answers.
Where no registry is reached, the base images are stand-ins made by `stand-in`, under the names that Dockerfile and compose.yml
ask for; they are removed at the end, too.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import yaml

from sluice.core.settings import ROOT
from sluice.local.api import AirflowApi
from sluice_lab.rehearsal.bench import free_ports

HERE = Path(__file__).parent
COMPOSE = ROOT / "docker" / "compose.yml"
# Seconds until every component has to be healthy.
HEALTHY_WITHIN = 180
BASES = {"python": "docker.io/library/python:3.11-slim", "postgres": "docker.io/library/postgres:15"}


@dataclass(frozen=True)
class Engine:
    """What builds and runs containers here."""

    name: str
    compose: tuple[str, ...]
    environment: dict[str, str]

    def run(self, *command: str, check: bool = True, stdin: bytes | None = None) -> str:
        """Run a command with the environment of the installation; returns what it printed, and shows both where it fails."""
        done = subprocess.run(
            command, env=self.environment, input=stdin, capture_output=True, check=False, cwd=ROOT
        )
        printed = done.stdout.decode(errors="replace")
        if check:
            errors = done.stderr.decode(errors="replace")
            assert done.returncode == 0, f"{' '.join(command)}\n{printed[-6000:]}\n{errors[-6000:]}"
        return printed

    def has(self, image: str) -> bool:
        return bool(self.run(self.name, "images", "--quiet", image))


@dataclass
class Installation:
    """A running `docker/compose.yml`."""

    engine: Engine
    project: str
    image: str
    url: str
    seconds_to_healthy: float = 0.0

    def compose(self, *arguments: str) -> str:
        return self.engine.run(*self.engine.compose, "-f", str(COMPOSE), "-p", self.project, *arguments)

    def services(self) -> dict[str, dict]:
        return yaml.safe_load(COMPOSE.read_text())["services"]

    def container(self, service: str) -> str:
        """Id of a service's container, running or not."""
        labels = {"com.docker.compose.project": self.project, "com.docker.compose.service": service}
        filters = [part for name, value in labels.items() for part in ("--filter", f"label={name}={value}")]
        (found,) = self.engine.run(self.engine.name, "ps", "--all", "--quiet", *filters).split()
        return found

    def do(self, *command: str, service: str = "scheduler", stdin: bytes | None = None) -> str:
        """Run a command in the container of a service."""
        keep_open = ["--interactive"] if stdin is not None else []
        return self.engine.run(
            self.engine.name, "exec", *keep_open, self.container(service), *command, stdin=stdin
        )

    def up(self) -> None:
        """Start it as docs/deploy.md says, and wait until every health check passes."""
        started = time.monotonic()
        self.compose("up", "--detach")
        self.wait(*(name for name in self.services() if name != "init"))
        self.seconds_to_healthy = time.monotonic() - started

    def wait(self, *services: str) -> None:
        """Wait until the health checks of services pass."""
        deadline = time.monotonic() + HEALTHY_WITHIN
        while sick := [name for name in services if not self._is_healthy(name)]:
            if time.monotonic() > deadline:
                logs = [
                    self.engine.run(self.engine.name, "logs", "--tail", "30", self.container(n)) for n in sick
                ]
                pytest.fail(f"Not healthy after {HEALTHY_WITHIN} s: {', '.join(sick)}\n" + "\n".join(logs))
            time.sleep(1)  # how often to ask; what is waited for is the answer

    def _is_healthy(self, service: str) -> bool:
        """By the health check that compose.yml and the image declare, run now: Podman runs none by itself without systemd."""
        if self.engine.name == "podman":
            done = subprocess.run(
                ["podman", "healthcheck", "run", self.container(service)],
                env=self.engine.environment,
                capture_output=True,
                check=False,
            )
            return done.returncode == 0
        state = json.loads(self.engine.run("docker", "inspect", self.container(service)))[0]["State"]
        return state.get("Health", {}).get("Status") == "healthy"

    def down(self, *, volumes: bool) -> None:
        self.compose("down", *(["--volumes"] if volumes else []))
        if volumes:
            # podman-compose leaves a volume that it has not made itself, as that of a restored home.
            volume = (self.engine.name, "volume")
            for name in self.engine.run(*volume, "ls", "--quiet", "--filter", f"name={self.project}").split():
                self.engine.run(*volume, "rm", name)

    def login(self) -> tuple[str, str]:
        """User and password, as docs/deploy.md says where to read them."""
        ((user, password),) = json.loads(self.do("cat", "/var/lib/sluice/airflow/passwords.json")).items()
        return user, password

    def api(self) -> AirflowApi:
        return AirflowApi(self.url, *self.login())

    def get(self, path: str) -> httpx.Response:
        """A page of the API server, as somebody who is logged in."""
        user, password = self.login()
        token = httpx.post(
            f"{self.url}/auth/token", json={"username": user, "password": password}, timeout=30
        )
        return httpx.get(
            f"{self.url}{path}", cookies={"_token": token.json()["access_token"]}, timeout=30, trust_env=False
        )

    def mails(self) -> set[str]:
        """Names of the mails that the sink has taken."""
        return set(self.do("find", "/var/lib/sluice/mail", "-name", "*.eml").split())


def _answers(*command: str, environment: dict[str, str]) -> bool:
    if not shutil.which(command[0]):
        return False
    return subprocess.run(command, env=environment, capture_output=True, check=False).returncode == 0


def _without_systemd(folder: Path) -> dict[str, str]:
    """Settings of Podman where no systemd runs, as in a machine of continuous integration."""
    if Path("/run/systemd/system").exists() or "CONTAINERS_CONF" in os.environ:
        return {}
    lines = ['cgroup_manager="cgroupfs"', 'events_logger="file"']
    lines += ['runtime="runc"'] if shutil.which("runc") else []
    limits = '[containers]\ndefault_ulimits=["nofile=20000:20000","nproc=4096:4096"]\n'
    (folder / "containers.conf").write_text(limits + "[engine]\n" + "\n".join(lines) + "\n")
    return {"CONTAINERS_CONF": str(folder / "containers.conf"), "DISABLE_HC_SYSTEMD": "true"}


@pytest.fixture(scope="session")
def engine(tmp_path_factory) -> Engine:
    """Podman or Docker; the whole run is skipped where neither answers."""
    port = free_ports(1)
    given = {
        **os.environ,
        "POSTGRES_PASSWORD": secrets.token_urlsafe(18),
        "API_PORT": str(port),
        "UI_URL": f"http://127.0.0.1:{port}",
        "IMAGE": f"sluice:test-{secrets.token_hex(4)}",
    }
    podman = {**given, **_without_systemd(tmp_path_factory.mktemp("podman"))}
    if _answers("podman", "info", environment=podman) and shutil.which("podman-compose"):
        return Engine("podman", ("podman-compose",), podman)
    if _answers("docker", "info", environment=given) and _answers(
        "docker", "compose", "version", environment=given
    ):
        return Engine("docker", ("docker", "compose"), given)
    pytest.skip(
        "NOT TRIED: neither podman with podman-compose nor Docker with its compose answers on this machine"
    )


@pytest.fixture(scope="session")
def bases(engine: Engine) -> Iterator[None]:
    """The base images: pulled, or where no registry is reached, stand-ins."""
    with ExitStack() as cleanup:
        for kind, image in BASES.items():
            if engine.has(image) or _answers(
                engine.name, "pull", "--quiet", image, environment=engine.environment
            ):
                continue
            if not shutil.which("debootstrap"):
                pytest.skip(
                    f"NOT TRIED: {image} cannot be pulled, and there is no debootstrap to make a stand-in"
                )
            cleanup.callback(engine.run, engine.name, "rmi", "--force", image)
            engine.run(str(HERE / "stand-in"), engine.name, kind, image)
        yield


@pytest.fixture(scope="session")
def image(engine: Engine, bases: None) -> Iterator[str]:
    """The image, built by `docker/build`."""
    name = engine.environment["IMAGE"]
    engine.environment["ENGINE"] = engine.name
    engine.run(str(ROOT / "docker" / "build"), name)
    yield name
    engine.run(engine.name, "rmi", "--force", name)


@pytest.fixture(scope="session")
def installation(engine: Engine, image: str) -> Iterator[Installation]:
    """The running installation; containers, network and volumes are removed at the end."""
    made = Installation(engine, f"sluice-test-{secrets.token_hex(4)}", image, engine.environment["UI_URL"])
    try:
        made.up()
        yield made
    finally:
        made.down(volumes=True)
