"""A model that does not fit into memory is refused before it is read, with the numbers; none is held twice."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from planted import plant
from small_models import hf_model
from vitro.limits import Room, free_memory
from vitro.models import ModelError, find, load
from vitro.models.memory import needed
from vitro.models.text_part import read_stored

LAYERS = 6
SIZES: dict[str, Any] = {
    "hidden_size": 384,
    "intermediate_size": 1536,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 6,
    "vocab_size": 8192,
}
PEAK = """
import sys, threading
from vitro.models import load
def held():
    lines = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return 1024 * int(lines["RssAnon"].split()[0])
load(sys.argv[1])
for folder in sys.argv[2:]:
    for dtype in ("float32", "bfloat16"):
        done, peak, before = threading.Event(), [], held()
        def watch():
            while not done.wait(0.001):
                peak.append(held())
        thread = threading.Thread(target=watch)
        thread.start()
        model = load(folder, dtype=dtype)
        done.set()
        thread.join()
        print("peak", max(peak) - before, sum(weight.nbytes for weight in model.hf.parameters()))
        del model
"""


def big(folder: Path, dtype: torch.dtype = torch.float32, **fields: Any) -> str:
    plant(folder)
    (folder / "model.safetensors").unlink()
    hf_model("llama", **{**SIZES, **fields}).to(dtype).save_pretrained(folder, max_shard_size="30MB")
    return str(folder)


def free(monkeypatch: pytest.MonkeyPatch, *rooms: Room) -> None:
    monkeypatch.setattr("vitro.models.memory.free_memory", lambda: list(rooms))


def refused(folder: str, **options: Any) -> str:
    with pytest.raises(ModelError) as error:
        load(folder, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_it_is_refused_before_a_weight_is_read_with_what_would_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = big(tmp_path / "model")
    numbers = sum(weight.numel() for weight in load(folder).hf.parameters())
    monkeypatch.setattr(sys.modules["vitro.models.load"], "_read_weights", None)
    free(monkeypatch, Room("memory", 3 * numbers))
    assert (
        f"needs {4 * numbers / 1e9:.3g} GB for its weights in float32, and {3 * numbers / 1e9:.3g} GB of memory are"
        in (message := refused(folder))
    )
    assert f"what works: --dtype bfloat16 ({2 * numbers / 1e9:.3g} GB), a smaller model" in message
    free(monkeypatch, Room("memory", numbers))
    assert "are free; what works: a smaller model" in refused(folder, dtype="auto")
    assert "weights in bfloat16, and" in refused(folder, dtype="bfloat16")
    free(monkeypatch, Room("memory", 10**12), Room("memory", numbers, "the container's memory.max"))
    assert "what works: a higher limit (the container's memory.max), a smaller model" in refused(folder)


def test_tied_weights_are_counted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tied, untied = (big(tmp_path / str(tie), tie_word_embeddings=tie) for tie in (True, False))
    embedding = 4 * SIZES["vocab_size"] * SIZES["hidden_size"]
    sizes = []
    for folder in (tied, untied):
        free(monkeypatch, Room("memory", 0))
        sizes.append(float(refused(folder).split(" needs ")[1].split(" GB")[0]) * 1e9)
    assert abs(sizes[1] - sizes[0] - embedding) < 0.01 * sizes[1]


def test_a_gpu_is_looked_at_where_the_model_is_to_run_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = big(tmp_path / "model")
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda place: (10**6, 10**10))
    assert "0.001 GB of GPU memory are free; what works: --device cpu, a smaller model" in refused(
        folder, device="cuda"
    )


@pytest.mark.skipif(sys.platform != "linux", reason="what is held is read from /proc")
def test_no_weight_is_held_twice_whatever_it_is_stored_in_and_read_as(tmp_path: Path) -> None:
    small = plant(tmp_path / "small")
    folders = [big(tmp_path / str(dtype), dtype) for dtype in (torch.float32, torch.bfloat16)]
    ran = subprocess.run([sys.executable, "-c", PEAK, small, *folders], capture_output=True, text=True, check=True)
    peaks = [tuple(map(int, line.split()[1:])) for line in ran.stdout.splitlines() if line.startswith("peak")]
    asked = [(folder, dtype) for folder in folders for dtype in (torch.float32, torch.bfloat16)]
    for (folder, dtype), (peak, weights) in zip(asked, peaks, strict=True):
        checkpoint = find(folder)
        files = sum(path.stat().st_size for path in checkpoint.weights)
        said = needed(read_stored(checkpoint), load(folder).hf, dtype, files)
        assert said.weights == weights
        # A pass of eight tokens and what the allocator keeps come to it.
        assert peak < said.memory + 25e6


@pytest.mark.skipif(sys.platform != "linux", reason="a process's limits are of Unix")
def test_a_limit_on_address_space_is_seen(tmp_path: Path) -> None:
    code = (
        "import resource, sys, vitro\n"
        "vitro.load(sys.argv[2])\n"
        "taken = int(next(line for line in open('/proc/self/status') if line.startswith('VmSize')).split()[1]) * 1024\n"
        "resource.setrlimit(resource.RLIMIT_AS, (taken + 10**8, resource.RLIM_INFINITY))\n"
        "vitro.load(sys.argv[1], dtype='bfloat16')\n"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    ran = subprocess.run(
        [sys.executable, "-c", code, big(tmp_path / "model"), plant(tmp_path / "small")],
        capture_output=True,
        text=True,
        env=environment,
    )
    last = ran.stderr.strip().splitlines()[-1]
    assert "GB of address space are free; what works:" in last, ran.stderr
    assert "a higher limit (ulimit -v), a smaller model" in last
    assert resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY


def group(folder: Path, names: tuple[str, str], limit: str, used: int, **stat: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / names[0]).write_text(f"{limit}\n")
    (folder / names[1]).write_text(f"{used}\n")
    (folder / "memory.stat").write_text("".join(f"{name} {size}\n" for name, size in stat.items()))


def test_the_machine_and_its_control_groups_say_what_is_free(tmp_path: Path) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text("MemTotal:       2000 kB\nMemAvailable:   1000 kB\nHugePages_Total: 0\n")
    (tmp_path / "proc/self/cgroup").write_text("0::/job/step\n")
    top, names = tmp_path / "sys/fs/cgroup", ("memory.max", "memory.current")
    group(top / "job/step", names, "max", 500, inactive_file=0, active_file=0)
    group(top / "job", names, "900", 700, inactive_file=50, active_file=100)
    found = free_memory(tmp_path)
    assert found == [Room("memory", 1024 * 1000), Room("memory", 350, "the container's memory.max")]


def test_control_groups_of_the_first_kind_say_it_too(tmp_path: Path) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text("MemAvailable:   1000 kB\n")
    (tmp_path / "proc/self/cgroup").write_text("5:cpu:/\n4:memory:/docker/1\n0::/\n")
    top, names = tmp_path / "sys/fs/cgroup/memory", ("memory.limit_in_bytes", "memory.usage_in_bytes")
    # Within a container its own group is the top.
    group(top, names, "900", 700, total_inactive_file=10, total_active_file=0)
    assert Room("memory", 210, "the container's memory.limit_in_bytes") in free_memory(tmp_path)


def test_a_file_larger_than_the_memory_is_refused_with_the_numbers_too(tmp_path: Path) -> None:
    folder = plant(tmp_path / "model")
    sizes = {**SIZES, "num_hidden_layers": 1, "intermediate_size": 2**28, "architectures": ["LlamaForCausalLM"]}
    config = transformers.LlamaConfig(**sizes, tie_word_embeddings=True)
    with torch.device("meta"):
        weights = dict(transformers.LlamaForCausalLM(config).named_parameters())
    config.save_pretrained(folder)
    header, end = {}, 0
    for name, weight in weights.items():
        header[name] = {"dtype": "F32", "shape": list(weight.shape), "data_offsets": [end, end := end + weight.nbytes]}
    written = json.dumps(header).encode()
    with (folder / "model.safetensors").open("wb") as file:
        file.write(len(written).to_bytes(8, "little") + written)
        file.truncate(file.tell() + end)  # More than a terabyte, of which the disk holds nothing.
    with pytest.raises(ModelError, match=r"needs 1\.24e\+03 GB for its weights in float32, and .* GB of .* are free"):
        load(str(folder))
