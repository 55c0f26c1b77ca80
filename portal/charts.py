"""Computes the SVG shapes of charts. The template `portal/chart.html` draws the shapes.

The shapes fill a box of WIDTH by HEIGHT. The page stretches this box to the width of the page. Because the stretching
would distort text, a chart contains no text. The page writes the labels beside the chart.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 1000, 200
_GAP = 0.2  # the part of each bar's width that stays empty


@dataclass(frozen=True, slots=True)
class Bar:
    """One part of a bar in a chart. `tone` is the number of the part's colour."""

    x: float
    y: float
    width: float
    height: float
    tone: str
    title: str
    url: str = ""


@dataclass(frozen=True, slots=True)
class Path:
    """A line through the values of all periods. Where a value is missing, the line has a gap."""

    d: str
    tone: str
    label: str


@dataclass(frozen=True, slots=True)
class Chart:
    label: str
    bars: Sequence[Bar]
    paths: Sequence[Path]
    top: str  # the range of the values, for example "0–50"
    legend: Sequence[tuple[str, str]]  # tone and text


def bars(parts: Iterable[Sequence[tuple[float, str, str, str]]], *, top: float) -> list[Bar]:
    """Returns stacked bars. Each bar is a list of parts, from the bottom to the top. Each part has a value, tone, title
    and link."""
    stacks = list(parts)
    place = WIDTH / max(1, len(stacks))
    found = []
    for number, stack in enumerate(stacks):
        base = float(HEIGHT)
        for value, tone, title, url in stack:
            height = HEIGHT * value / top if top else 0.0
            if height:
                # With this minimum height, a few failures among millions of payments are still visible.
                height = max(height, 1.5)
                base -= height
                width = place * (1 - _GAP)
                found.append(
                    Bar(
                        _cut(number * place + place * _GAP / 2), _cut(base), _cut(width), _cut(height), tone, title, url
                    )
                )
    return found


def path(values: Sequence[float | None], *, top: float, tone: str, label: str, bottom: float = 0.0) -> Path:
    place, points, is_on = WIDTH / max(1, len(values)), [], False
    for number, value in enumerate(values):
        if value is None:
            is_on = False
            continue
        x, y = (number + 0.5) * place, HEIGHT * (1 - (value - bottom) / ((top - bottom) or 1))
        # The chart shows a single value between two gaps as a short stroke, because a line needs two points.
        points.append(f"{'L' if is_on else 'M'}{_cut(x)} {_cut(y)}" + ("" if is_on else f"h{_cut(place / 4)}"))
        is_on = True
    return Path("".join(points), tone, label)


def nice_top(value: float) -> float:
    """Returns the next larger number of the series 1, 2, 5, 10, 20, 50 and so on."""
    if value <= 0:
        return 1.0
    power = 1.0
    while power > value:
        power /= 10
    while power * 10 < value:
        power *= 10
    return next(power * step for step in (1, 2, 5, 10) if power * step >= value)


def _cut(number: float) -> float:
    return round(number, 2)
