"""What an atlas is of: names of models in a list or a file, a folder for each cell, checkpoints by their names."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitro.atlases.cells import AtlasError, checkpoint_of, folder_name, jobs_of, models_of
from vitro.tasks import days, months, numbers


def test_models_are_named_in_a_list_or_in_a_file_with_one_a_line(tmp_path: Path) -> None:
    assert models_of(" gpt2 ,org/m@step10,") == ("gpt2", "org/m@step10")
    file = tmp_path / "models"
    file.write_text("# a run\ngpt2\n\n  org/m@step10  # its beginning\nruns/a#b\n")
    assert models_of(str(file)) == ("gpt2", "org/m@step10", "runs/a#b")


def test_a_gguf_file_and_a_folder_are_models_not_lists(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_text("GGUF")
    assert models_of(str(tmp_path / "model.gguf")) == (str(tmp_path / "model.gguf"),)
    assert models_of(str(tmp_path)) == (str(tmp_path),)


@pytest.mark.parametrize(
    ("content", "told"),
    [(None, "no such file"), ("# none yet\n", "no model is named"), (b"\xff\xfe\x00", "UTF-8")],
)
def test_a_file_that_names_no_model_is_told_in_a_line(tmp_path: Path, content: str | bytes | None, told: str) -> None:
    file = tmp_path / "models.txt"
    if content is not None:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(AtlasError, match=told):
        models_of(str(file))


def test_what_is_named_twice_or_not_at_all_is_refused(tmp_path: Path) -> None:
    for models, tasks, told in (
        (["a", "a"], [days()], "the model 'a' is named twice"),
        (["a"], [days(), days()], "the task 'days' is named twice"),
        ([], [days()], "no model is named"),
        (["a"], [], "no task is named"),
    ):
        with pytest.raises(AtlasError, match=told):
            jobs_of(models, tasks, tmp_path)


def test_cells_come_model_by_model_each_with_a_folder_of_its_own(tmp_path: Path) -> None:
    jobs = jobs_of(["a", "b/c"], [days(), months(), numbers(10)], tmp_path)
    assert [str(job.folder.relative_to(tmp_path)) for job in jobs] == [
        "cells/days/a",
        "cells/months/a",
        "cells/numbers-10/a",
        "cells/days/b--c",
        "cells/months/b--c",
        "cells/numbers-10/b--c",
    ]


@given(st.lists(st.text(min_size=1, max_size=150), min_size=2, max_size=8, unique=True))
def test_no_two_names_have_one_folder_and_every_folder_can_be_made(names: list[str]) -> None:
    folders = [folder_name(name) for name in names]
    assert len(set(folders)) == len(names)
    for folder in folders:
        assert folder.isascii()
        assert 0 < len(folder) <= 100
        assert folder == Path(folder).name
        assert folder[0] not in ".-"


@pytest.mark.parametrize(
    ("model", "checkpoint"),
    [
        ("EleutherAI/pythia-70m@step143000", ("EleutherAI/pythia-70m", 143000)),
        ("allenai/OLMo-2@stage1-step1000-tokens4B", ("allenai/OLMo-2", 1000)),
        ("runs/a/checkpoint-500", ("runs/a", 500)),
        ("runs/a/global_step20/", ("runs/a", 20)),
        ("/data/ckpt_7", ("/data", 7)),
        ("gpt2", None),
        ("gpt2@main", None),
        ("step1000", None),
        ("a/misstep3", None),
    ],
)
def test_a_checkpoint_says_its_run_and_its_step(model: str, checkpoint: tuple[str, int] | None) -> None:
    assert checkpoint_of(model) == checkpoint
