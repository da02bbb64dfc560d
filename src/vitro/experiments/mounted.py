"""A task mounted on a model: every measurement as a method, and what they have in common measured once."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from vitro.circuits import Cast, Circuit
from vitro.engine import Patch, SiteError, activations
from vitro.experiments.answer_table import answer_tables_in
from vitro.experiments.attention import ATTENTION
from vitro.experiments.attention_pin import ATTENTION_PIN
from vitro.experiments.circuits import in_vitro_in
from vitro.experiments.clean import CLEAN
from vitro.experiments.curve import USUAL, curve_in
from vitro.experiments.direct_attribution import DIRECT_ATTRIBUTION
from vitro.experiments.edge_scores import experiment_of
from vitro.experiments.edges import EDGES
from vitro.experiments.edges_agreement import compared_in
from vitro.experiments.experiment import Measurement
from vitro.experiments.find import FIND
from vitro.experiments.head_ablation import HEAD_ABLATION
from vitro.experiments.head_lens import HEAD_LENS
from vitro.experiments.judged_circuit import judged_in
from vitro.experiments.keep_curve import KEEP_CURVE
from vitro.experiments.kept import setup_of, weights_of
from vitro.experiments.key_heads import KEY_HEADS
from vitro.experiments.layer_lens import LAYER_LENS
from vitro.experiments.mlp_ablation import MLP_ABLATION
from vitro.experiments.mlp_local import MLP_LOCAL
from vitro.experiments.patching import STREAMS, patched_in
from vitro.experiments.setup import Setup
from vitro.experiments.steering import STEERING
from vitro.experiments.stream_top import STREAM_TOP
from vitro.models import Model
from vitro.options import DEFAULT_OPTIONS, Options, ScoreName
from vitro.tables.labels import counted
from vitro.tasks import Task


class Kept:
    """The activations of a mounted task, by TransformerLens's names; each is taken once and kept.

    Float32 on the CPU, [prompt, position, ...], NaN beyond a prompt's end (see `vitro.activations`). Clone one before
    changing it in place.
    """

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._values: dict[str, Tensor] = {}

    def __getitem__(self, name: str) -> Float[Tensor, "prompt *axes"]:
        """The activation that a name stands for: `blocks.9.attn.hook_z`, in short `z9`. SiteError for any other."""
        if name not in self._values:
            setup = self._setup
            taken = activations(setup.model, setup.questions.tokens, [name], setup.options.memory)
            if len(taken.names) > 1:
                raise SiteError(f"{name!r} stands for {len(taken.names)} activations; what works: {taken.names[0]!r}")
            self._values[name] = taken[taken.names[0]]
        return self._values[name]

    def __repr__(self) -> str:
        taken = ", ".join(self._values) or "none yet"
        return f"activations by name, as m.activations['z0']; kept: {taken}"


class Mounted:
    """A task on a model. Each method is the function of the same name in `vitro`, without model, task and options.

    Methods share what they need (the clean run, constants, the head sweep), and with the functions the tables: what was
    measured of this model, task and options is not measured again, until a weight changes.

    >>> m = vitro.mount(model, "days")
    >>> m.ablate_heads().table is vitro.ablate_heads(model, "days").table
    True
    """

    def __init__(self, model: Model, task: Task | str | Path, options: Options) -> None:
        self._mount(setup_of(model, task, options))

    def _mount(self, setup: Setup) -> None:
        self.model, self.task, self.options = setup.model, setup.task, setup.options
        # That the task fits the tokenizer is known at once.
        _ = setup.questions
        self._mounted, self._weights, self._kept = setup, weights_of(setup.model), Kept(setup)

    @property
    def _setup(self) -> Setup:
        """The setup, made anew where a weight has changed since it was made."""
        if weights_of(self.model) != self._weights:
            self._mount(setup_of(self.model, self.task, self.options))
        return self._mounted

    def __repr__(self) -> str:
        setup = self._setup
        measured = ", ".join(setup.measured) or "nothing yet"
        return f"{self.task.name}, {counted(len(setup.questions))}, on {self.model!r}\n  Measured: {measured}"

    @property
    def activations(self) -> Kept:
        """Activations of the model's own run on the prompts: `m.activations["z9"]`."""
        _ = self._setup
        return self._kept

    def clean_run(self) -> Measurement:
        """The model's own answers."""
        return CLEAN.of(self._setup)

    def ablate_heads(self) -> Measurement:
        """Every head ablated alone."""
        return HEAD_ABLATION.of(self._setup)

    def ablate_mlps(self) -> Measurement:
        """Every MLP ablated alone."""
        return MLP_ABLATION.of(self._setup)

    def head_lens(self) -> Measurement:
        """What each head writes, by the logit lens."""
        return HEAD_LENS.of(self._setup)

    def head_tokens(self) -> Measurement:
        """The key heads' top tokens."""
        return KEY_HEADS.of(self._setup)

    def layer_lens(self) -> Measurement:
        """The answer after each half layer, by the logit lens."""
        return LAYER_LENS.of(self._setup)

    def mlp_local(self) -> Measurement:
        """What each MLP does on the spot."""
        return MLP_LOCAL.of(self._setup)

    def direct_attribution(self) -> Measurement:
        """Every component's share of the logit difference."""
        return DIRECT_ATTRIBUTION.of(self._setup)

    def answer_tables(self, components: Sequence[str] | None = None) -> Measurement:
        """Answer tables of any components."""
        return answer_tables_in(self._setup, components)

    def attention(self) -> Measurement:
        """Where the key heads look."""
        return ATTENTION.of(self._setup)

    def pin_heads(self) -> Measurement:
        """Heads pinned to each stream in turn."""
        return ATTENTION_PIN.of(self._setup)

    def stream_tokens(self) -> Measurement:
        """Top tokens of every stream at the input of every layer."""
        return STREAM_TOP.of(self._setup)

    def steer(self) -> Measurement:
        """Steering by a token's direction."""
        return STEERING.of(self._setup)

    def keep_heads(self) -> Measurement:
        """The k strongest heads kept, for k from none to all."""
        return KEEP_CURVE.of(self._setup)

    def patch(self, sites: Sequence[Patch] = STREAMS, positions: Sequence[int | str] | None = None) -> Measurement:
        """Any site patched from the prompt's counterfactual."""
        return patched_in(self._setup, sites, positions)

    def in_vitro(self, circuits: Mapping[str, Circuit] | Cast | None = None) -> Measurement:
        """Circuits on their own, or within the model."""
        return in_vitro_in(self._setup, circuits)

    def judge(self, circuit: Circuit | None = None) -> Measurement:
        """How good a circuit is."""
        return judged_in(self._setup, circuit)

    def find(self) -> Measurement:
        """The smallest circuit that does the task."""
        return FIND.of(self._setup)

    def ablate_edges(self) -> Measurement:
        """The exact effect of cutting each edge alone."""
        return EDGES.of(self._setup)

    def score_edges(self, name: ScoreName) -> Measurement:
        """A score of every edge."""
        return experiment_of(name).of(self._setup)

    def compare_scores(self, scores: Collection[ScoreName] = ("eap", "eap-ig")) -> Measurement:
        """Scores of every edge beside the exact effects."""
        return compared_in(self._setup, scores)

    def curve(self, scores: Collection[ScoreName] = (USUAL,)) -> Measurement:
        """MIB's curve of the edges ranked by each of some scores."""
        return curve_in(self._setup, scores)


def mount(model: Model, task: Task | str | Path, options: Options = DEFAULT_OPTIONS) -> Mounted:
    """A task mounted on a model: every measurement as a method, sharing what they have in common.

    task: or its name or file (see `vitro.tasks.named`). Raises what `named` does, `TaskError` where the task does not
    fit the tokenizer, and `ModelError` where the model is none; options that do not fit are refused by the first
    measurement.

    >>> m = vitro.mount(model, "days")
    >>> m.ablate_heads().numbers["head"][0], tuple(m.activations["z1"].shape)
    ('a1.h1', (7, 8, 4, 16))
    """
    return Mounted(model, task, options)
