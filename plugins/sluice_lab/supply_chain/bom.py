"""The bill of materials: every locked package with its hashes, licence and dependencies, as CycloneDX 1.6 JSON.

The same lock, installed the same way, gives the same file: it holds no clock, and its serial number is made from what it
lists. cyclonedx-bom's own command reads either the lock (without licences and dependencies) or the environment (without
hashes); this joins both.
"""

from __future__ import annotations

import hashlib
import itertools
import re
import tomllib
import uuid
from collections.abc import Iterator, Sequence
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.dependency_groups import resolve_dependency_groups
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from sluice.core.settings import ROOT
from sluice_lab.supply_chain import Finding, named
from sluice_lab.supply_chain.licences import licence_of
from sluice_lab.supply_chain.lock import Package
from sluice_lab.supply_chain.policy import load

if TYPE_CHECKING:
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component


def check(packages: Sequence[Package], path: Path) -> list[Finding]:
    """Write the bill to `path`, after CycloneDX's own validator has accepted it."""
    text = render(packages)
    problem = validate(text)
    if problem:
        return [
            Finding("found", f"The bill of materials is no valid CycloneDX: {problem}. Next: correct bom.py.")
        ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    findings = [Finding("checked", f"{len(packages)} components are listed in {path}, valid CycloneDX 1.6.")]
    away = [str(package) for package in packages if not package.installed_here]
    if away:
        findings.append(
            Finding(
                "checked",
                f"Listed, without own dependencies, because other systems install them: {named(away)}.",
            )
        )
    return findings


def validate(text: str) -> str | None:
    """What CycloneDX's strict validator has against a bill; None if nothing."""
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    problem = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    return None if problem is None else str(problem)[:300]


def render(packages: Sequence[Package]) -> str:
    """The bill as JSON text."""
    from cyclonedx.output import make_outputter
    from cyclonedx.schema import OutputFormat, SchemaVersion

    bom = _bom(packages)
    return make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string(indent=1) + "\n"


def _bom(packages: Sequence[Package]) -> Bom:
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component, ComponentType

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    root = Component(
        name=project["project"]["name"],
        version=project["project"]["version"],
        type=ComponentType.APPLICATION,
        bom_ref="root",
        licenses=_licences(project["project"]["license"]),
    )
    components = {package: _component(package) for package in packages}
    listed = "\n".join(f"{package} {package.marker} {' '.join(package.hashes)}" for package in packages)
    serial = uuid.UUID(bytes=hashlib.sha256(listed.encode()).digest()[:16], version=4)
    bom = Bom(components=components.values(), serial_number=serial)
    bom.metadata.timestamp = None  # type: ignore[assignment]  # the schema lets it be absent
    bom.metadata.component = root
    here = {package.name: part for package, part in components.items() if package.installed_here}
    wanted = [
        *project["project"]["dependencies"],
        *itertools.chain(*project["project"]["optional-dependencies"].values()),
        *resolve_dependency_groups(project["dependency-groups"], "dev"),
    ]
    edges = _edges([Requirement(each) for each in wanted])
    bom.register_dependency(root, [here[name] for name in edges.pop("") if name in here])
    for package, part in components.items():
        needs = edges.get(package.name, set()) if package.installed_here else set()
        bom.register_dependency(part, [here[name] for name in sorted(needs) if name in here])
    return bom


def _component(package: Package) -> Component:
    from cyclonedx.model import (
        ExternalReference,
        ExternalReferenceType,
        HashAlgorithm,
        HashType,
        Property,
        XsUri,
    )
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    purl = PackageURL("pypi", name=package.name, version=package.version)
    expression = licence_of(package.name, load())
    return Component(
        name=package.name,
        version=package.version,
        type=ComponentType.LIBRARY,
        bom_ref=str(purl),
        purl=purl,
        licenses=_licences(expression) if expression else [],
        # The hashes are those of files, of which one is installed: they belong to the distribution, not the component.
        external_references=[
            ExternalReference(
                type=ExternalReferenceType.DISTRIBUTION,
                url=XsUri(str(purl)),
                hashes=[HashType(alg=HashAlgorithm.SHA_256, content=each) for each in package.hashes],
            )
        ],
        properties=[Property(name="sluice:marker", value=package.marker)] if package.marker else [],
    )


@lru_cache(maxsize=64)
def _licences(expression: str) -> list:
    from cyclonedx.contrib.license.factories import LicenseFactory

    return [LicenseFactory().make_from_string(expression)]


def _edges(wanted: Sequence[Requirement]) -> dict[str, set[str]]:
    """Name -> names it needs here, as installed, with the extras that somebody asks for; "" is the project."""
    edges: dict[str, set[str]] = {"": set()}
    seen: set[tuple[str, str]] = set()
    left = [("", requirement, "") for requirement in wanted]
    while left:
        parent, requirement, extra = left.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        edges[parent].add(name)
        for asked in ("", *requirement.extras):
            if (name, asked) in seen:
                continue
            seen.add((name, asked))
            edges.setdefault(name, set())
            left += [(name, needed, asked) for needed in _needs(name)]
    return edges


def _needs(name: str) -> Iterator[Requirement]:
    try:
        lines = metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return
    for line in lines:
        yield Requirement(re.sub(r"\s+", " ", line))
