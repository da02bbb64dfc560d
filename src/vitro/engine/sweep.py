"""Sweeps: many variants of many prompts, in bounded memory, and what is read off each of them."""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from vitro.engine.batches import Values, in_batches, keep
from vitro.engine.budget import Budget
from vitro.engine.cone import plan
from vitro.engine.edit import Site, Variant
from vitro.engine.forward import Clean, run
from vitro.engine.place import Placed, check_site, first_conflict, place
from vitro.engine.readout import Finals, Unembedded
from vitro.engine.tree import pack
from vitro.engine.variants import run_variants
from vitro.engine.watch import clean_final_attention
from vitro.models import Model

Read = Callable[[Finals], Values]
"""What to keep of a batch, by name, each a tensor [row, prompt, ...]."""

Progress = Callable[[int, int], None]
"""Told how much is done, of how much: runs of one variant on one prompt."""


@torch.inference_mode()
def sweep(
    model: Model,
    prompts: Sequence[Sequence[int]],
    variants: Sequence[Variant],
    read: Read,
    *,
    watch: Sequence[Site] = (),
    memory: int | None = None,
    progress: Progress | None = None,
) -> dict[str, Tensor]:
    """Run every variant on every prompt and keep what `read` says: name -> [variant, prompt, ...], on the CPU.

    prompts: token ids, BOS included where the model wants one; lengths may differ. watch: patterns (`pattern(9, 1)`)
    whose attention from the final streams `read` is given as well. memory: bytes for everything but the model
    (default: see `Budget`); a larger sweep takes longer in the same memory. Exact: each variant gives what a full pass
    of the model with that edit gives, to rounding.
    Raises EditError for an edit that does not fit, MemoryBudgetError where not even one row fits.
    """
    for variant in variants:
        for edit in variant:
            check_site(model, edit)
    budget = Budget.of(model, memory)
    lengths = [len(prompt) for prompt in prompts]
    edited = [[edit.rows(lengths) for edit in variant] for variant in variants]
    kept: dict[str, Tensor] = {}
    done, total = 0, len(variants) * len(prompts)
    for part in budget.parts(prompts):
        rows = [[row[part] for row in edits] for edits in edited]
        tree = pack(prompts[part])
        conflicts = {first_conflict(tree, row) for edits in rows for row in edits} - {None}
        if conflicts:
            tree = pack(prompts[part], apart=min(at for at in conflicts if at is not None))
        clean = run(model, tree)
        unedited = Unembedded(model, clean.resid_final[clean.there.finals])
        placed = [place(model, tree, variant, row) for variant, row in zip(variants, rows, strict=True)]
        for batch, values in run_placed(model, clean, unedited, placed, part, read, budget, watch):
            keep(kept, values, batch, part, (len(variants), len(prompts)))
            done += len(batch) * len(tree.finals)
            if progress is not None:
                progress(done, total)
    return {name: value.cpu() for name, value in kept.items()}


def run_placed(
    model: Model,
    clean: Clean,
    unedited: Unembedded,
    placed: Sequence[Placed],
    part: slice,
    read: Read,
    budget: Budget,
    watch: Sequence[Site] = (),
) -> Iterator[tuple[Sequence[int], Values]]:
    """Variants on a tree in batches, whatever their plans: the numbers of some of them, and what is read off those.

    unedited: the clean run's final streams. part: which of all prompts are on the tree.
    """
    signatures = [one.signature for one in placed]
    plans = {signature: plan(model, clean.tree, signature) for signature in dict.fromkeys(signatures)}
    watched = {site: clean_final_attention(model, clean, site.layer)[site.head] for site in watch}
    # By entry, and those of one plan together: what a batch is made of.
    rank = {signature: (plans[signature].entry, number) for number, signature in enumerate(plans)}
    order = sorted(range(len(placed)), key=lambda row: rank[signatures[row]])

    def work(batch: Sequence[int]) -> Values:
        variants = [(plans[signatures[number]], placed[number]) for number in batch]
        resid, reached, attention = run_variants(model, clean, variants, watched)
        return read(Finals(Unembedded(model, resid), reached, len(batch), unedited, part, attention))

    widest = max(one.widest for one in plans.values())
    yield from in_batches(order, budget.rows(widest, len(clean.tree.tokens), len(clean.tree.finals)), work)
