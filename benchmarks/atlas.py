"""How fast an atlas is: two workers against one, what the driver itself takes, and what memory 10,000 cells need.

    python benchmarks/atlas.py

Eight cells of small random models are made by one process and by two (whole commands, their start included, by turns),
and by Ray with two workers where it is installed. The driver's own time is that of the same command when nothing is
missing, over its cells, without what an atlas of one cell takes. Ten thousand cells are links to these studies.
"""

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from checkpoints import write

MEASURE = "clean_run,ablate_heads,head_tokens,direct_attribution,successor"


def command(models: list[Path], tasks: str, out: Path, *more: str) -> float:
    """The seconds of `vitro atlas`."""
    words = [sys.executable, "-m", "vitro.cli", "atlas", tasks, "--models", ",".join(map(str, models))]
    begun = time.perf_counter()
    subprocess.run(
        [*words, "--out", str(out), "--measure", MEASURE, *more], check=True, capture_output=True, timeout=3600
    )
    return time.perf_counter() - begun


def speed(folder: Path, turns: int) -> dict[str, Any]:
    """Seconds of each way, the best of its turns."""
    models = write(folder / "models", 4, layers=12, heads=12, d_model=192)
    ways = {"one process": (), "two processes": ("--jobs", "2"), "Ray, two workers": ("--on", "ray", "--jobs", "2")}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(turns):
        for name, more in ways.items():
            out = folder / "atlas"
            shutil.rmtree(out, ignore_errors=True)
            seconds[name].append(command(models, "days,months", out, *more))
    best = {name: min(values) for name, values in seconds.items()}
    return {"seconds": best, "ratio": {name: best["one process"] / value for name, value in best.items()}}


def driver(folder: Path, cells: int) -> dict[str, float]:
    """What the driver takes of a cell that is there, in seconds, and its memory, in MB, in atlases of two sizes.

    The cells are one study under many names: the models' names are links to one model.
    """
    from vitro.atlases import Asked, run
    from vitro.options import Options
    from vitro.tasks import days

    model = write(folder / "models", 1, layers=12, heads=12, d_model=192)[0]
    measured: dict[str, float] = {}
    for count in (cells // 10, cells):
        out = folder / f"many{count}"
        names = [f"{folder}/many/m{number}" for number in range(count)]
        asked = Asked(tuple(names), (days(),), out, ("clean", "head_ablation"), Options())
        first = asked.jobs[0]
        (folder / "many").mkdir(exist_ok=True)
        for name in names:
            if not Path(name).exists():
                Path(name).symlink_to(model)
        run(Asked((names[0],), (days(),), out, asked.measure, asked.options))
        record = json.loads((first.folder / "study.json").read_text())
        for job in asked.jobs[1:]:
            job.folder.mkdir(parents=True)
            for name in ("tables", "report.html"):
                (job.folder / name).symlink_to(first.folder / name)
            record["settings"]["model"] = job.model
            (job.folder / "study.json").write_text(json.dumps(record))
        begun = time.perf_counter()
        made = run(asked)
        measured[f"{count:,} cells, ms a cell"] = 1000 * (time.perf_counter() - begun) / count
        measured[f"{count:,} cells, peak MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
        assert made.table["state"].unique().to_list() == ["done"]
    return measured


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--cells", type=int, default=10_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        result = {
            "torch": torch.__version__,
            "cores": torch.get_num_threads(),
            "eight cells": speed(Path(place), arguments.turns),
            "driver": driver(Path(place), arguments.cells),
        }
    print(json.dumps(result, indent=2))
