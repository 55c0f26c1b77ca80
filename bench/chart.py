"""Two SVG charts: the times and CPU of a run, and the growth of p99 with the rate."""

from collections.abc import Mapping, Sequence
from html import escape
from math import log10
from typing import Any

_FONT = 'font-family="system-ui, sans-serif" font-size="12"'
_INK, _GRID, _BLUE, _RED, _GREEN = "#1f2933", "#d9e2ec", "#2b6cb0", "#c53030", "#2f855a"


def of_run(figures: Mapping[str, Any]) -> str:
    """Returns two bar charts. The first chart shows p50, p95 and p99 of each hop. The second chart shows the CPU
    milliseconds that each process uses for a transfer.
    """
    bars: list[tuple[str, float, str, str]] = []
    for hop, times in figures["hops_ms"].items():
        for name, colour in (("p50", _GREEN), ("p95", _BLUE), ("p99", _RED)):
            bars.append((f"{hop} {name}", times[name], f"{times[name]:g} ms", colour))
    cpu = figures["cpu_ms_per_transfer"]
    bars += [(f"CPU: {name}", used, f"{used:g} ms", _INK) for name, used in cpu.items()]
    most = {
        is_cpu: max((bar[1] for bar in bars if bar[0].startswith("CPU") is is_cpu), default=1) or 1
        for is_cpu in (False, True)
    }
    lines = []
    for number, (label, value, text, colour) in enumerate(bars):
        y, length = 40 + number * 20, 420 * value / most[label.startswith("CPU")]
        lines += [
            f'<text x="190" y="{y + 11}" text-anchor="end" fill="{_INK}" {_FONT}>{escape(label)}</text>',
            f'<rect x="200" y="{y}" width="{length:.1f}" height="14" fill="{colour}"/>',
            f'<text x="{206 + length:.1f}" y="{y + 11}" fill="{_INK}" {_FONT}>{text}</text>',
        ]
    title = f"{figures['transfers_per_s']} transfers/s, {figures['plan']['dfsps']} DFSPs, {figures['revision']}"
    return _svg(720, 60 + 20 * len(bars), title, lines)


def of_curve(points: Sequence[tuple[float, float, float]]) -> str:
    """Returns a line chart.

    Each point is a requested rate, a completed rate, and p99 in milliseconds. The time axis is logarithmic.
    """
    most_rate = max(asked for asked, _, _ in points)
    low, high = 1.0, max(4.0, max(log10(max(p99, 1.0)) for _, _, p99 in points))

    def x(rate: float) -> float:
        return 60 + 600 * rate / most_rate

    def y(p99: float) -> float:
        return 340 - 290 * (log10(max(p99, 10.0)) - low) / (high - low)

    lines = []
    for ms in (10, 100, 1000, 10_000):
        lines.append(f'<line x1="60" x2="660" y1="{y(ms):.1f}" y2="{y(ms):.1f}" stroke="{_GRID}"/>')
        lines.append(f'<text x="54" y="{y(ms) + 4:.1f}" text-anchor="end" fill="{_INK}" {_FONT}>{ms} ms</text>')
    line = " ".join(f"{x(asked):.1f},{y(p99):.1f}" for asked, _, p99 in points)
    lines.append(f'<polyline points="{line}" fill="none" stroke="{_BLUE}" stroke-width="2"/>')
    for asked, completed, p99 in points:
        lines.append(f'<circle cx="{x(asked):.1f}" cy="{y(p99):.1f}" r="4" fill="{_BLUE}"/>')
        lines.append(
            f'<text x="{x(asked):.1f}" y="360" text-anchor="middle" fill="{_INK}" {_FONT}>{asked:g}</text>'
            f'<text x="{x(asked):.1f}" y="376" text-anchor="middle" fill="{_GREEN}" {_FONT}>{completed:g}</text>'
        )
    return _svg(720, 400, "p99 of a whole transfer by requested rate; below: requested and completed per second", lines)


def _svg(width: int, height: int, title: str, lines: Sequence[str]) -> str:
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" role="img">',
            f'<rect width="{width}" height="{height}" fill="white"/>',
            f'<text x="12" y="22" fill="{_INK}" {_FONT} font-weight="bold">{escape(title)}</text>',
            *lines,
            "</svg>\n",
        )
    )
