"""Models on the hub: only what an id names is downloaded, into the hub's own cache."""

from pathlib import Path

from vitro.models.errors import WHAT_WORKS, ModelError


def fetch(name: str, repo: str, revision: str | None) -> Path:
    """The folder of a model in the hub's own cache, downloaded where it is not there yet; its name is the commit's.

    name: what the user typed. Raises ModelError where there is no such model, or it cannot be fetched.
    """
    # Here, not above: it is slow to import, and a local folder does not need it.
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        folder = snapshot_download(
            repo,
            revision=revision,
            allow_patterns=["*.json", "*.safetensors", "*.txt", "*.model"],
            # Subfolders hold other formats, and "consolidated" is a second copy of the same weights.
            ignore_patterns=["*/*", "consolidated*"],
        )
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
    return Path(folder)
