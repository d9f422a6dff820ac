# `make run` serves from a virtual environment of its own, `make test` runs the whole suite, `make help` has the rest.

PYTHON ?= python3
export PYTHON
# Where Python may not keep what it has compiled, every process compiles all of it anew; the tests start thousands.
export PYTHONDONTWRITEBYTECODE =

venv := .venv
no_python = $(PYTHON) is missing or older than 3.11: apt install python3, or name another: make PYTHON=python3.12
no_venv = $(PYTHON) cannot make virtual environments: apt install python3-venv

.PHONY: help run demo demo-break image check test bench docs site rules clean FORCE

help:
	@echo 'make run    serve on 127.0.0.1:10042, everything kept in ./var (or in SUTAZAI_BASE_DIR)'
	@echo 'make demo   a small world on ports of its own, kept in ./var/demo; make demo-break breaks it (docs/demo.md)'
	@echo 'make image  build the container image sutazai-exporter (docs/container.md)'
	@echo 'make check  ruff and mypy'
	@echo 'make test   install what the tests need (as root or with sudo) and run them all'
	@echo 'make bench  measure speed and size beside the peers'
	@echo 'make docs   write the references of commands, settings, metrics and alerts anew, and the rules'
	@echo 'make site   build the documentation as a site into ./site'
	@echo 'make rules  write the bundled alert rules anew'
	@echo 'make clean  remove what the others have made, except ./var'

run: export SUTAZAI_BASE_DIR ?= $(CURDIR)/var
run: $(venv)/.installed
	@exec $(venv)/bin/sutazai-exporter serve

# DEMO_PORT: the first of five ports; DEMO_DIR: where its files are; BREAKS: only these (`make demo-break BREAKS="kill-agent fill-log"`).
demo_dir = $(if $(DEMO_DIR),--directory "$(DEMO_DIR)")
demo: $(venv)/.installed
	@exec $(venv)/bin/python -m demo up $(demo_dir) $(if $(DEMO_PORT),--first-port $(DEMO_PORT))

demo-break: $(venv)/.installed
	@exec $(venv)/bin/python -m demo break $(demo_dir) $(BREAKS)

label = --label org.opencontainers.image
image:
	docker build --tag sutazai-exporter \
	  $(label).version=$(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' exporter/__init__.py) \
	  $(label).revision=$(shell git rev-parse HEAD 2>/dev/null) .

check: $(venv)/.installed-dev
	$(venv)/bin/ruff check
	$(venv)/bin/ruff format --check --quiet
	$(venv)/bin/mypy

test: $(venv)/.installed-dev
	tests/services/install test
	$(venv)/bin/pytest --numprocesses 4 --dist loadfile

bench: $(venv)/.installed-dev
	tests/services/install bench
	$(venv)/bin/python -m benchmarks

# Whoever writes them may have settings of their own; what is bundled has the defaults.
with_defaults = env -i SUTAZAI_BASE_DIR=/nonexistent $(venv)/bin/sutazai-exporter

# The page's own words, then the table that the command prints.
docs: $(venv)/.installed rules
	@for page in 'configuration config reference' 'metrics metrics --format markdown' 'alert-rules rules --table' 'command-line reference'; do \
	  set -- $$page; file=docs/$$1.md; shift; \
	  { sed '/^| /,$$d' $$file; $(with_defaults) "$$@"; } > $$file.new && mv $$file.new $$file; done

site: $(venv)/.installed-dev
	NO_MKDOCS_2_WARNING=1 $(venv)/bin/mkdocs build --strict

rules: $(venv)/.installed
	@$(with_defaults) rules --output alert_rules

clean:
	rm -rf $(venv) .venv-semgrep dist site .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Who runs the tests has asked for packages to be installed; who only runs the exporter has not.
check test bench: install_venv = tests/services/install python

$(venv)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo '$(no_python)' >&2; exit 1; }
	@$(install_venv)
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo '$(no_venv)' >&2; exit 1; }
	rm -rf $(venv)
	$(PYTHON) -m venv $(venv)
	@touch $@

$(venv)/.installed: pyproject.toml $(venv)/.made
	$(venv)/bin/pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(venv)/.installed-dev: pyproject.toml $(venv)/.made
	$(venv)/bin/pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $(venv)/.installed $@

# An upgrade of the system's Python leaves an environment behind whose packages nobody finds.
ifneq ($(wildcard $(venv)/.made),)
ifneq ($(shell { $(venv)/bin/python -c 'import pip'; } >/dev/null 2>&1 || echo stale),)
$(venv)/.made: FORCE
endif
endif
