"""What happens if: variants of a model's run, computed exactly and only where they differ."""

from vitro.engine.batches import Values, in_batches, keep
from vitro.engine.budget import Budget, MemoryBudgetError
from vitro.engine.clean import clean_runs
from vitro.engine.edit import (
    Edit,
    EditError,
    Hook,
    Site,
    Variant,
    mlp_out,
    pattern,
    pin,
    resid_mid,
    resid_post,
    resid_pre,
    z,
)
from vitro.engine.forward import Clean, attend, attention, clean_attention, run, visible
from vitro.engine.means import Means, mean_activations
from vitro.engine.place import Change, Placed
from vitro.engine.readout import Finals, Unembedded, read_out
from vitro.engine.sweep import Progress, Read, run_placed, sweep
from vitro.engine.tree import Tree, pack
from vitro.engine.watch import at_finals, clean_final_attention

__all__ = [
    "Budget",
    "Change",
    "Clean",
    "Edit",
    "EditError",
    "Finals",
    "Hook",
    "Means",
    "MemoryBudgetError",
    "Placed",
    "Progress",
    "Read",
    "Site",
    "Tree",
    "Unembedded",
    "Values",
    "Variant",
    "at_finals",
    "attend",
    "attention",
    "clean_attention",
    "clean_final_attention",
    "clean_runs",
    "in_batches",
    "keep",
    "mean_activations",
    "mlp_out",
    "pack",
    "pattern",
    "pin",
    "read_out",
    "resid_mid",
    "resid_post",
    "resid_pre",
    "run",
    "run_placed",
    "sweep",
    "visible",
    "z",
]
