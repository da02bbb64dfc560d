"""What every test may use."""

from pathlib import Path

import pytest
import torch

from planted import planted
from vitro.models import Model

torch.set_num_threads(2)


@pytest.fixture(scope="session")
def planted_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The planted model's checkpoint."""
    return tmp_path_factory.getbasetemp() / "planted"


@pytest.fixture(scope="session")
def planted_model(planted_folder: Path) -> Model:
    """The tiny GPT-2 in which two known heads solve the day task."""
    return planted(planted_folder)
