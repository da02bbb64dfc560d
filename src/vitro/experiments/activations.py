"""Activations of a task's prompts, for work of one's own."""

from collections.abc import Sequence

from vitro.engine import Activations, Site
from vitro.engine import activations as activations_of
from vitro.experiments.kept import setup_of
from vitro.models import Model
from vitro.options import DEFAULT_OPTIONS, Options
from vitro.tasks import Task


def activations(
    model: Model, task: Task | str, sites: Sequence[str | Site], options: Options = DEFAULT_OPTIONS
) -> Activations:
    """Named activations of the model's own run on a task's prompts, by TransformerLens's names.

    sites: `blocks.9.attn.hook_z`, `hook_embed`, in short `z9` for a layer and `z` for all (see `engine.activations`).
    Each is a float32 tensor [prompt, position, ...] on the CPU (`.numpy()` gives an array), NaN beyond a prompt's end;
    a pattern is [prompt, head, query, key].

    Raises `SiteError` for a place that the model does not have.

    >>> vitro.activations(model, task, ["resid_post"])["blocks.0.hook_resid_post"].shape
    torch.Size([7, 8, 64])
    """
    return activations_of(model, setup_of(model, task, options).questions.tokens, sites, options.memory)
