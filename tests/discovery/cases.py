"""Cases made of token ids: a right and a wrong token for each prompt."""

from collections.abc import Sequence

from vitro.circuits import Constants
from vitro.discovery import Case
from vitro.metrics import METRICS
from vitro.models import Model
from vitro.options import IgEndpoints
from vitro.tasks import Questions

RIGHT, WRONG = 3, 17
"""The right token of every prompt, and the wrong one."""


def case_of(
    model: Model,
    prompts: Sequence[Sequence[int]],
    constants: Constants,
    metric: str = "logit_diff",
    *,
    right: Sequence[int] | None = None,
    endpoints: IgEndpoints = "mib",
    memory: int | None = None,
) -> Case:
    """Prompts of a model without a tokenizer. right: each prompt's right token, with no wrong one."""
    n = len(prompts)
    questions = Questions(
        tokens=tuple(map(tuple, prompts)),
        labels=tuple(map(str, range(n))),
        right=tuple((token,) for token in (right or [RIGHT] * n)),
        wrong=((WRONG,),) * n if right is None else ((),) * n,
        answers=("right",) * n,
        others=("wrong",) * n,
        marks={},
    )
    return Case(model, questions, METRICS[metric], constants, endpoints=endpoints, memory=memory)
