"""The text model within a checkpoint that also sees: its configuration and its weights, and nothing of the rest.

Given text alone, such a model computes what its text part computes: pictures enter as embeddings of placeholder tokens.
"""

import re
from collections.abc import Mapping
from typing import Any

from vitro.models.checkpoint import Checkpoint
from vitro.models.files import read_object
from vitro.models.headers import Stored, read_headers

TEXT_PARTS: Mapping[str, tuple[str, ...]] = {
    "gemma3": ("gemma3_text",),
    "mistral3": ("mistral", "ministral3"),
}
"""Model type of the whole -> the model types that its text part may have, first the one where none is said."""

RENAMED: Mapping[str, str] = {
    # As they are on the hub, and as some releases of transformers saved them.
    r"^language_model\.model\.": "model.",
    r"^model\.language_model\.": "model.",
    r"^language_model\.lm_head\.": "lm_head.",
}
"""Beginnings of the text part's weights in the whole -> in a text model of its own."""
_NOT_TEXT = re.compile(r"(model\.)?(vision_tower|vision_model|multi_modal_projector)\..+")


def text_fields(said: Mapping[str, Any], stored: Mapping[str, Stored]) -> dict[str, Any] | None:
    """The fields of the text part's configuration; None where a configuration is of a plain text model.

    said: what config.json says. stored: the text part's weights, as `read_stored` gives them.

    >>> text_fields({"model_type": "mistral3", "text_config": {"hidden_size": 64}}, {})
    {'hidden_size': 64, 'model_type': 'mistral', 'tie_word_embeddings': True}
    """
    kinds, text = TEXT_PARTS.get(str(said.get("model_type"))), said.get("text_config")
    if kinds is None or not isinstance(text, dict):
        return None
    kind = text.get("model_type") or kinds[0]
    # Whole and part may each say whether the embeddings are tied, and differ. A stored unembedding is used, as it is;
    # where there is none, it can only be the embedding.
    tied = "lm_head.weight" not in stored
    return {**text, "model_type": kind, "tie_word_embeddings": tied}


def read_stored(checkpoint: Checkpoint) -> Mapping[str, Stored]:
    """The weights of a checkpoint in safetensors as `read_headers` gives them, of a model that also sees the text's.

    These have the names that they have in a text model of their own. Raises ModelError as `read_headers` does.
    """
    stored = read_headers(checkpoint)
    return text_weights(stored) if whole_type(checkpoint) else stored


def whole_type(checkpoint: Checkpoint) -> str | None:
    """The model type of a checkpoint of which Vitro reads the text part; None for all others."""
    if checkpoint.gguf is not None:
        return None
    said = read_object(checkpoint.name, checkpoint.folder / "config.json")
    kind = str(said.get("model_type"))
    return kind if kind in TEXT_PARTS and isinstance(said.get("text_config"), dict) else None


def text_weights(stored: Mapping[str, Stored]) -> dict[str, Stored]:
    """Weights of the whole without those that only pictures need, under the names of a text model of its own.

    A weight that is neither keeps its name: it has no place in the text model, and is refused by it.

    >>> weight = Stored("F32", (4,))
    >>> list(text_weights({"language_model.model.norm.weight": weight, "vision_tower.ln_pre.weight": weight}))
    ['model.norm.weight']
    """
    return {_text_name(name): weight for name, weight in stored.items() if not _NOT_TEXT.fullmatch(name)}


def _text_name(name: str) -> str:
    for pattern, begin in RENAMED.items():
        name = re.sub(pattern, begin, name)
    return name
