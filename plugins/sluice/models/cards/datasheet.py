"""The datasheet of what a version was trained on, with the sections of Gebru et al., "Datasheets for Datasets" (CACM 64, 2021)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from sluice import ledger
from sluice.core.partitions import Partition
from sluice.gates import suites
from sluice.ledger import model_records, records
from sluice.models import training
from sluice.models.cards.document import Document, Fact, Section, Table, days, listed
from sluice.models.cards.facts import UNRECORDED, Known, read

if TYPE_CHECKING:
    from sluice.declare.spec import Pipeline


def write(spec: Pipeline, version: int | None = None) -> Document:
    """Write the datasheet of a version's training set; of the champion's or, without one, of the newest candidate's, where none is given.

    Raises:
        ModelNotRecordedError: there is no such version, or nothing was trained yet.
    """
    known = read(spec, version)
    return Document(
        f"Datasheet of the training set of {spec.model.name}, version {known.version}",
        known.version,
        [
            f"Version {known.version} {known.role}.",
            f"It learned from {days(known.learned)}.",
            *known.unstated(),
        ],
        [
            Section("Motivation", list(_motivation(known))),
            Section("Composition", list(_composition(known)), list(_contents(known))),
            Section("Collection process", list(_collection(known)), [_sources(known)]),
            Section("Preprocessing, cleaning and labelling", list(_preprocessing(known))),
            Section("Uses", list(_uses(known))),
            Section("Distribution", list(_distribution(known))),
            Section("Maintenance", list(_maintenance(known))),
        ],
    )


def _motivation(known: Known) -> Iterator[Fact]:
    yield known.stated("why it was collected, and by whom", "motivation")
    yield Fact("question", known.spec.model.question)
    yield Fact("owner", known.spec.owner)


def _composition(known: Known) -> Iterator[Fact]:
    spec, model, record, meta = known.spec, known.spec.model, known.training.record, known.meta
    yield Fact("a row", spec.derived[model.features_table].grain)
    but = f", but for {sum(record.left_out.values()):,} that are left out below" if record.left_out else ""
    yield Fact(
        "rows",
        f"{record.rows:,} were read: all published features of these days that have an outcome{but}",
    )
    yield known.label()
    for name, part in (
        ("learned by the model that serves", "refit"),
        ("learned by the judged model", "train"),
        ("held out", "test"),
    ):
        yield Fact(name, days(record.splits.get(part, {})))
    if meta:
        yield Fact(
            "rows without a label", f"{meta.unlabelled_rows:,}: what became of them will never be known"
        )
    else:
        yield Fact("registry", f"its description cannot be read: {known.problem}")
    yield Fact(
        "rows without a partner",
        listed([f"{name}: {count:,}" for name, count in record.unmatched.items()], "none"),
    )
    yield known.personal_data()
    yield known.waivers()
    findings = (
        f"{one['what']}{' Accepted: ' + one['accepted'] if one.get('accepted') else ''}"
        for one in record.findings
    )
    yield Fact("found in it", " ".join(findings) or "nothing that no model should learn from")


def _contents(known: Known) -> Iterator[Table]:
    if not (meta := known.meta):
        return
    described = suites.descriptions_of(known.spec, known.spec.model.features_table)
    kinds = {**dict.fromkeys(meta.numeric, "number"), **dict.fromkeys(meta.categorical, "category")}
    yield Table(
        "Features",
        ("feature", "kind", "what it is, as described today"),
        [(name, kind, described.get(name) or "not described") for name, kind in kinds.items()],
    )
    for column, segments in meta.coverage.items() if known.spec.may_quote(None) else ():
        yield Table(
            f"By {column}",
            (column, "rows learned", "came true", "enough"),
            [
                (
                    value or "missing",
                    f"{one['rows']:,}",
                    f"{one['label_rate']:.1%}",
                    "yes" if one["supported"] else "no",
                )
                for value, one in segments.items()
            ],
        )


def _collection(known: Known) -> Iterator[Fact]:
    spec, model = known.spec, known.spec.model
    yield Fact(
        "how",
        "the sources below deliver files; each day of each is published only as its gate allows, and features are kept as they were "
        "published for their day",
    )
    yield Fact(
        "when it was known",
        f"features of a day on its own morning; outcomes {spec.lag_days(model.outcomes_table)} day(s) later (as declared today), as known on the morning of "
        f"{known.training.partition}",
    )
    read = known.setting("training_days", model.training_days, "all rows of at most {} days".format)
    yield Fact("sampling", f"none: {read}, but for what is left out or capped below")


def _sources(known: Known) -> Table:
    spec = known.spec
    return Table(
        "Sources, as they are declared today; rows that were not published, of deliveries for these days",
        ("source", "what", "owner", "delivered", "licence", "set aside", "copies dropped"),
        [
            (
                name,
                one.description,
                one.owner,
                f"{one.cadence}, {one.lag_days} day(s) later" if one.lag_days else one.cadence,
                one.licence,
                *(f"{count:,}" for count in _not_published(known, name)),
            )
            for name, one in spec.sources.items()
        ],
    )


def _not_published(known: Known, source: str) -> tuple[int, int]:
    """Rows that were set aside and exact copies that were dropped, of the publications of its days that the training read."""
    if not known.learned:
        return 0, 0
    learned = Partition(known.learned["first"], known.learned["last"])
    pinned = training.pinned_at(known.spec, known.training)
    newest: dict[str | None, records.Published] = {}
    for entry in ledger.entries(
        records.Published, pipeline=known.spec.pipeline, subject=source, days=learned
    ):
        if entry.seq <= pinned:
            newest.setdefault(entry.partition, entry.record)
    return (
        sum(sum(one.quarantined.values()) for one in newest.values()),
        sum(sum(one.dropped.values()) for one in newest.values()),
    )


def _preprocessing(known: Known) -> Iterator[Fact]:
    spec, model, record = known.spec, known.spec.model, known.training.record
    for table in (model.features_table, model.outcomes_table):
        yield Fact(
            table, f"built by the dbt model {spec.derived[table].model}: {spec.derived[table].description}"
        )
    rule = spec.derived[model.outcomes_table].values_from.get(known.label_name)
    yield Fact(
        "label, computed again by the gate as",
        rule or f"not declared (derived.{model.outcomes_table}.values_from)",
    )
    yield Fact(
        "left out, because a model cannot hold a number",
        known.values([f"{name}: {rows:,}" for name, rows in record.left_out.items()], "none"),
    )
    capped = [f"{name}: {one['kept']:,} of {one['rows']:,} rows kept" for name, one in record.capped.items()]
    yield Fact("capped, so that no day and no group decides", known.values(capped, "nothing"))
    yield Fact(
        "raw data", "kept as delivered in the landing zone, and as published in the tables of the sources"
    )


def _uses(known: Known) -> Iterator[Fact]:
    yield known.stated("intended use", "intended_use")
    yield known.stated("out of scope", "out_of_scope_uses")
    yield Fact("what its sources may be used for", "; ".join(known.purposes()))
    same = sorted(
        entry.record.version
        for entry in ledger.entries(
            model_records.Trained, pipeline=known.spec.pipeline, subject=known.spec.model.name
        )
        if entry.record.snapshots == known.training.record.snapshots and entry.record.version != known.version
    )
    others = listed([str(one) for one in dict.fromkeys(same)], "none")
    yield Fact(
        "other versions trained on the same snapshots",
        others if known.training.record.snapshots else UNRECORDED,
    )


def _distribution(known: Known) -> Iterator[Fact]:
    spec, record = known.spec, known.training.record
    yield known.stated("who may have it", "distribution")
    licences: dict[str, list[str]] = {}
    for name, one in spec.sources.items():
        licences.setdefault(one.licence, []).append(name)
    yield Fact(
        "licences of the sources",
        "; ".join(f"{licence} ({', '.join(names)})" for licence, names in licences.items()),
    )
    where = [f"{spec.pipeline}.{table}, snapshot {snapshot}" for table, snapshot in record.snapshots.items()]
    yield Fact("where it is", "; ".join(where) or UNRECORDED)


def _maintenance(known: Known) -> Iterator[Fact]:
    spec, kept = known.spec, known.spec.retention
    yield Fact("owner", f"{spec.owner}; questions to {', '.join(spec.mail_to)}")
    owners = {name: spec.owner_of(name) for name in (*spec.sources, *spec.derived)}
    yield Fact("owners of the tables", ", ".join(f"{name}: {owner}" for name, owner in owners.items()))
    yield Fact(
        "how long",
        f"its snapshots are pinned and kept for good; files of batches that readers do not see, {kept.batches_days} days",
    )
    yield Fact(
        "corrections",
        "a corrected delivery is published anew for its day; the pinned snapshots stay as they were",
    )
    yield Fact(
        "the same again",
        f"sluice model rebuild {spec.pipeline} {known.version} reads these snapshots and trains again",
    )
