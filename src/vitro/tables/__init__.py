"""The tables that measurements write, and what is read off them: rankings, statistics, words. Needs only polars."""

from collections.abc import Mapping

import polars as pl

from vitro.tables.heads import (
    COPIES,
    SUPPRESSES,
    copying_heads,
    selective_heads,
    strongest_heads,
    subject_heads,
    suppressing_heads,
)
from vitro.tables.labels import (
    ELSEWHERE,
    Said,
    answers,
    at_places,
    counted,
    first_prompt,
    head_name,
    labels,
    numbered,
    places,
    prompt_tokens,
    said,
    the,
    varies,
    with_kinds,
)
from vitro.tables.mlps import best_to_worst
from vitro.tables.schema import Schema, SchemaError
from vitro.tables.schemas import SCHEMAS, SCORE_TABLES, checked
from vitro.tables.statistics import (
    FEWEST,
    FLOOR,
    RARE,
    Leader,
    chance,
    interval,
    leader,
    luck,
    resampled_means,
    too_few,
)
from vitro.tables.verdicts import Mark, Outcome, marks, outcome

Tables = Mapping[str, pl.DataFrame]
"""Tables by name."""

__all__ = [
    "COPIES",
    "ELSEWHERE",
    "FEWEST",
    "FLOOR",
    "RARE",
    "SCHEMAS",
    "SCORE_TABLES",
    "SUPPRESSES",
    "Leader",
    "Mark",
    "Outcome",
    "Said",
    "Schema",
    "SchemaError",
    "Tables",
    "answers",
    "at_places",
    "best_to_worst",
    "chance",
    "checked",
    "copying_heads",
    "counted",
    "first_prompt",
    "head_name",
    "interval",
    "labels",
    "leader",
    "luck",
    "marks",
    "numbered",
    "outcome",
    "places",
    "prompt_tokens",
    "resampled_means",
    "said",
    "selective_heads",
    "strongest_heads",
    "subject_heads",
    "suppressing_heads",
    "the",
    "too_few",
    "varies",
    "with_kinds",
]
