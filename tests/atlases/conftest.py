"""Checkpoints of one training run: the planted model, its noise drawn anew in each."""

import pytest

from planted import plant

STEPS = (0, 10, 20)


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Their folders."""
    run = tmp_path_factory.mktemp("training")
    return [str(plant(run / f"step{step}", seed=step)) for step in STEPS]
