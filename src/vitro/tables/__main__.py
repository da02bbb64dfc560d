"""`python -m vitro.tables docs/tables.md`: writes the page's part on tables again."""

import sys
from pathlib import Path

from vitro.tables.page import updated

if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(updated(path.read_text("utf-8")), "utf-8")
