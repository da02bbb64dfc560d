"""Random checks and some hundred circuits against plain transformers, and faults of files: how `make fuzz` begins."""

import pytest

from fuzz.kinds import KINDS, run_case

CASES = {**dict.fromkeys(KINDS, 3), "circuits": 50, "checkpoints": 40}


@pytest.mark.parametrize("kind", KINDS)
def test_random_cases_equal_plain_transformers_and_none_is_without_effect(kind: str) -> None:
    cases = [run_case(kind, seed) for seed in range(CASES[kind])]
    wrong = [f"python -m fuzz.run --kind {kind} --seed {case.seed}: {'; '.join(case.failures)}" for case in cases]
    assert not any(case.failures for case in cases), "\n".join(wrong)
    shown, checks = sum(case.shown for case in cases), sum(len(case.checks) for case in cases)
    assert shown > checks / 4, f"of {checks} checks only {shown} show anything"
