"""A transformers model that is in memory: read as a checkpoint is, and left as it was."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

import families_llama
import vitro
from small_models import MAKERS, random_model
from vitro.engine import activations
from vitro.models import Model, ModelError, load

PROMPTS = [[1, 5, 9, 2], [1, 7]]


@pytest.mark.parametrize("kind", sorted(MAKERS))
def test_it_computes_what_transformers_computes(kind: str) -> None:
    hf = MAKERS[kind]()
    model = load(hf)
    streams = activations(model, PROMPTS, ["ln_final.hook_out"])
    for number, prompt in enumerate(PROMPTS):
        with torch.no_grad():
            expected = hf.eval()(torch.tensor([prompt])).logits[0]
        logits = streams.of("ln_final.hook_out", number) @ model.w_unembed.T
        logits = logits if model.b_unembed is None else logits + model.b_unembed
        assert torch.allclose(logits, expected, atol=1e-4)


def test_every_measurement_runs_on_a_model_in_training_as_on_its_checkpoint(
    planted_model: Model, planted_folder: Path
) -> None:
    hf = transformers.AutoModelForCausalLM.from_pretrained(planted_folder).train()
    options = vitro.Options(samples=4)
    m, saved = (vitro.mount(model, "days", options) for model in (load(hf, planted_model.tokenizer), planted_model))
    for call in ("ablate_heads", "steer", "direct_attribution", "head_lens", "in_vitro"):
        assert getattr(m, call)().table.equals(getattr(saved, call)().table), call
    assert m.score_edges("eap-ig").table.equals(saved.score_edges("eap-ig").table)


def test_it_shares_the_weights_and_changes_nothing_of_its_owners() -> None:
    hf = MAKERS["gpt2"]().train()
    flags = [(weight.requires_grad, weight.data_ptr()) for weight in hf.parameters()]
    model = load(hf)
    assert hf.training
    assert [(weight.requires_grad, weight.data_ptr()) for weight in hf.parameters()] == flags
    assert not any(weight.requires_grad for weight in model.hf.parameters())
    assert [weight.data_ptr() for weight in model.hf.parameters()] == [pointer for _, pointer in flags]
    assert model.hf.lm_head.weight is model.hf.transformer.wte.weight, "tied weights stay tied"


def _quantised(hf: Any) -> None:
    class Linear4bit(torch.nn.Module):
        pass

    hf.model.layers[1].self_attn.q_proj = Linear4bit()


def _adapted(hf: Any) -> None:
    hf.model.layers[0].mlp.up_proj.lora_A = torch.nn.Linear(2, 2)


def _hooked(hf: Any) -> None:
    hf.model.layers[2].register_forward_hook(lambda *_: None)


def _offloaded(hf: Any) -> None:
    hf.model.layers[0].mlp.to("meta")


def _damaged(hf: Any) -> None:
    with torch.no_grad():
        hf.model.layers[1].mlp.up_proj.weight[0, 0] = torch.nan


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (_quantised, r"model.layers.1.self_attn.q_proj of the LlamaForCausalLM is a Linear4bit, .* dequantize"),
        (_adapted, r"model.layers.0.mlp.up_proj.lora_A .* merge adapters"),
        (_hooked, r"model.layers.2 holds forward hooks, .* remove them"),
        (_offloaded, r"not in memory \(offloaded\): load it without device_map"),
        (_damaged, r"layer 1 \(model.layers.1.mlp.up_proj.weight\) hold NaN or infinity"),
    ],
)
def test_what_would_give_wrong_numbers_is_refused(harm: Any, says: str) -> None:
    hf = copy.deepcopy(MAKERS["llama-gqa-3"]())
    harm(hf)
    with pytest.raises(ModelError, match=says):
        load(hf)


def test_what_is_no_model_of_a_known_family_is_refused() -> None:
    tiny = transformers.GPT2Config(n_layer=1, n_head=1, n_embd=4, vocab_size=8, n_positions=8)
    with pytest.raises(ModelError, match="a Linear is no model"):
        load(torch.nn.Linear(2, 2))
    with pytest.raises(ModelError, match="a GPT2Model gives no next token; what works: a GPT2LMHeadModel"):
        load(transformers.GPT2Model(tiny))
    mamba = transformers.MambaConfig(num_hidden_layers=1, hidden_size=4, state_size=2, vocab_size=8)
    with pytest.raises(ModelError, match="model type 'mamba' is not known to Vitro, and no known one is like it"):
        load(transformers.MambaForCausalLM(mamba))


def test_device_and_format_are_those_it_has() -> None:
    hf = MAKERS["gpt2"]().to(torch.bfloat16)
    assert load(hf).dtype == torch.bfloat16
    with pytest.raises(ModelError, match="a model in memory stays as it is"):
        load(hf, dtype="float32")
    with pytest.raises(ModelError, match="has a tokenizer of its own"):
        load("gpt2", object())


def test_a_mixture_that_transformers_does_not_run_says_what_works_and_that_works() -> None:
    hf = families_llama.MAKERS["mixtral"]().double().eval()
    with pytest.raises(ModelError) as refused:
        load(hf)
    assert "\n" not in str(refused.value)
    assert 'hf.set_experts_implementation("eager")' in str(refused.value)
    hf.set_experts_implementation("eager")
    model = load(hf)
    assert model.dtype == torch.float64


@pytest.mark.parametrize("name", ["gpt2", "llama-gqa-3", "gemma2", "bloom", "olmo2", "cohere", "gpt_oss"])
def test_float64_is_as_near_as_the_float32_steps_of_transformers_let_it_be(name: str) -> None:
    model = random_model(name)
    hf = model.hf.double()
    hf.set_experts_implementation("eager")
    origin = load(hf).origin
    assert origin is not None
    parity = origin.parity
    assert parity.dtype == "float64"
    assert parity.tolerance < 1e-4 * parity.largest_logit
