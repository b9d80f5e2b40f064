"""Write the files of a new pipeline: all of them or none, and never over one that is there."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from sluice.core.errors import SampleRefusedError
from sluice.core.settings import settings
from sluice.declare import spec
from sluice.declare.field_types import Name
from sluice.gates import suites
from sluice.scaffold import declaration
from sluice.scaffold.declaration import Answers


def require_free(name: str) -> None:
    """Refuse a name that no pipeline can have, or that one has.

    Raises:
        SampleRefusedError: says which files are there.
    """
    try:
        TypeAdapter(Name).validate_python(name)
    except ValidationError:
        raise SampleRefusedError(
            f"{name!r} cannot be the name of a pipeline.",
            allowed="lower-case letters, digits and _, beginning with a letter, 60 characters at most",
            todo="choose another name",
        ) from None
    there = [str(path) for path in _targets(name) if path.exists()]
    if there:
        raise SampleRefusedError(
            f"The pipeline {name!r} is there already, or a part of it.",
            where=", ".join(there),
            allowed="a name that nothing has",
            todo="choose another name, or remove these files; nothing is ever overwritten",
        )


def write(answers: Answers) -> tuple[Path, ...]:
    """Write the pipeline's suites, README and YAML, in this order: without its YAML no part of Sluice sees it.

    Raises:
        SampleRefusedError: the name is taken.
        SpecInvalidError: what was answered makes no pipeline that can be used; nothing is left behind.
    """
    require_free(answers.name)
    yml, readme, folder = _targets(answers.name)
    for parent in (yml.parent, folder.parent):
        parent.mkdir(parents=True, exist_ok=True)
    placed: list[Path] = []
    # Beside its place, so that a file is moved there at once; what is in a folder is no declaration.
    with tempfile.TemporaryDirectory(prefix=".new-", dir=yml.parent) as name:
        scratch = Path(name)
        (scratch / yml.name).write_text(declaration.pipeline(answers), encoding="utf-8")
        (scratch / readme.name).write_text(declaration.readme(answers), encoding="utf-8")
        declared = spec.parse(scratch / yml.name)
        try:
            folder.mkdir()
            placed.append(folder)
            for file, text in declaration.suites(answers).items():
                (folder / file).write_text(text, encoding="utf-8")
            suites.check(declared)
            for path in (readme, yml):
                os.link(scratch / path.name, path)
                placed.append(path)
        except BaseException:
            for path in placed:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            raise
    return yml, readme, *sorted(folder.iterdir())


def _targets(name: str) -> tuple[Path, Path, Path]:
    """The YAML, the README and the folder of the suites."""
    pipelines = settings().pipelines
    return pipelines / f"{name}.yml", pipelines / f"{name}.md", settings().expectations / name
