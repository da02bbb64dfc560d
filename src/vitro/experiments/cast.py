"""Which component plays which part in the post's setups: chosen by rule, not by name, so it works for any model."""

import polars as pl

from vitro.circuits import Cast
from vitro.experiments.attention_pin import groups
from vitro.experiments.head_lens import HEAD_LENS
from vitro.experiments.key_heads import ranking
from vitro.experiments.mlp_ablation import MLP_ABLATION
from vitro.experiments.mlp_local import MLP_LOCAL
from vitro.experiments.setup import Setup
from vitro.heads import Head
from vitro.tables import best_to_worst, copying_heads, subject_heads

HELPERS = 3


def cast(setup: Setup) -> Cast:
    """The parts, chosen from measurements of the unedited model. On GPT-2 with days they are the post's.

    - successor and copier: the two heads that are pinned together (see `groups`);
    - helpers: of the heads in no later layer than these, the three whose ablation costs most;
    - early copier: the head that copies the subject most below both, or, where nothing is below, of all others;
    - first MLP: the one whose zero ablation (where it is measured) costs most; last MLP: the one of the others that
      raises the answer most on the spot.

    In a model of few heads, or of a single MLP, the same component plays several parts.
    """
    pair = groups(setup)[-1]
    successor, copier = pair if len(pair) == 2 else (pair[0], _other(setup, pair[0]))
    until = max(successor.layer, copier.layer)
    strongest = ranking(setup)
    helpers = [head for head in strongest if head not in (successor, copier) and head.layer <= until][:HELPERS]
    lens = setup.tables(HEAD_LENS)["head_lens"]
    # Copying heads come first; if none is free, the heads whose lens gives the subject the highest probability.
    ranked = dict.fromkeys([*copying_heads(lens), *subject_heads(lens)])
    copying = [head for head in ranked if head not in (successor, copier)]
    below = [head for head in copying if head.layer < min(successor.layer, copier.layer)]
    change, kind = f"{setup.metric.name}_change", "zero" if "zero" in setup.ablations else setup.ablation
    by_loss = (
        setup.tables(MLP_ABLATION)["mlp_ablation"]
        .filter(method=kind)
        .group_by("layer")
        .agg(pl.col(change).mean())
        .sort(change, "layer")
    )
    first = int(by_loss["layer"][0])
    last = next((layer for layer in best_to_worst(setup.tables(MLP_LOCAL)["mlp_local"]) if layer != first), first)
    return Cast(successor, copier, tuple(helpers), (below or copying or [copier])[0], first, last)


def _other(setup: Setup, head: Head) -> Head:
    """The strongest head beside this one; in a model of one head, the head itself."""
    return next((other for other in ranking(setup) if other != head), head)
