"""The command line of an installation: commands of other packages, and a project that lies elsewhere than the package."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from sluice.core.settings import ROOT

PLUGINS = """
from airflow import plugins_manager
found, errors = plugins_manager._get_plugins()
print([(type(one).__module__, len(one.external_views)) for one in found if one.name == "sluice"], errors)
"""


def _run(*arguments, cwd, **environment):
    return subprocess.run(
        [sys.executable, "-c", "from sluice.cli import main; main(prog_name='sluice')", *arguments],
        env={name: value for name, value in os.environ.items() if not name.startswith("SLUICE_")}
        | environment,
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def broken_package(tmp_path):
    """A folder with an installed package whose command cannot be imported."""
    folder = tmp_path / "broken-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text("[sluice.commands]\nstray = not_there_at_all:main\n")
    return tmp_path


def test_command_of_a_package_that_cannot_be_imported_says_so_and_the_others_work(broken_package):
    here = {
        "cwd": broken_package,
        "PYTHONPATH": str(broken_package),
        "SLUICE_HOME": str(broken_package / "home"),
    }
    help_text = _run("--help", **here)
    assert help_text.returncode == 0, help_text.stderr
    assert "status" in help_text.stdout
    refused = _run("stray", "--anything", "1", **here)
    assert refused.returncode == 1
    assert "No module named 'not_there_at_all'" in refused.stderr
    assert "entry point not_there_at_all:main of broken" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.fixture
def project(tmp_path):
    """A project apart from the package's checkout, whose pipeline has a name of its own."""
    folder = tmp_path / "project"
    for part in ("dags/pipelines", "expectations", "dbt_project"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("target", "logs"))
    (folder / "dags" / "pipelines" / "flights.yml").rename(folder / "dags" / "pipelines" / "trips.yml")
    return folder


def test_project_that_a_setting_names_is_used_from_any_working_directory(project, tmp_path):
    asked = _run("status", "no_such", cwd=tmp_path, SLUICE_PROJECT=str(project))
    assert asked.returncode != 0
    assert "trips" in asked.stderr, asked.stderr
    assert "flights" not in asked.stderr


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The project's wheel in a folder of packages that has it once, beside what this environment has."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    shutil.unpack_archive(wheel, folder / "site", "zip")
    for there in Path(sysconfig.get_path("purelib")).iterdir():
        if there.suffix != ".pth" and not there.name.startswith("sluice-"):
            (folder / "site" / there.name).symlink_to(there)
    return folder / "site"


def _plugins(folder, path, home):
    """What Airflow says of its plugins, with a plugins folder and a PYTHONPATH."""
    done = subprocess.run(
        [sys.executable, "-S", "-c", PLUGINS],
        env={"PATH": os.environ["PATH"], "AIRFLOW_HOME": str(home), "PYTHONPATH": str(path)}
        | {"AIRFLOW__CORE__PLUGINS_FOLDER": str(folder), "AIRFLOW__CORE__LOAD_EXAMPLES": "false"},
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


@pytest.mark.parametrize("folder", ["an empty one", "the checkout's"])
def test_plugin_of_the_wheel_is_registered_once_whatever_the_plugins_folder(installed, folder, tmp_path):
    plugins = ROOT / "plugins" if folder == "the checkout's" else tmp_path / "plugins"
    plugins.mkdir(exist_ok=True)
    assert _plugins(plugins, installed, tmp_path) == "[('sluice.orchestration.plugin', 1)] {}"
    code = (installed / "sluice" / "orchestration" / "plugin.py").read_text()
    assert code == (ROOT / "plugins" / "sluice" / "orchestration" / "plugin.py").read_text()
