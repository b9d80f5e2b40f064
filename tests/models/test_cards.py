"""The model card and the datasheet of a real training: which facts they have, what is missing, and as what Markdown they come out."""

from __future__ import annotations

import dataclasses
import re
import shutil

import pytest
from click.testing import CliRunner
from markdown_it import MarkdownIt

from sluice import ledger
from sluice.cli import main
from sluice.core.errors import ModelNotRecordedError
from sluice.core.settings import settings
from sluice.declare import spec
from sluice.declare.card import Card
from sluice.ledger import model_records, records
from sluice.models import cards, history, roles, training
from sluice.models.cards import facts, model_card
from sluice.models.cards.document import Document, Fact, Section, Table, markdown
from tests.models.conftest import DAY, RUN, audited, candidate, flights, trained

__all__ = ["audited", "candidate", "flights", "trained"]

pytestmark = pytest.mark.slow

HOSTILE = "a|b\n\n# x\n- y\x1b[2J\u202e<script>alert(1)</script> [l](http://evil.example) ![i](x) **b** _e_ `c` &lt; ~~s~~ \\"


@pytest.fixture
def champion(flights, trained, candidate):
    """What the ledger says of a version that was really trained and promoted."""
    meta, version = candidate.meta, trained()
    recorded = model_records.Trained(
        version=version,
        sha256=candidate.sha256,
        algorithm=meta.algorithm,
        snapshots={"features": 1, "outcomes": 2},
        rows=1600,
        splits=meta.splits,
        metrics=meta.metrics,
    )
    ledger.append(recorded, pipeline="flights", subject=flights.model.name, partition=DAY)
    training.audit_candidate(flights, version, DAY, RUN)
    training.promote_candidate(flights, version, DAY, RUN)
    return recorded


def _changed(declared: spec.Pipeline, **model: object) -> spec.Pipeline:
    return declared.model_copy(update={"model": declared.model.model_copy(update=model)})


def _facts(document: Document) -> dict[tuple[str, str], Fact]:
    return {(section.title, fact.name): fact for section in document.sections for fact in section.facts}


def _table(document: Document, caption: str) -> Table:
    (found,) = (
        one for section in document.sections for one in section.tables if one.caption.startswith(caption)
    )
    return found


def test_card_has_the_sections_of_its_source_and_the_recorded_numbers_with_n_and_interval(flights, champion):
    card = cards.write("card", flights)

    assert [section.title for section in card.sections] == [
        "Model details",
        "Intended use",
        "Factors",
        "Metrics",
        "Evaluation data",
        "Training data",
        "Quantitative analyses",
        "Ethical considerations",
        "Caveats and recommendations",
    ]
    test, auc = champion.splits["test"], champion.metrics["candidate"]["daily_auc"]
    shown = f"{auc['value']:.3f} ({auc['low']:.3f} to {auc['high']:.3f})"
    assert card.lead[0] == "Version 1 is champion."
    assert f"On {test['rows']:,} rows of {test['days']} days" in card.lead[1]
    assert shown in card.lead[1]
    measured = _table(card, f"On the {test['rows']:,} rows of the {test['days']} held-out days")
    assert [row[0] for row in measured.rows] == [
        "version 1",
        "the rule carrier_late_rate_28d",
        "linear model",
    ]
    assert measured.rows[0][1] == shown
    facts = _facts(card)
    learned = champion.splits["refit"]
    assert facts["Training data", "days"].said.startswith(
        f"{learned['first']} to {learned['last']}: {learned['days']} days, {learned['rows']:,} rows"
    )
    assert facts["Model details", "criticality"].said.startswith("normal: a candidate that passes the gate")
    assert facts["Model details", "file (SHA-256)"].said == champion.sha256
    assert "may become champion; there was no champion" in facts["Model details", "decision"].said
    gate = {name: state for name, state, _ in _table(card, "Checks of the gate").rows}
    assert (gate["learned gap"], gate["flips"]) == ("PASS", "NOT APPLICABLE")
    assert facts["Caveats and recommendations", "not checked"].said == "fairness, replay, parity"
    groups = _table(card, "By group, beside the linear model")
    assert len(groups.rows) == 8
    assert all("(" in level for _, _, level, _ in groups.rows)


def test_directions_and_class_weights_are_shown_as_they_were_recorded(flights, champion):
    known = facts.read(flights)

    def shown(**settings) -> dict[str, str]:
        """What the card says of a version that was trained by these."""
        meta = dataclasses.replace(known.meta, config={**known.meta.config, **settings})
        return {one.name: one.said for one in model_card._details(dataclasses.replace(known, meta=meta))}

    found = shown(
        increasing=["precipitation_inches_6h"], decreasing=["visibility_miles"], class_weights=[1.0, 4.0]
    )
    assert found["its score never falls with"].startswith("precipitation_inches_6h, while")
    assert found["its score never rises with"].startswith("visibility_miles, while")
    assert found["class weights"].startswith("a row whose label is true weighs 4 in training, another 1;")
    assert not {"its score never falls with", "its score never rises with", "class weights"} & {*shown()}


def test_datasheet_has_the_sections_of_its_source_and_what_was_learned(flights, champion):
    sheet = cards.write("datasheet", flights)

    assert [section.title for section in sheet.sections] == [
        "Motivation",
        "Composition",
        "Collection process",
        "Preprocessing, cleaning and labelling",
        "Uses",
        "Distribution",
        "Maintenance",
    ]
    facts = _facts(sheet)
    assert facts["Composition", "rows"].said.startswith(f"{champion.rows:,} were read")
    for table, snapshot in champion.snapshots.items():
        assert f"flights.{table}, snapshot {snapshot}" in facts["Distribution", "where it is"].said
    features = flights.model.features
    assert [row[0] for row in _table(sheet, "Features").rows] == [*features.numeric, *features.categorical]
    carriers = _table(sheet, "By carrier").rows
    assert sum(int(rows.replace(",", "")) for _, rows, _, _ in carriers) == champion.splits["refit"]["rows"]
    assert [row[0] for row in _table(sheet, "Sources").rows] == list(flights.sources)


def test_what_nobody_has_stated_is_shown_by_its_key(flights, champion):
    declared = _changed(flights, card=Card(intended_use="To rank flights."))
    card, sheet = cards.write("card", declared), cards.write("datasheet", declared)

    assert _facts(card)["Intended use", "intended use"] == Fact("intended use", "To rank flights.")
    missing = {fact.said for one in (card, sheet) for fact in _facts(one).values() if fact.is_missing}
    keys = [f"model.card.{name}" for name in Card.model_fields if name != "intended_use"]
    assert missing == {f"not stated ({key})" for key in keys}
    assert card.lead[-1] == sheet.lead[-1] == f"Nobody has stated: {', '.join(keys)}."
    assert "- **caveats:** *not stated (model.card.caveats)*" in list(markdown(card))


def test_card_says_how_the_version_did_on_the_days_that_it_scored(flights, champion, measured_day):
    about = {"pipeline": "flights", "subject": flights.model.name}
    for number in range(1, 13):
        numbers = measured_day(
            f"2013-04-{number:02}",
            labelled=890,
            auc=0.7,
            baseline_auc=0.6,
            # Of others nothing counts.
            model_version="1" if number > 2 else "2",
        )
        ledger.append(model_records.Monitored(**numbers.as_dict()), **about, partition=numbers.ds)
        said = _facts(cards.write("card", flights))[
            "Quantitative analyses", "realised, of 90 days to the newest that was monitored"
        ].said
        if number == 2:
            assert said == "it scored none of these days"
        if number == 11:
            assert said == "insufficient data: it scored 9, of which 9 count; 10 are needed"
    assert said == (
        "the AUC within a day is 0.700 (0.700 to 0.700) on average, +0.100 (+0.100 to +0.100) beside the baseline's, "
        "over 10 days that count (8,900 outcomes)"
    )


def test_settings_are_those_of_the_training_whatever_is_declared_today(flights, champion):
    model = flights.model
    changed = _changed(
        flights,
        baseline="route_late_rate_28d",
        label="was_late",
        training_days=7,
        promotion=model.promotion.model_copy(update={"resamples": 7, "confidence": 0.5}),
        coverage=model.coverage.model_copy(update={"segments": (), "min_rows": 7}),
        gate=model.gate.model_copy(update={"slices": None}),
    )
    for name in cards.DOCUMENTS:
        then, now = (cards.write(name, one).sections for one in (flights, changed))
        # What is done where it cannot score is a matter of today.
        assert [one for one in now if one.title != "Intended use"] == [
            one for one in then if one.title != "Intended use"
        ]
    shutil.rmtree(settings().home / "models")
    card, sheet = _facts(cards.write("card", changed)), _facts(cards.write("datasheet", changed))
    assert card["Metrics", "intervals"].said.startswith("50%, as declared today: ")
    assert card["Training data", "label"].said.startswith("was_late, as declared today: ")
    assert "all rows of at most 7 days, as declared today" in sheet["Collection process", "sampling"].said
    # The decision has these.
    assert card["Factors", "groups that the gate compares"].said == "carrier, origin"


def test_role_is_what_was_decided_and_when_it_was_champion_has_its_zone(flights, champion, trained, audited):
    about = {"pipeline": "flights", "subject": flights.model.name, "partition": DAY}
    second, third = trained(), trained()

    def role(version: int, declared: spec.Pipeline = flights) -> str:
        return cards.write("card", declared, version).lead[0]

    assert role(second) == "Version 2 is a candidate."
    shadow = {
        "since": history.read(flights).changes[0].entry,
        "champion": 1,
        "decision": 0,
        "reasons": ["It began."],
    }
    ledger.append(model_records.EnteredShadow(version=second, **shadow), **about)
    in_shadow = _changed(flights, shadow_days=14)
    assert role(second, in_shadow) == "Version 2 is challenger."
    ended = {"entered_shadow": 1, "not_compared": "No rows."}
    refused = records.Refused(version=second, champion=1, outcome="refuse", numbers=ended)
    ledger.append(refused, **about)
    assert role(second, in_shadow) == role(second) == "Version 2 was refused."
    (row,) = _table(cards.write("card", flights, second), f"In shadow, decided by the run of {DAY}").rows
    assert row[1] == "NOT APPLICABLE"

    roles.promote(flights, audited(third, 1), RUN)
    assert role(third) == "Version 3 is champion."
    assert re.fullmatch(r"Version 1 was champion until \d{4}-\d\d-\d\d \d\d:\d\d UTC\.", role(1))
    said = _facts(cards.write("card", flights, 1))["Model details", "champion"].said
    moment = r"\d{4}-\d\d-\d\d \d\d:\d\d UTC"
    assert re.match(f"from {moment} \\(recorded\\) until {moment}, in place of the baseline", said)


def test_monitoring_is_quoted_of_a_day_that_this_champion_scored(
    flights, champion, trained, audited, measured_day
):
    about = {"pipeline": "flights", "subject": flights.model.name}

    def monitored(ds: str, version: int) -> None:
        numbers = measured_day(ds, model_version=str(version)).as_dict()
        ledger.append(model_records.Monitored(**numbers), **about, partition=ds)
        ledger.append(model_records.Decided(action="nothing", reasons=[f"Of {ds}."]), **about, partition=ds)

    def said() -> list[str]:
        facts = cards.write("card", flights).sections[-1].facts
        return [one.said for one in facts if one.name.startswith("monitoring")]

    nothing = ["it has not looked at a day that this champion scored"]
    assert said() == nothing
    monitored("2013-04-01", 1)
    assert said() == ["Of 2013-04-01."]
    roles.promote(flights, audited(trained(), 1), RUN)
    assert said() == nothing
    monitored("2013-04-02", 1)
    assert said() == nothing
    monitored("2013-04-03", 2)
    assert said() == ["Of 2013-04-03."]
    roles.roll_back(flights, "1", by="ada", why="It ranks at random.", run=RUN)
    assert said() == ["Of 2013-04-02."], "it was looked at, before the roll-back"


def test_datasheet_counts_what_the_training_read(flights, champion):
    about = {"pipeline": "flights", "subject": flights.model.name}

    def rows_of_arrivals() -> tuple[str, ...]:
        rows = _table(cards.write("datasheet", flights), "Sources").rows
        return next(tuple(row[-2:]) for row in rows if row[0] == "arrivals")

    published = records.Published(batch_id="b", quarantined={"rule": 3}, dropped={"copies": 2})
    day = champion.splits["refit"]["last"]
    ledger.append(published, pipeline="flights", subject="arrivals", partition=day)
    assert rows_of_arrivals() == ("0", "0"), "it was published after it was read"
    pin = ledger.append(model_records.Pinned(tag="t"), **about, partition=DAY, run="r")
    ledger.append(published, pipeline="flights", subject="arrivals", partition=day)
    less = champion.model_copy(update={"left_out": {f"{day} temperature_f": 4}, "snapshots": {}})
    for version in (1, 2):
        again = less.model_copy(update={"version": version})
        ledger.append(again, **about, partition=DAY, run=pin.run)
    assert rows_of_arrivals() == ("3", "2")
    facts = _facts(cards.write("datasheet", flights, 1))
    assert facts["Composition", "rows"].said.endswith(", but for 4 that are left out below")
    assert facts["Uses", "other versions trained on the same snapshots"].said == "not recorded"


def test_lost_registry_takes_its_own_facts_from_the_card_and_no_others(flights, champion):
    shutil.rmtree(settings().home / "models")
    facts = _facts(cards.write("card", flights))
    assert (
        "model.json of flights_late_arrival version 1 cannot be read"
        in facts["Model details", "registry"].said
    )
    assert facts["Model details", "file (SHA-256)"].said == champion.sha256
    sheet = cards.write("datasheet", flights)
    assert "cannot be read" in _facts(sheet)["Composition", "registry"].said
    assert _table(sheet, "Sources").rows
    assert str(settings().home) not in cards.markdown("card", flights)


def test_registry_that_does_not_answer_is_named_without_its_address(flights, champion, monkeypatch, caplog):
    monkeypatch.setenv("SLUICE_MLFLOW_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    settings.cache_clear()
    for name in cards.DOCUMENTS:
        text = cards.markdown(name, flights)
        assert "its description cannot be read: the registry does not answer" in text
        assert "127.0.0.1" not in text
    assert "127.0.0.1" in caplog.text


def test_values_of_personal_data_are_in_neither(flights, champion):
    few = champion.model_copy(
        update={
            "unsupported": ("carrier Ada (1 rows)",),
            "capped": {"2013-01-02 carrier Ada": {"rows": 9, "kept": 5}},
        }
    )
    ledger.append(few, pipeline="flights", subject=flights.model.name, partition=DAY)
    estimate = {"value": 0.1, "low": 0.0, "high": 0.2}
    groups = {
        "check": "slices",
        "state": "FAIL",
        "sentence": "carrier Bea is at another level.",
        "numbers": {
            "slices": [{"slice": "carrier Cas", "rows": 9, "level": estimate, "auc": None}],
            "too_small": {"carrier Dan": 1},
        },
    }
    broken = {
        "check": "value",
        "state": "ERROR",
        "sentence": "value could not be computed: ValueError: Eve",
        "numbers": {},
    }
    refused = records.Refused(version=1, numbers={"gate": [groups, broken]})
    ledger.append(refused, pipeline="flights", subject=flights.model.name, partition=DAY)
    for value in ("carrier Ada", "carrier Bea", "carrier Cas", "carrier Dan", "Eve"):
        assert value in cards.markdown("card", flights)
    assert "carrier Ada" in cards.markdown("datasheet", flights)
    arrivals = flights.sources["arrivals"].model_copy(update={"pii": "pseudonymised"})
    personal = flights.model_copy(update={"sources": {**flights.sources, "arrivals": arrivals}})
    for name in cards.DOCUMENTS:
        text = cards.markdown(name, personal)
        assert not any(value in text for value in ("Ada", "Bea", "Cas", "Dan", "Eve"))
        assert "arrivals (pseudonymised)" in text
        assert "By carrier" not in text


def test_card_says_how_far_groups_were_apart_or_that_none_were_compared(flights, champion):
    fairness = ("Ethical considerations", "fairness")
    assert "(model.gate.fairness)" in _facts(cards.write("card", flights))[fairness].said
    found = {"check": "fairness", "state": "FAIL", "sentence": "By origin: +0.3.", "numbers": {}}
    refused = records.Refused(version=1, numbers={"gate": [found]})
    ledger.append(refused, pipeline="flights", subject=flights.model.name, partition=DAY)
    assert _facts(cards.write("card", flights))[fairness].said == "FAIL: By origin: +0.3."


def test_hostile_text_is_no_markup_wherever_it_stands():
    fact, table = Fact(HOSTILE, HOSTILE), Table(HOSTILE, (HOSTILE, "b"), [(HOSTILE, HOSTILE)] * 2)
    document = Document(HOSTILE, 1, ["Version 1."], [Section(HOSTILE, [fact], [table])])
    text = "\n".join(markdown(document))
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text)

    kinds = [one.type for one in tokens]
    assert (kinds.count("heading_open"), kinds.count("list_item_open")) == (2, 1)
    assert (kinds.count("tr_open"), kinds.count("td_open"), kinds.count("th_open")) == (3, 4, 2)
    inline = [child for one in tokens for child in one.children or ()]
    # The bold ones are ours: the name of the fact and the caption.
    assert {one.type for one in inline} == {"text", "strong_open", "strong_close"}
    assert [one.type for one in inline].count("strong_open") == 2
    assert not any(one.type.startswith("html") for one in tokens)
    assert all(line.isprintable() for line in text.split("\n"))


def test_command_prints_a_version_or_writes_it_and_names_those_that_there_are(flights, champion, tmp_path):
    printed = CliRunner().invoke(main, ["model", "card", "flights", "--version", "1"])
    assert (printed.exit_code, printed.output) == (0, cards.markdown("card", flights, 1))

    file = tmp_path / "sheet.md"
    done = CliRunner().invoke(main, ["model", "card", "flights", "--datasheet", "--out", str(file)])
    assert done.exit_code == 0
    assert file.read_text() == cards.markdown("datasheet", flights)
    wrong = CliRunner().invoke(main, ["model", "card", "flights", "--version", "9"])
    assert (wrong.exit_code, "Allowed: 1." in wrong.output) == (1, True)


def test_nothing_that_was_trained_is_no_card(flights):
    with pytest.raises(ModelNotRecordedError, match="trigger flights_train"):
        cards.write("card", flights)
