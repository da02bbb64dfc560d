"""Every weight of a checkpoint has exactly one place in the model, or is known not to need one; every place its weight.

transformers drops weights for which its model has no place, and does not report all of them; a model without them is
another model. Places for which there is no weight it fills at random.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from vitro.models.errors import ModelError
from vitro.models.expert_names import together
from vitro.models.headers import PLAIN, Stored

_HARMLESS = re.compile(
    # Causal masks and their fill values, which older GPT-2 and GPT-NeoX stored with the weights.
    r"(transformer\.)?h\.\d+\.attn\.(bias|masked_bias)"
    r"|(gpt_neox\.)?layers\.\d+\.attention\.(bias|masked_bias)"
    # Frequencies and positions, which follow from the configuration.
    r"|.*\brotary_emb\.inv_freq|.*\bposition_ids"
    # A classifier's last layer.
    r"|score\.weight"
)
_OLD_NAMES = {"gpt_neox": {"embed_out.weight": "lm_head.weight"}}
"""Model type -> other names that transformers accepts for a weight."""
_PACKED = re.compile(
    # GPTQ and AWQ; bitsandbytes; compressed-tensors, FP8 and the like.
    r".*\.(qweight|qzeros|g_idx|SCB|(weight\.)?(nested_)?(absmax|quant_map)|weight\.quant_state\..*"
    r"|weight_(packed|scale|scale_inv|zero_point))"
)
_LAYER = re.compile(r"(?:^|\.)(\d+)\.")


def check_layers(name: str, n_layers: object, stored: Mapping[str, Stored]) -> None:
    """Raises ModelError where a configuration has more layers than there are weights of: nothing so large is built.

    name: what the user typed.
    """
    held = len({match[1] for weight in stored if (match := _LAYER.search(weight))})
    if isinstance(n_layers, int) and n_layers > held:
        raise ModelError(
            f"model {name!r}: config.json says that it has {str(n_layers)[:20]} layers, and its weights "
            f"are those of {held}; correct config.json"
        )


def check_places(name: str, stored: Mapping[str, Stored], skeleton: Any) -> None:
    """Raises ModelError, with the first names, where weights and places do not match in names, shapes and formats.

    name: what the user typed. skeleton: the model of the checkpoint's configuration, with weights on the `meta` device.
    """
    old, prefix = _OLD_NAMES.get(skeleton.config.model_type, {}), f"{skeleton.base_model_prefix}."
    places = skeleton.state_dict()
    if any(place.endswith(".mlp.experts.down_proj") for place in places):
        stored = together(stored)
    taken: dict[str, str] = {}
    for weight in sorted(stored):
        place = _place(old.get(weight, weight), prefix, places)
        if place in taken:
            raise ModelError(f"model {name!r} holds a weight twice, as {taken[place]} and as {weight}")
        if place is not None:
            taken[place] = weight
    strange = sorted(set(stored) - set(taken.values()) - {weight for weight in stored if _HARMLESS.fullmatch(weight)})
    packed = [weight for weight in strange if _PACKED.fullmatch(weight)]
    packed += [weight for weight in taken.values() if stored[weight].kind not in PLAIN]
    if packed:
        raise quantised(name, f"{packed[0]} is stored as {stored[packed[0]].kind}")
    if strange:
        raise ModelError(
            f"model {name!r} holds {len(strange)} weights that the model made from config.json has no place for "
            f"({', '.join(strange[:3])}); without them it would be another model: correct config.json"
        )
    _check_shapes(name, {place: stored[weight].shape for place, weight in taken.items()}, places, skeleton)


def quantised(name: str, how: str) -> ModelError:
    """The error of a sound checkpoint whose weights are packed."""
    return ModelError(
        f"model {name!r} is quantised ({how}), which Vitro reads in GGUF files alone; what works: the model that "
        "it was made from, or what save_pretrained writes after transformers' model.dequantize()"
    )


def _check_shapes(name: str, shapes: Mapping[str, tuple[int, ...]], places: Mapping[str, Any], skeleton: Any) -> None:
    tied = skeleton.all_tied_weights_keys
    filled = {*shapes, *(place for place, other in tied.items() if other in shapes)}
    filled |= {other for place, other in tied.items() if place in shapes}
    if missing := sorted(places.keys() - filled):
        raise ModelError(
            f"model {name!r}: {len(missing)} weights of the model that config.json describes are missing "
            f"({', '.join(missing[:3])})"
        )
    wrong = [place for place in sorted(shapes) if shapes[place] != tuple(places[place].shape)]
    if wrong:
        place, field = _told_by_a_field(wrong, shapes, places, skeleton.config.to_dict())
        raise ModelError(
            f"model {name!r}: {len(wrong)} weights have another shape than config.json says, {place} among them: it is "
            f"{_by(shapes[place])}, and would be {_by(places[place].shape)}{field}"
        )


def _told_by_a_field(
    wrong: Sequence[str], shapes: Mapping[str, Sequence[int]], places: Mapping[str, Any], fields: Mapping[str, Any]
) -> tuple[str, str]:
    """Of the places whose weights are wrong, the first of a size that a field gives, and that field in words."""
    for place in wrong:
        for field, value in fields.items():
            if type(value) is int and value in set(places[place].shape) - set(shapes[place]):
                return place, f" by {field}"
    return wrong[0], ""


def _by(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape)) or "a single number"


def _place(name: str, prefix: str, places: Collection[str]) -> str | None:
    """A weight's name in the model: its own, or with the body's prefix, or without it."""
    return next((place for place in (name, prefix + name, name.removeprefix(prefix)) if place in places), None)
