"""What only a person can say of a model is declared, or missing by the name of its key."""

from __future__ import annotations

import pytest

from sluice.core.errors import SpecInvalidError
from sluice.core.settings import ROOT
from sluice.declare import spec
from sluice.declare.card import Card, missing_card_fields

TEXT = (ROOT / "dags" / "pipelines" / "flights.yml").read_text()


def _parse(tmp_path, text: str) -> spec.Pipeline:
    path = tmp_path / "flights.yml"
    path.write_text(text)
    return spec.parse(path)


def _with_card(tmp_path, *lines: str) -> spec.Pipeline:
    """The pipeline with these lines as its card."""
    before, rest = TEXT.split("  card:\n")
    after = rest[rest.index("  key: flight_id\n") :]
    return _parse(tmp_path, "".join([before, "  card:\n", *(f"    {line}\n" for line in lines), after]))


def test_flights_states_everything(tmp_path):
    assert missing_card_fields(_parse(tmp_path, TEXT)) == []


def test_what_is_left_out_or_marked_as_a_gap_is_missing_by_its_key(tmp_path):
    declared = _with_card(tmp_path, "intended_use: |", "  To rank", "  flights.", 'caveats: "?"')
    assert declared.model.card.statement("intended_use") == "To rank flights."
    assert missing_card_fields(declared) == [
        f"model.card.{name}"
        for name in ("out_of_scope_uses", "ethical_considerations", "caveats", "motivation", "distribution")
    ]


def test_without_a_card_all_of_it_is_missing_and_without_a_model_nothing(tmp_path):
    before, rest = TEXT.split("  card:\n")
    bare = before + rest[rest.index("  key: flight_id\n") :]
    assert len(missing_card_fields(_parse(tmp_path, bare))) == len(Card.model_fields)
    assert missing_card_fields(_parse(tmp_path, TEXT.split("\nmodel:\n")[0] + "\n")) == []


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('intended_use: "  "', "model.card.intended_use"),
        ("intendet_use: To rank flights.", "did you mean 'intended_use'"),
        ("intended_use: [To rank, flights]", "model.card.intended_use"),
    ],
)
def test_statement_that_says_nothing_and_a_mistyped_key_are_refused(tmp_path, line, said):
    with pytest.raises(SpecInvalidError, match=said.replace(".", r"\.")):
        _with_card(tmp_path, line)


def test_critical_model_requires_every_statement_and_names_those_that_are_missing(tmp_path):
    critical = "  criticality: critical\n  shadow_days: 14\n  card:\n"
    assert _parse(tmp_path, TEXT.replace("  card:\n", critical)).is_critical
    before, rest = TEXT.replace("  card:\n", critical).split("    caveats: >-\n")
    text = before + rest[rest.index("    motivation: >-\n") :]
    with pytest.raises(SpecInvalidError, match=r"which requires a statement card\.caveats:"):
        _parse(tmp_path, text)
