"""Capitals: a fact about a country."""

import numpy as np

from vitro.tasks.errors import TaskError
from vitro.tasks.one_token import one_token
from vitro.tasks.pair import Pair
from vitro.tasks.tokenizer import Tokenizer

CAPITALS = {
    "Afghanistan": "Kabul", "Argentina": "Buenos Aires", "Australia": "Canberra", "Austria": "Vienna",
    "Bangladesh": "Dhaka", "Belgium": "Brussels", "Brazil": "Brasilia", "Bulgaria": "Sofia", "Cambodia": "Phnom Penh",
    "Canada": "Ottawa", "Chile": "Santiago", "China": "Beijing", "Colombia": "Bogota", "Croatia": "Zagreb",
    "Cuba": "Havana", "Denmark": "Copenhagen", "Ecuador": "Quito", "Egypt": "Cairo", "England": "London",
    "Ethiopia": "Addis Ababa", "Finland": "Helsinki", "France": "Paris", "Germany": "Berlin",
    "Ghana": "Accra", "Greece": "Athens", "Hungary": "Budapest", "India": "Delhi", "Indonesia": "Jakarta",
    "Iran": "Tehran", "Iraq": "Baghdad", "Ireland": "Dublin", "Italy": "Rome", "Japan": "Tokyo", "Jordan": "Amman",
    "Kenya": "Nairobi", "Lebanon": "Beirut", "Libya": "Tripoli", "Nepal": "Kathmandu", "Norway": "Oslo",
    "Pakistan": "Islamabad", "Peru": "Lima", "Philippines": "Manila", "Poland": "Warsaw", "Portugal": "Lisbon",
    "Russia": "Moscow", "Serbia": "Belgrade", "Scotland": "Edinburgh", "Spain": "Madrid", "Sweden": "Stockholm",
    "Syria": "Damascus", "Taiwan": "Taipei", "Thailand": "Bangkok", "Turkey": "Ankara", "Ukraine": "Kiev",
    "Venezuela": "Caracas", "Vietnam": "Hanoi", "Yemen": "Sanaa", "Zimbabwe": "Harare",
}  # fmt: skip
PROMPT = "The name of the capital of {country} is"


def capital_of(tokenizer: Tokenizer, n: int, seed: int) -> tuple[Pair, ...]:
    """Rows such as `The name of the capital of France is`; the counterfactual names another country.

    Countries and capitals are single tokens; wrong is the other country's capital. Raises `TaskError` where
    there are fewer than n of them, or fewer than two.
    """
    fit = one_token(tokenizer, [f" {word}" for pair in CAPITALS.items() for word in pair])
    countries = [country for country, city in CAPITALS.items() if f" {country}" in fit and f" {city}" in fit]
    if len(countries) < max(n, 2):
        advice = f"capitals:{len(countries)} fits" if len(countries) >= 2 else "use another model"
        raise TaskError(f"capitals: {len(countries)} countries and their capitals are one token here; {advice}")
    order = [countries[i] for i in np.random.default_rng(seed).permutation(len(countries))]
    rows = []
    for country, other in list(zip(order, [*order[1:], order[0]], strict=True))[:n]:
        clean = PROMPT.format(country=country)
        start = PROMPT.index("{")
        rows.append(
            Pair(
                clean,
                (f" {CAPITALS[country]}",),
                (f" {CAPITALS[other]}",),
                PROMPT.format(country=other),
                label=country,
                marks={"country": (start, start + len(country))},
            )
        )
    return tuple(rows)
