"""A model type tried against transformers: how far apart logits and edits are, configuration by configuration.

    PYTHONPATH=tests python tests/try_family.py olmo2

Each small random configuration of the type (tests/families_*.py) runs the same prompts in Vitro and under plain forward
hooks in transformers. Exits with 1 where anything is more than 1e-4 apart. What else has to hold of a family (edges,
circuits, fields of its configuration) is in the suite: pytest -k olmo2
"""

import argparse
import sys

import families_gpt
import families_llama
import small_models
from edits import PROMPTS, every_kind
from slow import slow_logits
from vitro.engine import Variant, sweep
from vitro.models import Model

MAKERS = {**small_models.MAKERS, **families_gpt.MAKERS, **families_llama.MAKERS}
CLOSE = 1e-4


def main() -> int:
    """The exit code."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("model_type", help="as in config.json")
    wanted: str = options.parse_args().model_type
    # The oldest configurations are not named after their types.
    named = [name for name in MAKERS if name.split("-")[0] == wanted or name in small_models.MAKERS]
    models = {name: small_models.random_model(name) for name in named}
    tried = {name: model for name, model in models.items() if model.hf.config.model_type == wanted}
    if not tried:
        print(f"tests/families_gpt.py and tests/families_llama.py have no configuration of {wanted!r}")
        return 2
    print(f"{'configuration':32} {'logits':>8} {'edits':>8}  of which the worst")
    worst = 0.0
    for name, model in tried.items():
        logits, edits, kind = apart(model)
        worst = max(worst, logits, edits)
        print(f"{name:32} {logits:8.1e} {edits:8.1e}  {kind}")
    print(f"{len(tried)} configurations, {worst:.1e} apart at most, where {CLOSE:.0e} is allowed")
    return int(not worst <= CLOSE)


def apart(model: Model) -> tuple[float, float, str]:
    """The largest difference of logits without edits, and with edits of every kind; and the kind and layer of that."""
    last = model.shape.n_layers - 1
    kinds: dict[str, Variant] = {
        f"{kind}, layer {layer}": variant
        for layer in sorted({0, last // 2, last})
        for kind, variant in every_kind(model, layer).items()
    }
    variants: list[Variant] = [(), *kinds.values()]
    ours = sweep(model, PROMPTS, variants, lambda finals: {"logits": finals.logits})["logits"]
    differences = (ours - slow_logits(model, PROMPTS, variants)).abs().amax((1, 2)).nan_to_num(float("inf")).tolist()
    by_kind = dict(zip(kinds, differences[1:], strict=True))
    kind = max(by_kind, key=by_kind.__getitem__)
    return differences[0], by_kind[kind], kind


if __name__ == "__main__":
    sys.exit(main())
