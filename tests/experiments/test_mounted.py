"""A mounted task: what calls have in common is measured once, and gives what each gives alone."""

import gc
import inspect
import weakref
from pathlib import Path

import pytest
import torch

import vitro
from planted import planted
from vitro.engine import SiteError
from vitro.experiments import Mounted
from vitro.models import Model
from vitro.options import Options
from vitro.tasks import TaskError, days

OPTIONS = Options(samples=8)
OF_A_TASK = {
    name: function
    for name in vitro.__all__
    if name != "run_study"  # which reads the model itself
    and inspect.isfunction(function := getattr(vitro, name))
    and list(inspect.signature(function).parameters)[:2] == ["model", "task"]
}
MEASURED = sorted(set(OF_A_TASK) - {"mount", "activations"})


@pytest.fixture
def alone(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A planted model of which nothing is measured yet."""
    return planted(tmp_path_factory.mktemp("planted"))


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The experiments that run, in order."""
    ran: list[str] = []
    tables = vitro.experiments.Setup.tables

    def watched(self: vitro.experiments.Setup, experiment: vitro.experiments.Experiment) -> vitro.experiments.Tables:
        if experiment.name not in self.measured:
            ran.append(experiment.name)
        return tables(self, experiment)

    monkeypatch.setattr(vitro.experiments.Setup, "tables", watched)
    return ran


def test_each_function_of_a_task_is_a_method_that_takes_the_same() -> None:
    assert len(MEASURED) > 15
    for name in MEASURED:
        _, _, *rest = inspect.signature(OF_A_TASK[name]).parameters.values()
        _, *own = inspect.signature(getattr(Mounted, name)).parameters.values()
        assert own == [parameter for parameter in rest if parameter.name != "options"], name
    # Every function ends with the options, so that no call has them in the middle.
    assert all(list(inspect.signature(function).parameters)[-1] == "options" for function in OF_A_TASK.values())


def test_calls_share_what_they_have_in_common_and_each_gives_what_it_gives_alone(alone: Model, runs: list[str]) -> None:
    m = vitro.mount(alone, "days", OPTIONS)
    calls = ["steer", "pin_heads", "attention", "ablate_heads", "keep_heads", "head_tokens", "clean_run", "mlp_local"]
    shared = {name: getattr(m, name)() for name in calls}
    assert sorted(runs) == sorted(set(runs)), "something was measured twice"
    assert {"head_ablation", "prompts"} <= set(runs)
    runs.clear()
    for name in calls:
        assert OF_A_TASK[name](alone, days(), OPTIONS).table is shared[name].table
    assert runs == []
    for name in calls:
        fresh = vitro.experiments.Setup(alone, days(), OPTIONS)
        apart = shared[name].experiment.of(fresh)
        assert {table: frame.equals(shared[name].tables[table]) for table, frame in apart.tables.items()}
        assert apart.numbers.equals(shared[name].numbers)


def test_other_options_another_seed_of_the_task_and_another_model_are_measured_for_themselves(
    alone: Model, runs: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    first = vitro.ablate_heads(alone, "days", OPTIONS)
    for model, task, options in (
        (alone, "days", Options(samples=9)),
        (alone, "days:all", OPTIONS),
        (planted(tmp_path_factory.mktemp("other")), "days", OPTIONS),
    ):
        runs.clear()
        assert vitro.ablate_heads(model, task, options).table is not first.table
        assert "head_ablation" in runs


def test_a_weight_that_is_changed_in_place_makes_the_measurements_anew(alone: Model) -> None:
    m = vitro.mount(alone, "days", OPTIONS)
    before, stream = m.clean_run(), m.activations["resid_post2"].clone()
    assert m.activations["resid_post2"] is m.activations["resid_post2"]
    with torch.no_grad():
        alone.hf.transformer.h[1].attn.c_proj.weight.zero_()
    after = m.clean_run()
    assert after.table["answer_prob"].mean() < 0.5 < before.table["answer_prob"].mean()  # type: ignore[operator]
    assert vitro.clean_run(alone, "days", OPTIONS).table.equals(after.table)
    assert not torch.equal(m.activations["resid_post2"], stream)


def test_what_a_comparison_gives_does_not_depend_on_the_calls_before_it(alone: Model) -> None:
    few = Options(samples=4, sweep_prompts=2)
    curve = vitro.curve(alone, "days", options=few).numbers
    m = vitro.mount(alone, "days", few)
    m.score_edges("eap")
    m.find()
    assert m.curve().numbers.equals(curve)
    assert set(m.curve(["eap", "random"]).table["by"]) == {"eap", "random"}
    assert m.compare_scores(["random"]).numbers["by"].to_list() == ["exact", "random"]


def test_circuits_that_were_given_are_not_taken_for_those_of_the_task(alone: Model) -> None:
    m = vitro.mount(alone, "days", OPTIONS)
    circuit = vitro.Circuit.wire("input -> a1.h1; a1.h1 -> logits")
    given = m.in_vitro({"one": circuit})
    assert given.table["circuit"].unique().to_list() == ["one"]
    assert "C7" in m.in_vitro().table["circuit"].to_list()
    assert m.judge(circuit).tables["faithfulness"].height != m.judge().tables["judged_circuit"].height
    assert m.answer_tables(["m0"]).numbers["component"].to_list() == ["m0"]
    assert m.answer_tables().numbers["component"].to_list() != ["m0"]


def test_an_activation_has_one_name(alone: Model) -> None:
    m = vitro.mount(alone, "days")
    long = vitro.activations(alone, "days", ["z1"])["blocks.1.attn.hook_z"]
    assert torch.equal(m.activations["z1"], long)
    assert m.activations["blocks.1.attn.hook_z"].shape == (7, 8, 4, 16)
    with pytest.raises(SiteError, match=r"'z' stands for 3 activations; what works: 'blocks.0.attn.hook_z'"):
        m.activations["z"]
    with pytest.raises(SiteError, match="nowhere"):
        m.activations["nowhere"]


def test_a_task_that_does_not_fit_is_told_when_it_is_mounted(alone: Model) -> None:
    with pytest.raises(TaskError, match="dais"):
        vitro.mount(alone, "dais")
    with pytest.raises(TaskError, match="months"):
        vitro.mount(alone, "months")


def test_a_mounted_task_a_model_a_task_a_circuit_and_a_study_say_what_they_are(
    alone: Model, planted_folder: Path, planted_model: Model, tmp_path: Path
) -> None:
    m = vitro.mount(alone, "days", OPTIONS)
    assert repr(alone) == (
        "GPT2: 3 layers of 4 heads, d_model 64, d_mlp 256, 20 tokens, prompts of up to 10; float32 on cpu"
    )
    assert repr(m).endswith("Measured: nothing yet")
    m.clean_run()
    assert repr(m) == f"days, 7 prompts, on {alone!r}\n  Measured: prompts, clean"
    assert repr(m.options) == "Options(samples=8)"
    m.activations["z1"]
    assert repr(m.activations) == "activations by name, as m.activations['z0']; kept: z1"
    assert repr(m.task).splitlines()[:2] == ["days", "  Template: If today is {day}, tomorrow is"]
    assert repr(vitro.tasks.named("ioi:5")).splitlines()[0] == "ioi-5"
    text = "input -> a1.h1; a1.h1 -> logits"
    circuit = vitro.Circuit.wire(text)
    assert repr(circuit) == str(circuit)
    study = vitro.run_study(str(planted_folder), days(), tmp_path, OPTIONS, experiments=["clean"])
    assert repr(study) == f"days on {planted_folder}, in {tmp_path}\n  Measured: prompts, clean"


def test_what_is_kept_does_not_keep_the_model(planted_model: Model, planted_folder: Path) -> None:
    model = vitro.load(planted_folder)
    vitro.ablate_heads(model, "days", OPTIONS)
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None
