# Everything a person or CI runs. The environment is made on demand in .venv.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.stamp

.PHONY: zoo docs fuzz fuzz-guided test-floors release demo test test-all test-ray test-integrations check format clean

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --editable '.[dev]'
	touch $(STAMP)

demo: $(STAMP)  ## The main job on the embedded model and images.
	$(BIN)/python examples/demo.py --output demo-out

test: $(STAMP)  ## Every test but the slow ones; what needs TensorFlow, torch or ../shared is skipped where that is absent, with the reason.
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile -m "not slow"

test-all: $(STAMP)  ## The slow tests too: whole trainings, searches and sweeps.
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

$(VENV)-ray/.stamp: pyproject.toml
	$(PYTHON) -m venv $(VENV)-ray
	$(VENV)-ray/bin/pip install --quiet --editable '.[dev,ray,parquet]'
	touch $(VENV)-ray/.stamp

test-ray: $(VENV)-ray/.stamp  ## The tests on Ray and parquet, in an environment of their own with the extras; four raylets on this machine.
	$(VENV)-ray/bin/python -m pytest tests/distributed tests/data/test_tables.py tests/evaluation/test_shards.py -m "not slow"

test-integrations: $(STAMP)  ## The tests with MLflow, TensorBoard, Model Explorer, datasets, grain and torch, in an environment of their own.
	$(PYTHON) -m venv $(VENV)-integrations
	$(VENV)-integrations/bin/pip install --quiet --editable '.[dev,integrations,torch]'
	$(VENV)-integrations/bin/python -m pytest tests/tracking tests/diagnosis/explain/test_model_explorer.py tests/api/test_data_kinds.py tests/test_public_api.py

check: $(STAMP)  ## Format, lint, types, doctests.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	KERAS_BACKEND=jax $(BIN)/python -m pytest --doctest-modules --doctest-ignore-import-errors src/tightfit

docs: $(STAMP)  ## The documentation site in site/; every warning is an error.
	$(BIN)/pip install --quiet --editable '.[docs]'
	$(BIN)/mkdocs build --strict

zoo: $(STAMP)  ## Real trained models through every scheme, fetched once into zoo-cache; prints what got worse.
	PYTHONPATH=bench KERAS_BACKEND=jax $(BIN)/python bench/zoo.py --cache zoo-cache $(ZOO)

fuzz: $(STAMP)  ## Mutants for every reader of a stranger's file, a minute of them.
	$(BIN)/python -m fuzz.run --seconds 60

test-floors: $(STAMP)  ## The guards with the lowest and the newest versions that pyproject.toml permits, in environments of their own.
	$(BIN)/pip install --quiet uv
	$(BIN)/python bench/floors.py --folder $(VENV)-floors

fuzz-guided:  ## Every reader under atheris for 20 s each, in an environment of its own with the extra.
	$(PYTHON) -m venv $(VENV)-fuzz
	$(VENV)-fuzz/bin/pip install --quiet --editable '.[fuzz,keras,onnx,sign]'
	KERAS_BACKEND=jax $(VENV)-fuzz/bin/python -m fuzz.guided all --seconds 20

release: $(STAMP)  ## The wheel, built twice from two folders and compared, a bill of materials, and a statement that KEY=private.pem signs.
	$(BIN)/pip install --quiet build cyclonedx-bom
	rm -rf dist dist-again
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(BIN)/python -m build --wheel --outdir dist
	mkdir -p dist-again/source && git archive HEAD | tar -x -C dist-again/source
	cd dist-again/source && umask 077 && TZ=Asia/Kolkata SOURCE_DATE_EPOCH=$$(git -C ../.. log -1 --format=%ct) $(abspath $(BIN))/python -m build --wheel --outdir ..
	cmp dist/*.whl dist-again/*.whl
	rm -rf dist-again
	$(PYTHON) -m venv dist/environment
	dist/environment/bin/pip install --quiet dist/*.whl
	dist/environment/bin/pip uninstall --quiet --yes pip setuptools
	$(BIN)/cyclonedx-py environment --output-reproducible --output-file dist/tightfit.cdx.json dist/environment/bin/python
	rm -rf dist/environment
	$(BIN)/python bench/release.py dist $(if $(KEY),--key $(KEY))

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) demo-out
