"""Head and MLP ablation find what was planted, and agree with plain forward hooks number by number."""

import polars as pl
import pytest
import torch

from places import Layer
from planted import COPY, SUCCESSOR
from slow import answer_ids, slow_logits, subject_ids, value_bias_of
from small_models import random_model
from vitro.engine import Edit, mlp_out, z
from vitro.experiments import Options, Setup, ablate_heads, ablate_mlps, clean_run
from vitro.models import Model
from vitro.tasks import days

OPTIONS = Options(samples=16)
METHODS = days().ablations


def effect_of_heads(model: Model, value: str) -> pl.DataFrame:
    table = ablate_heads(model, days(), OPTIONS).table
    return table.group_by("method", "layer", "head").agg(pl.col(value).mean())


@pytest.mark.parametrize("method", METHODS)
def test_head_ablation_finds_exactly_the_planted_heads(planted_model: Model, method: str) -> None:
    effects = effect_of_heads(planted_model, "answer_prob_change").filter(pl.col("method") == method)
    strong = effects.filter(pl.col("answer_prob_change").abs() > 0.02)
    assert set(strong.select("layer", "head").iter_rows()) == {COPY, SUCCESSOR}
    change = {
        (layer, head): value for layer, head, value in strong.select("layer", "head", "answer_prob_change").iter_rows()
    }
    assert change[SUCCESSOR] < -0.5
    assert change[COPY] > 0.02


def test_the_planted_model_solves_its_task(planted_model: Model) -> None:
    assert clean_run(planted_model, days()).table["answer_rank"].to_list() == [0] * 7


@pytest.fixture(params=["gpt2", "llama-gqa-2-biases-wide-heads", "neox-parallel"])
def random_with_tokens(request: pytest.FixtureRequest, planted_model: Model) -> Model:
    """A small random model that reads the planted model's tokens."""
    model = random_model(request.param)
    model.tokenizer = planted_model.tokenizer
    return model


def expected_effects(setup: Setup, edit: Edit) -> dict[str, torch.Tensor]:
    prompts = setup.questions
    clean, ablated = slow_logits(setup.model, prompts.tokens, [(), (edit,)])
    log_clean, log_ablated = clean.double().log_softmax(-1), ablated.double().log_softmax(-1)
    number = torch.arange(len(prompts.tokens))
    answer, subject = torch.tensor(answer_ids(prompts)), torch.tensor(subject_ids(prompts))
    change = ablated - clean
    return {
        "answer_logit_change": change[number, answer],
        "answer_prob_change": (log_ablated.exp() - log_clean.exp())[number, answer],
        "logit_diff_change": change[number, answer] - change[number, subject],
        "kl": (log_clean.exp() * (log_clean - log_ablated)).sum(-1),
    }


def slow_means(setup: Setup, dataset: str, layer: int, *, of_mlp: bool) -> torch.Tensor:
    """Means over the drawn sentences, one plain pass, from what goes into W_O or comes out of the MLP."""
    at = Layer(setup.model, layer)
    seen: list[torch.Tensor] = []
    if of_mlp:
        handle = at.mlp_writes.register_forward_hook(lambda module, args, result: seen.append(result))
    else:
        handle = at.out.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    sentences = torch.from_numpy(setup.datasets[dataset].copy())  # type: ignore[index]
    with torch.no_grad():
        setup.model.hf(sentences)
    handle.remove()
    mean = seen[0].mean(0)
    return mean if of_mlp else mean.unflatten(-1, (setup.model.shape.n_heads, setup.model.shape.d_head))


def test_head_ablation_equals_plain_hooks(random_with_tokens: Model) -> None:
    setup = Setup(random_with_tokens, days(), OPTIONS)
    table = ablate_heads(random_with_tokens, days(), OPTIONS).table
    shape = random_with_tokens.shape
    for method in METHODS:
        for layer, head in ((0, 1), (shape.n_layers - 1, shape.n_heads - 1)):
            if method == "zero":
                # The post's convention: what a head adds to every position alike belongs to the output bias.
                value = value_bias_of(random_with_tokens, layer, head).float()
            else:
                value = slow_means(setup, method, layer, of_mlp=False)[:, head]
            rows = table.filter(method=method, layer=layer, head=head).sort("prompt")
            for name, expected in expected_effects(setup, Edit(z(layer, head), value)).items():
                torch.testing.assert_close(
                    torch.from_numpy(rows[name].to_numpy().copy()).double(), expected.double(), atol=1e-4, rtol=0
                )


def test_mlp_ablation_equals_plain_hooks(random_with_tokens: Model) -> None:
    setup = Setup(random_with_tokens, days(), OPTIONS)
    table = ablate_mlps(random_with_tokens, days(), OPTIONS).table
    for method in METHODS:
        for layer in range(random_with_tokens.shape.n_layers):
            zero = torch.zeros(random_with_tokens.shape.d_model)
            value = zero if method == "zero" else slow_means(setup, method, layer, of_mlp=True)
            expected = expected_effects(setup, Edit(mlp_out(layer), value))
            rows = table.filter(method=method, layer=layer).sort("prompt")
            for name in ("answer_logit_change", "answer_prob_change"):
                torch.testing.assert_close(
                    torch.from_numpy(rows[name].to_numpy().copy()).double(), expected[name].double(), atol=1e-4, rtol=0
                )


def test_value_bias_conventions_differ_in_zero_ablation_alone(random_with_tokens: Model) -> None:
    excluded = ablate_heads(random_with_tokens, days(), OPTIONS).table
    included = ablate_heads(random_with_tokens, days(), Options(samples=16, value_bias="included")).table
    keys = ["prompt", "method", "layer", "head"]
    change = (
        excluded.join(included, on=keys)
        .group_by("method")
        .agg((pl.col("answer_logit_change") - pl.col("answer_logit_change_right")).abs().max().alias("apart"))
    )
    apart = dict(change.iter_rows())
    assert apart["random"] < 1e-5
    assert apart["mean"] < 1e-5
    assert apart["zero"] > 1e-3
