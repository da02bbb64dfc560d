"""What happens if: variants of a model's run, computed exactly and only where they differ."""

from vitro.engine.activations import Activations, SiteError, activations
from vitro.engine.batches import ReadError, Values, in_batches
from vitro.engine.budget import Budget, MemoryBudgetError
from vitro.engine.clean import clean_runs
from vitro.engine.direct import Shares, direct_attribution
from vitro.engine.edit import (
    Edit,
    EditError,
    Hook,
    Site,
    Variant,
    attn_out,
    expert_out,
    mlp_out,
    pattern,
    pin,
    resid_mid,
    resid_post,
    resid_pre,
    z,
)
from vitro.engine.finite import (
    NotFiniteError,
    alone,
    clean_begins,
    is_finite,
    not_finite,
    refuse_broken,
    variant_begins,
)
from vitro.engine.forward import Clean, clean_attention, run, visible
from vitro.engine.means import Means, mean_activations
from vitro.engine.norm import precise_format
from vitro.engine.patch import PATCHES, Patch, patch
from vitro.engine.place import Change, Placed, first_conflict
from vitro.engine.prepared import Part, Prepared
from vitro.engine.prompts import PromptError, Prompts, checked_partners, checked_prompts, in_parts, of_one_length
from vitro.engine.readout import Finals, Unembedded, read_out
from vitro.engine.results import BROKEN, Progress, Results
from vitro.engine.sweep import Read, read_checked, run_placed, sweep
from vitro.engine.tree import Tree, pack
from vitro.engine.watch import at_finals, clean_final_attention

__all__ = [
    "BROKEN",
    "PATCHES",
    "Activations",
    "Budget",
    "Change",
    "Clean",
    "Edit",
    "EditError",
    "Finals",
    "Hook",
    "Means",
    "MemoryBudgetError",
    "NotFiniteError",
    "Part",
    "Patch",
    "Placed",
    "Prepared",
    "Progress",
    "PromptError",
    "Prompts",
    "Read",
    "ReadError",
    "Results",
    "Shares",
    "Site",
    "SiteError",
    "Tree",
    "Unembedded",
    "Values",
    "Variant",
    "activations",
    "alone",
    "at_finals",
    "attn_out",
    "checked_partners",
    "checked_prompts",
    "clean_attention",
    "clean_begins",
    "clean_final_attention",
    "clean_runs",
    "direct_attribution",
    "expert_out",
    "first_conflict",
    "in_batches",
    "in_parts",
    "is_finite",
    "mean_activations",
    "mlp_out",
    "not_finite",
    "of_one_length",
    "pack",
    "patch",
    "pattern",
    "pin",
    "precise_format",
    "read_checked",
    "read_out",
    "refuse_broken",
    "resid_mid",
    "resid_post",
    "resid_pre",
    "run",
    "run_placed",
    "sweep",
    "variant_begins",
    "visible",
    "z",
]
