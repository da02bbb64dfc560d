"""Circuits in files: Vitro's own text, and those of EAP-IG and MIB, told apart by what is in them."""

from os import PathLike
from pathlib import Path
from typing import Literal

from vitro.circuits.circuit import Circuit
from vitro.circuits.export import from_mib
from vitro.circuits.file_bytes import LARGEST, is_tensors
from vitro.circuits.nodes import CircuitError, Constant
from vitro.files import FileError, read_bytes, text_of


def read_circuit(
    path: str | PathLike[str],
    absent: Constant | None = None,
    output_bias: Literal["excluded", "included"] = "excluded",
) -> Circuit:
    """The circuit in a file: Vitro's text, or JSON or .pt of EAP-IG and MIB.

    absent: what absent edges carry, where the file does not say so itself; None: nothing, in vitro. output_bias: as for
    `from_mib`. CircuitError, with the file's name, for what cannot be read or is no circuit.

    >>> path = tmp_path / "circuit.txt"
    >>> _ = path.write_text("input -> m0; m0 -> logits")
    >>> read_circuit(path) == Circuit.wire("input -> m0; m0 -> logits")
    True
    """
    try:
        content = read_bytes(Path(path), LARGEST)
        if not is_tensors(content) and not content.lstrip().startswith((b"{", b"[")):
            return from_text(_text(content), absent)
    except (CircuitError, FileError) as error:
        raise CircuitError(f"{path}: {error}") from None
    return from_mib(path, output_bias, absent)


def _text(content: bytes) -> str:
    try:
        return text_of(content)
    except FileError:
        raise CircuitError("it is no circuit: neither text in UTF-8 nor a .pt file of EAP-IG") from None


def from_text(text: str, absent: Constant | None = None) -> Circuit:
    """A circuit from its text; absent: what absent edges carry, where the text does not say so itself.

    >>> print(from_text("input -> logits", "mean"))
    absent: mean
    input -> logits
    """
    # Behind the text, so that a mistake in it is told with the line that it is in.
    return Circuit.wire(text if absent is None else f"{text}\nabsent: {absent}")
