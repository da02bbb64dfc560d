"""RelP's scores are those of a case worked by hand, and of plain autograd in which its constants are detached."""

from math import erf, sqrt
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

from circuits.slow_edges import slow_counterfactual, written
from discovery.cases import case_of
from places import Layer, Places, centre, gain_of, norm_scale, shift_of
from slow import Seen, final_norm_of, held_out, slow_run
from small_models import random_model
from vitro.circuits import Constants, Edge, Graph, Kind, counterfactual
from vitro.discovery import score_edges
from vitro.discovery.gradients import ScoreError
from vitro.models import Model
from vitro.models.families.gpt2 import GPT2

PROMPTS = [[0, 5, 9, 3, 7], [0, 5, 9, 4]]
PARTNERS = [[0, 6, 9, 3, 8], [0, 5, 8, 4]]


def phi(x: float) -> float:
    """gelu(x) / x."""
    return (1 + erf(x / sqrt(2))) / 2


def by_hand() -> Model:
    """Two layers of one head, a stream of two numbers, an MLP of one neuron, norms that only centre and scale."""
    config = GPT2Config(
        n_layer=2,
        n_head=1,
        n_embd=2,
        n_inner=1,
        vocab_size=20,
        n_positions=2,
        activation_function="gelu",
        layer_norm_epsilon=0.0,
        tie_word_embeddings=False,
    )
    hf = GPT2LMHeadModel(config).double().eval().requires_grad_(False)
    for name, weight in hf.named_parameters():
        weight.fill_(1.0 if "ln_" in name and "weight" in name else 0.0)
    body = hf.transformer
    body.wte.weight[0] = torch.tensor([3.0, 1.0])
    hf.lm_head.weight[3] = torch.tensor([1.0, 0.0])
    for block, strength, read, write in zip(body.h, (0.5, 1.0), (1.0, 2.0), ((1.0, -1.0), (1.0, 0.0)), strict=True):
        block.attn.c_attn.weight[:, 4:] = torch.eye(2)
        block.attn.c_proj.weight.copy_(strength * torch.eye(2))
        block.mlp.c_fc.weight[0, 0] = read
        block.mlp.c_proj.weight[0] = torch.tensor(write)
    return GPT2.of(hf, None)


def test_a_case_of_two_layers_worked_by_hand() -> None:
    model = by_hand()
    nothing = torch.zeros(2, 1, 1, 2)
    case = case_of(model, [[0]], Constants(nothing[0], nothing[:, :, :, None], nothing))
    scores = dict(zip(map(str, case.graph.edges), score_edges(case, "relp")[:, 0].tolist(), strict=True))
    # One token: attention is 1. Each norm's output is (1, -1), and its scale half the difference of its two inputs.
    wrote = {
        "input": (3.0, 1.0),
        "a0.h0": (0.5, -0.5),
        "m0": (phi(1), -phi(1)),
        "a1.h0": (1.0, -1.0),
        "m1": (2 * phi(2), 0.0),
    }
    difference = {source: first - second for source, (first, second) in wrote.items()}
    before_m0 = (2.0 + 1.0) / 2
    before_a1 = before_m0 + phi(1)
    before_m1 = before_a1 + 1.0
    before_logits = before_m1 + phi(2)
    # The coefficient of every reader's stream is (c, -c). The answer is the final norm's first output.
    logits = 0.5 / before_logits
    # m1: writes (1, 0) times its neuron, which is phi(2) times 2 times its norm's first output.
    m1 = logits * phi(2) * 2 * 0.5 / before_m1
    # a1.h0 puts out what it reads: through the logits and m1.
    a1 = (logits + m1) / before_a1
    # m0: writes (1, -1) times its neuron.
    m0 = 2 * (logits + m1 + a1) * phi(1) * 0.5 / before_m0
    a0 = 0.5 * (logits + m1 + a1 + m0) / 1.0
    coefficients = {"a0.h0<v>": a0, "m0": m0, "a1.h0<v>": a1, "m1": m1, "logits": logits}
    for edge, score in scores.items():
        source, reader = edge.split("->")
        # Attention weights are constants: q and k have no part.
        expected = difference[source] * coefficients.get(reader, 0.0)
        assert score == pytest.approx(expected, rel=1e-5, abs=1e-9), edge
    # What all sources have in the logits is what the answer is.
    assert sum(score for edge, score in scores.items() if edge.endswith("->logits")) == pytest.approx(1.0, rel=1e-5)


def held(places: Places, norm: Any, x: Tensor) -> Tensor:
    """A norm whose denominator is a constant; x where there is no norm."""
    if norm is None:
        return x
    return centre(places, x) / norm_scale(places, norm, x).detach() * gain_of(places, norm) + shift_of(norm)


def slow_mlp(block: Any, x: Tensor) -> Tensor:
    """An MLP whose gates are detached; of a product, each factor's part is made with the other detached, and halved."""
    mlp = block.mlp
    if hasattr(mlp, "gate_proj"):
        read, linear = mlp.gate_proj(x), mlp.up_proj(x)
        active = read * (mlp.act_fn(read) / read).detach()
        halves = active * linear.detach() / 2 + active.detach() * linear / 2
        gated: Tensor = mlp.down_proj(halves)
        return gated
    up, down = (mlp.c_fc, mlp.c_proj) if hasattr(mlp, "c_fc") else (mlp.dense_h_to_4h, mlp.dense_4h_to_h)
    read = up(x)
    plain: Tensor = down(read * (mlp.act(read) / read).detach())
    return plain


def slow_coefficients(model: Model, tokens: list[int]) -> dict[str, Tensor]:
    """Each reader's coefficient: what is read is a copy of the stream, by one head's v, one MLP or the logits alone."""
    hf, shape = model.hf, model.shape
    hf.set_attn_implementation("eager")
    patterns = hf(torch.tensor([tokens]), output_attentions=True).attentions
    copies: dict[str, Tensor] = {}

    def copy(name: str, stream: Tensor) -> Tensor:
        copies[name] = stream.clone()
        return copies[name]

    stream = slow_run(model, tokens).resid_pre[0].double().requires_grad_()
    for layer in range(shape.n_layers):
        at, mixed = Layer(model, layer), []
        for number in range(shape.n_heads):
            own = held(at.places, at.head_norm, copy(f"a{layer}.h{number}<v>", stream))
            mixed.append(patterns[layer][0, number].detach() @ at.projected("v")(own)[..., at.part("v", number)])
        mid = stream + held(at.places, at.after_heads, at.out(torch.cat(mixed, dim=-1)))
        read = held(at.places, at.mlp_norm, copy(f"m{layer}", stream if at.places.parallel else mid))
        stream = mid + held(at.places, at.after_mlp, slow_mlp(at.block, read))
    logits = hf.get_output_embeddings()(held(at.places, final_norm_of(model), copy("logits", stream)[-1]))
    return dict(zip(copies, torch.autograd.grad(logits[3] - logits[17], list(copies.values())), strict=True))


def slow_change(model: Model, seen: Seen, edge: Edge, constants: Constants, prompt: int) -> Tensor:
    """What the source of an edge would write differently; a norm after the heads is held too."""
    source = edge.source
    if source.kind is not Kind.head:
        return written(model, seen, edge, constants, prompt)
    now = seen.z[source.layer][:, source.head]
    new = constants.z[source.layer, prompt, : len(now), source.head].double()
    return held_out(model, seen, source.layer, source.head, new - now)


NAMES = ["gpt2", "neox-parallel", "neox-sequential-full-rotation", "llama-gqa-3", "gemma3_text", "olmo2"]


@pytest.mark.parametrize("name", NAMES)
def test_every_edge_scores_what_plain_autograd_gives_where_constants_are_detached(name: str) -> None:
    model = random_model(name)
    model.hf.double()
    case = case_of(model, PROMPTS, counterfactual(model, PROMPTS, PARTNERS))
    scores, constants = score_edges(case, "relp"), slow_counterfactual(model, PARTNERS)
    for prompt, (tokens, since) in enumerate(zip(PROMPTS, (1, 2), strict=True)):
        seen = slow_run(model, tokens)
        with torch.enable_grad():
            coefficients = slow_coefficients(model, tokens)
        expected = torch.zeros(len(case.graph), dtype=torch.float64)
        for number, edge in enumerate(Graph.of(model).edges):
            if (reader := str(edge).split("->")[1]) in coefficients:
                change = slow_change(model, seen, edge, constants, prompt)[since:]
                expected[number] = -(change * coefficients[reader][since:]).sum()
        assert expected.abs().max() > 1e-2
        torch.testing.assert_close(
            scores[:, prompt].double(), expected, rtol=0, atol=1e-5 * float(expected.abs().max())
        )


def test_a_mixture_of_experts_is_refused() -> None:
    model = random_model("gpt_oss")
    with pytest.raises(ScoreError, match="relp has no rule for mixtures of experts; what works: eap, eap-ig"):
        score_edges(case_of(model, PROMPTS, counterfactual(model, PROMPTS, PARTNERS)), "relp")
