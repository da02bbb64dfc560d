"""From the name that a user types to the files that hold the model, before they are read into memory."""

import hashlib
import re
import stat
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from vitro.limits import out_of_memory
from vitro.models.errors import WHAT_WORKS, ModelError
from vitro.models.files import LARGEST, check_file, file_hash, file_names, read_object, unreadable
from vitro.models.hub import fetch
from vitro.models.packaged import PACKAGED

HUB_ID = re.compile(r"(?P<repo>[A-Za-z0-9][\w.-]*(/[\w.-]+)?)(@(?P<revision>[\w./-]+))?")
_TOKENIZER_FILES = (
    "tokenizer*",
    "vocab.*",
    "merges.txt",
    "special_tokens_map.json",
    "added_tokens.json",
    "tekken.json",
    "*.model",
    "*.tiktoken",
)
# Weight files of one model that are cut into several, by transformers or by torch's distributed checkpoints.
_SHARD = re.compile(r"(model|shard)-\d.*\.safetensors")
# A GGUF file of a model that llama.cpp's gguf-split cut into several.
_PART = re.compile(r"(?P<model>.+)-[0-9]{5}-of-(?P<count>[0-9]{5})\.gguf")
_ADAPTER = ("adapter_config.json", "adapter_model.")
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


@dataclass(frozen=True)
class Checkpoint:
    """The files of a model: a folder in the hub's layout with safetensors, or a GGUF file (or the parts of one)."""

    name: str
    """What the user typed."""
    folder: Path
    weights: tuple[Path, ...]
    revision: str | None
    """The hub's commit, where the files come from the hub."""

    @property
    def gguf(self) -> str | None:
        """The GGUF file's name within the folder (its first part's), or None for safetensors."""
        return self.weights[0].name if self.weights[0].suffix == ".gguf" else None

    def weights_hash(self) -> str:
        """SHA-256 over the weight files, in order."""
        digest = hashlib.sha256()
        for path in self.weights:
            digest.update(file_hash(path))
        return digest.hexdigest()

    def tokenizer_hash(self) -> str:
        """SHA-256 over the names and contents of the files a tokenizer is made from, without loading it.

        A GGUF file holds its own tokenizer, so its hash is the file's.
        """
        if self.gguf is not None:
            return self.weights_hash()
        digest = hashlib.sha256()
        files = {path for pattern in _TOKENIZER_FILES for path in self.folder.glob(pattern) if path.is_file()}
        for path in sorted(files):
            digest.update(path.name.encode() + b"\0" + file_hash(path))
        return digest.hexdigest()


def find(name: str) -> Checkpoint:
    """The files behind a name: of PACKAGED, a hub id with an optional `@revision`, a local folder, a `.gguf` file.

    Only what a hub id names is downloaded; pickled weights are never opened.
    Raises ModelError, in one line, where there is no such model or its files cannot be read.
    """
    if not name.strip():
        raise ModelError(f"no model was named; {WHAT_WORKS}")
    if name in PACKAGED:
        return _gguf(name, PACKAGED[name](name))
    nowhere = ModelError(f"model {name[:60]!r}: no such file or folder; {WHAT_WORKS}")
    try:
        path = Path(name).expanduser()
        kind = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError) as error:
        match = HUB_ID.fullmatch(name)
        if path.is_symlink():
            check_file(name, path)
        if match is None or path.suffix == ".gguf":
            raise nowhere from error
        fetched = fetch(name, match["repo"], match["revision"])
        return _in_folder(name, fetched, revision=fetched.name)
    except PermissionError as error:
        raise unreadable(name, path, error) from error
    except (OSError, RuntimeError, ValueError) as error:
        # A name that no file system can hold, or the home of an unknown user.
        raise nowhere from error
    if stat.S_ISDIR(kind):
        return _in_folder(name, path, revision=None)
    check_file(name, path)
    if path.suffix == ".gguf":
        return _gguf(name, path)
    raise ModelError(f"model {name!r} is a file of a kind that is not read; {WHAT_WORKS}")


def _gguf(name: str, path: Path) -> Checkpoint:
    parts = _parts(name, path)
    for part in parts:
        check_file(name, part)
        with part.open("rb") as file:
            if file.read(4) != b"GGUF":
                raise ModelError(f"model {name!r}: {part.name} is not a GGUF file (it does not begin with GGUF)")
    return Checkpoint(name, path.parent, parts, revision=None)


def _parts(name: str, path: Path) -> tuple[Path, ...]:
    """The files of the model that a GGUF file is a part of, by its name; most are a model of their own."""
    if (match := _PART.fullmatch(path.name)) is None:
        return (path,)
    parts = []
    for number in range(1, int(match["count"]) + 1):
        parts.append(path.with_name(f"{match['model']}-{number:05}-of-{match['count']}.gguf"))
        if not parts[-1].exists():
            raise ModelError(f"model {name!r}: {path.name} is a part of it, and another is missing: {parts[-1].name}")
    return tuple(parts) if path in parts else (path,)


def _in_folder(name: str, folder: Path, revision: str | None) -> Checkpoint:
    names = file_names(name, folder)
    if adapters := sorted(file for file in names if file.startswith(_ADAPTER)):
        # transformers would add it to the model where peft is installed, and leave it out where it is not.
        raise ModelError(
            f"model {name!r} holds an adapter that is not merged into a model ({adapters[0]}): merge it with peft's "
            "merge_and_unload(), save the result with save_pretrained to a folder of its own, and name that"
        )
    if "config.json" not in names:
        if files := sorted(file for file in names if file.endswith(".gguf")):
            raise ModelError(f"model {name!r} is a folder with a GGUF file in it; name the file: {folder / files[0]}")
        raise ModelError(f"model {name!r}: the folder has no config.json, so it holds no model in the hub's layout")
    weights = _weights(name, folder, names)
    opened = {path.name for path in weights}
    if strays := sorted({file for file in names if _SHARD.fullmatch(file)} - opened):
        # Beside some of these names transformers opens every weight file in the folder.
        raise ModelError(
            f"model {name!r} holds weight files that are no part of it ({', '.join(strays[:3])}); take them out of the "
            "folder"
        )
    for path in weights:
        _check_safetensors(name, path)
    for file in names:
        # A folder of such a name holds something else: transformers reads files alone.
        read = any(fnmatch(file, pattern) for pattern in (*_TOKENIZER_FILES, "chat_template*"))
        if read and not (folder / file).is_dir():
            check_file(name, folder / file, LARGEST)
    if "tokenizer_config.json" in names:
        _check_tokenizer_config(name, read_object(name, folder / "tokenizer_config.json"))
    return Checkpoint(name, folder, weights, revision)


def _weights(name: str, folder: Path, names: frozenset[str]) -> tuple[Path, ...]:
    whole, index = "model.safetensors", "model.safetensors.index.json"
    if whole in names and index in names:
        raise ModelError(f"model {name!r} holds both {whole} and {index}; leave the one that is meant")
    if whole in names:
        return (folder / whole,)
    if index in names:
        return _shards(name, folder / index, names)
    pickles = sorted(file for file in names if file.endswith(_PICKLES))
    contents = f"only pickled weights ({pickles[0]}), which are never opened" if pickles else "no weights"
    raise ModelError(f"model {name!r} holds {contents}; Vitro reads model.safetensors or a .gguf file")


def _check_tokenizer_config(name: str, said: dict[str, Any]) -> None:
    """Raises ModelError where it sends transformers to files outside the folder, or has a limit that is no number."""
    files, longest = said.get("fast_tokenizer_files") or [], said.get("model_max_length")
    for file in files if isinstance(files, list) else [files]:
        if not _is_plain(file):
            raise ModelError(
                f"model {name!r}: tokenizer_config.json names a file that is not in the folder ({str(file)[:60]})"
            )
    if not isinstance(longest, int | float | None):
        raise ModelError(
            f"model {name!r}: tokenizer_config.json sets model_max_length to {str(longest)[:60]!r}; it must be a number"
        )


def _is_plain(file: object) -> bool:
    return isinstance(file, str) and file.isprintable() and Path(file).name == file


def _shards(name: str, index: Path, names: frozenset[str]) -> tuple[Path, ...]:
    where = read_object(name, index).get("weight_map")
    if not isinstance(where, dict) or not where:
        raise ModelError(f"model {name!r}: {index.name} has no weight_map, which says what file each weight is in")
    for file in where.values():
        if not _is_plain(file) or not file.endswith(".safetensors"):
            raise ModelError(
                f"model {name!r}: {index.name} names {str(file)[:60]!r}, which is no safetensors file in the folder"
            )
    files = sorted(set(where.values()))
    if missing := [file for file in files if file not in names]:
        raise ModelError(f"model {name!r}: the weight file {missing[0]} is missing")
    return tuple(index.parent / file for file in files)


def _check_safetensors(name: str, path: Path) -> None:
    check_file(name, path)
    try:
        # By numpy: torch maps a file as if to write it, which fails where memory is smaller than the file.
        with safe_open(path, framework="np") as file:
            file.keys()
    except OSError as error:
        raise unreadable(name, path, error) from error
    except SafetensorError as error:
        raise ModelError(f"model {name!r}: {path.name} is corrupt or truncated ({str(error)[:200]})") from error
    except RuntimeError as error:
        why = f"{path.stat().st_size / 1e9:.3g} GB, and {ran_out}" if (ran_out := out_of_memory(error)) else error
        raise ModelError(f"model {name!r}: {path.name} cannot be opened ({why})") from error
