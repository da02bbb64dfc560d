"""Pair tasks in sixty words, with all that a successor task has not, for small random models."""

from functools import cache
from typing import Any

from small_models import VOCAB, random_model
from task_tokenizers import knowing
from vitro.models import Model
from vitro.tasks import Pair, Pairs

FAMILIES = ("gpt2", "neox-parallel", "neox-sequential-full-rotation", "llama-gqa-2-biases-wide-heads")

# Of four lengths; some begin alike, and their counterfactuals less far; one is the beginning of others, and its own
# counterfactual: nothing of it can change.
UNEQUAL = Pairs(
    "unequal",
    (
        Pair(
            "When Mary and John met, John spoke to",
            (" Mary", " her"),
            (" John",),
            "When Mary and John met, Anna spoke to",
            group="met",
            marks={"IO": 1, "S": 6},
        ),
        Pair(
            "When Mary and John met, Mary saw",
            (" John",),
            (" Mary", " Anna", " Paul"),
            "When Paul and Anna met, Paul saw",
            group="met",
            marks={"IO": 3, "S": 6},
        ),
        Pair(
            "Anna gave John",
            (" it", " her", " him"),
            (" John", " Anna"),
            "Paul gave Anna",
            group="gave",
            marks={"IO": 2, "S": 0},
        ),
        Pair(
            "When Mary and John met",
            (" her",),
            (" it",),
            "When Mary and John met",
            group="gave",
            marks={"IO": 1, "S": 3},
        ),
        Pair(
            "Then Mary and John met, John spoke to Anna",
            (" and",),
            (" saw", " gave"),
            "Then Anna and Paul met, John spoke to Mary",
            group="met",
            marks={"IO": 9, "S": 4},
        ),
    ),
)
EQUAL = Pairs(
    "equal",
    (
        Pair("When Mary saw John", (" it",), (" her", " him"), "When Mary saw Anna", marks={"S": 3}),
        Pair("When Mary met Paul", (" it", " and"), (" her",), "When Anna met Paul", marks={"S": 1}),
        Pair("Then Paul gave Anna", (" him",), (" it",), "Then Paul spoke Anna", marks={"S": 2}),
    ),
)
"""Of one length, so that a mean can be taken."""


@cache
def words() -> Any:
    """A tokenizer of both tasks, with a name for each token that a random model can say."""
    rows = [*UNEQUAL.rows, *EQUAL.rows]
    texts = [text for row in rows for text in (row.clean, row.corrupt or "", *map(str, (*row.right, *row.wrong)))]
    spare = VOCAB - len(knowing(*texts))
    tokenizer = knowing(*texts, "".join(f" word{chr(97 + i // 26)}{chr(97 + i % 26)}" for i in range(spare)))
    assert len(tokenizer) == VOCAB
    return tokenizer


def pair_model(family: str) -> Model:
    """A small random model, every weight random, that reads and says these words."""
    model = random_model(family)
    model.tokenizer = words()
    return model
