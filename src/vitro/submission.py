"""Folders as the Mechanistic Interpretability Benchmark (MIB) takes them: one for each task and model.

`ioi_gpt2/importances.json` holds the scores of all edges; or nine circuits stand in it, `ioi_gpt2/0.1.json` and so on,
the edges of the largest absolute scores, up to so many per cent of all, pruned (docs/method.md, section 10.4). Beside
these folders `vitro.json` says how each was made, and by the hashes of its files that it was.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from vitro.circuits import Graph, to_circuit_file, to_importances
from vitro.discovery import SIZES
from vitro.files import FileError, MissingError, json_of, read_bytes, text_of
from vitro.folder import FolderError, remove_unfinished, sole_writer, write_file, write_folder

SHARES = {f"{100 * size:g}": size for size in SIZES if size < 1}
"""The circuits' sizes: per cent, and the share of all edges."""
TASKS = {"copycolors-mcqa": "mcqa"}
"""MIB's names of tasks, where a slug of Vitro's is not the same."""
MODELS = {
    "gpt2-small": "gpt2",
    "qwen2.5-0.5b": "qwen2.5",
    "gemma-2-2b": "gemma2",
    "llama-3.1-8b": "llama3",
    "meta-llama-3.1-8b": "llama3",
}
"""MIB's names of models, by the last part of what they are called at the hub."""
RECORD = "vitro.json"
_LARGEST_RECORD = 2**26


def submission_name(task: str, model: str) -> str:
    """The folder of a task on a model, by MIB's names where it has them.

    >>> submission_name("ioi-50", "Qwen/Qwen2.5-0.5B"), submission_name("arc_easy", "google/gemma-2-2b@main")
    ('ioi_qwen2.5', 'arc-easy_gemma2')
    """
    of_model = _slug(re.sub(r"\.gguf$", "", model.partition("@")[0].rstrip("/").rpartition("/")[2]))
    of_task = _slug(re.sub(r"-\d+$", "", task))
    return f"{TASKS.get(of_task, of_task)}_{MODELS.get(of_model, of_model)}"


def _slug(name: str) -> str:
    """MIB reads the folder's name as task_model."""
    return re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-.") or "unnamed"


def importances(graph: Graph, scores: Float[np.ndarray, " edge"], d_model: int) -> dict[str, bytes]:
    """The one file of a folder with scores. CircuitError for a score that is not finite.

    >>> graph = Graph.of(model)
    >>> list(importances(graph, np.arange(len(graph)), model.shape.d_model))
    ['importances.json']
    """
    return {"importances.json": _json(to_importances(graph, scores, d_model))}


def circuits(graph: Graph, scores: Float[np.ndarray, " edge"], d_model: int) -> dict[str, bytes]:
    """The nine files of a folder with circuits: by absolute score. Of equal scores, the first in the graph's order.

    >>> graph = Graph.of(model)
    >>> list(circuits(graph, np.arange(len(graph)), model.shape.d_model))[:3]
    ['0.1.json', '0.2.json', '0.5.json']
    """
    size = np.abs(scores)
    masks = {name: graph.top(size, int(share * len(graph))) for name, share in SHARES.items()}
    return {f"{name}.json": _json(to_circuit_file(graph, mask, d_model)) for name, mask in masks.items()}


def _json(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content).encode()


def write_submission(folder: Path, name: str, files: Mapping[str, bytes], about: Mapping[str, Any]) -> Path:
    """Write the folder of a task on a model, whole or not at all, and return it. about: how it was made, for `RECORD`.

    FolderError where there is such a folder, and it is not as it was written here.

    >>> write_submission(tmp_path, "ioi_gpt2", {"importances.json": b"{}"}, {"score": "eap-ig"}).name
    'ioi_gpt2'
    """
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}", name) is None:
        raise FolderError(
            f"a folder cannot be called {name!r} here; what works: up to 200 letters, digits and ._-, as ioi_gpt2"
        )
    place = folder / name
    hashes = {file: hashlib.sha256(content).hexdigest() for file, content in files.items()}
    with sole_writer(folder):
        remove_unfinished(folder)
        record = _record(folder / RECORD)
        held = _hashes(place)
        if held not in (None, hashes, record.get(name, {}).get("files")):
            raise FolderError(f"{place} is there already and is not as vitro wrote it; choose another --name or --mib")
        if held != hashes:
            write_folder(place, files)
        record[name] = {**about, "files": hashes}
        write_file(folder / RECORD, json.dumps(record, indent=1).encode())
    return place


def _record(path: Path) -> dict[str, Any]:
    """What was written to a folder before; nothing where that cannot be told."""
    try:
        record = json_of(text_of(read_bytes(path, _LARGEST_RECORD)))
    except MissingError:
        return {}
    except FileError as error:
        raise FolderError(f"{path} is not as vitro wrote it; choose another --mib") from error
    if not isinstance(record, dict) or not all(isinstance(entry, dict) for entry in record.values()):
        raise FolderError(f"{path} is not as vitro wrote it; choose another --mib")
    return record


def _hashes(place: Path) -> dict[str, str] | None:
    """The hash of each file in a folder, None where there is nothing; of what is no file, and of a file: no hash."""
    if not place.is_dir():
        return {"": ""} if place.exists() or place.is_symlink() else None
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else "" for file in place.iterdir()
    }
