import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from small_models import random_model
from vitro.engine import Edit, Finals, Variant, mlp_out, read_out, resid_post, sweep, z
from vitro.models import Model

PROMPTS = [[0, 5, 9, 3], [0, 5, 9, 7, 1], [0, 2, 9, 8]]
TOKENS = torch.tensor([3, 11, 0])
SOME = torch.tensor([1, 4, 4, 9])

Reading = Callable[[Finals], Tensor]


def gathered(finals: Finals) -> Tensor:
    return finals.logits.gather(-1, TOKENS[None, :, None].expand(finals.n_rows, -1, -1))[..., 0]


def slow_kl(finals: Finals) -> Tensor:
    clean, variant = (logits.double().log_softmax(-1) for logits in (finals.clean.logits, finals.logits))
    return (clean.exp() * (clean - variant)).sum(-1).float()


READINGS: dict[str, tuple[Reading, Reading]] = {
    "at": (lambda finals: finals.at(TOKENS), gathered),
    "prob": (lambda finals: finals.prob(TOKENS), lambda finals: (gathered(finals) - finals.logits.logsumexp(-1)).exp()),
    "among": (lambda finals: finals.among(SOME), lambda finals: finals.logits[..., SOME]),
    "log_normaliser": (lambda finals: finals.log_normaliser, lambda finals: finals.logits.logsumexp(-1)),
    "kl": (lambda finals: finals.kl, slow_kl),
    "top": (lambda finals: finals.top()[1], lambda finals: finals.logits.softmax(-1).amax(-1)),
    "clean": (
        lambda finals: finals.clean.prob(TOKENS).expand(finals.n_rows, -1),
        lambda finals: finals.clean.logits.softmax(-1)[range(3), TOKENS].expand(finals.n_rows, -1),
    ),
}


def with_bias(name: str) -> Model:
    model = copy.deepcopy(random_model(name))
    head = model.hf.get_output_embeddings()
    head.bias = torch.nn.Parameter(torch.linspace(-2, 2, model.shape.d_vocab), requires_grad=False)
    return model


def with_readout(name: str, **fields: float) -> Model:
    """A model whose configuration says what becomes of its logits."""
    model = copy.deepcopy(random_model(name))
    model.hf.config.update(fields)
    return model


MODELS = {
    "gpt2": random_model("gpt2"),
    "with a bias": with_bias("llama-gqa-3"),
    "capped low": with_readout("gemma2", final_logit_softcapping=0.3),
    "capped high": with_readout("gemma2", final_logit_softcapping=50.0),
    "scaled down": with_readout("cohere", logit_scale=0.05),
    "scaled up": with_readout("cohere", logit_scale=4.0),
}


def variants(model: Model) -> list[Variant]:
    """Reaching every prompt, none, the middle prompt alone, and every prompt again."""
    torch.manual_seed(0)
    return [
        (Edit(z(1, 0), torch.randn(model.shape.d_head)),),
        (),
        (Edit(resid_post(0), torch.randn(model.shape.d_model), how="add", prompts=(1,)),),
        (Edit(mlp_out(2), 3 * torch.randn(model.shape.d_model)),),
    ]


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("name", MODELS)
def test_what_is_read_part_by_part_is_what_all_logits_say(
    monkeypatch: pytest.MonkeyPatch, name: str, reading: str
) -> None:
    monkeypatch.setattr("vitro.engine.readout.PART", 7)
    model, (fast, slow) = MODELS[name], READINGS[reading]
    values = sweep(model, PROMPTS, variants(model), lambda finals: {"fast": fast(finals), "slow": slow(finals)})
    assert values["slow"].std() > 0
    torch.testing.assert_close(values["fast"], values["slow"], atol=5e-6, rtol=1e-5)


@pytest.mark.parametrize(("name", "cap", "scale"), [("capped low", 0.3, 1.0), ("scaled up", None, 4.0)])
def test_logits_are_scaled_and_capped_as_the_configuration_says(name: str, cap: float | None, scale: float) -> None:
    model, resid = MODELS[name], torch.randn(4, MODELS[name].shape.d_model)
    with torch.inference_mode():
        logits = model.final_norm(resid) @ model.w_unembed.T * scale
        expected = logits if cap is None else cap * (logits / cap).tanh()
        torch.testing.assert_close(read_out(model, resid), expected, atol=1e-5, rtol=1e-5)


def test_a_rank_counts_the_tokens_above() -> None:
    def read(finals: Finals) -> dict[str, Tensor]:
        return {"rank": finals.rank(TOKENS), "order": finals.logits.argsort(-1, descending=True)}

    values = sweep(MODELS["gpt2"], PROMPTS, variants(MODELS["gpt2"]), read)
    places = (values["order"] == TOKENS[:, None]).int().argmax(-1)
    assert torch.equal(values["rank"], places)
    assert places.unique().numel() > 3


def test_where_no_edit_reaches_the_reading_is_the_clean_runs_to_the_last_bit() -> None:
    def read(finals: Finals) -> dict[str, Tensor]:
        return {"prob": finals.prob(TOKENS) - finals.clean.prob(TOKENS), "kl": finals.kl}

    values = sweep(MODELS["gpt2"], PROMPTS, variants(MODELS["gpt2"]), read)
    reached = torch.tensor([[True] * 3, [False] * 3, [False, True, False], [True] * 3])
    for name in ("prob", "kl"):
        assert torch.equal(values[name] != 0, reached), name


def test_a_half_precision_model_is_read_out_in_full_precision() -> None:
    model = copy.deepcopy(random_model("gpt2"))
    model.hf.bfloat16()
    resid = torch.randn(4, model.shape.d_model, dtype=torch.bfloat16)
    normed, weight = (tensor.detach().double() for tensor in (model.final_norm(resid), model.w_unembed))
    with torch.inference_mode():
        torch.testing.assert_close(read_out(model, resid), (normed @ weight.T).float(), atol=1e-5, rtol=0)
