"""Vitro takes circuits out of language models and tests them in glass.

    model = vitro.load("gpt2")
    vitro.ablate_heads(model, "days")

Names are imported when they are first used, for torch takes seconds and `vitro --help` should not wait for it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vitro import tasks as tasks
    from vitro.atlases import Atlas as Atlas
    from vitro.atlases import atlas as atlas
    from vitro.circuits import Circuit as Circuit
    from vitro.errors import VitroError as VitroError
    from vitro.experiments import EXPERIMENTS as EXPERIMENTS
    from vitro.experiments import Measurement as Measurement
    from vitro.experiments import Mounted as Mounted
    from vitro.experiments import ablate_edges as ablate_edges
    from vitro.experiments import ablate_heads as ablate_heads
    from vitro.experiments import ablate_mlps as ablate_mlps
    from vitro.experiments import activations as activations
    from vitro.experiments import answer_tables as answer_tables
    from vitro.experiments import attention as attention
    from vitro.experiments import clean_run as clean_run
    from vitro.experiments import compare_scores as compare_scores
    from vitro.experiments import curve as curve
    from vitro.experiments import direct_attribution as direct_attribution
    from vitro.experiments import find as find
    from vitro.experiments import head_lens as head_lens
    from vitro.experiments import head_tokens as head_tokens
    from vitro.experiments import in_vitro as in_vitro
    from vitro.experiments import judge as judge
    from vitro.experiments import keep_heads as keep_heads
    from vitro.experiments import layer_lens as layer_lens
    from vitro.experiments import mlp_local as mlp_local
    from vitro.experiments import mount as mount
    from vitro.experiments import patch as patch
    from vitro.experiments import pin_heads as pin_heads
    from vitro.experiments import score_edges as score_edges
    from vitro.experiments import steer as steer
    from vitro.experiments import stream_tokens as stream_tokens
    from vitro.models import Model as Model
    from vitro.models import load as load
    from vitro.options import Options as Options
    from vitro.record import Study as Study
    from vitro.reproduction import reproduce as reproduce
    from vitro.study import open_study as open_study
    from vitro.study import run_study as run_study
    from vitro.successors import successor as successor

    __version__: str

_HOME = {
    "Atlas": "vitro.atlases",
    "Circuit": "vitro.circuits",
    "EXPERIMENTS": "vitro.experiments",
    "Measurement": "vitro.experiments",
    "Model": "vitro.models",
    "Mounted": "vitro.experiments",
    "Options": "vitro.options",
    "Study": "vitro.record",
    "VitroError": "vitro.errors",
    "ablate_edges": "vitro.experiments",
    "ablate_heads": "vitro.experiments",
    "ablate_mlps": "vitro.experiments",
    "activations": "vitro.experiments",
    "answer_tables": "vitro.experiments",
    "atlas": "vitro.atlases",
    "attention": "vitro.experiments",
    "clean_run": "vitro.experiments",
    "compare_scores": "vitro.experiments",
    "curve": "vitro.experiments",
    "direct_attribution": "vitro.experiments",
    "find": "vitro.experiments",
    "head_lens": "vitro.experiments",
    "head_tokens": "vitro.experiments",
    "in_vitro": "vitro.experiments",
    "judge": "vitro.experiments",
    "keep_heads": "vitro.experiments",
    "layer_lens": "vitro.experiments",
    "load": "vitro.models",
    "mlp_local": "vitro.experiments",
    "mount": "vitro.experiments",
    "open_study": "vitro.study",
    "patch": "vitro.experiments",
    "pin_heads": "vitro.experiments",
    "reproduce": "vitro.reproduction",
    "run_study": "vitro.study",
    "score_edges": "vitro.experiments",
    "steer": "vitro.experiments",
    "stream_tokens": "vitro.experiments",
    "successor": "vitro.successors",
}
__all__ = ["tasks", *sorted(_HOME)]


def __getattr__(name: str) -> Any:
    if name == "tasks":
        return import_module("vitro.tasks")
    if name == "__version__":
        return import_module("importlib.metadata").version("vitro")
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'vitro' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
