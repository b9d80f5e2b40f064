"""What a robustness run says of itself: a table of AUC by rate, every point as JSON, and one chart (SVG)."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from xml.sax.saxutils import escape

from sluice_lab.mutation.curve import FIRES, HARM, Curve, Measured, Point

# Sizes of the chart in pixels: one plot, the space around it, and how many stand in a row.
_WIDTH, _HEIGHT, _LEFT, _TOP, _GAP, _COLUMNS = 360, 190, 52, 40, 52, 2
_LINE, _CLEAN, _GATE, _INK = "#1f5fa8", "#7a7a7a", "#b5462b", "#222222"


def lines(measured: Measured) -> list[str]:
    """For a person, as Markdown tables."""
    clean = measured.clean
    rates = [point.rate for point in measured.curves[0].points]
    found = [
        f"Seed {measured.seed}, run days {measured.days[0]} to {measured.days[-1]}, {measured.flights} flights with a known "
        f"outcome. Clean AUC {clean.value:.3f} (95% interval {clean.low:.3f} to {clean.high:.3f}, drawn by flights).",
        "",
        "| corruption | source | "
        + " | ".join(_percent(rate) for rate in rates)
        + " | gate | harm | check |",
        "|---" * (len(rates) + 5) + "|",
    ]
    for curve in measured.curves:
        cells = " | ".join(_cell(point) for point in curve.points)
        check = "yes" if curve.fires_in_time else "**NO**"
        found.append(
            f"| {curve.corruption.name} | {curve.corruption.source} | {cells} | {_percent(curve.gate_rate)} | "
            f"{_percent(curve.harm_rate)} | {check} |"
        )
    found += [
        "",
        "Each cell is the AUC of the predictions that no gate would have stopped; a star says that a gate fires on at "
        f"least {FIRES:.0%} of the days. *gate* is the lowest such rate, *harm* the lowest at which the AUC is more than "
        f"{HARM} below the clean one, *check* whether the gate is not later than the harm.",
        "",
        "| corruption | what is done | first gate, at its rate | most harm |",
        "|---|---|---|---|",
    ]
    found += [_row(curve) for curve in measured.curves]
    late = measured.late
    found += ["", f"Checks that fail: {len(late)} of {len(measured.curves)}."]
    found += [
        f"- {curve.corruption.name}: harm from {_percent(curve.harm_rate)} on, a gate from {_percent(curve.gate_rate)} on."
        for curve in late
    ]
    return found


def write(measured: Measured, folder: Path) -> None:
    """`report.md`, `curve.jsonl` with every point, and `curve.svg`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.md").write_text("\n".join(lines(measured)) + "\n", encoding="utf-8")
    points = [point for curve in measured.curves for point in curve.points]
    clean = {"seed": measured.seed, "clean_auc": asdict(measured.clean)}
    told = "".join(json.dumps({**asdict(point), **clean}) + "\n" for point in points)
    (folder / "curve.jsonl").write_text(told, encoding="utf-8")
    (folder / "curve.svg").write_text(chart(measured), encoding="utf-8")


def chart(measured: Measured) -> str:
    """A plot for each corruption: AUC against rate, the clean AUC dashed, the gate's rate as an upright line."""
    rows = -(-len(measured.curves) // _COLUMNS)
    width = _COLUMNS * (_WIDTH + _LEFT) + _LEFT
    height = rows * (_HEIGHT + _TOP + _GAP) + _TOP
    values = [point.auc for curve in measured.curves for point in curve.points]
    low = math.floor(min([*values, measured.clean.low]) * 20) / 20
    high = math.ceil(max([*values, measured.clean.high]) * 20) / 20
    plots = [
        _plot(
            curve,
            measured.clean.value,
            (low, high),
            left=_LEFT + place % _COLUMNS * (_WIDTH + _LEFT),
            top=_TOP * 2 + place // _COLUMNS * (_HEIGHT + _TOP + _GAP),
        )
        for place, curve in enumerate(measured.curves)
    ]
    title = (
        f"AUC against the rate of a corruption, {measured.days[0]} to {measured.days[-1]}; "
        "dashed: clean; red: from here on a gate fires"
    )
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
            f'font-size="11" fill="{_INK}">',
            f'<rect width="{width}" height="{height}" fill="white"/>',
            f'<text x="{_LEFT}" y="24" font-size="14">{escape(title)}</text>',
            *plots,
            "</svg>\n",
        ]
    )


def _plot(curve: Curve, clean: float, between: tuple[float, float], *, left: float, top: float) -> str:
    low, high = between
    rates = [point.rate for point in curve.points]
    first, last = math.log(min(rates)), math.log(max(rates))

    def x(rate: float) -> float:
        share = (math.log(rate) - first) / (last - first) if last > first else 0.5
        return round(left + 8 + (_WIDTH - 16) * share, 1)

    def y(auc: float) -> float:
        return round(top + _HEIGHT * (high - auc) / (high - low), 1)

    check = "" if curve.fires_in_time else ": harm before a gate"
    parts = [
        f'<text x="{left}" y="{top - 8}" font-size="12">{escape(curve.corruption.name + check)}</text>',
        f'<rect x="{left}" y="{top}" width="{_WIDTH}" height="{_HEIGHT}" fill="none" stroke="#cccccc"/>',
        _line(left, y(clean), left + _WIDTH, y(clean), _CLEAN, dashed=True),
    ]
    for auc in (low, (low + high) / 2, high):
        parts.append(f'<text x="{left - 6}" y="{y(auc) + 4}" text-anchor="end">{auc:.3f}</text>')
    for rate in rates:
        parts.append(
            f'<text x="{x(rate)}" y="{top + _HEIGHT + 15}" text-anchor="middle">{_percent(rate)}</text>'
        )
    if curve.gate_rate is not None:
        parts.append(_line(x(curve.gate_rate), top, x(curve.gate_rate), top + _HEIGHT, _GATE))
    path = " ".join(f"{x(point.rate)},{y(point.auc)}" for point in curve.points)
    parts.append(f'<polyline points="{path}" fill="none" stroke="{_LINE}" stroke-width="2"/>')
    parts += [
        f'<circle cx="{x(point.rate)}" cy="{y(point.auc)}" r="4" stroke="{_LINE}" stroke-width="2" '
        f'fill="{_LINE if point.fired else "white"}"/>'
        for point in curve.points
    ]
    return "\n".join(parts)


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, *, dashed: bool = False) -> str:
    dashes = ' stroke-dasharray="5 4"' if dashed else ""
    return f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{colour}" stroke-width="1.5"{dashes}/>'


def _cell(point: Point) -> str:
    return f"{point.auc:.3f}{'*' if point.fired else ''}"


def _percent(rate: float | None) -> str:
    return "never" if rate is None else f"{rate * 100:g}%"


def _row(curve: Curve) -> str:
    first = next((point for point in curve.points if point.fired), None)
    by = "none"
    if first is not None:
        gates = Counter(day.gate for day in first.days if day.gate)
        rules = list(dict.fromkeys(rule for day in first.days if day.gate for rule in day.rules))
        told = ", ".join(f"{gate} on {count} of {len(first.days)} days" for gate, count in gates.items())
        by = f"{told}: {', '.join(rules[:3])}" if rules else told
    worst = max(curve.points, key=lambda point: point.fall.value)
    fall = worst.fall
    harm = f"{fall.value:+.3f} ({fall.low:+.3f} to {fall.high:+.3f}) at {_percent(worst.rate)}"
    if worst.unpredicted:
        harm += f", {worst.unpredicted:.0%} of the flights not predicted"
    return f"| {curve.corruption.name} | {curve.corruption.does} | {by} | {harm} |"
