"""Models on a hub: what would be downloaded is known before, revisions are models of their own, and offline is told."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fake_hub import Hub, commit, serving
from planted import plant


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """Two revisions of one model, with files that Vitro does not read."""
    folders = {}
    for seed, revision in enumerate(("main", "step10")):
        folder = plant(tmp_path_factory.mktemp(revision), seed)
        (folder / "pytorch_model.bin").write_bytes(b"pickle" * 1000)
        (folder / "README.md").write_text("a model")
        folders["org/planted", revision] = folder
    with serving(folders) as served:
        yield served


def said(code: str, home: Path, **env: str) -> Any:
    """What Python prints, as JSON, in a process of its own: the hub's library reads the environment once."""
    setup = f"import json\nfrom vitro.models import find, ModelError\nfrom vitro.models.sizes import sizes_of\n{code}"
    own = {"HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1", **env}
    done = subprocess.run(
        [sys.executable, "-c", setup],
        env={**{name: value for name, value in os.environ.items() if not name.startswith("HF_")}, **own},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


SIZES = "of = sizes_of({name!r})\nprint(json.dumps([of.layers, of.parameters, of.download]))"


def test_sizes_are_read_of_the_configuration_and_no_weight_is_fetched(hub: Hub, tmp_path: Path) -> None:
    hub.sent.clear()
    layers, parameters, download = said(SIZES.format(name="org/planted@step10"), tmp_path, HF_ENDPOINT=hub.address)
    folder = hub.folder("org/planted", "step10")
    assert folder is not None
    assert hub.sent == ["config.json"]
    assert layers == 3
    weights = (folder / "model.safetensors").stat().st_size
    assert weights - 10_000 < 4 * parameters <= weights
    read = [path for path in folder.iterdir() if path.suffix in (".json", ".safetensors", ".txt", ".model")]
    assert download == sum(path.stat().st_size for path in read if path.name != "config.json")


def test_once_downloaded_nothing_is_left_to_fetch_and_no_network_is_needed(hub: Hub, tmp_path: Path) -> None:
    fetch = "print(json.dumps([str(find('org/planted').folder.name), find('org/planted').weights_hash()]))"
    name, first = said(fetch, tmp_path, HF_ENDPOINT=hub.address)
    assert name == commit("org/planted", "main")
    assert said(SIZES.format(name="org/planted"), tmp_path, HF_ENDPOINT=hub.address)[2] == 0
    # Neither with a hub that is not there, nor where it is not to be asked.
    assert said(SIZES.format(name="org/planted"), tmp_path, HF_ENDPOINT="http://127.0.0.1:9")[2] == 0
    assert said(SIZES.format(name="org/planted"), tmp_path, HF_HUB_OFFLINE="1")[2] == 0
    other = said(fetch.replace("'org/planted'", "'org/planted@step10'"), tmp_path, HF_ENDPOINT=hub.address)
    assert other[0] == commit("org/planted", "step10")
    assert other[1] != first


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("org/planted@step99", "the hub's org/planted has no revision 'step99'"),
        ("org/nothing", "no such folder, and no such model on the hub"),
    ],
)
def test_what_the_hub_has_not_is_told_in_a_line(hub: Hub, tmp_path: Path, name: str, told: str) -> None:
    code = f"try:\n    sizes_of({name!r})\nexcept ModelError as error:\n    print(json.dumps(str(error)))"
    assert told in said(code, tmp_path, HF_ENDPOINT=hub.address)


def test_without_a_network_and_a_copy_one_line_says_so(tmp_path: Path) -> None:
    code = "try:\n    sizes_of('org/planted')\nexcept ModelError as error:\n    print(json.dumps(str(error)))"
    assert "the model hub is out of reach" in said(code, tmp_path, HF_ENDPOINT="http://127.0.0.1:9")
