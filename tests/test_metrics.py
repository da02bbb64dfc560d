"""Each metric is that of docs/method.md, section 3, with any number of right and wrong tokens, ties and NaN."""

import math

import pytest
import torch
from torch import Tensor

from slow_metrics import slow_kl, slow_metrics, slow_rank
from small_models import random_model
from vitro import options
from vitro.engine import Edit, Finals, read_out, resid_post, sweep
from vitro.metrics import METRICS, Answers, Asked, Whole, fitting
from vitro.tasks import Questions

RIGHT = ((3,), (7, 2), (1, 4, 8))
WRONG = ((5, 6), (9,), (0, 2, 3, 6))
AMONG = (8, 1, 2, 3, 7, 9, 4)


def questions(
    right: tuple[tuple[int, ...], ...] = RIGHT,
    wrong: tuple[tuple[int, ...], ...] = WRONG,
    among: tuple[int, ...] = AMONG,
) -> Questions:
    words = tuple(f"prompt {number}" for number in range(len(right)))
    tokens = tuple((0, 5, 9, 3)[: 2 + number % 3] for number in range(len(right)))
    return Questions(tokens, words, right, wrong, words, words, {}, among=among, among_words=tuple(map(str, among)))


def answers(logits: Tensor, asked: Questions) -> Answers:
    return Asked.of(asked, torch.device("cpu")).of_logits(Whole(logits))


def drawn(*size: int) -> Tensor:
    return 2 * torch.randn(size, generator=torch.Generator().manual_seed(3))


def test_every_metric_is_its_definition_for_every_run_and_prompt() -> None:
    logits, asked = drawn(4, len(RIGHT), 10), questions()
    answered = answers(logits, asked)
    for run, row in ((run, row) for run in range(4) for row in range(len(RIGHT))):
        expected = slow_metrics(logits[run, row], RIGHT[row], WRONG[row], AMONG)
        assert expected.keys() == METRICS.keys() - {"kl"}
        assert {name: float(METRICS[name].of(answered)[run, row]) for name in expected} == pytest.approx(
            expected, abs=1e-5
        )
        assert int(answered.rank(logits)[run, row]) == slow_rank(logits[run, row], RIGHT[row], range(10))
        assert int(answered.rank_wrong()[run, row]) == slow_rank(logits[run, row], RIGHT[row], WRONG[row])
        assert int(answered.rank_listed()[run, row]) == slow_rank(logits[run, row], RIGHT[row], AMONG)


def test_the_same_of_a_models_own_final_streams_with_kl_from_the_clean_run() -> None:
    model, asked = random_model("gpt2"), questions()
    of_all = Asked.of(asked, model.device)

    def read(finals: Finals) -> dict[str, Tensor]:
        answered = of_all[finals.prompts].of_logits(finals)
        return {"logits": finals.logits, **{metric.name: metric.of(answered) for metric in fitting(asked)}}

    push = Edit(resid_post(1), drawn(model.shape.d_model), how="add")
    results = sweep(model, asked.tokens, [(), (push,)], read)
    for row in range(len(RIGHT)):
        clean, run = results["logits"][:, row]
        expected = {**slow_metrics(run, RIGHT[row], WRONG[row], AMONG), "kl": slow_kl(clean, run)}
        assert {name: float(results[name][1, row]) for name in expected} == pytest.approx(expected, abs=1e-5)


def test_what_a_task_has_not_its_metrics_are_not_of() -> None:
    names = {metric.name for metric in fitting(questions(among=()))}
    assert names == METRICS.keys() - {"margin", "among_answers"}
    without_wrong = {metric.name for metric in fitting(questions(wrong=((5,), (), (0,))))}
    assert without_wrong == METRICS.keys() - {"logit_diff", "prob_diff", "right_first"}


@pytest.mark.parametrize(
    ("right", "wrong", "first"),
    [
        ((2.0,), (1.0, 0.0), True),
        ((2.0,), (2.0, 0.0), False),
        ((2.0, 2.5), (2.0, 0.0), True),
        ((2.0, 2.0), (2.0, 1.0), False),
        ((0.0, 0.0), (0.0, 0.0), False),
        ((2.0,), (math.nan, 1.0), False),
        ((math.nan,), (0.0, 1.0), False),
        ((math.nan,), (math.nan, math.nan), False),
        ((math.inf,), (math.inf, 0.0), False),
    ],
)
def test_right_is_first_only_above_all_wrong_ones(
    right: tuple[float, ...], wrong: tuple[float, float], first: bool
) -> None:
    # What fills up the row of fewer right tokens must not count: the third prompt has three.
    logits = torch.full((2, 10), -9.0)
    logits[0, : len(right)], logits[0, 5:7] = torch.tensor(right), torch.tensor(wrong)
    asked = questions(right=(tuple(range(len(right))), (1, 2, 3)), wrong=((5, 6), (7, 8, 9)), among=())
    answered = answers(logits, asked)
    assert METRICS["right_first"].of(answered)[0] == float(first)
    assert (answered.rank_wrong()[0] == 0) == first
    assert (answered.rank(logits)[0] == 0) == first


def test_what_fills_up_a_shorter_row_of_answers_counts_for_nothing() -> None:
    """However high the token is that stands there: the first of those asked about."""
    logits = drawn(2, 10)
    logits[:, 0] = 50.0
    asked = questions(right=((0,), (4,)), wrong=((3, 5, 7), (6,)), among=(0, 3, 4))
    answered = answers(logits, asked)
    expected = slow_metrics(logits[1], (4,), (6,), (0, 3, 4))
    assert {name: float(METRICS[name].of(answered)[1]) for name in expected} == pytest.approx(expected, abs=1e-5)


def test_an_impossible_token_gives_no_nan_where_it_is_not_asked_about() -> None:
    logits = drawn(1, 10)
    logits[0, 9] = -math.inf
    answered = answers(logits, questions(right=((3,),), wrong=((4,),), among=(3, 4)))
    assert all(METRICS[name].of(answered).isfinite().all() for name in METRICS if name != "kl")


def test_the_lens_reads_the_metrics_as_the_whole_vocabulary_does() -> None:
    model, vectors = random_model("llama-gqa-3"), drawn(3, 48)
    logits = read_out(model, vectors)
    answered = answers(logits, questions())
    for row in range(3):
        expected = slow_metrics(logits[row], RIGHT[row], WRONG[row], AMONG)
        assert {name: float(METRICS[name].of(answered)[row]) for name in expected} == pytest.approx(expected, abs=1e-5)


def test_every_metric_but_kl_can_be_ranked_by() -> None:
    assert set(options.METRICS) == METRICS.keys() - {"kl"}
