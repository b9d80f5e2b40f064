"""Commands whose shell is more than a call."""

from __future__ import annotations

import os

from click.testing import CliRunner

from sluice import ledger
from sluice.cli import main


def test_maintain_dry_run_says_what_would_go_and_touches_nothing(home):
    scratch = home / "work" / "flights-features-old"
    scratch.mkdir(parents=True)
    os.utime(scratch, (0, 0))

    planned = CliRunner().invoke(main, ["maintain", "flights", "--dry-run"])

    assert planned.exit_code == 0, planned.output
    assert "would go: scratch: 1" in planned.output
    assert scratch.is_dir()
    assert ledger.entries() == []

    done = CliRunner().invoke(main, ["maintain", "flights"])

    assert done.exit_code == 0, done.output
    assert "  scratch: 1" in done.output
    assert not scratch.exists()
    assert {entry.subject for entry in ledger.entries(kind="maintained")} == {"ledger", "tables", "evidence"}
