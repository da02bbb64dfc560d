"""Each model is run beside transformers when it is loaded: rounding is no fault, and what is no rounding is found."""

import copy
import random
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

import vitro
from planted import plant
from small_models import MAKERS, hf_model
from vitro.models import Model, ModelError, load
from vitro.models.load import family_of
from vitro.models.parity import Parity, check_parity, require
from vitro.models.walk import logits
from vitro.study_page import summary

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
SMALLEST, LARGEST = -2.5, 0.5
"""Powers of ten: the scale of random weights."""


def drawn(name: str, seed: int, scale: float, dtype: torch.dtype = torch.float32) -> Any:
    """One of MAKERS with weights of about a scale, of each parameter another."""
    hf = MAKERS[name]().eval().requires_grad_(False)
    generator, choose = torch.Generator().manual_seed(seed), random.Random(seed)
    for place, weight in hf.named_parameters():
        noise = torch.randn(weight.shape, generator=generator)
        gain = ("norm" in place or "ln_" in place) and place.endswith("weight")
        weight.copy_(1 + 0.3 * noise if gain else scale * choose.choice([0.3, 1, 3]) * noise)
    return hf.to(dtype)


def parity(hf: Any, run: Any = None) -> Parity:
    """That of a transformers model with Vitro's pass through it, or through another."""
    return check_parity(hf, partial(logits, family_of(hf.config.model_type).of(run or hf, None)))


@pytest.mark.parametrize("dtype", DTYPES)
def test_rounding_is_no_fault_in_random_models_of_wild_scale(dtype: torch.dtype) -> None:
    for seed in range(30):
        choose = random.Random(seed)
        name, scale = choose.choice(sorted(MAKERS)), 10 ** choose.uniform(SMALLEST, LARGEST)
        found = parity(drawn(name, seed, scale, dtype))
        assert found.holds, (name, scale, str(found))


def _epsilon(hf: Any) -> None:
    for module in hf.modules():
        for field in ("eps", "variance_epsilon"):
            if hasattr(module, field):
                setattr(module, field, 10 * getattr(module, field))


def _rope(hf: Any) -> None:
    for module in hf.modules():
        if isinstance(getattr(module, "inv_freq", None), torch.Tensor):
            module.inv_freq.copy_(module.inv_freq**1.05)


def _bias(hf: Any) -> None:
    biases = [weight for place, weight in hf.named_parameters() if place.endswith("proj.bias")]
    (biases or [hf.get_parameter("gpt_neox.layers.1.attention.dense.bias")])[0].zero_()


def _multiplier(hf: Any) -> None:
    for place, weight in hf.named_parameters():
        if place.endswith(("o_proj.weight", "attn.c_proj.weight", "attention.dense.weight")):
            weight.mul_(1.01)


@pytest.mark.parametrize(
    ("fault", "names"),
    [
        (_multiplier, ["gpt2-odd", "llama-gqa-3", "mistral-window", "neox-parallel"]),
        (_epsilon, ["gpt2", "llama-gqa-3", "qwen2", "neox-parallel"]),
        (_bias, ["llama-gqa-2-biases-wide-heads", "qwen2", "neox-parallel"]),
        (_rope, ["llama-gqa-3", "mistral-window", "qwen2", "neox-sequential-full-rotation"]),
    ],
)
def test_a_fault_is_found_in_float32(fault: Callable[[Any], None], names: list[str]) -> None:
    for name in names:
        hf = drawn(name, seed=3, scale=0.1)
        wrong = copy.deepcopy(hf)
        fault(wrong)
        assert parity(hf).holds
        assert not parity(hf, wrong).holds, name


def test_the_numbers_are_those_of_the_two_passes() -> None:
    hf = hf_model("llama")
    found = check_parity(hf, lambda tokens: hf(tokens[None]).logits[0] + torch.eye(8, 60) * 0.5)
    assert not found.holds
    assert abs(found.difference - 0.5) < 1e-4
    with torch.no_grad():
        assert abs(found.largest_logit - float(hf(torch.tensor([found.tokens])).logits.abs().max())) < 1e-4
    assert "logits 0.5 apart at most, beyond the" in str(found)


def test_nan_of_ours_is_a_fault_and_what_overflows_in_transformers_is_none() -> None:
    hf = hf_model("llama")
    found = check_parity(hf, lambda tokens: torch.full((8, 60), torch.nan))
    assert not found.holds
    with pytest.raises(ModelError, match=r"in float32 Vitro's steps give NaN or infinity where .*: --dtype float32"):
        require("a model", found)
    hf.lm_head.weight[7] = torch.inf
    assert check_parity(hf, lambda tokens: hf(tokens[None]).logits[0]).holds


def test_the_prompt_is_the_same_each_time_and_has_no_special_token_but_its_bos() -> None:
    hf = hf_model("gpt2", bos_token_id=18, eos_token_id=[22, 37], pad_token_id=51)
    first, second = parity(hf), parity(hf)
    assert first == second
    assert len(set(first.tokens)) == 8
    assert first.tokens[0] == 18
    assert not {18, 22, 37, 51} & set(first.tokens[1:])
    for none in (None, 60, -1):
        hf.config.bos_token_id = none
        assert len(set(parity(hf).tokens) - {22, 37, 51}) == 8
    assert len(check_parity(hf, lambda tokens: hf(tokens[None]).logits[0], longest=5).tokens) == 5


def test_a_model_in_memory_is_as_it_was() -> None:
    hf = hf_model("llama").train()
    hf.config._attn_implementation = "sdpa"
    before = copy.deepcopy(hf.state_dict())
    model = load(hf)
    assert model.origin is not None
    assert model.origin.parity.holds
    for one in (hf, model.hf):
        assert one.config._attn_implementation == "sdpa"
        assert not any(module._forward_hooks for module in one.modules())
    assert hf.training
    assert all(torch.equal(weight, before[name]) for name, weight in hf.state_dict().items())


@pytest.fixture
def wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """Vitro with a factor on logits that transformers has not."""
    monkeypatch.setattr(Model, "final_norm", lambda model, resid: 1.01 * model.readout.norm(resid))


@pytest.mark.usefixtures("wrong")
def test_a_model_that_vitro_computes_otherwise_is_refused_in_a_line_unless_it_is_trusted(tmp_path: Path) -> None:
    folder = str(plant(tmp_path / "model"))
    with pytest.raises(ModelError) as error:
        load(folder)
    message = str(error.value)
    assert "\n" not in message
    assert "Vitro computes other numbers than transformers (logits" in message
    assert "to go on all the same: --trust-numbers (trust_numbers=True)" in message
    with pytest.raises(ModelError, match="model 'in memory': Vitro computes other numbers"):
        load(hf_model("gpt2"))
    trusted = load(folder, trust_numbers=True).origin
    assert trusted is not None
    assert (trusted.trusted, trusted.parity.holds) == (True, False)


@pytest.mark.usefixtures("wrong")
def test_a_study_says_that_its_numbers_were_trusted(tmp_path: Path) -> None:
    folder = str(plant(tmp_path / "model"))
    with pytest.raises(ModelError):
        vitro.run_study(folder, "days", tmp_path / "study", experiments=["clean"])
    study = vitro.run_study(folder, "days", tmp_path / "study", experiments=["clean"], trust_numbers=True)
    assert study.record.loaded is not None
    assert study.record.loaded.trusted
    assert study.record.loaded.parity["difference"] > study.record.loaded.parity["tolerance"]
    assert study.record.command.endswith("--trust-numbers")
    assert "trust_numbers=True" in study.record.python
    page = study.report.read_text("utf-8")
    assert "the numbers are not those of transformers: logits" in page
    # At its top too, and first of what is printed.
    assert page.index("Not proved: the numbers are not those of transformers (logits") < page.index("<section")
    assert summary(study)[0].text.startswith("Not proved: ")
