"""Laws of sweeps: what an edit must not do, and what memory must not change."""

import importlib
import itertools
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from places import Layer
from slow import slow_logits, slow_run
from small_models import random_model
from vitro.engine import (
    Budget,
    Edit,
    EditError,
    MemoryBudgetError,
    Site,
    Variant,
    attn_out,
    mean_activations,
    mlp_out,
    pattern,
    pin,
    resid_mid,
    resid_post,
    resid_pre,
    sweep,
    z,
)
from vitro.models import Model

MODEL = random_model("gpt2")
SHAPE = MODEL.shape
N_NUMBERS = 50
PROMPTS = [[0, 5, 9, 3, 7], [0, 5, 9, 4, 7], [0, 5, 2], [0, 5, 9, 3, 7, 8]]
SITES = [
    site
    for layer in range(SHAPE.n_layers)
    for site in (z(layer, 1), attn_out(layer), mlp_out(layer), resid_pre(layer), resid_mid(layer), resid_post(layer))
]


def logits(variants: list[Variant], model: Model = MODEL, **options: Any) -> torch.Tensor:
    return sweep(model, PROMPTS, variants, lambda finals: {"logits": finals.logits}, **options)["logits"]


def width(site: Site) -> int:
    return SHAPE.d_head if site.head is not None else SHAPE.d_model


@settings(max_examples=30)
@given(st.sampled_from(SITES), st.lists(st.integers(-6, 5), min_size=1, max_size=4).map(tuple))
def test_adding_nothing_equals_the_clean_run(site: Site, positions: tuple[int, ...]) -> None:
    edit = Edit(site, torch.zeros(width(site)), how="add", positions=positions)
    torch.testing.assert_close(logits([(edit,)])[0], logits([()])[0], atol=1e-5, rtol=0)


@settings(max_examples=30)
@given(st.sampled_from(SITES), st.sets(st.integers(0, 3), min_size=1), st.integers(0, 2**16))
def test_edits_to_some_prompts_do_not_leak_into_the_others(site: Site, prompts: set[int], seed: int) -> None:
    value = torch.randn(width(site), generator=torch.Generator().manual_seed(seed))
    edited = logits([(Edit(site, value, prompts=tuple(prompts)),)])[0]
    everywhere, clean = logits([(Edit(site, value),), ()])
    for number in range(len(PROMPTS)):
        expected = everywhere if number in prompts else clean
        torch.testing.assert_close(edited[number], expected[number], atol=1e-4, rtol=0)


@settings(max_examples=20)
@given(st.lists(st.sampled_from(SITES), min_size=1, max_size=4, unique=True), st.integers(0, 2**16))
def test_any_edits_together_equal_a_pass_with_hooks(sites: list[Site], seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    edits = []
    for site in sites:
        positions = tuple(torch.randint(-3, 5, (2,), generator=draw).tolist())
        value = torch.randn(len(PROMPTS), 6, width(site), generator=draw)
        edits.append(Edit(site, value, positions=positions))
    torch.testing.assert_close(logits([tuple(edits)]), slow_logits(MODEL, PROMPTS, [tuple(edits)]), atol=1e-4, rtol=0)


def test_results_do_not_depend_on_the_memory_budget() -> None:
    variants: list[Variant] = [
        (Edit(z(layer, head), torch.zeros(SHAPE.d_head)),) for layer in range(3) for head in range(4)
    ]
    smallest = Budget.of(MODEL, 10**9).need(max(map(len, PROMPTS)), 1)
    tight, ample = logits(variants, memory=smallest), logits(variants, memory=10**9)
    torch.testing.assert_close(tight, ample, atol=1e-5, rtol=0)


def test_a_budget_too_small_for_one_prompt_says_what_it_takes() -> None:
    with pytest.raises(MemoryBudgetError, match=r"memory budget of 1 kB is too small .* needs \d+ kB"):
        logits([()], memory=1)


@pytest.mark.parametrize("words", ["CUDA out of memory", "DefaultCPUAllocator: can't allocate memory"])
def test_out_of_memory_halves_the_batch_and_goes_on(monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    room = importlib.import_module("vitro.engine.sweep")
    variants: list[Variant] = [(Edit(z(1, head), torch.zeros(SHAPE.d_head)),) for head in range(4)]
    expected, batches, run = logits(variants), [], room.run_variants

    def limited(clean: Any, rows: Any, watch: Any) -> Any:
        batches.append(len(rows))
        if len(rows) > 1:
            raise torch.OutOfMemoryError(words) if "CUDA" in words else RuntimeError(words)
        return run(clean, rows, watch)

    monkeypatch.setattr(room, "run_variants", limited)
    torch.testing.assert_close(logits(variants), expected, atol=1e-5, rtol=0)
    assert batches == [4, 2, 1, 1, 1, 1]


def test_progress_ends_at_the_whole() -> None:
    calls: list[tuple[int, int]] = []
    variants: list[Variant] = [(), (Edit(mlp_out(1), torch.zeros(SHAPE.d_model)),)]
    logits(variants, progress=lambda done, total: calls.append((done, total)))
    assert calls[-1] == (8, 8)
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)


def test_nothing_is_left_on_the_model() -> None:
    before = {name: weight.clone() for name, weight in MODEL.hf.named_parameters()}
    logits([(Edit(resid_pre(0), torch.ones(SHAPE.d_model)),), (pin(1, 0, to=1),)])
    assert all(torch.equal(weight, before[name]) for name, weight in MODEL.hf.named_parameters())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in MODEL.hf.modules())


def test_a_sweep_is_the_same_twice_to_the_last_bit() -> None:
    variants: list[Variant] = [(Edit(z(0, head), torch.zeros(SHAPE.d_head)),) for head in range(4)]
    assert torch.equal(logits(variants), logits(variants))


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (Edit(z(9, 0), torch.zeros(8)), "layers 0 to 2"),
        (Edit(z(0, 4), torch.zeros(8)), "0 to 3"),
        (Edit(mlp_out(0), torch.zeros(8)), "8 wide, the site 32"),
        (Edit(mlp_out(0), torch.zeros(3, 2, 32)), "does not fit 4 prompts of up to 6"),
        (Edit(pattern(0, 0), torch.ones(2), how="add"), "can be set, not added to"),
        (pin(0, 0, to=3, at=1), "position 1 cannot attend to a later one"),
    ],
)
def test_an_edit_that_does_not_fit_is_refused_with_what_would(edit: Edit, says: str) -> None:
    with pytest.raises(EditError, match=says):
        logits([(edit,)])


def test_two_edits_that_set_the_same_are_refused() -> None:
    twice = Edit(mlp_out(0), torch.zeros(SHAPE.d_model))
    with pytest.raises(EditError, match="another edit of the same variant"):
        logits([(twice, twice)])


def test_a_parallel_block_has_no_middle() -> None:
    with pytest.raises(EditError, match="parallel block"):
        logits([(Edit(resid_mid(0), torch.zeros(64)),)], model=random_model("neox-parallel"))


@pytest.mark.parametrize("name", ["gpt2", "llama-gqa-3", "neox-parallel"])
def test_mean_activations_equal_means_over_plain_passes(name: str) -> None:
    model = random_model(name)
    sentences = [[0, 5, 9, 3], [0, 5, 9, 3], [0, 5, 1, 3], [0, 2, 9, 8]]
    means = mean_activations(model, sentences)
    for layer in range(model.shape.n_layers):
        seen: dict[str, torch.Tensor] = {}
        at = Layer(model, layer)
        handles = [
            at.out.register_forward_pre_hook(lambda module, args, seen=seen: seen.update(z=args[0])),
            at.mlp_writes.register_forward_hook(lambda module, args, result, seen=seen: seen.update(mlp=result)),
        ]
        with torch.no_grad():
            model.hf(torch.tensor(sentences))
        for handle in handles:
            handle.remove()
        torch.testing.assert_close(means.z[layer].flatten(-2), seen["z"].mean(0), atol=1e-5, rtol=0)
        torch.testing.assert_close(means.mlp_out[layer], seen["mlp"].mean(0), atol=1e-5, rtol=0)


def test_many_prompts_are_cut_into_trees_that_fit() -> None:
    prompts = [[0, number, 1, 2] for number in range(N_NUMBERS)]
    budget = Budget.of(MODEL, None)
    parts = list(budget.parts(prompts * 8))
    assert parts[0].start == 0
    assert parts[-1].stop == 8 * N_NUMBERS
    assert all(before.stop == after.start for before, after in itertools.pairwise(parts))


def test_watched_attention_is_as_wide_as_the_longest_of_all_prompts_however_they_are_cut_into_trees() -> None:
    prompts = [[7], [0, 5, 9, 3], [0, 5], [8], [0, 5, 9, 3, 7, 8]]
    site = pattern(1, 2)

    def watched(memory: int | None) -> torch.Tensor:
        return sweep(MODEL, prompts, [()], lambda finals: {"it": finals.attention[site]}, watch=[site], memory=memory)[
            "it"
        ]

    whole, cut = watched(None), watched(Budget.of(MODEL).need(6, 1))
    assert whole.shape == (1, 5, 6)
    torch.testing.assert_close(cut, whole, atol=1e-6, rtol=0)
    for number, prompt in enumerate(prompts):
        expected = slow_run(MODEL, prompt).attention[1, 2, -1]
        torch.testing.assert_close(whole[0, number, : len(prompt)].double(), expected, atol=1e-5, rtol=0)
        assert not whole[0, number, len(prompt) :].any()
