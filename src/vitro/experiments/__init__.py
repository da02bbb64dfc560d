"""What we look at: one file per measurement, from a model and a task to named tables."""

from collections.abc import Iterable

from vitro.experiments.activations import activations
from vitro.experiments.answer_table import ANSWER_TABLE, answer_tables
from vitro.experiments.attention import ATTENTION, attention
from vitro.experiments.attention_pin import ATTENTION_PIN, pin_heads
from vitro.experiments.cast import cast
from vitro.experiments.circuits import CIRCUITS, in_vitro
from vitro.experiments.clean import CLEAN, clean_run
from vitro.experiments.curve import CURVE, curve
from vitro.experiments.curve_choices import CURVE_CHOICES
from vitro.experiments.datasets import DATASETS
from vitro.experiments.direct_attribution import DIRECT_ATTRIBUTION, direct_attribution
from vitro.experiments.edge_scores import SCORE_EXPERIMENTS, edge_scores, score_edges
from vitro.experiments.edges import ablate_edges, edge_case
from vitro.experiments.edges_agreement import EDGES_AGREEMENT, compare_scores
from vitro.experiments.experiment import Experiment, Measurement
from vitro.experiments.find import FIND, find
from vitro.experiments.head_ablation import HEAD_ABLATION, ablate_heads
from vitro.experiments.head_lens import HEAD_LENS, head_lens
from vitro.experiments.judged_circuit import JUDGED_CIRCUIT, judge
from vitro.experiments.keep_curve import KEEP_CURVE, keep_heads
from vitro.experiments.key_heads import KEY_HEADS, head_tokens, key_heads
from vitro.experiments.layer_lens import LAYER_LENS, layer_lens
from vitro.experiments.mlp_ablation import MLP_ABLATION, ablate_mlps
from vitro.experiments.mlp_local import MLP_LOCAL, mlp_local
from vitro.experiments.mounted import Mounted, mount
from vitro.experiments.patching import PATCHING, patch
from vitro.experiments.prompts import PROMPTS
from vitro.experiments.setup import Part, Setup
from vitro.experiments.steering import STEERING, steer
from vitro.experiments.stream_top import STREAM_TOP, stream_tokens
from vitro.experiments.successor import SUCCESSOR
from vitro.options import OptionError, Options
from vitro.tables import Tables

EXPERIMENTS = {
    experiment.name: experiment
    for experiment in (
        PROMPTS,
        CLEAN,
        DATASETS,
        HEAD_ABLATION,
        HEAD_LENS,
        KEY_HEADS,
        LAYER_LENS,
        MLP_LOCAL,
        MLP_ABLATION,
        DIRECT_ATTRIBUTION,
        ANSWER_TABLE,
        ATTENTION,
        ATTENTION_PIN,
        STREAM_TOP,
        STEERING,
        KEEP_CURVE,
        CIRCUITS,
        JUDGED_CIRCUIT,
        FIND,
        PATCHING,
        *SCORE_EXPERIMENTS.values(),
        EDGES_AGREEMENT,
        CURVE,
        CURVE_CHOICES,
        SUCCESSOR,
    )
}
"""The measurements by name, in the order in which a study makes and shows them. A new one is a line here.

Any is made by its name: `EXPERIMENTS["head_ablation"].measure(model, task)`.
"""
EVERY_STUDY = tuple(name for name, experiment in EXPERIMENTS.items() if experiment.command == "study")
"""Those that every study makes. The others, which take minutes, it makes where they are asked for by name."""


def measurements(names: Iterable[str]) -> tuple[str, ...]:
    """Experiments by their names, from these or from what they are called in Python, each once.

    >>> measurements(["ablate_heads", "find", "head_ablation"])
    ('head_ablation', 'find')

    Raises `OptionError`, with the list, where there is no such measurement.
    """
    calls = {experiment.call: name for name, experiment in EXPERIMENTS.items()}
    found = []
    for name in names:
        if name not in EXPERIMENTS and name not in calls:
            raise OptionError(f"there is no measurement {name!r}; there are {', '.join(calls)}")
        found.append(name if name in EXPERIMENTS else calls[name])
    return tuple(dict.fromkeys(found))


__all__ = [
    "EVERY_STUDY",
    "EXPERIMENTS",
    "FIND",
    "SCORE_EXPERIMENTS",
    "Experiment",
    "Measurement",
    "Mounted",
    "OptionError",
    "Options",
    "Part",
    "Setup",
    "Tables",
    "ablate_edges",
    "ablate_heads",
    "ablate_mlps",
    "activations",
    "answer_tables",
    "attention",
    "cast",
    "clean_run",
    "compare_scores",
    "curve",
    "direct_attribution",
    "edge_case",
    "edge_scores",
    "find",
    "head_lens",
    "head_tokens",
    "in_vitro",
    "judge",
    "keep_heads",
    "key_heads",
    "layer_lens",
    "measurements",
    "mlp_local",
    "mount",
    "patch",
    "pin_heads",
    "score_edges",
    "steer",
    "stream_tokens",
]
