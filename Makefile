# Two commands do everything on a fresh machine with Python 3.11 or later and make:
#   make report   set up, build the synthetic registry, screen the seed trial, write the sponsor's report
#   make test     set up and run the tests
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
BIN := .venv/bin
READY := .venv/.ready
TRIAL := NCT06642025

.PHONY: report test browser lint notebooks bench gallery clean

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed, found " + sys.version) if sys.version_info < (3, 11) else 0'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

report: $(READY)
	$(BIN)/feasibility synthetic --patients 2000 --seed 1 --events native --output build/registry
	$(BIN)/feasibility build build/registry --trial $(TRIAL) --index-date 2025-06-30 --output build/cohort.parquet --quality reports/quality.html
	$(BIN)/feasibility report build/cohort.parquet --trial $(TRIAL) --output reports/$(TRIAL) --language en,zh \
	  --plan examples/plans/one_centre.toml --months 120 --branding examples/branding.toml --by site_id
	$(BIN)/feasibility worksheet build/cohort.parquet --trial $(TRIAL) --output reports/internal_worksheet.html \
	  --events build/registry --from 2024-07-01 --to 2025-06-30 --plan examples/plans/one_centre.toml

test: $(READY)
	$(BIN)/python -m pytest --ignore=tests/browser -n auto --maxprocesses=4 --dist loadfile

# The panel in a real browser: needs Debian's chromium (apt-get install chromium).
browser: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[browser]'
	$(BIN)/python -m pytest tests/browser

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

notebooks: $(READY)
	$(BIN)/python notebooks/run.py

bench: $(READY)
	$(BIN)/python -m bench

clean:
	rm -rf .venv build

gallery: $(READY)
	$(BIN)/python notebooks/run.py --gallery
