"""Pictures as inline SVG: an interval beside its ideal, a word list among others. They take their
colours from the page, so that they fit light, dark and print, and need neither scripts nor files.
"""

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

from fairnc_book.tables import number

_WIDTH, _HEIGHT = 320, 58
_EDGE = 14


def interval(entry: Mapping[str, Any], model: str, against: str | None) -> str:
    """A number with its interval, the other model's below it, and a line at the ideal."""
    rows = [(model, entry["value"], entry["ci_low"], entry["ci_high"])]
    if entry["against"] and against:
        other = entry["against"]
        rows.append((against, other["value"], other["ci_low"], other["ci_high"]))
    shown = [value for row in rows for value in row[1:] if value is not None]
    ideal = entry["ideal"] if _near(entry["ideal"], shown) else None
    scale = _Scale([*shown, *([] if ideal is None else [ideal])], _EDGE, _WIDTH - _EDGE)
    body = [f'<line class="axis" x1="{_EDGE}" x2="{_WIDTH - _EDGE}" y1="44" y2="44"/>']
    for tick in scale.ticks():
        x = scale(tick)
        body.append(f'<line class="axis" x1="{x}" x2="{x}" y1="44" y2="47"/>')
        body.append(f'<text x="{x}" y="57" text-anchor="middle">{number(tick, digits=2)}</text>')
    if ideal is not None:
        x = scale(ideal)
        body.append(f'<line class="ideal" x1="{x}" x2="{x}" y1="3" y2="44"/>')
    for place, (_, value, low, high) in enumerate(rows):
        y, kind = (22, 34)[place] if len(rows) > 1 else 24, ("this", "other")[place]
        if low is not None and high is not None:
            body.append(
                f'<line class="{kind}" x1="{scale(low)}" x2="{scale(high)}" y1="{y}" y2="{y}"/>'
            )
        if value is not None:
            body.append(f'<circle class="{kind}" cx="{scale(value)}" cy="{y}" r="4.5"/>')
    said = [f"{name}: {_said(*row)}" for name, *row in rows]
    if ideal is not None:
        said.append(f"ideal {ideal:g}")
    return _svg(body, f"{entry['label']}. {'; '.join(said)}", _WIDTH, _HEIGHT)


def among(words: Mapping[str, Any], name: str) -> str:
    """A word list's NC3 and UNC3 among those of control lists: a point a list."""
    width, height, left, bottom = 560, 300, 76, 256
    lists = words["lists"]
    every = [
        [words[metric], *(value for drawn in lists.values() for value in drawn[metric])]
        for metric in ("nc3", "unc3")
    ]
    x, y = _Scale(every[0], left, width - _EDGE), _Scale(every[1], bottom, _EDGE)
    body = [
        f'<line class="axis" x1="{left}" x2="{width - _EDGE}" y1="{bottom}" y2="{bottom}"/>',
        f'<line class="axis" x1="{left}" x2="{left}" y1="{_EDGE}" y2="{bottom}"/>',
    ]
    for tick in x.ticks(5):
        body.append(
            f'<text x="{x(tick)}" y="{bottom + 16}" text-anchor="middle">{number(tick, digits=2)}</text>'
        )
    for tick in y.ticks(4):
        body.append(
            f'<text x="{left - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{number(tick, digits=2)}</text>'
        )
    middle = (left + width) // 2
    body.append(f'<text x="{middle}" y="{height - 8}" text-anchor="middle">NC3: alignment</text>')
    body.append(
        f'<text transform="translate(12 {bottom // 2 + 8}) rotate(-90)" text-anchor="middle">'
        "UNC3: unevenness</text>"
    )
    for kind, drawn in lists.items():
        for a, b in zip(drawn["nc3"], drawn["unc3"], strict=True):
            body.append(_mark(kind, x(a), y(b)))
    body.append(_star(x(words["nc3"]), y(words["unc3"])))
    values = f"NC3 {number(words['nc3'])}, UNC3 {number(words['unc3'])}"
    label = f"{words['list']} words of {name}: {values}; each other point is a control list"
    return _svg(body, label, width, height, large=True)


def key(items: Sequence[tuple[str, str]]) -> str:
    """What the marks stand for: (kind, text)."""
    parts = []
    for kind, text in items:
        mark = {
            "star": _star(9, 8),
            "random": _mark("random", 9, 8),
            "matched": _mark("matched", 9, 8),
            "ideal": '<line class="ideal" x1="9" x2="9" y1="1" y2="15"/>',
        }.get(
            kind,
            f'<line class="{kind}" x1="0" x2="18" y1="8" y2="8"/><circle class="{kind}" cx="9" cy="8" r="4.5"/>',
        )
        parts.append(
            f'<span><svg class="mark" viewBox="0 0 18 16" aria-hidden="true">{mark}</svg>{html.escape(text)}</span>'
        )
    return f'<p class="key">{"".join(parts)}</p>'


def _mark(kind: str, x: float, y: float) -> str:
    if kind == "matched":
        return (
            f'<rect class="matched" x="{x - 2.6:.1f}" y="{y - 2.6:.1f}" width="5.2" height="5.2"/>'
        )
    return f'<circle class="random" cx="{x}" cy="{y}" r="2.8"/>'


def _star(x: float, y: float) -> str:
    points = []
    for corner in range(10):
        radius = 8 if corner % 2 == 0 else 3.4
        angle = math.pi * (corner / 5 - 0.5)
        points.append(f"{x + radius * math.cos(angle):.1f},{y + radius * math.sin(angle):.1f}")
    return f'<polygon class="star" points="{" ".join(points)}"/>'


def _svg(body: Sequence[str], label: str, width: int, height: int, *, large: bool = False) -> str:
    kind = "large" if large else "small"
    return (
        f'<svg class="{kind}" role="img" aria-label="{html.escape(label)}" viewBox="0 0 {width} {height}" '
        f'preserveAspectRatio="xMidYMid meet">{"".join(body)}</svg>'
    )


def _said(value: float | None, low: float | None, high: float | None) -> str:
    shown = number(math.nan if value is None else value)
    return shown if low is None or high is None else f"{shown} [{number(low)}, {number(high)}]"


def _near(ideal: float | None, shown: Sequence[float]) -> bool:
    """Whether an ideal can be drawn without squeezing the interval to a point."""
    if ideal is None or not shown:
        return False
    spread = max(shown) - min(shown)
    return spread == 0 or max(abs(ideal - value) for value in shown) <= 40 * spread


class _Scale:
    """From values to places between two edges, a little room on both sides."""

    def __init__(self, values: Sequence[float], start: float, stop: float):
        low, high = (min(values), max(values)) if values else (0.0, 1.0)
        room = 0.08 * (high - low) or 0.5 * abs(high) or 1.0
        self.low, self.high, self.start, self.stop = low - room, high + room, start, stop

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.stop - self.start), 1)

    def ticks(self, number: int = 4) -> list[float]:
        """About so many round values inside."""
        spread = self.high - self.low
        decade = 10 ** math.floor(math.log10(spread / number))
        step = next(k * decade for k in (1, 2, 5, 10) if spread / (k * decade) <= number + 1)
        first = math.ceil(self.low / step)
        count = math.floor(self.high / step) - first + 1
        return [round((first + i) * step, 10) for i in range(count)]
