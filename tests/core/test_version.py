"""Which code a manifest names: git's commit, and in an image without git what it was built with."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import sluice
from sluice.core.settings import ROOT

_ASK = "from sluice.core.version import code_version; print(code_version())"


def _version(path: str, **environment: str) -> str:
    """The code version as a fresh process sees it, whose PATH is `path`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SLUICE_")}
    done = subprocess.run(
        [sys.executable, "-c", _ASK],
        env={**kept, "PATH": path, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.mark.parametrize(("given", "said"), [("0123456789ab", "+0123456789ab"), ("", "")])
def test_version_without_git_is_what_the_image_was_built_with(tmp_path, given, said):
    assert _version(str(tmp_path), SLUICE_CODE_VERSION=given) == f"{sluice.__version__}{said}"


def test_version_in_a_checkout_is_gits_whatever_the_variable_says():
    head = subprocess.run(
        ["git", "-C", str(ROOT), "rev-parse", "--short=12", "HEAD"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    assert head in _version(os.environ["PATH"], SLUICE_CODE_VERSION="0123456789ab")
