"""Tables as HTML for readers: numbers to four significant digits, tokens made readable."""

import math
import re

import polars as pl
from markupsafe import Markup, escape

from vitro.figures.tokens import readable

_MINUS = "\N{MINUS SIGN}"
_NOTHING = "\N{EN DASH}"


def table(frame: pl.DataFrame) -> Markup:
    """The frame as an HTML table, safe to put into a page or a notebook as it is.

    Floats are rounded to 4 significant digits, strings shown as tokens (`␣` for an outer space) and nulls as a dash.

    >>> import polars as pl
    >>> "<td>␣Tuesday</td>" in table(pl.DataFrame({"top_token": [" Tuesday"], "top_prob": [0.25]}))
    True
    """
    classes = [' class="number"' if kind.is_numeric() else "" for kind in frame.dtypes]
    heads = zip(classes, frame.columns, strict=True)
    head = "".join(f'<th scope="col"{css}>{escape(_words(name))}</th>' for css, name in heads)
    rows = (
        "".join(f"<td{css}>{escape(_cell(cell))}</td>" for css, cell in zip(classes, row, strict=True))
        for row in frame.iter_rows()
    )
    body = "\n".join(f"<tr>{row}</tr>" for row in rows)
    return Markup(f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>")


def number(value: float) -> str:
    """A float to 4 significant digits with a true minus sign; very small and very large ones as powers of ten.

    >>> number(0.123456), number(2.0), number(1234567.0)
    ('0.1235', '2.000', '1.235e6')
    """
    if not math.isfinite(value):
        return str(value).replace("-", _MINUS)
    if value == 0:
        return "0"
    if not 1e-4 <= abs(value) < 1e6:
        mantissa, exponent = f"{value:.3e}".split("e")
        return f"{mantissa}e{int(exponent)}".replace("-", _MINUS)
    if abs(value) >= 1e4:
        return f"{value:.0f}".replace("-", _MINUS)
    return f"{value:#.4g}".rstrip(".").replace("-", _MINUS)


def _cell(value: object) -> str:
    match value:
        case None:
            return _NOTHING
        case bool():
            return "yes" if value else "no"
        case float():
            return number(value)
        case int():
            return str(value).replace("-", _MINUS)
        case list():
            return ", ".join(map(_cell, value))
        case _:
            return readable(str(value))


def _words(column: str) -> str:
    """A column's name as words: `answer_prob` becomes "answer prob"; one that holds a token stays as it is."""
    return column.replace("_", " ") if re.fullmatch(r"\w+", column) else readable(column)
