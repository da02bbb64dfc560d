"""The meta device in the place of a GPU: what would cross between it and the host shows, though there is no GPU."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


@contextmanager
def elsewhere() -> Iterator[list[str]]:
    """What crosses between the CPU and `meta` meanwhile: on a GPU, at each crossing the CPU waits for all that runs.

    What is fetched comes back as zeros. An operation on tensors of both devices fails, though a GPU would take an index
    of the CPU's, and wait. So does every read of a number (`.item()`, `nonzero`, a mask as an index): there is none.
    """
    crossings: list[str] = []
    with _Operations(crossings), _Calls(crossings):
        yield crossings


class _Operations(TorchDispatchMode):
    """Every operation on tensors, those that transformers and torch make themselves included."""

    def __init__(self, crossings: list[str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.crossings = crossings

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        # In inference mode operations arrive here before torch has taken them apart.
        with self:
            result = func.decompose(*args, **kwargs)
        if result is not NotImplemented:
            return result
        # A single number of the CPU's goes along with an operation's other arguments.
        tensors = [one for one in tree_leaves((args, kwargs)) if isinstance(one, Tensor) and (one.is_meta or one.ndim)]
        there = [one for one in tensors if one.is_meta]
        if func is torch.ops.aten._to_copy.default:
            device = kwargs.get("device", args[0].device)
            if args[0].is_meta and device.type == "cpu":
                self.crossings.append("fetched")
                return torch.zeros(args[0].shape, dtype=kwargs.get("dtype") or args[0].dtype)
            if not args[0].is_meta and device.type == "meta":
                self.crossings.append("sent")
        elif there and len(there) < len(tensors):
            raise AssertionError(f"{func} works on tensors of two devices: {[one.device.type for one in tensors]}")
        return func(*args, **kwargs)


class _Calls(TorchFunctionMode):
    """What Python numbers are made into tensors, which is not an operation: a list as an index, or `torch.tensor`."""

    def __init__(self, crossings: list[str]) -> None:
        super().__init__()
        self.crossings = crossings

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in (Tensor.__getitem__, Tensor.__setitem__) and args[0].is_meta:
            indices = args[1] if isinstance(args[1], tuple) else (args[1],)
            if any(isinstance(index, list) for index in indices):
                self.crossings.append("sent: a list as an index")
        if func is torch.tensor and "meta" in str(kwargs.get("device")):
            self.crossings.append("sent: torch.tensor")
        return func(*args, **kwargs)
