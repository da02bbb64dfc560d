"""Shapes held to at run time: a checker for `jaxtyping.install_import_hook` that looks at arrays and at nothing else.

What is no array is for the doors of the engine to refuse, in words of their own, and their tests call them with it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import wraps
from importlib.util import find_spec
from inspect import signature
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

from jaxtyping import AbstractArray
from torch import Tensor


class ShapeError(TypeError):
    """An array that is not what a signature says."""


def naming_arrays(*rooms: str) -> list[str]:
    """The modules of some rooms whose signatures name arrays; the calls of the others would be slower for nothing."""
    spec = find_spec("vitro")
    assert spec is not None
    assert spec.origin is not None
    source = Path(spec.origin).parent.parent
    files = [file for room in rooms for file in sorted(source.joinpath(*room.split(".")).glob("*.py"))]
    return [
        ".".join(file.relative_to(source).with_suffix("").parts) for file in files if "jaxtyping" in file.read_text()
    ]


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, each array that it is given or gives back held to its annotation."""
    parameters, returns = signature(function).parameters, signature(function).return_annotation
    hints = [
        (at, name, one.annotation) for at, (name, one) in enumerate(parameters.items()) if _of_arrays(one.annotation)
    ]
    if not hints and not _of_arrays(returns):
        return function

    @wraps(function)
    def called(*args: Any, **kwargs: Any) -> Any:
        for at, name, hint in hints:
            _check(args[at] if at < len(args) else kwargs.get(name), hint, name)
        result = function(*args, **kwargs)
        _check(result, returns, "what it returns")
        return result

    return called


def _check(value: Any, hint: Any, what: str) -> None:
    for array, expected in _arrays(value, hint):
        if isinstance(array, Tensor) and not isinstance(array, expected):
            raise ShapeError(f"{what}: {expected} was expected, and this is {array.dtype} {tuple(array.shape)}")


def _arrays(value: Any, hint: Any) -> Iterator[tuple[Any, Any]]:
    """Each array within a value, with what it should be."""
    if _is_array(hint):
        yield value, hint
        return
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        # An array or None, and no annotation has two arrays to choose from.
        for part in parts:
            yield from _arrays(value, part)
    elif isinstance(value, tuple) and origin is tuple and parts[-1:] != (Ellipsis,):
        for one, part in zip(value, parts, strict=True):
            yield from _arrays(one, part)
    elif isinstance(value, list | tuple) and isinstance(origin, type) and issubclass(origin, Sequence):
        for one in value:
            yield from _arrays(one, parts[0])
    elif isinstance(value, dict) and isinstance(origin, type) and issubclass(origin, Mapping):
        for one in value.values():
            yield from _arrays(one, parts[1])


def _of_arrays(hint: Any) -> bool:
    return _is_array(hint) or any(_of_arrays(part) for part in get_args(hint))


def _is_array(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, AbstractArray)
