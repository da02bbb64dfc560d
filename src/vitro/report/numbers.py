"""Tables as HTML for readers: numbers to four significant digits, tokens made readable."""

import math
import re
from collections.abc import Sequence

import polars as pl
from markupsafe import Markup, escape

from vitro.figures.tokens import readable

_MINUS = "\N{MINUS SIGN}"
_NOTHING = "\N{EN DASH}"


LONG = 32
"""Characters after which a text is broken into lines."""


def table(frame: pl.DataFrame) -> Markup:
    """The frame as an HTML table, safe to put into a page or a notebook as it is.

    Floats are rounded to 4 significant digits, strings shown as tokens (`␣` for an outer space) and nulls as a dash.
    The points of a column's numbers stand below each other.

    >>> import polars as pl
    >>> "<td>␣Tuesday</td>" in table(pl.DataFrame({"top_token": [" Tuesday"], "top_prob": [0.25]}))
    True
    """
    columns = [_column(series) for series in frame.iter_columns()]
    heads = zip(columns, frame.columns, strict=True)
    head = "".join(f'<th scope="col"{css}>{escape(_words(name))}</th>' for (css, _), name in heads)
    rows = zip(*(cells for _, cells in columns), strict=True)
    body = "\n".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    return Markup(f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>")


def _column(series: pl.Series) -> tuple[str, list[str]]:
    """The class of a column's cells, as an attribute, and the cells."""
    texts = [_cell(value) for value in series.to_list()]
    if series.dtype.is_numeric():
        css, contents = ' class="number"', _aligned(texts)
    else:
        css = ' class="words"' if max(map(len, texts), default=0) > LONG else ""
        contents = [escape(text) for text in texts]
    return css, [f"<td{css}>{content}</td>" for content in contents]


def _aligned(texts: Sequence[str]) -> list[Markup]:
    """Numbers that end below each other, so shown that their points do; `ch` is the width of a digit."""
    wholes = [text if text == _NOTHING else re.split("[.e]", text)[0] for text in texts]
    tails = [text.removeprefix(whole) for text, whole in zip(texts, wholes, strict=True)]
    widths = {len(tail) for tail, text in zip(tails, texts, strict=True) if text != _NOTHING}
    if len(widths) <= 1:
        return [escape(text) for text in texts]
    cell = Markup('{}<span style="width:{}ch">{}</span>')
    return [
        escape(text) if text == _NOTHING else cell.format(whole, max(widths), tail)
        for text, whole, tail in zip(texts, wholes, tails, strict=True)
    ]


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
