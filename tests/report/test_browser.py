import re
import shutil
import subprocess
from pathlib import Path

import pytest

from report.sample import PAGE
from vitro.report import render

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--virtual-time-budget=8000",
    "--enable-logging=stderr",
    "--v=0",
]


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium or Chrome on this machine")
def test_a_browser_draws_every_figure_from_disk_without_a_word_on_the_console(tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text(render(PAGE), encoding="utf-8")
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    run = subprocess.run(
        [str(CHROMIUM), *QUIET, profile, "--dump-dom", page.as_uri()], capture_output=True, timeout=120, check=True
    )
    figures = re.findall(r"<figure.*?</figure>", run.stdout.decode(), re.DOTALL)
    assert [len(re.findall(r"<svg[^>]* class=\"marks\"", figure)) for figure in figures] == [1, 1, 1]
    assert not [line for line in run.stderr.decode().splitlines() if "CONSOLE" in line]
