"""JSON that every reader accepts: NaN and the infinities are null, because JSON has no word for them."""

import json
import math
from collections.abc import Mapping
from typing import Any


def to_json(value: Any, **options: Any) -> str:
    """`json.dumps`, with null for NaN and the infinities.

    >>> to_json({"prob": float("nan"), "kl": [0.5, float("inf")]})
    '{"prob": null, "kl": [0.5, null]}'
    """
    return json.dumps(finite(value), allow_nan=False, **options)


def finite(value: Any) -> Any:
    """The value, with None instead of every NaN and infinity in its mappings and lists."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value
