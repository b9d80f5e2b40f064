"""What lies in a landing zone and is no delivery of any source: beside the folders, or in one under a wrong name.

No run looks for such a file, so that nobody would notice it. The rule kept here: whatever the layout of
`sluice.ingest.deliveries` does not name is named to people, once, by one of the pipelines that share the zone. A stranger may
put anything there: only the first entries are named, and a folder of nobody is one entry, whatever lies in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from sluice.core.printable import printable
from sluice.declare.spec import Pipeline, broken_pipelines, load_all
from sluice.ingest import deliveries, delivery_names
from sluice.lake.landing import Landing

# Entries that one scan names: more than a person takes in at once; the rest shows once these are gone.
NAMED = 100


@dataclass(frozen=True)
class Unexpected:
    """An entry of a landing zone that is no delivery."""

    # Relative to the zone, in printable characters; of a folder with a `/` behind it.
    name: str
    # Where it lies, and why it is no delivery there, in a sentence.
    why: str

    def sentence(self) -> str:
        return f"{self.name} in the landing zone is no delivery: {self.why}"


@dataclass(frozen=True)
class LandingScan:
    """What was found in a landing zone, sorted; `complete` unless there may be more."""

    entries: tuple[Unexpected, ...]
    complete: bool

    def lines(self) -> Iterator[str]:
        """One line an entry, for a terminal."""
        for entry in self.entries:
            yield f"{'unexpected':14s}  {entry.sentence()}"
        if len(self.entries) == NAMED:
            yield f"{'unexpected':14s}  Only the first {NAMED} entries that were found are named."


def scan(spec: Pipeline) -> LandingScan:
    """Return what lies in the landing zone of a pipeline and is no delivery of any pipeline that shares the zone.

    What lies outside of the folders of all sources is named by the first of these pipelines only, and not while the YAML of
    one cannot be used, whose it may be.

    Raises:
        LandingUnreachableError: the landing zone does not answer.
    """
    zone = _Zone.of(spec)
    found = list(islice(zone.entries(), NAMED + 1))
    entries = sorted(found[:NAMED], key=lambda entry: entry.name)
    return LandingScan(tuple(entries), complete=len(found) <= NAMED and not zone.has_unknown)


@dataclass(frozen=True)
class _Zone:
    spec: Pipeline
    landing: Landing
    # Pipelines whose landing zone it is, in the order of their names.
    sharing: Sequence[Pipeline]
    # Addresses of the landing zones of all pipelines: one may lie in another.
    zones: Sequence[str]
    # Whether the zone may be shared by a pipeline whose YAML cannot be used.
    has_unknown: bool

    @classmethod
    def of(cls, spec: Pipeline) -> _Zone:
        every = {**{each.pipeline: each for each in load_all()}, spec.pipeline: spec}
        sharing = [each for _, each in sorted(every.items()) if each.landing_url == spec.landing_url]
        zones = [f"{each.landing_url.rstrip('/')}/" for each in every.values()]
        return cls(spec, Landing(spec.landing_url), sharing, zones, bool(broken_pipelines()))

    def entries(self) -> Iterator[Unexpected]:
        answered: dict[str, set[str]] = {}
        for name in self.landing.walk(self._is_known):
            why = self._why(name)
            if not why:
                continue
            folder = name.rpartition("/")[0]
            if "/" in folder and self._is_known(folder):
                if folder not in answered:
                    source, run_day = folder.split("/")
                    answered[folder] = deliveries.replaced(self.spec, source, run_day, self.landing)
                if name.removesuffix(deliveries.MANIFEST) in answered[folder]:
                    continue
            yield Unexpected(printable(name), why)

    def _is_known(self, folder: str) -> bool:
        """Whether a folder is that of a source of this pipeline, or of a run day in it."""
        source, *rest = folder.split("/")
        if self._owner(source) is not self.spec or len(rest) > 1:
            return False
        return not rest or delivery_names.has_data_day(self.spec, source, rest[0])

    def _owner(self, source: str) -> Pipeline | None:
        """The pipeline that tells of a source's folder."""
        return next((each for each in self.sharing if source in each.sources), None)

    def _why(self, name: str) -> str:
        """Why an entry is no delivery; "" where it is one, or another pipeline's to tell of."""
        source, *rest = name.rstrip("/").split("/")
        owner = self._owner(source)
        if not rest:
            return self._why_outside(name, declared=owner is not None)
        if owner is not self.spec:
            return ""
        run_day, *inside = rest
        if not inside and name.endswith("/"):
            return f"{run_day} is no day, and the folders of {source} are run days (YYYY-MM-DD)."
        if not inside:
            return f"it lies beside the folders of the run days of {source} (YYYY-MM-DD)."
        given = [each for each in self.sharing if source in each.sources]
        if any(delivery_names.is_right(each, source, name) for each in given):
            return ""
        return f"of the run day {run_day}, {delivery_names.first(self.spec, source, run_day)} would be one."

    def _why_outside(self, name: str, *, declared: bool) -> str:
        if self.sharing[0] is not self.spec:
            return ""
        if not name.endswith("/"):
            return "a delivery lies in the folder of its source and run day."
        address = self.landing.uri(name)
        inner = any(zone.startswith(address) for zone in self.zones)
        # A link to a folder, with the name of a source, is looked into.
        if declared or inner or self.has_unknown:
            return ""
        return f"no source declares the folder {name.rstrip('/')}."
