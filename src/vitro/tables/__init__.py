"""What measurements write, and what is read off it: rankings, statistics, words. Knows polars only, never a model."""

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
from vitro.tables.labels import Said, answers, head_name, labels, places, prompt_tokens, said, shown_metric
from vitro.tables.mlps import best_to_worst
from vitro.tables.statistics import FEWEST, FLOOR, RARE, Leader, chance, interval, leader, luck

Tables = Mapping[str, pl.DataFrame]
"""Tables by name."""

__all__ = [
    "COPIES",
    "FEWEST",
    "FLOOR",
    "RARE",
    "SUPPRESSES",
    "Leader",
    "Said",
    "Tables",
    "answers",
    "best_to_worst",
    "chance",
    "copying_heads",
    "head_name",
    "interval",
    "labels",
    "leader",
    "luck",
    "places",
    "prompt_tokens",
    "said",
    "selective_heads",
    "shown_metric",
    "strongest_heads",
    "subject_heads",
    "suppressing_heads",
]
