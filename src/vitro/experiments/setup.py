"""A task on a model: what every measurement starts from, computed once for all of them."""

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from vitro.circuits import Circuit, Constants, Node, counterfactual, resampled, run_circuits
from vitro.engine import Budget, Read, Site, Variant, mean_activations, sweep
from vitro.experiments.streams import Streams, clean_streams
from vitro.heads import Head
from vitro.metrics import METRICS, Asked, Metric, fitting
from vitro.models import Model, check_model
from vitro.options import ABLATIONS, DEFAULT_OPTIONS, Ablation, OptionError, Options, check_options
from vitro.options import METRICS as CHOOSABLE
from vitro.progress import bar
from vitro.tables import Tables
from vitro.tasks import FINAL, Dataset, Questions, Task, TaskError, readable

Part = Callable[[str, Callable[[], Tables]], Tables]
"""Makes a part of a long run, by its name, or finds it where an earlier run left it."""


def anew(name: str, make: Callable[[], Tables]) -> Tables:
    """Makes the part and keeps nothing."""
    return make()


class Measured(Protocol):
    """What a setup asks of an experiment."""

    @property
    def name(self) -> str:
        """What its tables are kept under."""

    @property
    def run(self) -> Callable[["Setup"], Tables]:
        """How they are made."""


@dataclass(frozen=True, eq=False)
class Setup:
    """A model, a task in its tokens, and the options. What several measurements need is computed on first use."""

    model: Model
    task: Task
    options: Options = DEFAULT_OPTIONS
    measured: dict[str, Tables] = field(default_factory=dict)
    """The tables of the experiments that are done, by experiment."""
    seconds: dict[str, float] = field(default_factory=dict)
    """How long each of them took, without those that it called for."""
    part: Part = anew
    """Makes or finds the parts of a long experiment; a study keeps them on disk."""
    rows: tuple[int, ...] | None = None
    """Which of the task's prompts are asked, by their numbers; None: all."""
    whole: "Setup | None" = None
    """The setup of all prompts, where this one has only some: it decides on ablations, and means are taken over it."""

    def __post_init__(self) -> None:
        check_model(self.model)
        check_options(self.options)
        if isinstance(self.task, str):
            raise TaskError(f"the task is the text {self.task!r}; what works: vitro.tasks.named({self.task!r})")

    def tables(self, experiment: Measured) -> Tables:
        """The experiment's tables in this setup; it runs when they are first requested."""
        if experiment.name not in self.measured:
            start, others = time.perf_counter(), sum(self.seconds.values())
            self.measured[experiment.name] = experiment.run(self)
            others = sum(self.seconds.values()) - others
            self.seconds[experiment.name] = round(time.perf_counter() - start - others, 3)
        return self.measured[experiment.name]

    def with_tables(self, given: Mapping[str, Tables], without: Collection[str] = ()) -> "Setup":
        """This setup with these tables, by experiment, and without some that it has: those of this one stay."""
        setup = copy(self)
        kept = {name: tables for name, tables in self.measured.items() if name not in without}
        object.__setattr__(setup, "measured", {**kept, **given})
        return setup

    @cached_property
    def questions(self) -> Questions:
        """The task in this model's tokens."""
        if self.model.tokenizer is None:
            raise TaskError(
                f"task {self.task.name!r} needs the model's tokenizer, and it came without one; what works: "
                "vitro.load(hf_model, tokenizer)"
            )
        questions = self.task.questions(self.model.tokenizer, self.model.shape.n_ctx)
        d_vocab = self.model.shape.d_vocab
        if (last := max(map(max, (*questions.tokens, *(questions.partner or ()), questions.token_ids())))) >= d_vocab:
            raise TaskError(
                f"task {self.task.name!r}: {readable(self.model.tokenizer, last)!r} is token {last} of the tokenizer, "
                f"and the model has {d_vocab}; what works: other words, or the tokenizer that it was trained with"
            )
        return questions if self.rows is None else questions.take(self.rows)

    @cached_property
    def swept(self) -> "Setup":
        """The setup of the prompts on which every component is ablated in turn: this one, or one of fewer prompts."""
        n = self.options.sweep_prompts or self.task.sweep_prompts
        if n is None or n >= len(self.questions):
            return self
        return replace(self, rows=self.questions.spread(n), whole=self)

    @property
    def prompt_numbers(self) -> Int[np.ndarray, " prompt"]:
        """The prompts that are asked, as the tables count them."""
        return np.array(self.rows or range(len(self.questions)))

    @cached_property
    def varying(self) -> bool:
        """Whether the prompts differ in one position alone, that of a mark named subject.

        Then they are a template with a gap: positions correspond, and the words that fill the gap are of one kind.
        """
        questions = self.questions
        if "subject" not in questions.marks or not questions.one_length:
            return False
        tokens = np.array(questions.tokens)
        differ = (tokens != tokens[0]).any(0).nonzero()[0].tolist()
        return bool(questions.among) and set(differ) <= set(questions.marks["subject"])

    @cached_property
    def asked(self) -> Asked:
        """What counts as right and wrong, on the model's device."""
        return Asked.of(self.questions, self.model.device)

    @cached_property
    def metric(self) -> Metric:
        """The metric that rankings and summaries use: the requested one, or the task's own."""
        return self._metric_of(self.options.metric or self.task.metric)

    def _metric_of(self, name: str) -> Metric:
        metric = METRICS[name]
        if not metric.fits(self.questions):
            fit = ", ".join(metric.name for metric in fitting(self.questions) if metric.name in CHOOSABLE)
            lacks = "a closed list of answers" if metric.needs == "among" else "a wrong answer in every prompt"
            raise OptionError(f"{name} needs {lacks}, which {self.task.name} has not; what works: {fit}")
        return metric

    @cached_property
    def ablations(self) -> tuple[Ablation, ...]:
        """The ablations that are measured: the requested ones, or those of the task's own that are possible."""
        if self.whole is not None:
            return self.whole.ablations
        if self.options.ablations is None:
            return tuple(kind for kind in ABLATIONS if kind in self.task.ablations and not self.lacks(kind))
        for kind in self.options.ablations:
            self._refuse(kind)
        return tuple(kind for kind in ABLATIONS if kind in self.options.ablations)

    @property
    def ablation(self) -> Ablation:
        """The ablation that rankings and summaries use."""
        return self.ablations[-1]

    @property
    def edge_ablation(self) -> Ablation:
        """The ablation that replaces a cut edge's source."""
        return self.options.edge_ablation or self.ablation

    def lacks(self, kind: Ablation) -> str:
        """Why this task does not allow an ablation; empty where it does."""
        if kind == "zero":
            return ""
        if kind == "counterfactual":
            return "" if self.questions.partner else "the prompts have no counterfactuals"
        if not self.questions.one_length:
            lengths = self.questions.lengths
            return f"it is taken position by position, and the prompts have {min(lengths)} to {max(lengths)} tokens"
        if kind == "resample":
            return "" if len(self.swept.questions) > 1 else "there is no other prompt"
        return "" if kind in self.datasets else "it is a mean over sentences, of which the task has none"

    def _refuse(self, kind: Ablation) -> None:
        """OptionError where an ablation cannot be had, with those that can."""
        if reason := self.lacks(kind):
            works = ", ".join(kind for kind in ABLATIONS if not self.lacks(kind))
            raise OptionError(f"{kind} ablation cannot be had of {self.task.name}: {reason}; what works: {works}")

    def check(self) -> None:
        """Raise, before anything runs, what would stop a measurement half-way.

        That is a task or option that does not fit, a budget too small, a model whose own run comes to NaN or infinity.
        """
        list(Budget.of(self.model, self.options.memory).parts(list(map(list, self.questions.tokens))))
        _ = self.metric, self.ablations
        self._refuse(self.edge_ablation)
        # A clean run that is not finite would spoil every measurement.
        _ = self.streams
        shape = self.model.shape
        for layer, head in self.options.heads or ():
            if not (0 <= layer < shape.n_layers and 0 <= head < shape.n_heads):
                last = Head(shape.n_layers - 1, shape.n_heads - 1)
                raise OptionError(f"there is no head {Head(layer, head)} in this model: its heads are a0.h0 to {last}")
        if self.options.steer_layer is not None and not 0 <= self.options.steer_layer < shape.n_layers:
            raise OptionError(f"there is no layer {self.options.steer_layer}: the model has 0 to {shape.n_layers - 1}")
        _ = self.steer_token

    @cached_property
    def steer_token(self) -> int | None:
        """The token whose direction steers: the requested one, or the task's last content word before the end.

        None where the task names no content words: then the direction from wrong to right steers.
        """
        if self.options.steer_token is not None:
            ids = self.model.tokenizer.encode(self.options.steer_token, add_special_tokens=False)
            if len(ids) != 1:
                pieces = ", ".join(map(repr, self.token_text(ids))) or "none"
                raise OptionError(
                    f"the steering token {self.options.steer_token!r} is {len(ids)} tokens here ({pieces}) and must be "
                    "one; a word in the middle of a sentence has its space, as ' tomorrow'"
                )
            if ids[0] == self.model.tokenizer.unk_token_id:
                raise OptionError(
                    f"this model's tokenizer does not know the steering token {self.options.steer_token!r}"
                )
            return int(ids[0])
        questions = self.questions
        if not self.varying:
            return None
        final = questions.marks[FINAL][0]
        before_end = [position for position in questions.content if position != final]
        return questions.tokens[0][(before_end or [final])[-1]]

    @cached_property
    def streams(self) -> Streams:
        """The clean run's activations, prompt by prompt."""
        return clean_streams(self.model, self.questions.tokens, self.options.memory)

    def head_out(self, layer: int) -> Float[Tensor, "prompt head d_model"]:
        """What each head writes to the final stream, b_O apart, and its folded value bias where that is excluded.

        Where a norm stands after the heads, its scale is the clean run's (docs/method.md, section 4.3).
        """
        z = self.streams.z[:, layer]
        scale = self.model.write_scale(layer, z)
        if self.options.value_bias == "excluded":
            z = z - self.model.folded_value_bias(layer)
        written = torch.einsum("phd,hdm->phm", z, self.model.w_out(layer))
        return written if scale is None else (written / scale[:, None]).to(written.dtype)

    @cached_property
    def datasets(self) -> Mapping[Dataset, Int[np.ndarray, "sample position"]]:
        """The sentences (V2) over which means are taken, by the ablation that they are for."""
        if self.whole is not None:
            return self.whole.datasets
        options = self.options
        n_tokens = self.model.shape.d_vocab
        return self.task.sentences(self.questions, self.model.tokenizer, options.samples, options.seed, n_tokens)

    @cached_property
    def _constants(self) -> dict[Ablation, Constants]:
        return {}

    def constants(self, kind: Ablation) -> Constants:
        """What an ablated component puts out: every head's z, every MLP's output, and the embedding.

        OptionError where the task has not what this takes: circuits name ablations of their own.
        """
        if kind not in self._constants:
            self._refuse(kind)
            self._constants[kind] = self._constants_of(kind)
        return self._constants[kind]

    def _constants_of(self, kind: Ablation) -> Constants:
        model, questions, memory = self.model, self.questions, self.options.memory
        if kind == "counterfactual":
            assert questions.partner is not None
            return counterfactual(model, questions.tokens, questions.partner, memory)
        if kind == "resample":
            return resampled(model, questions.tokens, self.options.seed, memory)
        if kind == "zero":
            biases = [model.folded_value_bias(layer) for layer in range(model.shape.n_layers)]
            z = torch.stack(biases)[:, None, None]
            if self.options.value_bias == "included":
                z = torch.zeros_like(z)
            nothing = torch.zeros(model.shape.n_layers, 1, 1, model.shape.d_model, device=model.device)
            # Positions are no node of the graph: what is ablated of the input are its tokens.
            places = model.pos_embed(torch.arange(max(questions.lengths), device=model.device))
            return Constants(nothing[0] if places is None else places[None], z, nothing)
        with bar(f"{kind} dataset") as progress:
            sentences = self.datasets[kind].tolist()
            means = mean_activations(model, sentences, memory=memory, progress=progress)
        runs = np.concatenate([self.datasets[kind], np.array(questions.tokens)])
        differ = (runs != runs[0]).any(0)
        return Constants.of(means, since=int(differ.argmax()) if differ.any() else 0)

    def ablate(self, site: Site, kind: Ablation) -> Variant:
        """The edits that ablate a head (at its z) or an MLP (at its output), wherever that can change anything."""
        return self.constants(kind).in_place_of(site, max(self.questions.lengths))

    def sweep(
        self, variants: Iterable[Variant], read: Read, what: str, *, watch: Sequence[Site] = ()
    ) -> dict[str, Tensor]:
        """`engine.sweep` over the task's prompts, in the memory of the options, under a progress bar."""
        with bar(what) as progress:
            return sweep(
                self.model,
                self.questions.tokens,
                list(variants),
                read,
                watch=watch,
                memory=self.options.memory,
                progress=progress,
            )

    def run_circuits(
        self, circuits: Sequence[Circuit], read: Read, what: str, *, watch: Sequence[Node] = ()
    ) -> dict[str, Tensor]:
        """`circuits.run_circuits` over the task's prompts, under a progress bar."""
        kinds = {kind for circuit in circuits for kind in circuit.constant_kinds}
        constants = {kind: self.constants(kind) for kind in sorted(kinds)}
        with bar(what) as progress:
            return run_circuits(
                self.model,
                self.questions.tokens,
                circuits,
                read,
                marks=self.questions.marks,
                constants=constants,
                value_bias=self.options.value_bias,
                watch=watch,
                memory=self.options.memory,
                progress=progress,
            )

    def token_text(self, ids: Sequence[int]) -> list[str]:
        """Tokens as text, leading spaces kept."""
        texts = {token: readable(self.model.tokenizer, token) for token in set(ids)}
        return [texts[token] for token in ids]
