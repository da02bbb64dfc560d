"""What is named after TransformerLens is TransformerLens': values that it wrote (make_transformer_lens.py)."""

import json
from functools import cache
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from safetensors import safe_open
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM

from slow import answer_ids, grid, subject_ids
from task_tokenizers import whole_words
from vitro.circuits import Circuit, run_circuits
from vitro.engine import read_out, sweep, z
from vitro.experiments import Options, Setup, ablate_heads, head_lens
from vitro.experiments.steering import token_directions
from vitro.models import Model
from vitro.models.load import family_of
from vitro.options import ValueBias
from vitro.successors.scores import effective_embedding, head_outputs, word_logits
from vitro.tasks import days

STORED = Path(__file__).parent / "transformer_lens"
MODELS = ["gpt2", "gpt_neox", "llama", "qwen2"]
NORM_BIASES = ["gpt2", "gpt_neox"]
KINDS: dict[ValueBias, str] = {"excluded": "folded", "included": "raw"}
"""TransformerLens' weights, processed by default or not at all, whose heads are those of each convention."""


@cache
def stored(name: str) -> tuple[Model, dict[str, Tensor]]:
    """A model and what TransformerLens made of it."""
    with safe_open(STORED / f"{name}.safetensors", framework="pt") as file:
        config = json.loads(file.metadata()["config"])
        values = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    hf = AutoModelForCausalLM.from_config(AutoConfig.for_model(config.pop("model_type"), **config))
    hf.load_state_dict({key.removeprefix("weights."): one for key, one in values.items() if key.startswith("weights.")})
    hf.eval().requires_grad_(False)
    model = family_of(hf.config.model_type).of(hf, whole_words(days()))
    prompts = list(map(list, Setup(model, days()).questions.tokens))
    assert values["prompts"].tolist() == prompts, "the tokenizer gives the words other ids than stored"
    return model, values


def setup_of(name: str, value_bias: ValueBias = "excluded") -> tuple[Setup, dict[str, Tensor]]:
    model, values = stored(name)
    return Setup(model, days(), Options(value_bias=value_bias, samples=4)), values


def centred(logits: Tensor) -> Tensor:
    """TransformerLens centres logits over the vocabulary, and what is written to the stream over d_model."""
    return logits.double() - logits.double().mean(-1, keepdim=True)


def assert_within(ours: Tensor, theirs: Tensor, apart: float) -> None:
    assert ours.shape == theirs.shape
    found = (ours.double() - theirs.double()).abs().max()
    assert found <= apart, f"{found:.1e} apart"


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("value_bias", KINDS)
def test_a_zero_ablated_head_leaves_the_logits_that_transformer_lens_has_with_hook_z_at_zero(
    name: str, value_bias: ValueBias
) -> None:
    setup, values = setup_of(name, value_bias)
    shape = setup.model.shape
    variants = [
        setup.ablate(z(layer, head), "zero") for layer in range(shape.n_layers) for head in range(shape.n_heads)
    ]
    prompts = setup.questions.tokens
    found = sweep(setup.model, prompts, variants, lambda finals: {"logits": finals.logits})["logits"]
    theirs = values[f"{KINDS[value_bias]}.zero_ablated"]
    assert_within(centred(found), centred(theirs.flatten(0, 1)), 1e-4)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("value_bias", KINDS)
def test_the_table_of_zero_ablated_heads_is_transformer_lens_s(name: str, value_bias: ValueBias) -> None:
    setup, values = setup_of(name, value_bias)
    kind, number = KINDS[value_bias], torch.arange(len(setup.questions.tokens))
    answers, subjects = answer_ids(setup.questions), subject_ids(setup.questions)

    def difference(logits: Tensor) -> Tensor:
        return logits[..., number, answers] - logits[..., number, subjects]

    table = ablate_heads(setup.model, days(), setup.options).table.filter(method="zero")
    ours = grid(table, "logit_diff_change", "layer", "head", "prompt")
    assert_within(ours, difference(values[f"{kind}.zero_ablated"]) - difference(values[f"{kind}.logits"]), 1e-4)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("value_bias", KINDS)
def test_the_lens_of_a_head_is_that_of_transformer_lens_s_hook_result(name: str, value_bias: ValueBias) -> None:
    setup, values = setup_of(name, value_bias)
    kind, n_prompts = KINDS[value_bias], len(setup.questions.tokens)
    outs = torch.stack([setup.head_out(layer).transpose(0, 1) for layer in range(setup.model.shape.n_layers)])
    theirs = values[f"{kind}.lens"].double().log_softmax(-1)
    ours = read_out(setup.model, outs).double().log_softmax(-1)
    assert (theirs.exp() * (theirs - ours)).sum(-1).max() <= 1e-6
    table = head_lens(setup.model, days(), setup.options).table
    answers, subjects = answer_ids(setup.questions), subject_ids(setup.questions)
    for column, ids in (("answer_prob", answers), ("wrong_prob", subjects)):
        expected = theirs.exp()[:, :, torch.arange(n_prompts), ids]
        assert_within(grid(table, column, "layer", "head", "prompt"), expected, 1e-5)


@pytest.mark.parametrize("name", NORM_BIASES)
def test_b_v_alone_is_not_what_transformer_lens_takes_out_of_a_head(name: str) -> None:
    # Else the tests here would hold whatever becomes of the norms' biases.
    model, values = stored(name)
    theirs = values["folded.b_O"]
    for layer in range(model.shape.n_layers):
        alone = model.attn_out(layer, model.b_value(layer)[None, None])[0, 0]
        assert (centred(alone) - centred(theirs[layer])).abs().max() > 0.1


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("value_bias", KINDS)
def test_head_outputs_and_biases_are_hook_result_and_b_o(name: str, value_bias: ValueBias) -> None:
    setup, values = setup_of(name, value_bias)
    kind, layers = KINDS[value_bias], range(setup.model.shape.n_layers)
    # Where the final norm does not subtract the mean, TransformerLens does not centre what is written.
    same = centred if name in NORM_BIASES else torch.Tensor.double
    outs = torch.stack([setup.head_out(layer).transpose(0, 1) for layer in layers])
    assert_within(same(outs), same(values[f"{kind}.result"]), 1e-5)
    for layer in layers:
        circuit = Circuit.wire(f"b{layer} -> logits")
        ours = run_circuits(
            setup.model,
            setup.questions.tokens,
            [circuit],
            lambda finals: {"logits": finals.logits},
            value_bias=value_bias,
        )["logits"][0, 0]
        assert_within(centred(ours), centred(read_out(setup.model, values[f"{kind}.b_O"][layer])), 1e-4)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("value_bias", KINDS)
def test_a_wired_head_and_its_bias_say_what_transformer_lens_s_activations_say(
    name: str, value_bias: ValueBias
) -> None:
    setup, values = setup_of(name, value_bias)
    wired = [
        Circuit.wire(f"input -> m0; input, m0 -> a1.h{head}[subject]; a1.h{head}, b1 -> logits")
        for head in range(setup.model.shape.n_heads)
    ]
    found = setup.run_circuits(wired, lambda finals: {"logits": finals.logits}, "circuits")["logits"]
    assert_within(centred(found), centred(values[f"{KINDS[value_bias]}.circuit"]), 1e-4)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("direction", ["folded", "raw"])
def test_a_steering_direction_is_a_column_of_transformer_lens_s_w_u(
    name: str, direction: Literal["folded", "raw"]
) -> None:
    model, values = stored(name)
    setup = Setup(model, days(), Options(unembed_direction=direction))
    ours = torch.stack([token_directions(setup, [token])[0] for token in range(model.shape.d_vocab)], dim=1)
    assert_within(ours, values[f"{direction}.W_U"], 1e-6)


@pytest.mark.parametrize("name", MODELS)
def test_successor_logits_are_read_off_transformer_lens_s_folded_weights(name: str) -> None:
    setup, values = setup_of(name)
    words = list(setup.questions.among)
    inputs = effective_embedding(setup.model, words)
    for layer, theirs in enumerate(values["folded.successor"]):
        ours = word_logits(setup.model, head_outputs(setup.model, layer, inputs, "with"), words, "with")
        assert_within(centred(ours), centred(theirs[..., words]), 1e-4)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_in_a_short_format_too_the_heads_and_their_bias_are_what_the_attention_writes(name: str, dtype: Any) -> None:
    model, _ = stored(name)
    short = type(model).of(AutoModelForCausalLM.from_config(model.hf.config).to(dtype).eval(), model.tokenizer)
    short.hf.load_state_dict(model.hf.state_dict())
    setup = Setup(short, days())
    for layer in range(short.shape.n_layers):
        bias = model.folded_value_bias(layer)
        near = bias.abs().max() * torch.finfo(dtype).eps
        assert_within(short.folded_value_bias(layer), bias, 2 * float(near))
        with torch.no_grad():
            whole = short.attn_out(layer, setup.streams.z[:, layer])
            rest = short.attn_out(layer, short.folded_value_bias(layer)[None])
        parts = setup.head_out(layer).sum(1) + rest
        assert_within(parts, whole, 8 * float(whole.abs().max() * torch.finfo(dtype).eps))
