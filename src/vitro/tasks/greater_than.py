"""Greater-than (Hanna et al. 2023, arXiv 2305.00586): a year that can only be later than another."""

import re
from collections.abc import Mapping

from vitro.tasks.errors import RowError, TaskError
from vitro.tasks.one_token import drawn_pairs, one_token
from vitro.tasks.pair import Listed, Pair
from vitro.tasks.tokenizer import Encoding, Tokenizer, encode, readable

NOUNS: tuple[str, ...] = tuple(
    re.findall(
        r"\w+",
        """
    war battle siege strike revolt conflict crisis campaign reign voyage journey trial project program plan treaty
    contract deal truce alliance marriage career study debate dispute struggle drought famine plague festival exhibition
    expedition mission occupation construction growth decline search effort
    """,
    )
)
CENTURIES = tuple(range(11, 18))
FIRST_YEAR = 1
"""The counterfactual's year: only 00 and 01 are wrong after it."""
# a later year must exist
YEARS = tuple(range(2, 99))

_BEGINNING = "The {noun} lasted from the year "
_TWO_DIGITS = tuple(Listed(f"{year:02d}") for year in range(100))


def later_years(tokenizer: Tokenizer, n: int, seed: int) -> tuple[Pair, ...]:
    """Rows such as `The war lasted from the year 1732 to the year 17`; the counterfactual begins in 1701.

    Right are the two-digit tokens above the first year's, wrong the others. Only years that the tokenizer cuts into a
    century and two digits are drawn. Raises `TaskError` where there are none.
    """
    nouns = [noun.strip() for noun in one_token(tokenizer, [f" {noun}" for noun in NOUNS])]
    digits = one_token(tokenizer, [f"{year:02d}" for year in range(100)])
    years = [(century, year) for century in CENTURIES for year in (FIRST_YEAR, *YEARS)]
    cuts = encode(tokenizer, [_prompt("war", *year) for year in years])
    whole = {year for year, cut in zip(years, cuts, strict=True) if _cut_in_two(cut, *year, digits)}
    fit = [
        (century, year)
        for century, year in years
        if year != FIRST_YEAR and {(century, year), (century, FIRST_YEAR)} <= whole
    ]
    if len(digits) < 100 or not fit or not nouns:
        (cut,) = encode(tokenizer, [" 1732"])
        pieces = ", ".join(repr(readable(tokenizer, token)) for token in cut.ids)
        raise TaskError(
            f"greater-than: this tokenizer cuts ' 1732' into {pieces}, and the task needs a century and two digits "
            "(' 17', '32'); use a model that cuts years so, such as gpt2"
        )
    rows = []
    for i, (noun, (century, year)) in enumerate(drawn_pairs(nouns, fit, n, seed, "greater-than"), 1):
        clean, corrupt = _prompt(noun, century, year), _prompt(noun, century, FIRST_YEAR)
        rows.append(year_pair(clean, corrupt, year, label=f"{i}: {noun} {century}{year:02d}"))
    return tuple(rows)


def year_pair(clean: str, corrupt: str, year: int, *, label: str = "") -> Pair:
    """The row whose answers are the two-digit years after `year`; the mark `year` is the place of those digits.

    Raises `RowError` where no two digits come after it, or the prompt does not hold a year that ends in them.
    """
    if not 0 <= year < 99:
        raise RowError(f"the year's last two digits are {year}; they must be 0 to 98, so that a later year exists")
    match = re.search(rf"(?<!\d)\d\d{year:02d}(?!\d)", clean)
    if match is None:
        raise RowError(f"the prompt {clean!r} holds no year that ends in {year:02d}")
    return Pair(
        clean,
        _TWO_DIGITS[year + 1 :],
        _TWO_DIGITS[: year + 1],
        corrupt,
        label=label,
        marks={"year": (match.end() - 2, match.end())},
        shown=(_span(year + 1, 99), _span(0, year)),
    )


def _prompt(noun: str, century: int, year: int) -> str:
    return f"{_BEGINNING.format(noun=noun)}{century}{year:02d} to the year {century}"


def _cut_in_two(cut: Encoding, century: int, year: int, digits: Mapping[str, int]) -> bool:
    """Whether the year is two tokens, and its first is also the last token of the prompt."""
    start = len(_BEGINNING.format(noun="war")) + len(str(century))
    indices = [i for i, span in enumerate(cut.spans) if span == (start, start + 2)]
    return bool(indices) and cut.ids[indices[0]] == digits.get(f"{year:02d}") and cut.ids[indices[0] - 1] == cut.ids[-1]


def _span(first: int, last: int) -> str:
    return f"{first:02d}" if first == last else f"{first:02d} to {last:02d}"
