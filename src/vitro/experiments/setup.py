"""A task mounted on a model: what every measurement starts from, computed once for all of them."""

import math
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
from vitro.errors import VitroError
from vitro.experiments.streams import Streams, clean_streams
from vitro.models import Model
from vitro.progress import bar
from vitro.tasks import DATASETS, Dataset, Prompts, Task, draw, readable, tokenize

if TYPE_CHECKING:
    from vitro.experiments.experiment import Experiment

Tables = Mapping[str, pl.DataFrame]
"""Tables by name."""

Method = Literal["zero", "random", "mean"]
METHODS: tuple[Method, ...] = get_args(Method)
"""The post's ablations: by zero, by the mean over sentences without the task, over sentences without the subject."""

ValueBias = Literal["excluded", "included"]
UnembedDirection = Literal["folded", "raw"]
SteerPositions = Literal["final", "all"]
OutputBias = Literal["excluded", "included"]
IgEndpoints = Literal["mib", "paper"]
Head = tuple[int, int]
"""(layer, head)"""


class OptionError(VitroError):
    """An option of a measurement that is out of range."""


@dataclass(frozen=True)
class Options:
    """What a measurement leaves open; every choice is recorded with its results.

    seed, samples: of the random and the mean dataset (the post does not give N; a replication used 256).
    value_bias: whether a head's output contains what it adds at every position alike, b_V + b_LN W_V (b_LN: the bias of
    the norm before the heads). "excluded" is the post's, made with TransformerLens' folded weights: a zero-ablated head
    still passes that on. "included" is the raw model's. Where there is neither bias (Llama) the two are one; random and
    mean ablation do not depend on it.
    heads: the key heads, which the sections on single heads show; None: chosen by rule (see `key_heads`).
    steer_token, steer_layer, alphas: what is added to the stream at the end of which layer, times what; None: the last
    content word of the task, and the layer before the first key head's.
    unembed_direction: the steering vector, a token's column of W_U: "folded" as TransformerLens folds it (times the
    final norm's weight, centred), or "raw".
    output_bias: whether the bias of a layer's heads (b_O) goes along with them in circuits where only wired heads are
    read (C3 to C9); the post does not say.
    steer_positions: where it is added: at the "final" stream, or at "all"; the post does not say.
    edge_ablation: what a cut edge's source is taken to write.
    ig_endpoints: where EAP-IG takes its m gradients between the ablated embedding (0) and the clean one (1): "mib" at
    0 ... (m-1)/m, as MIB and the main branch of EAP-IG's code; "paper" at 1/m ... 1, as its paper.
    memory: bytes for everything but the model; None: the engine's default.
    """

    seed: int = 0
    samples: int = 256
    value_bias: ValueBias = "excluded"
    heads: tuple[Head, ...] | None = None
    steer_token: str | None = None
    steer_layer: int | None = None
    alphas: tuple[float, ...] = (-5.0, -1.0, 0.0, 1.0, 5.0, 100.0)
    unembed_direction: UnembedDirection = "folded"
    steer_positions: SteerPositions = "final"
    output_bias: OutputBias = "excluded"
    edge_ablation: Constant = "mean"
    ig_endpoints: IgEndpoints = "mib"
    memory: int | None = None

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise OptionError(f"the seed must be 0 or more, not {self.seed}")
        if self.samples < 1:
            raise OptionError(f"the number of samples must be 1 or more, not {self.samples}")
        for name, choices in (
            ("value_bias", ValueBias),
            ("unembed_direction", UnembedDirection),
            ("steer_positions", SteerPositions),
            ("output_bias", OutputBias),
            ("edge_ablation", Constant),
            ("ig_endpoints", IgEndpoints),
        ):
            if getattr(self, name) not in get_args(choices):
                listed = " or ".join(get_args(choices))
                raise OptionError(f"{name} must be {listed}, not {getattr(self, name)!r}")
        if self.heads is not None and (not self.heads or len(set(self.heads)) < len(self.heads)):
            raise OptionError(f"heads must be one or more, each once, not {self.heads}; None chooses them by rule")
        if not self.alphas or not all(math.isfinite(alpha) for alpha in self.alphas):
            raise OptionError(f"alphas must be one or more finite numbers, not {self.alphas}")
        if self.memory is not None and self.memory < 1:
            raise OptionError(f"the memory budget must be a positive number of bytes, not {self.memory}")


DEFAULT_OPTIONS = Options()


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
