"""Where things are kept between commands."""

import os
import sys
from pathlib import Path

from vitro.models.errors import ModelError

VARIABLE = "VITRO_CACHE"
"""The environment variable that names another cache folder."""
ABOUT = "kept.json"
"""In each of the folders there, the file that says what is in it."""


def cache_folder() -> Path:
    """`VITRO_CACHE`, else the user's cache folder by the platform's custom. It need not exist.

    Raises ModelError where the user has no home.
    """
    try:
        if named := os.environ.get(VARIABLE):
            return Path(named).expanduser()
        match sys.platform:
            case "darwin":
                caches = Path.home() / "Library" / "Caches"
            case "win32":
                caches = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
            case _:
                caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError as error:
        raise ModelError(f"there is no home folder to keep things in ({error}): set {VARIABLE} to a folder") from error
    return caches / "vitro"
