"""Who answers for a waiver: the name that was given, and who really acted, as the system knows them.

The one place that reads a waiver's entry of the ledger; entries of an earlier version name nobody but `by`.
"""

from __future__ import annotations

import os
import pwd
import socket
from dataclasses import dataclass

from sluice.core.errors import ReleaseRefusedError
from sluice.declare.spec import Pipeline
from sluice.ledger import Entry


@dataclass(frozen=True)
class Waiver:
    """A waiver as the ledger records it."""

    seq: int
    table: str
    partition: str
    by: str
    why: str
    until: str
    # Of a command: user of the operating system and host, `ada@build-1`; "" where it was approved in the UI.
    account: str = ""
    # Of the UI: who asked for the release; "" where that is not known.
    requested_by: str = ""

    @property
    def self_approved(self) -> bool:
        """Whether nobody but the person who wanted it has agreed."""
        return bool(self.account) or (bool(self.requested_by) and self.requested_by == self.by)

    @property
    def signed(self) -> str:
        """Who answers for it, and who acted."""
        if self.account:
            return f"{self.by} (typed by {self.account}, no second person)"
        if self.self_approved:
            return f"{self.by} (self-approved: the same person asked for it)"
        return f"{self.by} (asked for by {self.requested_by})" if self.requested_by else self.by

    def sentence(self) -> str:
        """Who released something, until when and why."""
        return f"by {self.signed} until {self.until}: {self.why}"


def read(entry: Entry) -> Waiver:
    """A waiver from its entry of the ledger."""
    waiver = entry.record
    return Waiver(
        seq=entry.seq,
        table=entry.subject,
        partition=entry.partition or "",
        by=waiver.by,
        why=waiver.why,
        until=waiver.until,
        account=waiver.account,
        requested_by=waiver.requested_by,
    )


def account() -> str:
    """User of the operating system, and host, of this process; taken from the kernel, not from the environment."""
    uid = os.getuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:  # a container may run as a user that has no name
        name = str(uid)
    return f"{name}@{socket.gethostname()}"


def require_second_person(
    spec: Pipeline, where: str, *, by: str | None, requested_by: str = "", account: str = ""
) -> None:
    """Refuse a release by one person alone, where the pipeline declares `releases: {self_approval: refuse}`.

    Args:
        by: who approves; None where nobody has answered yet.

    Raises:
        ReleaseRefusedError: it is typed as a command, whoever asked for it is not known, or the same person approves.
    """
    if spec.releases.self_approval == "allow":
        return
    if account:
        what = f"A release by a command is one by one person: {account}."
    elif not requested_by:
        what = "Who asks for this release is not known, so whoever approves it could be the same person."
    elif by == requested_by:
        what = f"{by} asked for this release, and may not approve it as well."
    else:
        return
    raise ReleaseRefusedError(
        what,
        where=where,
        allowed="a release that one person asks for and another approves "
        f"(dags/pipelines/{spec.pipeline}.yml: releases.self_approval is refuse)",
        todo=f"trigger {spec.pipeline}_release in the Airflow UI, and let another person approve it",
    )
