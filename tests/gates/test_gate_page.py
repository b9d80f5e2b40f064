from __future__ import annotations

import re

import pytest

from sluice.core.settings import settings
from sluice.gates import gate_page

DAY = "2013-04-05"


def test_write_page_is_self_contained(audit):
    verdict = audit("arrivals", DAY, change="* replace (air_time * 60 as air_time)")
    html = (settings().home / "reports" / verdict.report).read_text()
    assert not re.search(r"<script|<link|<img|src=|href=|url\(|@import|https?://", html)


def test_write_page_says_what_a_reader_needs(audit):
    verdict = audit("arrivals", DAY, change="* replace (air_time * 60 as air_time)")
    html = (settings().home / "reports" / verdict.report).read_text()
    failed = verdict.failed[0]
    for text in (
        "HOLD",
        "flights.arrivals",
        DAY,
        failed.rule,
        failed.why,
        failed.owner,
        failed.observed,
        verdict.batch_id,
    ):
        assert text in html
    for one in verdict.sample:
        rules = "".join(f"<div>{rule}</div>" for rule in one.rules)
        assert f"<tr><td>{rules}</td>" in html


def test_write_page_does_not_take_the_share_of_failing_rows_for_that_of_the_unjudged(audit):
    verdict = audit("arrivals", DAY, change="* replace (dep_delay * 60 as dep_delay)")
    rule = next(each for each in verdict.failed if each.unjudged_rows and each.failing_share)
    html = (settings().home / "reports" / verdict.report).read_text()
    assert f"<td>{rule.failing_share:.1%}: {rule.observed}</td>" in html


def test_write_page_shows_code_as_code(audit, suite):
    suite("arrivals").write_text("{")
    verdict = audit("arrivals", DAY)
    html = (settings().home / "reports" / verdict.report).read_text()
    assert "<code>sluice check</code>" in html
    assert "`" not in html


def test_write_page_says_what_is_set_aside_and_where(audit):
    verdict = audit("arrivals", DAY, suffix="union all (from landed limit 1)")
    html = (settings().home / "reports" / verdict.report).read_text()
    for text in (
        "Rows set aside",
        "quarantine up to 1% of a day",
        "flights.arrivals__quarantine",
        verdict.publish_batch_id,
    ):
        assert text in html
    assert '<td class="name">one_row_a_flight</td><td>2</td><td>0.2%</td><td>1%</td>' in html


def test_write_value_that_looks_like_html_is_escaped(audit):
    verdict = audit("arrivals", DAY, change="* replace ('<script>alert(1)</script>' as carrier)")
    html = (settings().home / "reports" / verdict.report).read_text()
    assert "&lt;script&gt;alert(1)" in html
    assert "<script>" not in html


def test_write_leaves_no_partial_file(audit):
    folder = (settings().home / "reports" / audit("arrivals", DAY).report).parent
    assert sorted(path.name.partition(".")[2] for path in folder.iterdir()) == [
        "html",
        "json",
        "profile.json",
    ]


@pytest.mark.parametrize("outcome", ["PASS", "WARN", "HOLD", "ERROR"])
def test_render_every_outcome_has_a_colour_and_a_sentence(audit, pipeline, rows, stage, outcome):
    manifest = stage("arrivals", rows("arrivals", DAY), DAY)
    verdict = audit("arrivals", DAY).model_copy(update={"outcome": outcome})
    html = gate_page.render(verdict, manifest)
    assert f"var(--{outcome})" in html
    assert f"--{outcome}: #" in html


def test_render_year_of_partitions_stays_short(rows, stage, audit):
    days = [f"2013-{month:02}-{day:02}" for month in range(1, 13) for day in range(1, 29)]
    manifest = stage("arrivals", rows("arrivals", DAY), DAY)
    long = manifest.model_copy(
        update={"partitions": tuple(days), "rows_by_partition": dict.fromkeys(days, 900)}
    )
    verdict = audit("arrivals", DAY).model_copy(update={"partitions": tuple(days)})
    html = gate_page.render(verdict, long)
    assert "2013-01-01 to 2013-12-28" in html
    assert "And 305 more days" in html
