"""Tiny GPT-2s whose weights are small noise, but for heads and MLPs that are set by hand."""

from collections.abc import Sequence

import numpy as np
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from task_tokenizers import knowing
from vitro.models import Model
from vitro.models.load import family_of
from vitro.tasks import Task

N_LAYERS, N_HEADS, D_HEAD, D_MLP, N_POSITIONS = 3, 4, 16, 16, 10
D_MODEL = N_HEADS * D_HEAD
NOISE = 0.02
LOOK = 4.0
"""What queries and keys are multiplied by: attention that is meant for a place goes nowhere else,"""
AWAY, START = 2.0, 0.5
"""what is taken from queries, so that attention does not go there by noise, and the key of the first position, where it
goes if there is nothing to be found."""

Coordinates = Sequence[int]
Place = tuple[int, int]
"""A head: its layer and number."""


class Sketch:
    """A model in the making, with a tokenizer of its task's words.

    Its stream has coordinates apart for tokens, for positions, for what one part tells another (`told`), for what
    nobody reads (`idle`), and for the words as outputs (`output`), which are all that the unembedding reads.
    """

    def __init__(self, seed: int, task: Task, words: Sequence[str], texts: Sequence[str]) -> None:
        """words: those that the task is about. texts: all that the tokenizer has to know, words apart."""
        self.random = np.random.default_rng(seed)
        self.tokenizer = knowing(*texts, "".join(f" {word}" for word in words))
        self.questions = task.questions(self.tokenizer, N_POSITIONS)
        vocab, n_words = len(self.tokenizer), len(words)
        config = GPT2Config(
            n_layer=N_LAYERS,
            n_head=N_HEADS,
            n_embd=D_MODEL,
            n_inner=D_MLP,
            n_positions=N_POSITIONS,
            vocab_size=vocab,
            tie_word_embeddings=False,
            bos_token_id=self.tokenizer.bos_token_id,
            eos_token_id=self.tokenizer.bos_token_id,
        )
        self.hf = GPT2LMHeadModel(config).eval().requires_grad_(False)
        generator = torch.Generator().manual_seed(seed)
        for name, weight in self.hf.named_parameters():
            if "ln_" not in name:
                weight.copy_(NOISE * torch.randn(weight.shape, generator=generator))
        starts = np.cumsum([vocab, N_POSITIONS, n_words, n_words, n_words]).tolist()
        self.position, self.told, self.idle, self.output = (
            range(start, start + size)
            for start, size in zip(starts, (N_POSITIONS, n_words, n_words, n_words), strict=False)
        )
        assert starts[-1] + 2 <= D_MODEL
        # Each embedding is one coordinate up and one down, so that a LayerNorm only scales it.
        eye, body = torch.eye(D_MODEL), self.hf.transformer
        body.wte.weight.copy_(eye[:vocab] - eye[-1])
        body.wpe.weight.copy_(eye[list(self.position)] - eye[-2])
        self.words = self.tokens(words)
        self.hf.lm_head.weight[self.words] = eye[list(self.output)]
        self.free = [(layer, head) for layer in range(N_LAYERS) for head in range(N_HEADS)]

    def model(self) -> Model:
        """The model as it is now."""
        return family_of("gpt2").of(self.hf, self.tokenizer)

    def tokens(self, words: Sequence[str]) -> list[int]:
        """The coordinates of words, each a token with a space before it."""
        return [self.tokenizer.encode(f" {word}", add_special_tokens=False)[0] for word in words]

    def at(self, mark: str) -> list[int]:
        """The coordinate of the position at which a mark is."""
        (position,) = set(self.questions.marks[mark])
        return [self.position[position]]

    def place(self, after: int = -1, before: int = N_LAYERS) -> Place:
        """A head that is not yet set, drawn from the layers between these two."""
        between = [place for place in self.free if after < place[0] < before]
        drawn = between[self.random.integers(len(between))]
        self.free.remove(drawn)
        return drawn

    def head(
        self,
        place: Place,
        looks: Sequence[tuple[Coordinates, Coordinates]],
        reads: Coordinates,
        writes: Coordinates,
        strength: float,
    ) -> None:
        """Set a head: queries with any of some coordinates attend to keys with any of others (`looks`), and what is
        read there, coordinate by coordinate, is written to others.
        """
        layer, number = place
        attention, first = self.hf.transformer.h[layer].attn, number * D_HEAD
        columns = slice(first, first + D_HEAD)
        q, k, v = attention.c_attn.weight.split(D_MODEL, dim=1)
        for weight in (q, k, v, *attention.c_attn.bias.split(D_MODEL)):
            weight[..., columns] = 0.0
        attention.c_proj.weight[columns] = 0.0
        for column, (queries, keys) in enumerate(looks, start=first):
            q[list(queries), column] = LOOK
            attention.c_attn.bias[column] = -AWAY
            k[list(keys), column] = LOOK
            k[self.position[0], column] = START
        for column, (source, target) in enumerate(zip(reads, writes, strict=True), start=first):
            v[source, column] = 0.25
            attention.c_proj.weight[column, target] = strength

    def mlp(self, layer: int, reads: Coordinates, writes: Coordinates, threshold: float, strength: float) -> None:
        """Set some of a layer's neurons: each reads one coordinate, less a threshold, and writes to another."""
        mlp = self.hf.transformer.h[layer].mlp
        for neuron, (source, target) in enumerate(zip(reads, writes, strict=True)):
            mlp.c_fc.weight[:, neuron] = mlp.c_proj.weight[neuron] = 0.0
            mlp.c_fc.weight[source, neuron], mlp.c_fc.bias[neuron] = 1.0, -threshold
            mlp.c_proj.weight[neuron, target] = strength
