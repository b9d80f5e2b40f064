"""What there is to say of a home: where it lies and was made, who may read it, and what of it is elsewhere."""

from __future__ import annotations

import stat
from collections.abc import Iterator

from sluice.core import identity
from sluice.core.errors import SluiceError
from sluice.core.settings import settings
from sluice.declare import spec


def status() -> Iterator[str]:
    """The facts about this process's home, a line each; also of one that must be adopted first."""
    home = settings().home_folder.resolve()
    yield f"home            {home}"
    if not home.is_dir():
        yield "made            not yet: the first command that writes makes it"
        return
    found = identity.read(home)
    made_at = found.path if found else identity.stored_path(home, settings().databases_of_home)
    yield f"id              {found.id if found else 'none yet'}"
    yield f"made at         {made_at or 'not recorded'}"
    if made_at and made_at != str(home):
        yield f"                NOT HERE: run `SLUICE_HOME='{home}' sluice home adopt`"
    if found and found.copied_from:
        yield f"copied from     the home with the id {found.copied_from}"
    mode = stat.S_IMODE(home.stat().st_mode)
    yield f"permissions     {mode:04o}{'' if not mode & 0o077 else ', so others than its owner can read it'}"
    yield from (f"outside of it   {line}" for line in outside())


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
