"""What there is to say of a home: where it lies and was made, who may read it, and what of it is elsewhere."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import dataclass

from sluice.core import identity
from sluice.core.errors import SluiceError
from sluice.core.settings import settings
from sluice.declare import spec


@dataclass(frozen=True)
class State:
    """The facts about a home."""

    home: str
    # None of one that is not made yet, or has no record of it.
    id: str | None = None
    made_at: str | None = None
    copied_from: str | None = None
    # As in `ls -l`, in octal; None where there is no folder yet.
    permissions: str | None = None
    outside: tuple[str, ...] = ()


def read() -> State:
    """Read the facts about this process's home; also of one that must be adopted first."""
    home = settings().home_folder.resolve()
    if not home.is_dir():
        return State(str(home))
    found = identity.read(home)
    made_at = found.path if found else identity.stored_path(home, settings().databases_of_home)
    return State(
        home=str(home),
        id=found.id if found else None,
        made_at=str(made_at) if made_at else None,
        copied_from=(found.copied_from or None) if found else None,
        permissions=f"{stat.S_IMODE(home.stat().st_mode):04o}",
        outside=tuple(outside()),
    )


def lines(found: State) -> Iterator[str]:
    """The same for a terminal, a line each."""
    yield f"home            {found.home}"
    if found.permissions is None:
        yield "made            not yet: the first command that writes makes it"
        return
    yield f"id              {found.id or 'none yet'}"
    yield f"made at         {found.made_at or 'not recorded'}"
    if found.made_at and found.made_at != found.home:
        yield f"                NOT HERE: run `SLUICE_HOME='{found.home}' sluice home adopt`"
    if found.copied_from:
        yield f"copied from     the home with the id {found.copied_from}"
    others = ", so others than its owner can read it" if int(found.permissions, 8) & 0o077 else ""
    yield f"permissions     {found.permissions}{others}"
    yield from (f"outside of it   {line}" for line in found.outside)


def outside() -> Iterator[str]:
    """What belongs to this installation and lies outside of its home, so that a copy of the home shares it."""
    for name in ("warehouse", "catalog_uri", "ledger_uri", "mlflow_uri"):
        if getattr(settings(), name):
            yield f"SLUICE_{name.upper()}: {getattr(settings(), name)}"
    home = settings().home_folder.resolve()
    for name in spec.pipeline_names():
        try:
            landing = spec.load(name).landing
        except SluiceError as error:
            yield f"landing zone of {name}: not known ({error.what})"
            continue
        url = settings().landing or landing
        if "://" in url or (url.startswith("/") and not url.startswith(f"{home}/")):
            yield f"landing zone of {name}: {url}"
