"""A task mounted on a model: what every measurement starts from, computed once for all of them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import polars as pl
import torch
from jaxtyping import Float, Int
from torch import Tensor

from vitro.circuits import Circuit, Constant, Constants, Node, resampled, run_circuits
from vitro.engine import Budget, Means, Read, Site, Variant, mean_activations, sweep
from vitro.experiments.streams import Streams, clean_streams
from vitro.heads import Head as Head
from vitro.models import Model
from vitro.options import DEFAULT_OPTIONS as DEFAULT_OPTIONS
from vitro.options import IgEndpoints as IgEndpoints
from vitro.options import OptionError as OptionError
from vitro.options import Options as Options
from vitro.options import SteerPositions as SteerPositions
from vitro.options import UnembedDirection as UnembedDirection
from vitro.options import ValueBias as ValueBias
from vitro.progress import bar
from vitro.tasks import DATASETS, Dataset, Prompts, Task, draw, readable, tokenize

if TYPE_CHECKING:
    from vitro.experiments.experiment import Experiment

Tables = Mapping[str, pl.DataFrame]
"""Tables by name."""

Method = Literal["zero", "random", "mean"]
METHODS: tuple[Method, ...] = get_args(Method)
"""The post's ablations: by zero, by the mean over sentences without the task, over sentences without the subject."""


Part = Callable[[str, Callable[[], Tables]], Tables]
"""Makes a part of a long run, by its name, or finds it where an earlier run left it."""


def anew(name: str, make: Callable[[], Tables]) -> Tables:
    """A part made, and kept nowhere."""
    return make()


@dataclass(frozen=True, eq=False)
class Setup:
    """A model, a task in its tokens, and the options. What several measurements need is computed on first use."""

    model: Model
    task: Task
    options: Options = DEFAULT_OPTIONS
    measured: dict[str, Tables] = field(default_factory=dict)
    """The tables of the experiments that are done, by experiment."""
    part: Part = anew
    """Of a long experiment: a study keeps parts on disk."""

    def tables(self, experiment: "Experiment") -> Tables:
        """What an experiment found here; it is run the first time that anything asks."""
        if experiment.name not in self.measured:
            self.measured[experiment.name] = experiment.run(self)
        return self.measured[experiment.name]

    @cached_property
    def prompts(self) -> Prompts:
        """The task in this model's tokens."""
        return tokenize(self.task, self.model.tokenizer, self.model.shape.n_ctx)

    @cached_property
    def token_ids(self) -> tuple[Int[Tensor, " prompt"], Int[Tensor, " prompt"], Int[Tensor, " answer"]]:
        """The answer and the subject of every prompt, and the task's answers, as tokens on the model's device."""
        prompts = self.prompts
        ids = (prompts.answer_ids, prompts.subject_ids, prompts.answer_list_ids)
        answers, subjects, answer_list = (torch.tensor(array, device=self.model.device) for array in ids)
        return answers, subjects, answer_list

    def check(self) -> None:
        """Raise what would stop a measurement half-way.

        That is a task or option that does not fit, a budget too small, a model whose own run comes to NaN or infinity.
        """
        list(Budget.of(self.model, self.options.memory).parts(self.prompts.tokens.tolist()))
        _ = self.datasets
        # What is not finite here is so in every measurement.
        _ = self.streams
        shape = self.model.shape
        for layer, head in self.options.heads or ():
            if not (0 <= layer < shape.n_layers and 0 <= head < shape.n_heads):
                last = f"a{shape.n_layers - 1}.h{shape.n_heads - 1}"
                raise OptionError(f"there is no head a{layer}.h{head} in this model: its heads are a0.h0 to {last}")
        if self.options.steer_layer is not None and not 0 <= self.options.steer_layer < shape.n_layers:
            raise OptionError(f"there is no layer {self.options.steer_layer}: the model has 0 to {shape.n_layers - 1}")
        _ = self.steer_token

    @cached_property
    def steer_token(self) -> int:
        """The token whose direction steers: the one asked for, or the task's last content word before the end."""
        if self.options.steer_token is not None:
            ids = self.model.tokenizer.encode(self.options.steer_token, add_special_tokens=False)
            if len(ids) != 1:
                raise OptionError(f"the steering token {self.options.steer_token!r} is {len(ids)} tokens, not one")
            if ids[0] == self.model.tokenizer.unk_token_id:
                raise OptionError(
                    f"this model's tokenizer does not know the steering token {self.options.steer_token!r}"
                )
            return int(ids[0])
        prompts = self.prompts
        final = prompts.tokens.shape[1] - 1
        before_end = [position for position in prompts.content_positions if position != final]
        return int(prompts.tokens[0, (before_end or [final])[-1]])

    @cached_property
    def streams(self) -> Streams:
        """The clean run's activations, prompt by prompt."""
        return clean_streams(self.model, self.prompts.tokens.tolist(), self.options.memory)

    def head_out(self, layer: int) -> Float[Tensor, "prompt head d_model"]:
        """What each head writes to the final stream, b_O apart, and its folded value bias where that is excluded."""
        z = self.streams.z[:, layer]
        if self.options.value_bias == "excluded":
            z = z - self.model.folded_value_bias(layer)
        return torch.einsum("phd,hdm->phm", z, self.model.w_out(layer))

    @cached_property
    def datasets(self) -> Mapping[Dataset, Int[np.ndarray, "sample position"]]:
        """The drawn sentences (V2): the random and the mean dataset."""
        options = self.options
        return {
            name: draw(self.prompts, self.model.tokenizer, name, options.samples, options.seed) for name in DATASETS
        }

    @cached_property
    def means(self) -> Mapping[Dataset, Means]:
        """Every head's and MLP's mean output at every position, over the drawn sentences."""
        found = {}
        for name, sentences in self.datasets.items():
            with bar(f"{name} dataset") as progress:
                found[name] = mean_activations(
                    self.model, sentences.tolist(), memory=self.options.memory, progress=progress
                )
        return found

    def z_instead(self, method: Method, layer: int) -> Float[Tensor, "position head d_head"]:
        """What ablation puts in the place of every head's z in a layer; the position axis is 1 where all are alike."""
        if method != "zero":
            return self.means[method].z[layer]
        bias = self.model.folded_value_bias(layer)[None]
        return bias if self.options.value_bias == "excluded" else torch.zeros_like(bias)

    def ablated_positions(self, method: Constant) -> tuple[int, ...] | None:
        """The positions at which ablation can change anything; None: all.

        Where every drawn sentence still equals the prompts, a mean over them is the clean activation itself.
        """
        if method == "zero":
            return None
        drawn = [] if method == "resample" else [self.datasets[method]]
        both = np.concatenate([*drawn, self.prompts.tokens])
        first = int((both != both[0]).any(0).argmax())
        return tuple(range(first, both.shape[1]))

    def mlp_instead(self, method: Method, layer: int) -> Float[Tensor, "position d_model"]:
        """What ablation puts in the place of an MLP's output."""
        return torch.zeros(1, self.model.shape.d_model) if method == "zero" else self.means[method].mlp_out[layer]

    def sweep(
        self, variants: Iterable[Variant], read: Read, what: str, *, watch: Sequence[Site] = ()
    ) -> dict[str, Tensor]:
        """`engine.sweep` over the task's prompts, in the memory of the options, under a bar that says what is run."""
        with bar(what) as progress:
            return sweep(
                self.model,
                self.prompts.tokens.tolist(),
                list(variants),
                read,
                watch=watch,
                memory=self.options.memory,
                progress=progress,
            )

    def run_circuits(
        self, circuits: Sequence[Circuit], read: Read, what: str, *, watch: Sequence[Node] = ()
    ) -> dict[str, Tensor]:
        """`circuits.run_circuits` over the task's prompts, under a bar that says what is run."""
        kinds = {kind for circuit in circuits for _, kind in circuit.constants}
        constants = {kind: self.constants(kind) for kind in sorted(kinds)}
        with bar(what) as progress:
            return run_circuits(
                self.model,
                self.prompts.tokens.tolist(),
                circuits,
                read,
                subject=self.prompts.subject_position,
                constants=constants,
                value_bias=self.options.value_bias,
                watch=watch,
                memory=self.options.memory,
                progress=progress,
            )

    def constants(self, kind: Constant) -> Constants:
        """What components at a constant put out in circuits, the same as in ablation."""
        if kind == "resample":
            return resampled(self.model, self.prompts.tokens.tolist(), self.options.seed, self.options.memory)
        layers = range(self.model.shape.n_layers)
        z = torch.stack([self.z_instead(kind, layer).to(self.model.device) for layer in layers])
        mlp_out = torch.stack([self.mlp_instead(kind, layer).to(self.model.device) for layer in layers])
        embed = torch.zeros(1, self.model.shape.d_model) if kind == "zero" else self.means[kind].embed
        return Constants(embed[None].to(self.model.device), z[:, None], mlp_out[:, None])

    def token_text(self, ids: Sequence[int]) -> list[str]:
        """Tokens as text, leading spaces kept."""
        known = {token: readable(self.model.tokenizer, token) for token in set(ids)}
        return [known[token] for token in ids]
