"""The rotation of positions that a GGUF file describes: width of heads, frequencies, scaling."""

import math
from collections.abc import Mapping
from typing import Any

from vitro.models.checkpoint import Checkpoint
from vitro.models.errors import ModelError
from vitro.models.gguf.architectures import ROPE_FACTORS, Architecture
from vitro.models.gguf.header import ROPE_FREQS, Header, not_carried

FLOAT32 = 0
KEYS = (
    "rope.dimension_count",
    "rope.freq_base",
    "rope.scaling.type",
    "rope.scaling.factor",
    "rope.scale_linear",
    "rope.scaling.original_context_length",
    "rope.scaling.yarn_beta_fast",
    "rope.scaling.yarn_beta_slow",
    "attention.key_length",
    "attention.value_length",
    "attention.scale",
)
"""The keys that are read here."""


def rotation_of(checkpoint: Checkpoint, header: Header, architecture: Architecture) -> dict[str, Any]:
    """The fields of the configuration. Raises ModelError where the model cannot rotate so."""
    described = header.describing()
    width = head_width(described)
    if not architecture.wide and width * described["attention.head_count"] != described["embedding_length"]:
        raise _not_carried(checkpoint, header, "attention.key_length", width)
    if described.get("attention.value_length", width) != width:
        raise _not_carried(checkpoint, header, "attention.value_length", described["attention.value_length"])
    scale = described.get("attention.scale", 0.0)
    if scale and abs(scale - query_width(header) ** -0.5) > 1e-6:
        raise _not_carried(checkpoint, header, "attention.scale", scale)
    freqs = header.tensors.get(ROPE_FREQS)
    if freqs is not None and (freqs.shape, freqs.kind) != ((width // 2,), FLOAT32):
        raise not_carried(checkpoint, ROPE_FREQS, f"a tensor of shape {freqs.shape} and ggml type {freqs.kind}")
    rope = {"rope_theta": described.get("rope.freq_base", 10000.0)}
    rope |= _scaling(checkpoint, header, described) | _share(checkpoint, header, architecture)
    return {"rope_parameters": rope} | ({"head_dim": width} if architecture.wide else {})


def head_width(described: Mapping[str, Any]) -> int:
    """The width of a head. described: the keys of a file, without their prefix."""
    width: int = described.get(
        "attention.key_length", described["embedding_length"] // described["attention.head_count"]
    )
    return width


def query_width(header: Header) -> int:
    """The width by whose root a query is divided: of all but two models, known by their depth, that of a head."""
    described = header.describing()
    if (header.architecture, described["block_count"]) in (("gemma2", 46), ("gemma3", 62)):
        return int(described["embedding_length"] // described["attention.head_count"])
    return head_width(described)


def _share(checkpoint: Checkpoint, header: Header, architecture: Architecture) -> dict[str, Any]:
    """The share of each head that is rotated."""
    described = header.describing()
    width = head_width(described)
    turned = described.get("rope.dimension_count", width)
    if not architecture.partial:
        if turned != width:
            raise _not_carried(checkpoint, header, "rope.dimension_count", turned)
        return {}
    if turned > width or (
        turned < width and width * described["attention.head_count"] != described["embedding_length"]
    ):
        # llama.cpp's converter takes the share of another width than the model does.
        raise _not_carried(checkpoint, header, "rope.dimension_count", turned)
    # transformers rounds the product down.
    share = turned / width
    return {"partial_rotary_factor": share if int(share * width) == turned else math.nextafter(share, 1.0)}


def _scaling(checkpoint: Checkpoint, header: Header, described: Mapping[str, Any]) -> dict[str, Any]:
    """The scaling of the rotation, in transformers' fields."""
    # llama.cpp takes 0 as "not given", and linear where there is a factor but no type.
    factor = described.get("rope.scaling.factor") or described.get("rope.scale_linear") or 1.0
    kind = described.get("rope.scaling.type", "linear")
    tables = any(table in header.tensors for table in (ROPE_FREQS, *ROPE_FACTORS))
    if (
        kind == "none"
        or (kind == "linear" and factor == 1.0)
        or (kind == "longrope" and ROPE_FACTORS[0] in header.tensors)
    ):
        return {"rope_type": "default"}
    if kind == "linear" and not any(table in header.tensors for table in ROPE_FACTORS):
        return {"rope_type": "linear", "factor": factor}
    if kind == "yarn" and factor >= 1.0 and not tables and ROPE_FREQS not in header.tensors:
        return {
            "rope_type": "yarn",
            "factor": factor,
            "original_max_position_embeddings": described.get(
                "rope.scaling.original_context_length", described["context_length"]
            ),
            "beta_fast": described.get("rope.scaling.yarn_beta_fast", 32.0),
            "beta_slow": described.get("rope.scaling.yarn_beta_slow", 1.0),
        }
    raise _not_carried(checkpoint, header, "rope.scaling.type", f"{kind} (factor {factor:g})")


def _not_carried(checkpoint: Checkpoint, header: Header, key: str, value: Any) -> ModelError:
    return not_carried(checkpoint, f"{header.architecture}.{key}", value)
