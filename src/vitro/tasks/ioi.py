"""Indirect object identification (Wang et al. 2022, arXiv 2211.00593)."""

import re
from collections.abc import Mapping
from typing import Literal

import numpy as np

from vitro.tasks.errors import TaskError
from vitro.tasks.one_token import one_token
from vitro.tasks.pair import Pair
from vitro.tasks.tokenizer import Tokenizer

# [A] and [B] are the two people, [S] is the person who acts; the answer is the other person.
TEMPLATES = (
    "Then, [A] and [B] walked to the [PLACE]. [S] gave a [OBJECT] to",
    "Then, [A] and [B] had lunch at the [PLACE]. [S] handed a [OBJECT] to",
    "Then, [A] and [B] were talking at the [PLACE]. [S] wanted to give a [OBJECT] to",
    "Then, [A] and [B] spent a whole day at the [PLACE]. [S] sold a [OBJECT] to",
    "Then, [A] and [B] had a quarrel. In the end [S] said sorry to",
    "When [A] and [B] came to the [PLACE], [S] gave a [OBJECT] to",
    "When [A] and [B] got a [OBJECT] at the [PLACE], [S] decided to hand it to",
    "When [A] and [B] found a [OBJECT] near the [PLACE], [S] passed it to",
    "While [A] and [B] were waiting at the [PLACE], [S] showed a [OBJECT] to",
    "While [A] and [B] were cleaning the [PLACE], [S] threw a [OBJECT] to",
    "After [A] and [B] went to the [PLACE], [S] brought a [OBJECT] to",
    "After [A] and [B] met in front of the [PLACE], [S] lent a [OBJECT] to",
    "Last night, [A] and [B] drove to the [PLACE], and [S] offered a [OBJECT] to",
    "Afterwards, [A] and [B] looked around the [PLACE]. Then [S] described a [OBJECT] to",
    "The guests [A] and [B] went back to the [PLACE], where [S] promised a [OBJECT] to",
)
# five are drawn for a row: the answer, the subject, and three new names
FEWEST_NAMES = 5
ORDERS = ("ABBA", "BABA")
"""The order of the names: in ABBA the answer comes first, in BABA the subject."""

NAMES: tuple[str, ...] = tuple(
    re.findall(
        r"\w+",
        """
    Aaron Adam Alan Albert Alex Alice Amanda Amy Andrea Andrew Angela Anna Anne Anthony Arthur Austin Barbara Ben Beth
    Bob Brandon Brian Bruce Carl Carol Charles Charlie Chris Christina Claire Daniel David Dean Diana Donald Edward
    Elizabeth Emily Emma Eric Frank George Grace Hannah Harry Helen Henry Jack Jacob James Jane Jason Jean Jennifer
    Jeremy Jessica Jim Joan Joe John Jonathan Joseph Josh Julia Julie Justin Karen Kate Keith Kelly Kevin Kim Larry
    Laura Linda Lisa Louis Lucy Luke Margaret Maria Mark Martin Mary Matt Matthew Michael Michelle Nancy Nick Oliver
    Patrick Paul Peter Philip Rachel Richard Robert Roger Roy Ruth Ryan Sam Samuel Sandra Sarah Scott Sean Simon Sophie
    Stephen Steve Steven Stuart Susan Thomas Tim Tom Tony Victoria Walter William
    """,
    )
)
PLACES: tuple[str, ...] = tuple(
    re.findall(r"\w+", "store school hospital office park station restaurant library garden museum market beach church")
)
OBJECTS: tuple[str, ...] = tuple(
    re.findall(r"\w+", "book drink ring letter ball key card gift hat bag cup map bottle ticket camera")
)


def second_subject_replaced(tokenizer: Tokenizer, n: int, seed: int) -> tuple[Pair, ...]:
    """Rows whose counterfactual has a third name in place of the second subject.

    `second_subject_replaced(gpt2, 50, seed=0)[0].corrupt` differs from `clean` in one word.
    """
    return _rows(tokenizer, n, seed, "second subject")


def all_names_new(tokenizer: Tokenizer, n: int, seed: int) -> tuple[Pair, ...]:
    """Rows whose counterfactual has three new names, so that the person who acts in it was not named before."""
    return _rows(tokenizer, n, seed, "all names")


def _rows(
    tokenizer: Tokenizer, n: int, seed: int, replaced: Literal["second subject", "all names"]
) -> tuple[Pair, ...]:
    fit = list(one_token(tokenizer, [f" {word}" for word in (*NAMES, *PLACES, *OBJECTS)]))
    names, places, objects = ([word for word in words if f" {word}" in fit] for words in (NAMES, PLACES, OBJECTS))
    if len(names) < FEWEST_NAMES or not places or not objects:
        raise TaskError(
            f"ioi: {len(names)} of its names, {len(places)} places and {len(objects)} objects are one token here, "
            f"and it needs at least {FEWEST_NAMES}, 1 and 1; write rows of your own, or use another model"
        )
    generator = np.random.default_rng(seed)
    kinds = [(template, order) for template in range(len(TEMPLATES)) for order in ORDERS]
    turns = generator.permutation(len(kinds))
    rows = []
    for i in range(n):
        template, order = kinds[turns[i % len(kinds)]]
        io, subject, *new = (names[number] for number in generator.permutation(len(names))[:5])
        words = {"PLACE": str(generator.choice(places)), "OBJECT": str(generator.choice(objects))}
        first, second = (io, subject) if order == "ABBA" else (subject, io)
        clean, spans = _filled(TEMPLATES[template], {"A": first, "B": second, "S": subject, **words})
        acting = {"A": first, "B": second} if replaced == "second subject" else {"A": new[1], "B": new[2]}
        corrupt, _ = _filled(TEMPLATES[template], {**acting, "S": new[0], **words})
        s1 = spans["B" if order == "ABBA" else "A"]
        # a space is no token of its own after a name; a comma is
        next_token = s1[1], s1[1] + (2 if clean[s1[1]] == " " else 1)
        marks = {"IO": spans["A" if order == "ABBA" else "B"], "S1": s1, "S1+1": next_token, "S2": spans["S"]}
        label = f"{i + 1}: {first}, {second}, {subject}"
        rows.append(Pair(clean, (f" {io}",), (f" {subject}",), corrupt, label, f"{order} {template + 1}", marks))
    return tuple(rows)


def _filled(template: str, words: Mapping[str, str]) -> tuple[str, dict[str, tuple[int, int]]]:
    """The template with its words, and the characters of each."""
    text, spans = "", {}
    for i, piece in enumerate(re.split(r"\[(\w+)\]", template)):
        if i % 2:
            spans[piece] = (len(text), len(text) + len(words[piece]))
        text += words[piece] if i % 2 else piece
    return text, spans
