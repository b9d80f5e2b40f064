"""Every batch is described column by column, beside the batch before it."""

from __future__ import annotations

import json
import re

from sluice.core.settings import settings


def _page(verdict):
    return (settings().home / "reports" / verdict.report).read_text(encoding="utf-8")


def test_page_profiles_every_column_beside_the_day_before(audit):
    first = audit("arrivals", "2013-02-12")
    assert "no batch of the eight days before" in _page(first)
    second = audit("arrivals", "2013-02-13")
    text = _page(second)
    kept = settings().home / "reports" / second.report.replace(".html", ".profile.json")
    columns = json.loads(kept.read_text(encoding="utf-8"))["columns"]
    assert {"carrier", "arr_delay", "air_time"} <= set(columns)
    assert all(f"<th>{name}</th>" in text for name in columns)
    assert "of 2013-02-12, with 893 rows" in text
    assert (columns["flight"]["type"], columns["flight"]["null_percentage"]) == ("BIGINT", "0.00")
    assert f"<td>{int(columns['flight']['approx_unique']):,}</td>" in text
    assert not re.search(r"<td>[\d,]+\.0</td>", text), "counts are whole numbers"


def test_page_says_what_changed_since_the_day_before(audit):
    audit("weather", "2013-02-12")
    changed = audit("weather", "2013-02-13", change="* replace (cast(wind_speed as varchar) as wind_speed)")
    assert "wind_speed was DOUBLE and is VARCHAR" in _page(changed)


def test_profile_of_personal_data_shows_no_values(pipeline, stage, rows):
    from sluice import gates

    sources = {
        name: source.model_copy(update={"pii": "pseudonymised"}) for name, source in pipeline.sources.items()
    }
    spec = pipeline.model_copy(update={"sources": sources})
    verdict = gates.run(spec, stage("arrivals", rows("arrivals", "2013-02-12"), "2013-02-12"))
    kept = settings().home / "reports" / verdict.report.replace(".html", ".profile.json")
    columns = json.loads(kept.read_text(encoding="utf-8"))["columns"]
    assert columns["carrier"]["min"] is None
    assert columns["carrier"]["approx_unique"] is not None
