"""The charts are well-formed and show each figure."""

from xml.etree import ElementTree

from bench import chart


def test_a_run_is_drawn_with_a_bar_for_each_figure() -> None:
    times = {"p50": 1.5, "p95": 2, "p99": 3, "max": 4, "count": 9}
    figures = {
        "transfers_per_s": 50.0,
        "plan": {"dfsps": 2},
        "revision": "<b>",
        "hops_ms": {"whole": times},
        "cpu_ms_per_transfer": {"web": 3.5},
    }
    drawn = ElementTree.fromstring(chart.of_run(figures))
    texts = [element.text for element in drawn if element.tag.endswith("text")]
    assert {"whole p50", "1.5 ms", "CPU: web", "3.5 ms"} <= set(texts)
    assert len([element for element in drawn if element.tag.endswith("rect")]) == 1 + 4


def test_a_curve_has_a_point_for_each_rate() -> None:
    drawn = ElementTree.fromstring(chart.of_curve([(50, 50, 120.0), (100, 99, 400.0), (200, 130, 20000.0)]))
    assert len([element for element in drawn if element.tag.endswith("circle")]) == 3
