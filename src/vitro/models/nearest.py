"""Of a model type that is not known: the known one that is nearest, by the names of their weights."""

import dataclasses
import re
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import torch
import transformers

from vitro.models.errors import ModelError

_NUMBER = re.compile(r"(?<=\.)\d+(?=\.|$)")
_SHOWN = 3
"""Names in a message, of each kind."""
_LEAST = 0.2
"""The share of names that are alike below which nothing is called near."""


class _Names(NamedTuple):
    """A model's weights, numbers replaced by N; what a model calls its body and its layers says nothing of its kind."""

    within: frozenset[str]
    """A block's, from its layer's number on."""
    outside: frozenset[str]
    """All others, from the body's name on."""
    whole: Mapping[str, str]
    """Of each its whole name."""

    @property
    def all(self) -> frozenset[str]:
        return self.within | self.outside


def unknown(
    kind: str | None, fields: Mapping[str, Any], weights: Collection[str], known: Collection[str]
) -> ModelError:
    """The error of a model type that no family reads: which known one is nearest, and what differs.

    kind: None where a configuration names none. fields: of its configuration, by which transformers builds its skeleton
    where it knows the type. weights: the names of its weights, which are looked at where it does not. known: the model
    types that a family reads. No code of the checkpoint's own is run, and nothing as large as a field says is built.
    """
    said = "config.json has no model_type" if kind is None else f"model type {kind[:60]!r} is not known to Vitro"
    names = (_skeleton(kind, fields) if kind else None) or _named(weights)
    others = {other: near for other in known if (near := _skeleton(other, {})) is not None}
    nearest = max(others, key=lambda other: _likeness(names, others[other]), default=None)
    if nearest is None or _likeness(names, others[nearest]) < _LEAST:
        return ModelError(f"{said}, and no known one is like it; vitro models lists what is known")
    near = others[nearest]
    differs = [
        f"it {verb} {_listed(one.whole, one.within - other.within, one.outside - other.outside)}"
        for verb, one, other in (("has besides", names, near), ("lacks", near, names))
        if one.all - other.all
    ]
    differences = "; ".join(differs) or "the names are the same, and what it computes by them is not known"
    return ModelError(
        f"{said}; nearest is {nearest} ({_alike(names, near)} of {len(names.all)} weights have names alike): "
        f"{differences}; vitro models lists what is known"
    )


def _alike(one: _Names, other: _Names) -> int:
    return len(one.within & other.within) + len(one.outside & other.outside)


def _likeness(one: _Names, other: _Names) -> float:
    """The share of names of either that both have."""
    alike = _alike(one, other)
    return alike / max(1, len(one.all) + len(other.all) - alike)


def _listed(whole: Mapping[str, str], *parts: frozenset[str]) -> str:
    names = [whole[name] for part in parts for name in sorted(part)]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(name[:80] for name in names[:_SHOWN]) + more


def _skeleton(kind: str, fields: Mapping[str, Any]) -> _Names | None:
    """The names in transformers' own model of a type; None where it has none, or cannot build it."""
    if kind not in transformers.CONFIG_MAPPING:
        return None
    made = transformers.CONFIG_MAPPING[kind]
    # What is there or not, as biases: no sizes, and no lists as long as the layers are many.
    own = {field.name for field in dataclasses.fields(made)} if dataclasses.is_dataclass(made) else set()
    switches = {name: value for name, value in fields.items() if name in own and isinstance(value, bool)}
    for chosen in ({**switches, "num_hidden_layers": 2}, {"num_hidden_layers": 2}, {}):
        try:
            config = transformers.AutoConfig.for_model(kind, **chosen)
            with torch.device("meta"):
                hf = transformers.AutoModelForCausalLM.from_config(config, trust_remote_code=False)
        except Exception:
            # Of many classes: a type without a text model, fields that do not go together, a package that is missing.
            continue
        return _named([name for name, _ in hf.named_parameters()])
    return None


def _named(weights: Collection[str]) -> _Names:
    within, outside = set(), set()
    whole: dict[str, str] = {}
    names = {_NUMBER.sub("N", weight) for weight in weights}
    bodies = {name.split(".")[0] for name in names if re.search(r"\..*\.N\.", name)}
    for name in sorted(names):
        _, numbered, rest = name.partition(".N.")
        first, _, others = name.partition(".")
        if numbered:
            part = f".{rest}"
            within.add(part)
        else:
            part = others if first in bodies else name
            outside.add(part)
        whole.setdefault(part, name)
    return _Names(frozenset(within), frozenset(outside), whole)
