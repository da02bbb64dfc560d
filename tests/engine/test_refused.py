"""What cannot be run is refused in a line, at the door; what comes to nothing says so, and where it began."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from small_models import random_model
from vitro.circuits import (
    Circuit,
    Constant,
    Constants,
    counterfactual,
    cut_edges,
    resampled,
    run_circuits,
)
from vitro.circuits.nodes import CircuitError, node
from vitro.engine import (
    BROKEN,
    Budget,
    Edit,
    EditError,
    Finals,
    Hook,
    NotFiniteError,
    PromptError,
    ReadError,
    Site,
    Variant,
    activations,
    clean_runs,
    direct_attribution,
    mean_activations,
    mlp_out,
    patch,
    pattern,
    pin,
    resid_post,
    sweep,
    z,
)
from vitro.models import Model

MODEL = random_model("gpt2")
PROMPTS = [[0, 5, 9, 3], [0, 5, 9, 4], [0, 5, 2]]
D_MODEL, D_HEAD = MODEL.shape.d_model, MODEL.shape.d_head
HUGE = 3e38


def logits(finals: Finals) -> dict[str, Tensor]:
    return {"logits": finals.logits}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"positions": (17,)}, "there is no position 17; there are -4 to 3"),
        ({"positions": (-5,)}, "there is no position -5"),
        ({"prompts": (3,)}, "there is no prompt 3; there are 0 to 2"),
        ({"prompts": (-1,)}, "there is no prompt -1"),
        ({"positions": ()}, "names no position, so it edits nothing"),
        ({"positions": ((), (), ())}, "names no position, so it edits nothing"),
        ({"positions": ((1,), (2,))}, "it has positions of 2 prompts, and there are 3"),
        ({"positions": ((1,), (), (3,))}, "there is no position 3 in prompt 2; there are -3 to 2"),
        ({"positions": ((1,), 2, (0,))}, "the same for all prompts, as .*, or a tuple for each"),
        ({"positions": ((1,), (0.5,), (0,))}, "positions: each must be a whole number"),
        ({"prompts": ()}, "names no prompt"),
        ({"how": "mul"}, "how must be set or add, not 'mul'"),
        ({"value": torch.tensor([torch.nan] * D_MODEL)}, "its value holds NaN or infinity"),
        ({"value": torch.tensor([torch.inf] * D_MODEL)}, "its value holds NaN or infinity"),
        ({"value": [0.0] * D_MODEL}, "its value must be a tensor"),
        ({"value": torch.tensor(1.0)}, "its value must be a tensor"),
    ],
)
def test_an_edit_that_would_do_nothing_or_something_else_is_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(EditError, match=says):
        sweep(MODEL, PROMPTS, [(Edit(mlp_out(0), **{"value": torch.zeros(D_MODEL), **options}),)], logits)


@pytest.mark.parametrize("variants", [[Edit(mlp_out(0), torch.zeros(D_MODEL))], ["a9.h1"], [(3,)], [None]])
def test_what_is_no_variant_is_refused(variants: Any) -> None:
    with pytest.raises(EditError, match=r"variant 0 is .*; a variant is a tuple of edits"):
        sweep(MODEL, PROMPTS, variants, logits)


RUNS: dict[str, Callable[[Any], Any]] = {
    "sweep": lambda prompts: sweep(MODEL, prompts, [()], logits),
    "run_circuits": lambda prompts: run_circuits(MODEL, prompts, [Circuit.wire("input -> logits")], logits),
    "cut_edges": lambda prompts: cut_edges(MODEL, prompts, 0, zeros(), logits),
    "mean_activations": lambda prompts: mean_activations(MODEL, prompts),
    "resampled": lambda prompts: resampled(MODEL, prompts, seed=0),
    "counterfactual": lambda prompts: counterfactual(MODEL, prompts, PROMPTS[:2]),
    "activations": lambda prompts: activations(MODEL, prompts, ["z"]),
    "patch": lambda prompts: patch(MODEL, prompts, PROMPTS[:2], "z", logits),
    "direct_attribution": lambda prompts: direct_attribution(MODEL, prompts, [[1], [2]], [[2], []]),
    "clean_runs": lambda prompts: list(clean_runs(MODEL, prompts)),
}


def zeros() -> Constants:
    shape = MODEL.shape
    return Constants(
        torch.zeros(1, 1, shape.d_model),
        torch.zeros(shape.n_layers, 1, 1, shape.n_heads, shape.d_head),
        torch.zeros(shape.n_layers, 1, 1, shape.d_model),
    )


@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
@pytest.mark.parametrize(
    ("prompts", "says"),
    [
        ("If today is Monday", "prompts are one or more lists of token ids"),
        (["If today is Monday"], "prompt 0 is text"),
        ([], "prompts are one or more lists of token ids"),
        ([[0, 5], []], "prompt 1 is empty"),
        ([0, 5, 9], "prompt 0 is no list of token ids"),
        (None, "prompts are one or more lists of token ids"),
        (5, "prompts are one or more lists of token ids"),
        ({(0, 5)}, "prompts are one or more lists of token ids"),
        ([{0, 5}], "prompt 0 is no list of token ids"),
        ([{0: 5}], "prompt 0 is no list of token ids"),
        ([[0, 5.5]], "prompt 0 is no list of token ids"),
        ([[0, 5], [0, 60]], "prompt 1 has the token 60, and the model knows 0 to 59"),
        ([[0, -1]], "prompt 0 has the token -1"),
        ([[0] * 33], "prompt 0 has 33 tokens, and the model's context is 32"),
    ],
)
def test_prompts_that_a_model_cannot_be_run_on_are_refused_everywhere(
    run: Callable[[Any], Any], prompts: Any, says: str
) -> None:
    with pytest.raises(PromptError, match=says):
        run(prompts)


@pytest.mark.parametrize("name", ["mean_activations", "resampled"])
def test_what_is_taken_position_by_position_wants_prompts_of_one_length(name: str) -> None:
    with pytest.raises(PromptError, match="these have 3 to 4 tokens"):
        RUNS[name](PROMPTS)


@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
@pytest.mark.parametrize("same", [torch.tensor, np.array, lambda ids: (number for number in ids)])
def test_prompts_of_any_library_are_the_same_prompts(run: Callable[[Any], Any], same: Callable[[Any], Any]) -> None:
    run(same(PROMPTS[:2]))
    assert torch.equal(RUNS["sweep"](same(PROMPTS[:2]))["logits"], RUNS["sweep"](PROMPTS[:2])["logits"])


@pytest.mark.parametrize(
    ("read", "says"),
    [
        (lambda finals: {"top": 3.0}, "'top' is a float"),
        (lambda finals: {"clean": finals.clean.logits[:, 0]}, r"of shape \(3,\); .* 1 rows and 3 prompts"),
        (lambda finals: {"mean": finals.logits.mean(1)}, r"of shape \(1, 60\)"),
        (lambda finals: finals.logits, "read gives a Tensor"),
    ],
)
def test_a_reading_that_is_no_tensor_per_row_and_prompt_is_refused(read: Any, says: str) -> None:
    with pytest.raises(ReadError, match=says):
        sweep(MODEL, PROMPTS, [()], read)
    with pytest.raises(ReadError, match=says):
        run_circuits(MODEL, PROMPTS, [Circuit.wire("input -> logits")], read)


def test_a_reading_that_changes_its_width_is_refused() -> None:
    widths = iter(range(1, 9))
    least = Budget.of(MODEL).need(4, 1)
    with pytest.raises(ReadError, match="all axes after row and prompt must stay"):
        sweep(MODEL, PROMPTS, [()], lambda finals: {"some": finals.logits[..., : next(widths)]}, memory=least)


@pytest.mark.parametrize(
    "positions", [torch.tensor([0, -1]), np.array([0, -1]), [0, -1], (torch.tensor(0), np.int64(-1)), range(-1, 1)]
)
def test_positions_are_whole_numbers_of_any_library(positions: Any) -> None:
    value = torch.ones(D_MODEL)
    same, other = Edit(mlp_out(0), value, positions=(0, -1)), Edit(mlp_out(0), value, positions=positions)
    results = sweep(MODEL, PROMPTS, [(same,), (other,)], logits)["logits"]
    torch.testing.assert_close(results[0], results[1])


@pytest.mark.parametrize(
    "make",
    [
        lambda: Edit(mlp_out(0), torch.ones(D_MODEL), positions=3),  # type: ignore[arg-type]
        lambda: Edit(mlp_out(0), torch.ones(D_MODEL), positions=(1.5,)),  # type: ignore[arg-type]
        lambda: Edit(mlp_out(0), torch.ones(D_MODEL), positions="1"),  # type: ignore[arg-type]
        lambda: Edit(mlp_out(0), torch.ones(D_MODEL), prompts=(None,)),  # type: ignore[arg-type]
        lambda: Edit("m0", torch.ones(D_MODEL)),  # type: ignore[arg-type]
        lambda: Site(0, "z", 0),  # type: ignore[arg-type]
        lambda: Site("0", Hook.z, 0),  # type: ignore[arg-type]
        lambda: pin(0, 0, to=-1),
        lambda: pin(0, 0, to=1.5),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_site_position_or_prompt_is_refused_as_the_edit_is_made(make: Callable[[], Any]) -> None:
    with pytest.raises(EditError):
        make()


def test_a_site_of_a_bool_is_that_of_its_number() -> None:
    """As an index a bool is a mask."""
    assert Site(True, Hook.z, False) == z(1, 0)
    assert type(Site(True, Hook.z, False).layer) is int


@pytest.mark.parametrize(
    ("watch", "says"),
    [
        ([z(0, 0)], "watch is a list of patterns"),
        (["a0.h0"], "watch is a list of patterns"),
        ([mlp_out(0)], "watch is a list of patterns"),
        (pattern(0, 0), "not the one blocks.0"),
        ([pattern(9, 0)], "there is no blocks.9"),
        ([pattern(-1, 0)], "there is no blocks.-1"),
        ([pattern(0, 9)], "there is no"),
        ([Site(0, Hook.pattern)], "there is no"),
    ],
)
def test_what_cannot_be_watched_is_refused(watch: Any, says: str) -> None:
    with pytest.raises(EditError, match=says):
        sweep(MODEL, PROMPTS, [()], logits, watch=watch)


@pytest.mark.parametrize("watch", [["a0.h0"], [node("m0")], [node("a9.h0")]])
def test_what_cannot_be_watched_in_a_circuit_is_refused(watch: Any) -> None:
    with pytest.raises(CircuitError, match=r"watch is a list of heads|there is no a9\.h0"):
        run_circuits(MODEL, PROMPTS, [Circuit.wire("input -> logits")], logits, watch=watch)


def test_a_reading_under_a_name_that_is_taken_is_refused() -> None:
    with pytest.raises(ReadError, match="is taken"):
        sweep(MODEL, PROMPTS, [()], lambda finals: {BROKEN: finals.logits})


def test_no_variants_are_no_results() -> None:
    assert sweep(MODEL, PROMPTS, [], logits) == {}


@pytest.mark.parametrize(
    ("wiring", "subject", "says"),
    [
        ("input -> a0.h0[3]; a0.h0 -> logits", None, "pinned to stream 3, and all prompts have streams 0 to 2"),
        ("input -> a0.h0[subject]; a0.h0 -> logits", 3, "mark 'subject' must be a position of each of the 3 prompts"),
        ("input -> a0.h0[subject]; a0.h0 -> logits", -1, "mark 'subject' must be a position"),
        ("input -> a0.h0[IO]; a0.h0 -> logits", 1, "pinned to 'IO', which no mark is called; there are subject"),
    ],
)
def test_a_pin_that_a_prompt_does_not_have_is_refused(wiring: str, subject: int | None, says: str) -> None:
    marks = {} if subject is None else {"subject": (subject,) * len(PROMPTS)}
    with pytest.raises(CircuitError, match=says):
        run_circuits(MODEL, PROMPTS, [Circuit.wire(wiring)], logits, marks=marks)


def test_constants_of_other_prompts_are_refused() -> None:
    constants: dict[Constant, Constants] = {"mean": Constants.of(mean_activations(MODEL, [[0, 5], [0, 9]]))}
    with pytest.raises(CircuitError, match=r"1 prompts and 2 positions, and there are 3 prompts of up to 4 tokens"):
        run_circuits(MODEL, PROMPTS, [Circuit.wire("mean: m0; m0 -> logits")], logits, constants=constants)
    with pytest.raises(CircuitError, match="constants: embed"):
        cut_edges(MODEL, PROMPTS, 0, constants["mean"], logits)


def overflowing(token: int) -> Model:
    """Half precision, in which what MLP 1 makes of one token alone is more than the format can hold."""
    model = random_model("gpt2")
    model.hf.half()
    with torch.no_grad():
        model.hf.transformer.wte.weight[token] *= 0.0
        model.hf.transformer.wte.weight[token, 0] = 60000.0
        model.hf.transformer.h[1].mlp.c_proj.bias[0] = 10000.0
    return model


def test_a_clean_run_that_overflows_stops_with_the_prompt_and_the_layer_where_it_began() -> None:
    model = overflowing(token=4)
    with pytest.raises(NotFiniteError, match=r"prompt 1: .* from layer 1 of the model itself on.*bfloat16"):
        sweep(model, PROMPTS, [()], logits)
    with pytest.raises(NotFiniteError, match=r"prompt 1: .* from layer 1 on.*bfloat16"):
        list(clean_runs(model, PROMPTS))
    assert sweep(model, [PROMPTS[0], PROMPTS[2]], [()], logits)["logits"].isfinite().all()


def test_a_variant_that_overflows_stops_with_its_edit_and_the_layer_where_it_began() -> None:
    large = Edit(resid_post(0), torch.full((D_MODEL,), HUGE), how="add", prompts=(2,))
    larger = Edit(mlp_out(1), torch.full((D_MODEL,), HUGE), how="add", prompts=(2,))
    with pytest.raises(NotFiniteError, match=r"variant 1 \(add blocks.0.*prompt 2: .* from layer 1 on"):
        sweep(MODEL, PROMPTS, [(Edit(z(0, 0), torch.zeros(D_HEAD)),), (large, larger)], logits)


def test_a_circuit_and_a_cut_edge_that_overflow_say_where() -> None:
    constants = zeros()
    constants.mlp_out[1] = HUGE
    constants.mlp_out[2] = HUGE
    circuit = Circuit.wire("zero: m1, m2; m1, m2 -> logits")
    with pytest.raises(NotFiniteError, match=r"circuit 0, prompt 0: .* a sum of what its components write"):
        run_circuits(MODEL, PROMPTS, [circuit], logits, constants={"zero": constants})
    constants.mlp_out[1] = torch.inf
    with pytest.raises(NotFiniteError, match=r"cut edge m1->\S*, prompt 0: .* layer 2"):
        cut_edges(MODEL, PROMPTS, 2, constants, logits)


def test_a_tie_is_not_the_top() -> None:
    constants: dict[Constant, Constants] = {"zero": zeros()}
    model = random_model("llama-gqa-3")
    shape = model.shape
    constants["zero"] = Constants(
        torch.zeros(1, 1, shape.d_model),
        torch.zeros(shape.n_layers, 1, 1, shape.n_heads, shape.d_head),
        torch.zeros(shape.n_layers, 1, 1, shape.d_model),
    )
    tokens = torch.tensor([1, 2, 3])
    circuit = Circuit.wire("zero: m0; m0 -> logits")
    ranks = run_circuits(
        model, PROMPTS, [circuit], lambda finals: {"rank": finals.rank(tokens[finals.prompts])}, constants=constants
    )["rank"]
    assert ranks.tolist() == [[shape.d_vocab - 1] * 3]


def test_nan_is_never_the_top() -> None:
    model = random_model("gpt2")
    model.hf.transformer.ln_f.weight[:] = torch.nan
    seen: list[Tensor] = []

    def read(finals: Finals) -> dict[str, Tensor]:
        seen.append(finals.rank(torch.tensor([1, 2, 3])))
        return {"rank": seen[-1]}

    variants: list[Variant] = [()]
    with pytest.raises(NotFiniteError, match="the final norm"):
        sweep(model, PROMPTS, variants, read)
    assert seen[0].tolist() == [[59, 59, 59]]
