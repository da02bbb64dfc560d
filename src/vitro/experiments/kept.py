"""What was measured of a model is kept with it, so that calls in a row share it."""

import json
from collections import OrderedDict
from collections.abc import Hashable
from pathlib import Path
from weakref import WeakKeyDictionary

from vitro.experiments.setup import Setup
from vitro.models import Model
from vitro.options import Options
from vitro.tables import Tables
from vitro.tasks import Task, as_task

MOST = 8
"""Tasks (with their options) of which the tables are kept, the last ones used."""
_Kept = OrderedDict[Hashable, tuple[dict[str, Tables], dict[str, float]]]
# Tables only, which know nothing of the model: it is gone as soon as its last user lets go of it.
_OF_MODEL: WeakKeyDictionary[Model, _Kept] = WeakKeyDictionary()


def setup_of(model: Model, task: Task | str | Path, options: Options) -> Setup:
    """The setup of a task on a model, with what was measured in it before, as long as the weights are the same.

    task: or its name or file (see `vitro.tasks.named`). Raises what `named` does.
    """
    task = as_task(task, getattr(options, "seed", 0))
    if not isinstance(model, Model) or not isinstance(options, Options):
        return Setup(model, task, options)  # which says what is wrong with them
    kept = _OF_MODEL.setdefault(model, OrderedDict())
    key = (json.dumps(task.identity(), sort_keys=True), options, weights_of(model))
    measured, seconds = kept.setdefault(key, ({}, {}))
    kept.move_to_end(key)
    while len(kept) > MOST:
        kept.popitem(last=False)
    return Setup(model, task, options, measured, seconds)


def weights_of(model: Model) -> Hashable:
    """Changes where a weight is changed in place or replaced. (Not seen: what is written through `.data`.)"""
    return tuple((weight.data_ptr(), weight._version) for weight in model.hf.parameters())
