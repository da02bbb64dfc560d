"""Sweeps: many variants of many prompts, in bounded memory, and what is read off each of them."""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from vitro.engine.batches import ReadError, Values, checked_values, in_batches
from vitro.engine.budget import Budget
from vitro.engine.cone import plan
from vitro.engine.edit import Edit, EditError, Site, Variant
from vitro.engine.finite import alone, variant_begins
from vitro.engine.place import Placed, check_variant, check_watch, first_conflict, place
from vitro.engine.prepared import Part, Prepared
from vitro.engine.prompts import Prompts
from vitro.engine.readout import Finals, Unembedded
from vitro.engine.results import BROKEN, Progress, Results
from vitro.engine.tree import Tree
from vitro.engine.variants import run_variants
from vitro.engine.watch import clean_final_attention
from vitro.models import Model

Read = Callable[[Finals], Values]
"""What to keep of a batch: tensors [row, prompt, ...] by name."""


@torch.inference_mode()
def sweep(
    model: Model,
    prompts: Prompts,
    variants: Sequence[Variant],
    read: Read,
    *,
    watch: Sequence[Site] = (),
    memory: int | None = None,
    progress: Progress | None = None,
) -> dict[str, Tensor]:
    """Run every variant on every prompt and keep what `read` says: name -> [variant, prompt, ...], on the CPU.

    prompts: token ids, BOS included where the model wants one; lengths may differ. watch: patterns (`pattern(9, 1)`)
    whose attention from the final streams `read` is also given. memory: bytes for everything but the model
    (default: see `Budget`); a larger sweep takes longer in the same memory. Exact to rounding: each variant gives what
    a full pass of the model with its edits gives.
    Raises PromptError for prompts and EditError for edits that do not fit, ReadError where `read` gives another shape,
    NotFiniteError where a run comes to NaN or infinity, MemoryBudgetError where not even a single row fits.

    >>> variants = [(Edit(vitro.engine.z(1, head), torch.zeros(16)),) for head in range(4)]
    >>> sweep(model, prompts, variants, lambda finals: {"kl": finals.kl})["kl"].shape
    torch.Size([4, 7])
    """
    prepared = Prepared.of(model, prompts, memory)
    check_watch(model, watch)
    if isinstance(variants, Edit):
        raise EditError(f"variants are a list of tuples of edits, not the edit ({variants}); of one as [(edit,)]")
    variants = list(variants)
    for number, variant in enumerate(variants):
        check_variant(model, number, variant)
    edited = [[edit.rows(prepared.lengths) for edit in variant] for variant in variants]
    results = Results(len(variants), len(prepared), progress)

    def apart(tree: Tree, prompts: slice) -> int | None:
        conflicts = {first_conflict(tree, row[prompts]) for edits in edited for row in edits}
        return min((position for position in conflicts if position is not None), default=None)

    for part in prepared.parts(apart):
        clean = part.clean
        placed = [
            place(clean.model, clean.tree, variant, [row[part.prompts] for row in edits])
            for variant, edits in zip(variants, edited, strict=True)
        ]
        for batch, values in run_placed(part, placed, read, prepared.budget, watch):
            results.put(values, batch, part.prompts)

    def begins(row: int, prompt: int) -> str | None:
        clean = alone(model, prepared.prompts[prompt])
        rows = [edit[prompt : prompt + 1] for edit in edited[row]]
        return variant_begins(clean, place(clean.model, clean.tree, variants[row], rows))

    return results.finished(model, begins, lambda row: _name(row, variants[row]))


def _name(number: int, variant: Variant) -> str:
    return f"variant {number} ({'; '.join(map(str, variant)) or 'the clean run'})"


def run_placed(
    part: Part, placed: Sequence[Placed], read: Read, budget: Budget, watch: Sequence[Site] = ()
) -> Iterator[tuple[Sequence[int], Values]]:
    """Variants on a tree in batches, whatever their plans: the numbers of a batch's variants, and what is read off it.

    It includes `BROKEN`, which is looked at when all are run.
    """
    clean = part.clean
    model = clean.model
    signatures = [variant.signature for variant in placed]
    plans = {signature: plan(model, clean.tree, signature) for signature in dict.fromkeys(signatures)}
    watched = {site: clean_final_attention(clean, site.layer)[site.head] for site in watch}
    # By entry, and those of the same plan together: batches are cut from this order.
    rank = {signature: (plans[signature].entry, number) for number, signature in enumerate(plans)}
    order = sorted(range(len(placed)), key=lambda row: rank[signatures[row]])

    def work(batch: Sequence[int]) -> Values:
        variants = [(plans[signatures[number]], placed[number]) for number in batch]
        resid, reached, attention = run_variants(clean, variants, watched)
        finals = Finals(Unembedded(model, resid), reached, len(batch), part.unedited, part.prompts, attention)
        return read_checked(read, finals)

    widest = max((plan.widest for plan in plans.values()), default=1)
    yield from in_batches(order, budget.rows(widest, len(clean.tree.tokens), len(clean.tree.finals)), work)


def read_checked(read: Read, finals: Finals) -> Values:
    """What is read off a batch, with its shapes checked, and what is `BROKEN`."""
    values = checked_values(read(finals), finals.n_rows, len(finals.clean.resid))
    if BROKEN in values:
        raise ReadError(f"the name {BROKEN!r} is taken, for the rows whose runs are not; read it under another")
    return {**values, BROKEN: finals.broken}
