"""Licences of the locked packages: what their metadata say, against the list of those that are allowed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from importlib import metadata
from typing import TYPE_CHECKING

from sluice_lab.supply_chain import Finding, named
from sluice_lab.supply_chain.lock import Package
from sluice_lab.supply_chain.policy import FILE, Policy, load

if TYPE_CHECKING:
    from license_expression import Licensing

# What a `License` field may hold at most; longer ones hold the licence's text.
_NAME_CHARS = 60


def check(packages: Sequence[Package], policy: Policy | None = None) -> list[Finding]:
    """Name every locked package whose licence is unknown or not allowed."""
    policy = policy or load()
    findings, seen = [], Counter[str]()
    names = sorted({package.name for package in packages})
    for name in names:
        spoken = stated(name)
        expression = licence_of(name, policy)
        if expression is None:
            findings.append(Finding("found", _unknown(name, spoken)))
        elif not _is_allowed(name, expression, policy):
            findings.append(
                Finding(
                    "found",
                    f"{name} is under {expression}, which is not allowed. Next: replace the package, or write why it "
                    f"may stay under [excepted.{name}] in {FILE.name}.",
                )
            )
        else:
            seen[expression] += 1
    others = [str(package) for package in packages if package.version != _installed(package.name)]
    summary = f"{sum(seen.values())} of {len(names)} packages have an allowed licence: " + ", ".join(
        f"{count} {expression}" for expression, count in seen.most_common(4)
    )
    if others:
        summary += f", others. Of another version than the one installed here, or by hand: {named(others)}"
    return [Finding("checked", f"{summary}."), *findings, *_left_over(names, policy)]


def licence_of(name: str, policy: Policy) -> str | None:
    """The SPDX expression of a package's licence; None where nothing says it in a way that can be read."""
    spoken = stated(name)
    if declared := policy.declared.get(name):
        here = _installed(name) is not None
        agrees = declared.found is not None and spoken.startswith(declared.found)
        if agrees and (declared.found or not spoken):
            return declared.licence
        return declared.licence if not here and declared.found is None else None
    parts = [_spdx(part, policy) for part in spoken.split("; ")]
    known = [f"({part})" if " OR " in part and len(parts) > 1 else part for part in parts if part]
    return " AND ".join(known) if known and len(known) == len(parts) else None


def stated(name: str) -> str:
    """What the metadata of the installed package say: PEP 639's expression, else the field, else its classifiers."""
    try:
        told = metadata.metadata(name)
    except metadata.PackageNotFoundError:
        return ""
    if expression := "".join(told.get_all("License-Expression", [])):
        return expression
    classifiers = [
        line.split(" :: ")[-1] for line in told.get_all("Classifier", []) if line.startswith("License")
    ]
    specific = [each for each in classifiers if each not in ("OSI Approved", "DFSG approved")]
    if specific:
        return "; ".join(specific)
    field = re.sub(r"\s*\n\s*", " ", " ".join(told.get_all("License", []))).strip()
    return field[:_NAME_CHARS] or "; ".join(classifiers)


@lru_cache(maxsize=1)
def _licensing() -> Licensing:
    """SPDX's list of licences: reading it takes a tenth of a second."""
    from license_expression import get_spdx_licensing

    return get_spdx_licensing()


def _spdx(spoken: str, policy: Policy) -> str | None:
    from license_expression import ExpressionError

    spoken = policy.spelled.get(spoken.lower(), spoken)
    try:
        unknown = _licensing().validate(spoken).errors
    except ExpressionError:
        return None
    return None if unknown or not spoken else spoken


def _is_allowed(name: str, expression: str, policy: Policy) -> bool:
    excepted = policy.excepted.get(name)
    if excepted and excepted.licence == expression:
        return True
    licensing = _licensing()

    def holds(node: object) -> bool:
        # The two operators of an SPDX expression; everything else is one licence, with its exception if it has one.
        arguments = getattr(node, "args", ())
        if isinstance(node, licensing.AND):
            return all(holds(each) for each in arguments)
        if isinstance(node, licensing.OR):
            return any(holds(each) for each in arguments)
        return str(node) in policy.allowed

    return holds(licensing.parse(expression))


def _unknown(name: str, spoken: str) -> str:
    said = f"Its metadata say {spoken!r}" if spoken else "Its metadata name none, or it is not installed here"
    return (
        f"The licence of {name} is unknown. {said}. Next: look it up in its repository and write it, with what was "
        f"found, under [declared.{name}] in {FILE.name}."
    )


def _left_over(names: Sequence[str], policy: Policy) -> list[Finding]:
    gone = sorted({*policy.declared, *policy.excepted} - set(names))
    return (
        [Finding("found", f"{FILE.name} speaks of {named(gone)}, not locked any more. Next: remove it.")]
        if gone
        else []
    )


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
