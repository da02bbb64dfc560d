"""Models on the hub: only what an id names is downloaded, into the hub's own cache."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vitro.models.errors import WHAT_WORKS, ModelError

_WANTED: Mapping[str, list[str]] = {
    "allow_patterns": ["*.json", "*.safetensors", "*.txt", "*.model"],
    # Subfolders hold other formats, and "consolidated" is a second copy of the same weights.
    "ignore_patterns": ["*/*", "consolidated*"],
}
"""Which files of a model are downloaded."""


@dataclass(frozen=True)
class Listed:
    """A model on the hub before its weights are downloaded."""

    folder: Path
    """Holds its config.json, and what else of it is in the hub's cache."""
    missing: int
    """Bytes that are not there yet."""


def fetch(name: str, repo: str, revision: str | None) -> Path:
    """The folder of a model in the hub's own cache, downloaded where it is not there yet; its name is the commit's.

    name: what the user typed. Raises ModelError where there is no such model, or it cannot be fetched.
    """
    # Here, not above: it is slow to import, and a local folder does not need it.
    from huggingface_hub import snapshot_download

    with _telling(name, repo, revision):
        return Path(snapshot_download(repo, revision=revision, **_WANTED))


def listed(name: str, repo: str, revision: str | None) -> Listed:
    """What `fetch` would download, and the configuration, which is downloaded where it is not there yet.

    Raises ModelError as `fetch` does. Without a network, what is in the hub's cache is all there is.
    """
    from huggingface_hub import HfApi, hf_hub_download, snapshot_download, try_to_load_from_cache
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.utils import filter_repo_objects

    try:
        with _telling(name, repo, revision):
            info = HfApi().model_info(repo, revision=revision, files_metadata=True)
            sizes = {file.rfilename: file.size or 0 for file in info.siblings or ()}
            wanted = list(filter_repo_objects(sizes, **_WANTED))
            config = hf_hub_download(repo, "config.json", revision=info.sha)
            there = {file for file in wanted if isinstance(try_to_load_from_cache(repo, file, revision=info.sha), str)}
    except ModelError as error:
        if isinstance(error.__cause__, HfHubHTTPError):
            # The hub has answered: there is no such model, or it is not for us.
            raise
        with _telling(name, repo, revision):
            return Listed(Path(snapshot_download(repo, revision=revision, local_files_only=True, **_WANTED)), 0)
    return Listed(Path(config).parent, sum(sizes[file] for file in wanted if file not in there))


@contextmanager
def _telling(name: str, repo: str, revision: str | None) -> Iterator[None]:
    """What is raised by libraries that fetch, told as ModelError in a line."""
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        yield
    except HFValidationError as error:
        # No id that the hub gives looks like this one.
        raise ModelError(f"model {name[:60]!r}: no such file or folder; {WHAT_WORKS}") from error
    except GatedRepoError as error:
        raise ModelError(f"model {name!r} is gated: ask for access on its hub page, then `hf auth login`") from error
    except RevisionNotFoundError as error:
        raise ModelError(f"model {name!r}: the hub's {repo} has no revision {revision!r}") from error
    except RepositoryNotFoundError as error:
        raise ModelError(f"model {name!r}: no such folder, and no such model on the hub; {WHAT_WORKS}") from error
    except HfHubHTTPError as error:
        raise ModelError(f"model {name!r}: the hub answered with an error ({error})") from error
    except OSError as error:
        # huggingface-hub's own "offline and not in the cache" is an OSError, like the network's.
        if error.errno is not None and error.filename is not None:
            raise ModelError(
                f"model {name!r}: the hub's cache cannot be used ({error.filename}: {error.strerror}); make room, or "
                "name another folder in HF_HOME"
            ) from error
        raise ModelError(
            f"model {name!r}: the model hub is out of reach (no network?) and the model is not in the local cache; "
            "what works offline: smollm2, gemma3-270m, a local folder, or a .gguf file"
        ) from error
    except Exception as error:
        # Of the libraries that fetch: a connection that breaks off, a server that speaks otherwise.
        raise ModelError(
            f"model {name!r} cannot be fetched from the hub ({type(error).__name__}: {str(error)[:200]})"
        ) from error
