"""Intervals of faithfulness cover the true value as often as they say, on tables whose true value is known."""

import numpy as np
import pytest

from vitro.discovery.intervals import CONFIDENCE, _student, faithfulness_interval

CASES = 1000
TRUE = 0.8
"""The f that all cases are drawn with."""


def cases(kind: str, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Simulated circuit, model and empty metrics, [case, prompt], all correlated."""
    random = np.random.default_rng(0)
    empty, shared, own = random.normal(size=(3, CASES, n))
    if kind == "normal":
        span, noise = 3 + shared, 0.8 * own
    elif kind == "noisy":
        span, noise = 3 + 1.5 * shared, 1.5 * own
    elif kind == "skewed span":
        span, noise = 3 * np.exp(0.4 * shared), 0.8 * own
    elif kind == "skewed noise":
        span, noise = 3 + shared, np.exp(0.4 * own) - np.exp(0.08)
    elif kind == "skewed share":
        # The circuit keeps most of each prompt's own, rather large or small, span.
        span = 1 + 2 * random.exponential(size=(CASES, n))
        noise = span * (random.beta(4, 1, size=(CASES, n)) - TRUE)
    else:
        span, noise = 3 + shared, 0.6 * random.standard_t(3, size=(CASES, n))
    empty = 0.5 * empty + 0.3 * shared
    return empty + TRUE * span + noise, empty + span, empty


def covered(circuit: np.ndarray, model: np.ndarray, empty: np.ndarray, group: np.ndarray | None = None) -> float:
    low, high = faithfulness_interval(circuit, model, empty, group)
    return float(((low <= TRUE) & (high >= TRUE)).mean())


@pytest.mark.parametrize("n", [7, 12, 30, 100])
@pytest.mark.parametrize("kind", ["normal", "noisy", "skewed span", "skewed noise", "skewed share", "long tails"])
def test_the_true_value_is_covered_in_93_to_97_of_100_cases(kind: str, n: int) -> None:
    assert 0.93 <= covered(*cases(kind, n)) <= 0.97


@pytest.mark.parametrize("n", [7, 12])
def test_a_percentile_bootstrap_would_cover_too_few(n: int) -> None:
    circuit, model, empty = cases("normal", n)
    drawn = np.random.default_rng(0).multinomial(n, [1 / n] * n, size=1000).T
    low, high = np.quantile(((circuit - empty) @ drawn) / ((model - empty) @ drawn), [0.025, 0.975], axis=-1)
    assert ((low <= TRUE) & (high >= TRUE)).mean() < 0.93


def test_prompts_of_one_wording_count_as_a_group_without_which_too_few_are_covered() -> None:
    wordings, words = 8, 7
    random = np.random.default_rng(0)
    group = np.repeat(np.arange(wordings), words)
    span = 3 + random.normal(size=(CASES, wordings * words))
    of_wording = random.normal(size=(CASES, wordings))[:, group]
    circuit = TRUE * span + 0.5 * of_wording + 0.8 * random.normal(size=span.shape)
    assert covered(circuit, span, 0 * span) < 0.85
    assert 0.93 <= covered(circuit, span, 0 * span, group) <= 0.97


def test_the_interval_does_not_change_with_units_sign_or_the_order_of_prompts() -> None:
    circuit, model, empty = (values[:5] for values in cases("normal", 12))
    expected = np.array(faithfulness_interval(circuit, model, empty))
    assert np.allclose(faithfulness_interval(-3 * circuit + 1, -3 * model + 1, -3 * empty + 1), expected)
    single = np.array([faithfulness_interval(*rows) for rows in zip(circuit, model, empty, strict=True)]).T
    assert np.allclose(single, expected)


def test_each_prompt_a_group_is_no_group() -> None:
    circuit, model, empty = cases("normal", 12)
    expected = np.array(faithfulness_interval(circuit, model, empty))
    assert np.allclose(faithfulness_interval(circuit, model, empty, np.arange(12)), expected)


def test_a_circuit_that_is_the_model_has_an_interval_of_no_width() -> None:
    model = np.array([1.0, 2.0, 3.0, 5.0])
    assert np.allclose(faithfulness_interval(model, model, np.zeros(4)), 1)


def test_an_end_is_infinite_where_the_model_may_not_differ_from_the_empty_circuit() -> None:
    ends = faithfulness_interval(np.array([1.0, 2.0, 4.0]), np.array([-2.0, 3.0, 1.0]), np.zeros(3))
    assert np.array(ends).tolist() == [-np.inf, np.inf]


def test_of_one_prompt_nothing_is_known() -> None:
    ends = faithfulness_interval(np.ones(1), np.ones(1), np.zeros(1))
    assert np.array(ends).tolist() == [-np.inf, np.inf]


def test_quantiles_are_those_of_tables_of_students_t() -> None:
    assert CONFIDENCE == 0.95
    quantiles = [_student(freedom) for freedom in (1, 2, 6, 11, 99)]
    assert quantiles == pytest.approx([12.7062, 4.3027, 2.4469, 2.2010, 1.9842], abs=2e-4)
