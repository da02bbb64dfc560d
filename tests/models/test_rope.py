"""Ropes whose angles follow the length of the prompt: each prompt as when it is alone, whatever ran before it."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, LlamaConfig, LlamaForCausalLM

import families_llama
from slow import slow_run
from small_models import filled_model
from vitro.circuits import Circuit, run_circuits
from vitro.engine import Edit, clean_attention, clean_runs, mlp_out, sweep
from vitro.models import Model
from vitro.models.load import family_of

ORIGINAL = 8
LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 1e4,
    "factor": 4.0,
    "original_max_position_embeddings": ORIGINAL,
    "short_factor": [1.0, 1.5, 2.0, 2.5],
    "long_factor": [4.0, 5.0, 6.0, 9.0],
}
EARLY = {"original_max_position_embeddings": 6}
DYNAMIC = {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 3.0}
LENGTHS = (11, 6, 12, 8, 9, 6)
PROMPTS = [[0, *((7 * number + 3 * at) % 57 for at in range(1, length))] for number, length in enumerate(LENGTHS)]


def llama(rope: dict[str, object], context: int) -> Model:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=60,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=context,
        rope_parameters=rope,
        initializer_range=0.3,
    )
    return family_of("llama").of(LlamaForCausalLM(config).eval().requires_grad_(False), tokenizer=None)


def neox(rope: dict[str, object], context: int) -> Model:
    torch.manual_seed(0)
    config = GPTNeoXConfig(
        vocab_size=60,
        hidden_size=64,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=context,
        rope_parameters={**rope, "partial_rotary_factor": 0.5},
        initializer_range=0.3,
    )
    return family_of("gpt_neox").of(GPTNeoXForCausalLM(config).eval().requires_grad_(False), tokenizer=None)


def nested() -> Model:
    """Ropes of two types of layer, of which each follows the length in its own way."""
    fields: dict[str, Any] = {
        "num_hidden_layers": 2,
        "head_dim": 8,
        "sliding_window": 20,
        "max_position_embeddings": ORIGINAL,
    }
    types = {"layer_types": ["sliding_attention", "full_attention"]}
    ropes = {"rope_parameters": {"sliding_attention": DYNAMIC, "full_attention": {**LONGROPE, **EARLY}}}
    return filled_model(families_llama.made("gemma3_text", **fields, **types, **ropes))


def fused() -> Model:
    rope = {"rope_parameters": LONGROPE, "original_max_position_embeddings": ORIGINAL}
    return filled_model(families_llama.made("phi3", num_hidden_layers=2, **rope))


MODELS: dict[str, Callable[[], Model]] = {
    "gemma3_text-longrope-and-dynamic": nested,
    "phi3-longrope": fused,
    "llama-longrope": lambda: llama(LONGROPE, 32),
    "llama-dynamic": lambda: llama(DYNAMIC, ORIGINAL),
    "neox-dynamic": lambda: neox(DYNAMIC, ORIGINAL),
}


def fresh(model: Model) -> Model:
    """The same weights in a model of transformers that has seen no prompt."""
    hf = type(model.hf)(copy.deepcopy(model.hf.config)).eval().requires_grad_(False)
    hf.load_state_dict(model.hf.state_dict())
    return type(model).of(hf, tokenizer=None)


def alone(model: Model, prompt: list[int]) -> Tensor:
    logits: Tensor = fresh(model).hf(torch.tensor([prompt])).logits[0, -1]
    return logits


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("order", [1, -1])
def test_each_prompt_is_as_when_it_is_alone(name: str, order: int) -> None:
    model, prompts = MODELS[name](), PROMPTS[::order]
    # What ran before in the same model of transformers must not matter either.
    model.hf(torch.tensor([PROMPTS[2]]))
    results = sweep(model, prompts, [()], lambda finals: {"logits": finals.logits})["logits"][0]
    expected = torch.stack([alone(model, prompt) for prompt in prompts])
    torch.testing.assert_close(results, expected, atol=1e-4, rtol=0)
    together = model.hf(torch.tensor([PROMPTS[1] + [5] * 6])).logits[0, len(PROMPTS[1]) - 1]
    assert (together - alone(model, PROMPTS[1])).abs().max() > 1e-2, "the length does not matter, so this shows nothing"


@pytest.mark.parametrize("name", MODELS)
def test_edits_circuits_and_attention_are_too(name: str) -> None:
    model = MODELS[name]()
    d_model = model.shape.d_model
    edit = Edit(mlp_out(0), torch.linspace(-1, 1, d_model), how="add", positions=(2,))
    results = sweep(model, PROMPTS, [(edit,)], lambda finals: {"logits": finals.logits})["logits"][0]
    whole = run_circuits(model, PROMPTS, [Circuit.within(model, all_heads(model))], lambda f: {"logits": f.logits})
    for number, prompt in enumerate(PROMPTS):
        edited, clean = slow_run(fresh(model), prompt, (edit,)), slow_run(fresh(model), prompt)
        torch.testing.assert_close(results[number].double(), edited.logits, atol=1e-4, rtol=0)
        torch.testing.assert_close(whole["logits"][0, number].double(), clean.logits, atol=1e-4, rtol=0)
    for part, clean_run in clean_runs(model, PROMPTS):
        pattern = clean_attention(clean_run, 1)
        for prompt, path in zip(PROMPTS[part], clean_run.tree.paths, strict=True):
            path = path[path >= 0]
            expected = slow_run(fresh(model), prompt).attention[1]
            torch.testing.assert_close(pattern[:, path][:, :, path].double(), expected, atol=1e-5, rtol=0)


def all_heads(model: Model) -> list[tuple[int, int]]:
    return [(layer, head) for layer in range(model.shape.n_layers) for head in range(model.shape.n_heads)]


def test_a_rope_that_is_stretched_has_the_stretched_context() -> None:
    assert MODELS["llama-dynamic"]().shape.n_ctx == 3 * ORIGINAL
    assert MODELS["llama-longrope"]().shape.n_ctx == 32
    assert nested().shape.n_ctx == 3 * ORIGINAL
