"""Prompts packed into a tree: the laws that make it the same as running them one by one."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from small_models import VOCAB, random_model
from vitro.engine import pack, sweep

PROMPTS = st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=7), min_size=1, max_size=6)


@given(PROMPTS, st.none() | st.integers(0, 7))
def test_every_prompt_is_the_path_to_its_final_node(prompts: list[list[int]], apart: int | None) -> None:
    tree = pack(prompts, apart)
    for number, prompt in enumerate(prompts):
        path = tree.paths[number, : len(prompt)]
        assert tree.tokens[path].tolist() == prompt
        assert tree.positions[path].tolist() == list(range(len(prompt)))
        assert tree.finals[number] == path[-1]
        # The final node sees its path and nothing else.
        assert tree.visible[path[-1]].nonzero()[:, 0].tolist() == path.tolist()


@given(PROMPTS)
def test_a_beginning_is_one_node_and_apart_it_is_one_for_each_prompt(prompts: list[list[int]]) -> None:
    beginnings = {tuple(prompt[:end]) for prompt in prompts for end in range(1, len(prompt) + 1)}
    assert len(pack(prompts).tokens) == len(beginnings)
    assert len(pack(prompts, apart=0).tokens) == sum(map(len, prompts))


def test_seven_day_prompts_make_32_nodes() -> None:
    days = [[0, 1, 2, 3, 10 + day, 4, 5, 3] for day in range(7)]
    assert len(pack(days).tokens) == 32


MODELS = {name: random_model(name) for name in ("gpt2", "mistral-window", "neox-parallel")}


@settings(max_examples=25)
@given(
    st.sampled_from(sorted(MODELS)),
    st.lists(st.lists(st.integers(0, VOCAB - 1), min_size=1, max_size=7), min_size=1, max_size=6),
)
def test_tree_packing_equals_plain_passes_for_any_prompts(name: str, prompts: list[list[int]]) -> None:
    model = MODELS[name]
    packed = sweep(model, prompts, [()], lambda finals: {"logits": finals.logits})["logits"][0]
    for prompt, logits in zip(prompts, packed, strict=True):
        with torch.no_grad():
            plain = model.hf(torch.tensor([prompt])).logits[0, -1]
        torch.testing.assert_close(logits, plain, atol=1e-4, rtol=0)
