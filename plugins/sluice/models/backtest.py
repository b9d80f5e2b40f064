"""What a policy would have done over published history: one table, one page, and nothing of it in the ledger or registry.

A candidate depends on its rows and its recipe alone. So each is kept under the hash of both: a run that was interrupted, or one
with another policy of monitoring or promotion, trains only what no run has trained before.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sluice.core.errors import SpecInvalidError, TableMissingError
from sluice.core.files import replacing
from sluice.core.markup import page_environment
from sluice.core.partitions import date_of, days_later
from sluice.core.settings import settings
from sluice.models import backtest_chart, trainset
from sluice.models.config import model_config, monitoring_config
from sluice.models.training import content_hash

if TYPE_CHECKING:
    from datetime import date

    import pyarrow as pa

    from sluice.declare.spec import Pipeline
    from sluice_ml.backtest import Day
    from sluice_ml.config import ModelConfig
    from sluice_ml.faults import Fault, Found
    from sluice_ml.training import Candidate

TABLE, PAGE, PICTURE = "days.csv", "index.html", "year.svg"


@dataclass(frozen=True)
class Summary:
    """What the days of a backtest come to; AUCs are means of those within each day.

    Promotions and refusals count the first model, too, which nobody has requested.
    """

    days: int
    requests: int
    promotions: int
    refusals: int
    refused_in_a_row: int
    person: int
    auc: float
    auc_baseline: float
    auc_never: float
    # Month (YYYY-MM) to Brier score of champion, baseline and the first model.
    brier: dict[str, tuple[float, float, float]]
    # What was said of the days as they are, where nothing was injected: name, first and last day.
    alarms: list[tuple[str, date, date]]
    found: list[Found]


def run(
    declared: Pipeline,
    policy: Pipeline,
    first: str,
    last: str,
    folder: Path,
    say: Callable[[str], None],
    faults: Sequence[Fault] = (),
) -> Summary:
    """Replay `first` to `last` of a pipeline under a policy; writes TABLE, PAGE and PICTURE into `folder`.

    Args:
        policy: the pipeline with the model and the monitoring that are tried; all else is `declared`.
        faults: what is injected, each alone.

    Raises:
        SpecInvalidError: the range has no day, or a fault begins on no day of the range.
        TableMissingError: no features of the range have an outcome.
    """
    from sluice.lake import tables
    from sluice_ml.backtest import replay

    if last < first:
        raise SpecInvalidError(
            f"{first} to {last} has no day to replay.",
            where="sluice backtest",
            allowed="the first day, then the last",
            todo="exchange the two days",
        )
    # The outcomes of its first day come before the end.
    until = days_later(last, -declared.lag_days(policy.model.outcomes_table))
    if outside := [fault for fault in faults if not first <= fault.first.isoformat() <= until]:
        raise SpecInvalidError(
            f"A fault begins on {outside[0].first}, of which nothing is known on any day of the replay.",
            where="sluice backtest --faults",
            allowed=f"{first} to {until}",
            todo="correct the days, or replay others",
        )
    spec = declared.model_copy(update={"model": policy.model, "monitoring": policy.monitoring})
    model = spec.model
    lag = spec.lag_days(model.outcomes_table)
    start = days_later(first, 1 - lag - model.training_days)
    snapshots = {}
    for table in (model.features_table, model.outcomes_table):
        if (found := tables.snapshot_id(spec.pipeline, table)) is None:
            raise TableMissingError(
                f"{spec.pipeline}.{table} has nothing published.",
                where=f"{first} to {last}",
                todo=f"load history with {spec.pipeline}_backfill",
            )
        snapshots[table] = found
    say(f"reading {start} to {last}")
    rows = trainset.read_days(spec, start, last, snapshots).rows
    config = model_config(spec)
    days: list[Day] = []
    if model.shadow_days:
        say("model.shadow_days is not replayed: what passes the gate becomes champion at once")
    for day in replay(
        rows,
        date_of(first),
        date_of(last),
        model=config,
        monitoring=monitoring_config(spec),
        lag_days=lag,
        train=lambda known, recipe: _fit_cached(known, recipe, "a model" if days else "the first model", say),
        faults=faults,
    ):
        days.append(day)
        for fault_found in day.injected:
            say(f"{day.ds}: {_said(fault_found)}")
        if day.trained:
            asked = "asked for" if day.requested else "first"
            say(f"{day.ds}: {asked}, {day.trained.ended}. {' '.join(day.trained.reasons)}")
        elif day.ds.day == 1:
            say(f"{day.ds}")
    summary = summarise(days, monitoring_config(spec).retraining.drop_over_days)
    folder.mkdir(parents=True, exist_ok=True)
    _write_table(days, folder / TABLE)
    shown = {
        "days": days,
        "summary": summary,
        "spec": spec,
        "chart": backtest_chart.of(days),
        "moves": [day for day in days if day.trained],
    }
    templates = page_environment("sluice.models")
    for name, template in ((PAGE, "backtest.html.j2"), (PICTURE, "backtest.svg.j2")):
        with replacing(folder / name) as part:
            part.write_text(templates.get_template(template).render(shown), encoding="utf-8")
    return summary


def summarise(days: Sequence[Day], over_days: int) -> Summary:
    """What the days come to; an alarm that comes back within `over_days` is the same one."""
    import numpy as np

    judged = [day for day in days if day.champion.auc is not None]
    all_trained = [day.trained for day in days if day.trained]
    asked = [day.trained for day in days if day.trained and day.requested]
    longest = row = 0
    for trained in asked:
        row = 0 if trained.outcome == "promote" else row + 1
        longest = max(longest, row)
    months: dict[str, list[Day]] = {}
    for day in judged:
        months.setdefault(f"{day.ds:%Y-%m}", []).append(day)

    def mean(values: list[float | None]) -> float:
        return float(np.mean([value for value in values if value is not None])) if values else float("nan")

    return Summary(
        days=len(days),
        requests=len(asked),
        promotions=sum(trained.outcome == "promote" for trained in all_trained),
        refusals=sum(trained.outcome != "promote" for trained in all_trained),
        refused_in_a_row=longest,
        person=len({day.decision.person_since for day in days if day.decision.person}),
        auc=mean([day.champion.auc for day in judged]),
        auc_baseline=mean([day.baseline.auc for day in judged]),
        auc_never=mean([day.never.auc for day in judged]),
        brier={
            month: (
                mean([day.champion.brier for day in found]),
                mean([day.baseline.brier for day in found]),
                mean([day.never.brier for day in found]),
            )
            for month, found in months.items()
        },
        alarms=_alarms(days, over_days),
        found=[found for day in days for found in day.injected],
    )


def _alarms(days: Sequence[Day], over_days: int) -> list[tuple[str, date, date]]:
    found: list[tuple[str, date, date]] = []
    for day in days:
        for name in dict.fromkeys(one.name for one in day.alarms):
            before = [place for place, one in enumerate(found) if one[0] == name]
            if before and (day.ds - found[before[-1]][2]).days <= over_days:
                found[before[-1]] = (name, found[before[-1]][1], day.ds)
            else:
                found.append((name, day.ds, day.ds))
    return found


def lines(found: Summary) -> Iterator[str]:
    """The summary in lines for a terminal."""
    yield (
        f"{found.days} days: {found.requests} requests; with the first model {found.promotions} promoted, {found.refusals} not "
        f"(of requests at most {found.refused_in_a_row} in a row); a person was asked {found.person} times"
    )
    yield (
        f"mean daily AUC {found.auc:.4f}; baseline {found.auc_baseline:.4f}; never retrained {found.auc_never:.4f}"
    )
    for month, (mine, theirs, never) in found.brier.items():
        yield f"{month}: Brier score {mine:.4f}; baseline {theirs:.4f}; never retrained {never:.4f}"
    for name, first, last in found.alarms:
        yield f"alarm without a fault: {name}, {first} to {last}"
    for one in found.found:
        yield _said(one)


def _said(found: Found) -> str:
    """What became of a fault, in a line."""
    return f"fault: {found.fault.sentence}: {found.outcome}"


def _fit_cached(rows: pa.Table, config: ModelConfig, name: str, say: Callable[[str], None]) -> Candidate:
    """As `sluice_ml.training.fit`, and says that it trains `name`; a candidate of the same rows, settings and code is read, and not trained again."""
    import pyarrow.compute as pc

    from sluice_ml.artifacts import CONTENT, META, TEST, describe, pack, unpack
    from sluice_ml.recipe import exact
    from sluice_ml.training import fit

    key = f"{exact(config)} {content_hash(rows)} {config.name}"
    folder = settings().home / "backtest" / "candidates" / hashlib.sha256(key.encode()).hexdigest()
    days = pc.unique(rows["ds"])
    of_days = f"{len(days)} days, {pc.min(days)} to {pc.max(days)}"
    if (folder / META).is_file():
        say(f"{name} of {of_days}: taken from an earlier run")
        meta = describe((folder / META).read_bytes())
        return unpack(meta, (folder / CONTENT[meta.algorithm]).read_bytes(), (folder / TEST).read_bytes())
    say(f"training {name} on {of_days}")
    candidate = fit(rows, config)
    # The description comes last: where it is, the others are whole.
    for name, content in sorted(pack(candidate).items(), key=lambda item: item[0] == META):
        with replacing(folder / name) as part:
            part.write_bytes(content)
    return candidate


def _write_table(days: Sequence[Day], path: Path) -> None:
    with replacing(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(_row(days[0])))
        writer.writeheader()
        writer.writerows(_row(day) for day in days)


def _row(day: Day) -> dict[str, Any]:
    trained = day.trained
    return {
        "ds": day.ds,
        "rows": day.rows,
        "label_rate": day.label_rate,
        "score_mean": day.score_mean,
        "model_version": day.version or "baseline",
        **{
            f"{measure}_{name}": getattr(measured, measure)
            for name, measured in (
                ("champion", day.champion),
                ("baseline", day.baseline),
                ("never_retrained", day.never),
            )
            for measure in ("auc", "brier")
        },
        "action": day.decision.action,
        "wanted": " ".join(day.decision.wanted),
        "requested": day.requested,
        "outcome": trained.outcome if trained else "",
        "algorithm": trained.algorithm if trained else "",
        "rounds": trained.rounds if trained else None,
        "reasons": " ".join(trained.reasons if trained else day.decision.reasons),
    }
