"""What an answer is worth, token by token, by docs/method.md, section 3, alone: nothing of `vitro.metrics`."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import polars as pl
import pytest
from torch import Tensor

from vitro.tasks import Questions


def slow_metrics(
    logits: Tensor, right: Sequence[int], wrong: Sequence[int], among: Sequence[int] = ()
) -> dict[str, float | None]:
    """Every metric but kl of one prompt's logits, [d_vocab]; None where it cannot be had."""
    logit = logits.double().tolist()
    prob = logits.double().softmax(-1).tolist()

    def mean(tokens: Sequence[int]) -> float:
        return float(sum(logit[token] for token in tokens) / len(tokens))

    def total(tokens: Sequence[int]) -> float:
        return float(sum(prob[token] for token in tokens))

    others = [token for token in among if token not in right]
    listed = [token for token in among if token in right]
    return {
        "answer_prob": total(right),
        "answer_logit": mean(right),
        "logit_diff": mean(right) - mean(wrong) if wrong else None,
        "margin": mean(right) - mean(others) if among else None,
        "prob_diff": total(right) - total(wrong) if wrong else None,
        "among_answers": total(listed) / total(among) if among else None,
        "right_first": float(any(all(logit[r] > logit[w] for w in wrong) for r in right)) if wrong else None,
    }


def slow_kl(clean: Tensor, run: Tensor) -> float:
    """KL(clean || run) over the vocabulary, in nats."""
    log_clean, log_run = clean.double().log_softmax(-1), run.double().log_softmax(-1)
    return float((log_clean.exp() * (log_clean - log_run)).sum())


def slow_levels(questions: Questions, row: int, logits: Tensor, clean: Tensor | None = None) -> dict[str, float | None]:
    """The metrics of one prompt of some questions, and kl beside its clean logits."""
    values = slow_metrics(logits, questions.right[row], questions.wrong[row], questions.among)
    return values if clean is None else {**values, "kl": slow_kl(clean, logits)}


def slow_changes(questions: Questions, row: int, logits: Tensor, clean: Tensor) -> dict[str, float | None]:
    """Every metric of one prompt minus that of the clean run."""
    changed, before = slow_levels(questions, row, logits), slow_levels(questions, row, clean)
    return {f"{name}_change": None if (old := before[name]) is None else changed[name] - old for name in before}  # type: ignore[operator]


def slow_rank(logits: Tensor, right: Sequence[int], among: Iterable[int]) -> int:
    """How many tokens of some, the right ones left out, the best right token is not above."""
    best = max(float(logits[token]) for token in right)
    return sum(not best > float(logits[token]) for token in among if token not in right)


def assert_rows(table: pl.DataFrame, keys: Sequence[str], expected: Mapping[Any, Mapping[str, object]]) -> None:
    """A table has a row for each key, and in it the expected values, to 1e-4; None is null."""
    assert table.select(keys).n_unique() == len(table) == len(expected)
    for row in table.iter_rows(named=True):
        where = tuple(row[key] for key in keys)
        for name, value in expected[where].items():
            near = pytest.approx(value, abs=1e-4, rel=1e-5) if isinstance(value, float) else value
            assert row[name] == near, f"{name} at {where}"
