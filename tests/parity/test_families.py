"""Every family, in every configuration that its specials can have, is what transformers computes step by step."""

import pytest
import torch

import families_gpt
import families_llama
from small_models import filled_model
from vitro.engine import Edit, Variant, expert_out, pack, run, sweep
from vitro.models import Model
from vitro.models.block import Experts
from vitro.models.norm import Norm

PROMPTS = [[0, 5, 9, 3, 7, 8], [0, 5, 9, 4, 7, 8], [0, 6, 2], [0, 5, 9, 3, 7, 8, 11, 12, 13], [0]]
MAKERS = families_gpt.MAKERS | families_llama.MAKERS
every = pytest.mark.parametrize("name", MAKERS)
of_each_family = pytest.mark.parametrize("name", [name for name in MAKERS if "-" not in name])

of_experts = pytest.mark.parametrize(
    "name", [name for name in MAKERS if name.split("-")[0] in ("mixtral", "olmoe", "qwen2_moe", "qwen3_moe", "gpt_oss")]
)


def logits_of(model: Model) -> list[torch.Tensor]:
    return list(sweep(model, PROMPTS, [()], lambda finals: {"logits": finals.logits})["logits"][0])


@torch.no_grad()
def logits_of_transformers(model: Model) -> list[torch.Tensor]:
    if any(model.n_experts(layer) for layer in range(model.shape.n_layers)):
        model.hf.set_experts_implementation("eager")
    return [model.hf(torch.tensor([prompt])).logits[0, -1] for prompt in PROMPTS]


def norms_of(model: Model) -> list[Norm]:
    blocks = [(block.head_norm, block.mlp_norm, block.after_heads, block.after_mlp) for block in model.blocks]
    return [norm for norms in blocks for norm in norms if norm is not None] + [model.readout.norm]


@every
def test_logits_equal_those_of_transformers(name: str) -> None:
    model = filled_model(MAKERS[name]())
    for logits, expected in zip(logits_of(model), logits_of_transformers(model), strict=True):
        assert expected.std() > 0.1, "the random model says the same of every token"
        torch.testing.assert_close(logits, expected, atol=1e-4, rtol=0)


@every
def test_what_heads_and_mlps_write_sums_to_the_stream_of_transformers(name: str) -> None:
    model, prompt = filled_model(MAKERS[name]()), PROMPTS[3]
    clean = run(model.for_length(len(prompt)), pack([prompt]))
    streams: list[torch.Tensor] = []
    norm = model.readout.norm.module
    hook = norm.register_forward_pre_hook(lambda _, given: streams.append(given[0][0]))
    with torch.no_grad():
        pre = model.hf(torch.tensor([prompt]), output_hidden_states=True).hidden_states
    hook.remove()
    expected = [hidden[0] for hidden in pre[: model.shape.n_layers]] + [streams[0]]
    total = model.embed(torch.tensor(prompt), torch.arange(len(prompt)))
    for layer, block in enumerate(clean.layers):
        torch.testing.assert_close(total, expected[layer], atol=1e-4, rtol=1e-5)
        read = block.resid_pre if model.parallel else block.resid_mid
        total = total + model.attn_out(layer, block.z[None])[0] + model.mlp_out(layer, read[None])[0]
    torch.testing.assert_close(total, expected[-1], atol=1e-4, rtol=1e-5)


@every
def test_every_norm_is_made_of_its_parts(name: str) -> None:
    model = filled_model(MAKERS[name]())
    x = torch.randn(5, model.shape.d_model, generator=torch.Generator().manual_seed(1)) + 0.3
    for norm in norms_of(model):
        parts = norm.centre(x) / norm.scale(x) * norm.gain
        torch.testing.assert_close(norm(x), parts if norm.shift is None else parts + norm.shift, atol=1e-5, rtol=1e-5)


@every
def test_weights_by_head_make_queries_keys_and_values(name: str) -> None:
    model = filled_model(MAKERS[name]())
    draw = torch.Generator().manual_seed(1)
    normed = torch.randn(2, 3, model.shape.d_model, generator=draw)
    for layer in range(model.shape.n_layers):
        heads = range(model.shape.n_heads)
        for project, expected in zip(model.own_projections(layer), model.project(layer, normed), strict=True):
            ours = torch.stack([project(head, normed) for head in heads], dim=2)
            theirs = expected.repeat_interleave(len(heads) // expected.shape[2], dim=2)
            torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-5)


@every
def test_what_each_head_writes_sums_to_what_they_write_together(name: str) -> None:
    model = filled_model(MAKERS[name]())
    z = torch.randn(1, 3, model.shape.n_heads, model.shape.d_head, generator=torch.Generator().manual_seed(1))
    for layer, block in enumerate(model.blocks):
        gain = 1.0 if block.after_heads is None else block.after_heads.gain
        bias = 0.0 if block.write.bias is None else block.write.bias * gain * block.multiplier
        written = torch.einsum("rnhe,hed->rnd", z, model.w_out(layer)) + bias
        scale = model.write_scale(layer, z)
        torch.testing.assert_close(
            model.attn_out(layer, z), written if scale is None else written / scale, atol=1e-4, rtol=1e-5
        )


@torch.no_grad()
def shared(model: Model, layer: int, resid: torch.Tensor) -> torch.Tensor | float:
    """What an MLP that every stream is given to adds to a mixture's experts."""
    moe, normed = model.hf.model.layers[layer].mlp, model.blocks[layer].mlp_norm(resid)
    if not hasattr(moe, "shared_expert"):
        return 0.0
    written: torch.Tensor = moe.shared_expert(normed) * moe.shared_expert_gate(normed).sigmoid()
    return written


@of_experts
def test_what_each_expert_writes_sums_to_what_they_write_together(name: str) -> None:
    model = filled_model(MAKERS[name]())
    resid = torch.randn(2, 7, model.shape.d_model, generator=torch.Generator().manual_seed(1))
    layers = [layer for layer, block in enumerate(model.blocks) if isinstance(block.mlp, Experts)]
    assert bool(layers) != name.endswith("all-dense")
    for layer in layers:
        each = [model.expert_out(layer, resid, expert) for expert in range(model.n_experts(layer))]
        chosen = torch.stack([one.any(-1) for one in each])
        assert bool((chosen.sum(0) == model.hf.config.num_experts_per_tok).all())
        torch.testing.assert_close(
            sum(each) + shared(model, layer, resid), model.mlp_out(layer, resid), atol=1e-4, rtol=0
        )


@of_experts
def test_an_expert_set_to_zero_is_one_whose_weights_are_zero(name: str) -> None:
    model = filled_model(MAKERS[name]())
    sites = [(layer, expert) for layer in range(model.shape.n_layers) for expert in range(model.n_experts(layer))]
    nothing = torch.zeros(model.shape.d_model)
    ablated: list[Variant] = [(Edit(expert_out(layer, expert), nothing),) for layer, expert in sites]
    results = sweep(model, PROMPTS, [(), *ablated], lambda finals: {"logits": finals.logits})["logits"]
    for (layer, expert), logits in zip(sites, results[1:], strict=True):
        experts = model.hf.model.layers[layer].mlp.experts
        held = {weight: weight[expert].clone() for name, weight in experts.named_parameters() if "down_proj" in name}
        for weight in held:
            weight[expert] = 0.0
        for ours, expected in zip(logits, logits_of_transformers(model), strict=True):
            torch.testing.assert_close(ours, expected, atol=1e-4, rtol=0)
        for weight, whole in held.items():
            weight[expert] = whole
    assert not sites or bool((results[1:] != results[0]).any())


@of_each_family
def test_bfloat16_is_as_far_from_float32_as_transformers_own(name: str) -> None:
    model = filled_model(MAKERS[name]().bfloat16())
    short, theirs = torch.stack(logits_of(model)), torch.stack(logits_of_transformers(model)).float()
    model.hf.float()
    exact = torch.stack(logits_of_transformers(model))
    assert (short - exact).square().mean() <= 2 * (theirs - exact).square().mean()
