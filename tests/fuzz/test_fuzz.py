"""A hundred random checks and some hundred circuits against plain transformers: the beginning of `make fuzz`."""

import pytest

from fuzz.kinds import KINDS, run_case

CASES = {kind: 50 if kind == "circuits" else 3 for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_random_cases_equal_plain_transformers_and_none_is_without_effect(kind: str) -> None:
    cases = [run_case(kind, seed) for seed in range(CASES[kind])]
    wrong = [f"python -m fuzz.run --kind {kind} --seed {case.seed}: {'; '.join(case.failures)}" for case in cases]
    assert not any(case.failures for case in cases), "\n".join(wrong)
    shown, checks = sum(case.shown for case in cases), sum(len(case.checks) for case in cases)
    assert shown > checks / 4, f"of {checks} checks only {shown} show anything"
