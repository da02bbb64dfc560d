"""Scores and files are those that EAP-IG's own code made, on the same weights."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel, GPTNeoXConfig, GPTNeoXForCausalLM

from circuits.made_by_eap_ig import ANSWERS, IN_CIRCUIT, PROMPTS, SIZES, STEPS, draw
from vitro.circuits import (
    CLEAN,
    Circuit,
    Constants,
    Graph,
    attribute_edges,
    mib_weights,
    paper_weights,
    resampled,
    to_mib,
)
from vitro.models import Model
from vitro.models.load import family_of

MADE = json.loads((Path(__file__).parent / "made_by_eap_ig.json").read_text("utf-8"))
KINDS = ["GPT2", "GPTNeoX"]
LAYERS, HEADS, WIDTH, D_HEAD, D_MLP, N_CTX, VOCAB = SIZES.values()


def gpt2() -> Any:
    sizes = {"n_layer": LAYERS, "n_head": HEADS, "n_embd": WIDTH, "n_inner": D_MLP, "n_positions": N_CTX}
    hf = GPT2LMHeadModel(GPT2Config(**sizes, vocab_size=VOCAB, tie_word_embeddings=False))
    body = hf.transformer
    body.wte.weight.copy_(draw("embed.W_E", (VOCAB, WIDTH)))
    body.wpe.weight.copy_(draw("pos_embed.W_pos", (N_CTX, WIDTH)))
    hf.lm_head.weight.copy_(draw("unembed.W_U", (WIDTH, VOCAB)).T)
    norm(body.ln_f, "ln_final")
    for layer, block in enumerate(body.h):
        part = of_layer(layer)
        norm(block.ln_1, f"blocks.{layer}.ln1")
        norm(block.ln_2, f"blocks.{layer}.ln2")
        block.attn.c_attn.weight.copy_(
            torch.cat([projection.transpose(0, 1).flatten(1) for projection in part["W_QKV"]], dim=1)
        )
        block.attn.c_attn.bias.copy_(torch.cat([projection.flatten() for projection in part["b_QKV"]]))
        block.attn.c_proj.weight.copy_(part["W_O"].flatten(0, 1))
        block.attn.c_proj.bias.copy_(part["b_O"])
        block.mlp.c_fc.weight.copy_(part["W_in"])
        block.mlp.c_fc.bias.copy_(part["b_in"])
        block.mlp.c_proj.weight.copy_(part["W_out"])
        block.mlp.c_proj.bias.copy_(part["b_out"])
    return hf


def gpt_neox() -> Any:
    sizes = {"num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "hidden_size": WIDTH}
    rope = {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 1.0}
    hf = GPTNeoXForCausalLM(
        GPTNeoXConfig(
            **sizes, intermediate_size=D_MLP, max_position_embeddings=N_CTX, vocab_size=VOCAB, rope_parameters=rope
        )
    )
    body = hf.gpt_neox
    body.embed_in.weight.copy_(draw("embed.W_E", (VOCAB, WIDTH)))
    hf.get_output_embeddings().weight.copy_(draw("unembed.W_U", (WIDTH, VOCAB)).T)
    norm(body.final_layer_norm, "ln_final")
    for layer, block in enumerate(body.layers):
        part = of_layer(layer)
        norm(block.input_layernorm, f"blocks.{layer}.ln1")
        norm(block.post_attention_layernorm, f"blocks.{layer}.ln2")
        by_head = torch.stack([projection.transpose(1, 2) for projection in part["W_QKV"]], dim=1)
        block.attention.query_key_value.weight.copy_(by_head.flatten(0, 2))
        block.attention.query_key_value.bias.copy_(torch.stack(list(part["b_QKV"]), dim=1).flatten())
        block.attention.dense.weight.copy_(part["W_O"].flatten(0, 1).T)
        block.attention.dense.bias.copy_(part["b_O"])
        block.mlp.dense_h_to_4h.weight.copy_(part["W_in"].T)
        block.mlp.dense_h_to_4h.bias.copy_(part["b_in"])
        block.mlp.dense_4h_to_h.weight.copy_(part["W_out"].T)
        block.mlp.dense_4h_to_h.bias.copy_(part["b_out"])
    return hf


def norm(module: Any, name: str) -> None:
    module.weight.copy_(draw(f"{name}.w", (WIDTH,)))
    module.bias.copy_(draw(f"{name}.b", (WIDTH,)))


def of_layer(layer: int) -> dict[str, Any]:
    """A block's weights as TransformerLens shapes them; queries, keys and values side by side."""

    def drawn(name: str, *shape: int) -> Tensor:
        return draw(f"blocks.{layer}.{name}", shape)

    return {
        "W_QKV": [drawn(f"attn.W_{letter}", HEADS, WIDTH, D_HEAD) for letter in "QKV"],
        "b_QKV": [drawn(f"attn.b_{letter}", HEADS, D_HEAD) for letter in "QKV"],
        "W_O": drawn("attn.W_O", HEADS, D_HEAD, WIDTH),
        "b_O": drawn("attn.b_O", WIDTH),
        "W_in": drawn("mlp.W_in", WIDTH, D_MLP),
        "b_in": drawn("mlp.b_in", D_MLP),
        "W_out": drawn("mlp.W_out", D_MLP, WIDTH),
        "b_out": drawn("mlp.b_out", WIDTH),
    }


@cache
def drawn_model(kind: str) -> Model:
    makers: dict[str, Callable[[], Any]] = {"GPT2": gpt2, "GPTNeoX": gpt_neox}
    with torch.no_grad():
        hf = makers[kind]().eval().requires_grad_(False)
    return family_of(hf.config.model_type).of(hf, tokenizer=None)


def other_prompts(model: Model) -> Constants:
    """What each component puts out on the other of the two prompts."""
    return resampled(model, PROMPTS, seed=0)


def score(kind: str, weights: tuple[float, ...]) -> Tensor:
    """Vitro's scores, their mean over prompts."""
    model = drawn_model(kind)

    def metric(logits: Tensor) -> dict[str, Tensor]:
        return {"logit": logits[torch.arange(len(logits)), torch.tensor(ANSWERS)]}

    return attribute_edges(model, PROMPTS, other_prompts(model), metric, weights=weights)["logit"].mean(1)


def recorded(kind: str, method: str) -> Tensor:
    return torch.tensor(MADE[kind]["scores"][method])


@pytest.mark.parametrize("kind", KINDS)
def test_eap_is_eap_igs(kind: str) -> None:
    torch.testing.assert_close(score(kind, CLEAN), recorded(kind, "EAP"), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("steps", STEPS)
def test_mibs_endpoints_are_those_of_eap_igs_code(kind: str, steps: int) -> None:
    expected = recorded(kind, f"EAP-IG-inputs {steps}")
    torch.testing.assert_close(score(kind, mib_weights(steps)), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_the_papers_endpoints_have_the_clean_run_in_place_of_the_ablated_one(kind: str) -> None:
    clean, ablated, mean = (recorded(kind, name) for name in ("EAP", "EAP-IG-inputs 1", "EAP-IG-inputs 5"))
    expected = mean + (clean - ablated) / 5
    assert (expected - mean).abs().max() > 1e-3
    torch.testing.assert_close(score(kind, paper_weights(5)), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_edges_stand_in_eap_igs_order(kind: str) -> None:
    model = drawn_model(kind)
    assert [str(edge) for at in range(LAYERS + 1) for edge in Graph.of(model).edges_into(at)] == MADE[kind]["edges"]


@pytest.mark.parametrize("kind", KINDS)
def test_an_exported_circuit_is_the_file_that_eap_ig_writes_and_can_save_again(kind: str) -> None:
    model = drawn_model(kind)
    wiring = "; ".join(name.replace("->", " -> ") for name in IN_CIRCUIT)
    file = to_mib(Circuit.wire(wiring), model)
    # As text, so that the order counts.
    assert json.dumps(file) == json.dumps(MADE[kind]["file"])
