"""A model on another device: `meta` stands for a GPU, so that these run on any machine (see elsewhere.py)."""

import pytest
import torch
from torch import Tensor

from edits import LONGEST, PROMPTS, every_kind
from elsewhere import elsewhere
from small_models import MAKERS, random_model
from vitro.engine import Edit, Finals, Variant, mean_activations, mlp_out, pattern, sweep
from vitro.engine.budget import BATCH_NODES
from vitro.models import Model

ROWS = len(PROMPTS)


@pytest.fixture(autouse=True)
def _batches_of_a_few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BATCH_NODES, "meta", 4 * ROWS * LONGEST)


def there(name: str) -> Model:
    model = random_model(name)
    model.hf.to("meta")
    return model


def readings(finals: Finals) -> dict[str, Tensor]:
    tokens = torch.arange(ROWS, device="meta")[finals.prompts]
    return {
        "logits": finals.logits,
        "at": finals.at(tokens),
        "prob": finals.prob(tokens),
        "rank": finals.rank(tokens),
        "top": finals.top()[0],
        "among": finals.among(torch.arange(3, device="meta")),
        "log_normaliser": finals.log_normaliser,
        "kl": finals.kl,
        "clean": finals.clean.prob(tokens).expand(finals.n_rows, -1),
        **{f"attention {site}": weights for site, weights in finals.attention.items()},
    }


@pytest.mark.parametrize("name", [*MAKERS, "bloom", "falcon-alibi-groups", "olmo2"])
def test_every_edit_and_every_reading_works_where_the_model_is_and_is_fetched_once_at_the_end(name: str) -> None:
    last = random_model(name).shape.n_layers - 1
    variants: list[Variant] = [
        (),
        *(variant for layer in {0, last} for variant in every_kind(random_model(name), layer).values()),
    ]
    with elsewhere() as crossings:
        results = sweep(there(name), PROMPTS, variants, readings, watch=[pattern(0, 0), pattern(last, 0)])
    assert all(value.device.type == "cpu" and value.shape[:2] == (len(variants), ROWS) for value in results.values())
    assert results["attention blocks.0.attn.hook_pattern[0]"].shape == (len(variants), ROWS, LONGEST)
    # What is read, and whether it is finite.
    assert (crossings.count("fetched"), len(results)) == (12, 11)
    assert crossings[-12:] == ["fetched"] * 12


@pytest.mark.parametrize(
    "name",
    [
        *("gpt2", "llama-gqa-3", "neox-parallel", "mistral-window"),
        *("bloom", "falcon-alibi-groups", "olmo2"),
    ],
)
def test_while_batches_run_nothing_is_sent_to_the_device(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    kinds = [variant for layer in range(2) for variant in every_kind(random_model(name), layer).values()]
    batches: list[int] = []

    def sent(batch_nodes: int) -> int:
        monkeypatch.setitem(BATCH_NODES, "meta", batch_nodes)
        batches.append(0)

        def count(done: int, total: int) -> None:
            batches[-1] += 1

        with elsewhere() as crossings:
            sweep(there(name), PROMPTS, kinds, readings, watch=[pattern(1, 0)], progress=count)
        return len(crossings)

    assert sent(10**6) == sent(1)
    assert batches == [1, len(kinds)]


def test_what_crosses_is_noticed() -> None:
    there = torch.empty(4, 4, device="meta")
    with elsewhere() as crossings:
        torch.arange(3).to("meta")
        there[[0, 1]]
        torch.tensor([1, 2], device="meta")
        there.cpu()
        there[:, 1:] = (there @ there)[:, :3]
    assert [what.split(":")[0] for what in crossings] == ["sent", "sent", "sent", "fetched"]
    for waits in (lambda: there[torch.arange(2)], lambda: there[there > 0], lambda: bool(there.any())):
        with elsewhere(), pytest.raises((AssertionError, RuntimeError)):
            waits()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_an_edit_of_another_number_format_is_brought_to_the_models(dtype: torch.dtype) -> None:
    value = torch.randn(LONGEST, 32, generator=torch.Generator().manual_seed(0)).to(dtype)
    variants: list[Variant] = [(Edit(mlp_out(0), value_there),) for value_there in (value, value.float())]
    other, own = sweep(random_model("gpt2"), PROMPTS, variants, lambda finals: {"logits": finals.logits})["logits"]
    assert torch.equal(other, own)


def test_an_edit_on_another_device_is_brought_to_the_models() -> None:
    def logits(value: Tensor) -> Tensor:
        edit = Edit(mlp_out(0), value)
        return sweep(random_model("gpt2"), PROMPTS, [(edit,)], lambda finals: {"logits": finals.logits})["logits"]

    # What is fetched from `meta` comes as zeros.
    with elsewhere():
        fetched = logits(torch.empty(32, device="meta"))
    assert torch.equal(fetched, logits(torch.zeros(32)))


def test_means_are_made_where_the_model_is() -> None:
    with elsewhere() as crossings:
        means = mean_activations(there("gpt2"), [[0, 5, 9], [0, 5, 8]])
    assert means.z.is_meta
    # Whether all of them are finite.
    assert crossings.count("fetched") == 1
