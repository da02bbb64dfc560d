"""What a plan says before anything is run: sizes, memory, time, what is there, what will be refused."""

import time
from dataclasses import replace
from pathlib import Path

import pytest

import vitro
from vitro.atlases import Asked
from vitro.atlases.plan import Plan, multiply_adds, plan
from vitro.models import load
from vitro.models.sizes import sizes_of
from vitro.options import Options
from vitro.tasks import days, named

MEASURE = ("clean", "head_ablation", "successor")


def asked(models: list[str], out: Path, *tasks: str) -> Asked:
    return Asked(tuple(models), tuple(map(named, tasks or ("days",))), out, MEASURE, Options(samples=8))


def test_sizes_are_those_of_the_model_when_it_is_loaded(checkpoints: list[str]) -> None:
    sizes, model = sizes_of(checkpoints[0]), load(checkpoints[0])
    weights = dict(model.hf.named_parameters())
    assert sizes.parameters == sum(weight.numel() for weight in weights.values())
    assert sizes.in_layers == sum(weight.numel() for name, weight in weights.items() if ".h." in name)
    assert (sizes.layers, sizes.heads) == (model.shape.n_layers, model.shape.n_heads)
    assert sizes.weights == 4 * sizes.parameters
    assert sizes_of(checkpoints[0], "bfloat16").weights == 2 * sizes.parameters


def test_a_plan_runs_nothing_and_writes_nothing(
    checkpoints: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vitro.study.load_checkpoint", lambda *args, **more: pytest.fail("a model is loaded"))
    made = plan(asked([*checkpoints, str(tmp_path / "nowhere")], tmp_path / "atlas", "days", "days:all"))
    assert [cell.state for cell in made.cells] == ["missing"] * 6 + ["refused"] * 2
    assert "no such file or folder" in str(made.cells[-1].reason)
    assert all(cell.seconds and cell.memory for cell in made.missing)
    assert (made.download, made.uncounted) == (0, ())
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_not_counted_and_what_is_not_known_is_named(checkpoints: list[str], tmp_path: Path) -> None:
    vitro.atlas(checkpoints[:1], ["days"], tmp_path / "atlas", Options(samples=8), measure=MEASURE)
    made = plan(asked(checkpoints[:2], tmp_path / "atlas"))
    assert [cell.state for cell in made.cells] == ["done", "missing"]
    assert made.seconds == made.cells[1].seconds
    more = replace(asked(checkpoints[:2], tmp_path / "atlas"), measure=(*MEASURE, "patching"))
    assert plan(more).uncounted == ("patching",)
    assert [cell.state for cell in plan(more).cells] == ["missing", "missing"]


def test_finished_cells_correct_the_count(checkpoints: list[str], tmp_path: Path) -> None:
    out = tmp_path / "atlas"
    made = vitro.atlas(checkpoints[:2], ["days"], out, Options(samples=8), measure=MEASURE)
    again = plan(asked([checkpoints[2]], out)).cells[0].seconds
    (out / "seconds.csv").unlink()
    before = plan(asked([checkpoints[2]], out)).cells[0].seconds
    assert again is not None
    assert before is not None
    took = sum(made.tables["seconds"]["seconds"].to_list()) / 2
    # A tiny model takes far longer than its multiply-adds: what it took is known now.
    assert before < again
    assert abs((again - before) - took) < 0.5 * took + 0.2


def test_more_heads_prompts_and_layers_take_longer(tmp_path: Path, checkpoints: list[str]) -> None:
    def seconds(made: Plan) -> float:
        return made.seconds

    few, many = (seconds(plan(asked(checkpoints, tmp_path / "atlas", f"numbers:{n}"))) for n in (10, 10_000))
    assert many > few


def test_a_plan_of_many_models_takes_milliseconds_each(tmp_path: Path, checkpoints: list[str]) -> None:
    multiply_adds(64, 1)
    for number in range(60):
        (tmp_path / f"step{number}").symlink_to(checkpoints[number % 3])
    begun = time.perf_counter()
    made = plan(asked([str(tmp_path / f"step{number}") for number in range(60)], tmp_path / "atlas"))
    assert len(made.missing) == 60
    assert time.perf_counter() - begun < 60 * 0.2


def test_a_model_that_does_not_fit_is_refused_in_the_plan(checkpoints: list[str], tmp_path: Path) -> None:
    (cell,) = plan(asked(checkpoints[:1], tmp_path / "atlas"), free=1000).cells
    assert cell.state == "refused"
    assert "and 1e-06 GB are free for it here; what works: fewer --jobs" in str(cell.reason)


def test_a_task_is_counted_by_its_prompts() -> None:
    from vitro.atlases.plan import _Prompts

    assert _Prompts.of(days(), Options()).prompts == 7
    assert _Prompts.of(named("ioi:500"), Options()).prompts == 32
    assert _Prompts.of(named("ioi:500"), Options(sweep_prompts=5)).prompts == 5
    assert _Prompts.of(days(), Options(ablations=("mean",))).methods == 1
