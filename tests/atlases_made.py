"""What is looked at of an atlas that was made."""

from pathlib import Path


def tables(folder: Path) -> dict[str, bytes]:
    """Every table below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.parquet"))}
