"""The model card and the datasheet of a real training: which facts they have, what is missing, and as what Markdown they come out."""

from __future__ import annotations

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
from sluice.models import cards, training
from sluice.models.cards.document import Document, Fact, Section, Table, markdown
from tests.models.conftest import DAY, RUN, candidate, flights, trained

__all__ = ["candidate", "flights", "trained"]

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
    assert f"On {test['days']} days ({test['rows']:,} rows)" in card.lead[1]
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
    assert facts["Caveats and recommendations", "not checked"].said == "replay"
    groups = _table(card, "By group, beside the linear model")
    assert len(groups.rows) == 8
    assert all("(" in level for _, _, level, _ in groups.rows)


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
            "Quantitative analyses", "realised, of the last 90 monitored days"
        ].said
        if number == 11:
            assert said == "insufficient data: it scored 9, of which 9 count; 10 are needed"
    assert said == (
        "the AUC within a day is 0.700 (0.700 to 0.700) on average, +0.100 (+0.100 to +0.100) beside the baseline's, "
        "over 10 days that count (8,900 outcomes)"
    )


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
