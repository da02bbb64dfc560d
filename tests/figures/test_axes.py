import json
import re

import altair as alt
import polars as pl
import pytest

from figures.ablation_tables import HOSTILE
from vitro.figures import to_svg
from vitro.figures.axes import across, columns_of, down, name_of, overhang
from vitro.figures.tokens import word


def test_the_names_of_hostile_tokens_are_one_literal_of_readable_words() -> None:
    expression = name_of("datum.value", HOSTILE)
    literal, number = expression.rsplit("[", 1)
    assert json.loads(literal) == [word(token) for token in HOSTILE]
    assert number == "datum.value]"


def test_labels_are_level_where_they_fit_and_slanted_where_not() -> None:
    assert across(["Wednesday"], 90).to_dict()["labelAngle"] == 0
    assert across(["Wednesday"], 20).to_dict()["labelAngle"] == -45
    assert overhang(["Wednesday"], 90) == 0 < overhang(["Wednesday"], 20)


def test_narrow_rows_and_columns_are_labelled_now_and_then() -> None:
    words = [str(number) for number in range(100)]
    assert across(words, 2.5).to_dict()["values"] == list(range(0, 100, 10))
    assert down(words, 2.5).to_dict()["values"] == list(range(0, 100, 10))
    assert across(words, 40, first=-2).to_dict()["values"] == list(range(-2, 98))


# 11 shares of 910 pixels add up to less than that, 12 do not.
@pytest.mark.parametrize("count", [11, 12])
def test_every_column_is_labelled_also_the_first(count: int) -> None:
    words = [f"w{number}" for number in range(count)]
    x = alt.X("place:O", axis=across(words, 910 / count), scale=columns_of(count))
    table = alt.InlineData(values=pl.DataFrame({"place": range(count)}).to_dicts())
    drawn = to_svg(alt.LayerChart(layer=[alt.Chart().mark_rect().encode(x=x)], data=table, width=910))
    assert re.findall(r">(w\d+)</text>", drawn) == words
