import math
import re

import polars as pl
import pytest

from figures.ablation_tables import HOSTILE
from vitro.report import number, table

MINUS, DASH = "\N{MINUS SIGN}", "\N{EN DASH}"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0"),
        (0.22119999, "0.2212"),
        (0.22, "0.2200"),
        (1.0, "1.000"),
        (-1234.56, f"{MINUS}1235"),
        (12345.6, "12346"),
        (0.00012345, "0.0001234"),
        (1.23456e-7, f"1.235e{MINUS}7"),
        (1e9, "1.000e9"),
        (math.nan, "nan"),
        (-math.inf, f"{MINUS}inf"),
    ],
)
def test_a_float_has_four_significant_digits(value: float, shown: str) -> None:
    assert number(value) == shown


def test_numbers_stand_to_the_right_and_nothing_is_a_dash() -> None:
    html = table(pl.DataFrame({"answer_prob": [0.5, None], "top_token": [" x", None]}))
    assert '<th scope="col" class="number">answer prob</th>' in html
    assert '<td class="number">0.5000</td><td>␣x</td>' in html
    assert f'<td class="number">{DASH}</td><td>{DASH}</td>' in html


def test_the_points_of_a_column_stand_below_each_other() -> None:
    cells = re.findall("<td.*?</td>", table(pl.DataFrame({"change": [-0.5, 1234.5, 0.0], "prompts": [1, 20, 300]})))
    tails = [re.search(r'<span style="width:(\d+)ch">(.*?)</span>', cell) for cell in cells[::2]]
    assert [(tail[1], tail[2]) for tail in tails if tail] == [("5", ".5000"), ("5", ""), ("5", "")]
    assert cells[1::2] == [f'<td class="number">{count}</td>' for count in (1, 20, 300)], "whole numbers need none"


def test_no_token_writes_markup() -> None:
    html = table(pl.DataFrame({"<i>": HOSTILE}))
    assert "<script" not in html
    assert "<b>" not in html
    assert "<i>" not in html
    assert "&lt;/script&gt;&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "&amp;amp;" in html
