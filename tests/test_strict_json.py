"""What is no number is null in JSON."""

import json
from typing import Any

import altair as alt
import polars as pl
import pytest

from vitro.cli.printing import print_json
from vitro.figures import to_svg
from vitro.report import Page, Section, Sentence, render
from vitro.strict_json import to_json

NAN, INF = float("nan"), float("inf")


def refuse(constant: str) -> Any:
    raise AssertionError(f"{constant} is no JSON")


def test_nan_and_the_infinities_are_null() -> None:
    text = to_json({"a": [NAN, 1.5, (INF,)], "b": {"c": -INF, "d": None, "e": True}})
    parsed = json.loads(text, parse_constant=refuse)
    assert parsed == {"a": [None, 1.5, [None]], "b": {"c": None, "d": None, "e": True}}


def test_the_command_line_prints_json_that_every_reader_takes(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"prob": NAN, "tokens": [" é"]})
    out = capsys.readouterr().out
    assert json.loads(out, parse_constant=refuse) == {"prob": None, "tokens": [" é"]}
    assert " é" in out


def test_a_page_and_a_picture_are_drawn_where_a_number_is_none() -> None:
    frame = pl.DataFrame({"x": [1.0, NAN, -INF], "y": ["a", "b", "c"]})
    chart = alt.Chart(frame).mark_bar().encode(x="x", y="y")
    section = Section("one", "One", "Read it.", {"one": chart}, frame, "vitro", "vitro")
    html = render(Page("A page", [Sentence("A sentence.")], [], [section]))
    spec = html.split('<script type="application/json">')[1].split("</script>")[0]
    json.loads(spec, parse_constant=refuse)
    assert to_svg(chart).startswith("<svg")
