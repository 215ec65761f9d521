# Everything a fresh machine needs: Python 3.11+, make, git.
PYTHON ?= python3
BIN := .venv/bin
JOBS ?= 3

.PHONY: demo test test-slow test-long lint docs prose pages picture bench bench-backup kill-table bad-table clean

.venv/.installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@

# the gate alone: the tools of the tests take a minute, and no story needs them; Python compiles what it imports
.venv/.runs: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	test -e .venv/.installed || $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -e .
	touch $@

# two dozen interpreters: where none may keep what it compiled, as in many containers, the story takes twice the time
demo: .venv/.runs
	env -u PYTHONDONTWRITEBYTECODE $(BIN)/python examples/bookshop/demo.py

test: .venv/.installed
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal -m "not long and not slow"

test-slow: .venv/.installed
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal -m "slow and not long"

test-long: .venv/.installed
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal

lint: .venv/.installed docs prose
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/check-jsonschema --builtin-schema vendor.github-actions action.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml examples/*/.github/workflows/*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.gitlab-ci examples/*/.gitlab-ci.yml

# the documentation's site, in build/site; links that lead nowhere fail
docs: .venv/.installed
	$(BIN)/python tests/support/site_pages.py

# spelling, and words that our pages do not use
prose: .venv/.installed
	$(BIN)/codespell
	$(BIN)/python tests/support/prose.py

# the pages of docs/ that are made from the code
pages: .venv/.installed
	$(BIN)/python tests/support/commands_page.py > docs/commands.md
	$(BIN)/python tests/support/report_page.py > docs/report.md

# the pages' pictures, of real runs
picture: .venv/.installed
	$(BIN)/python tests/support/picture.py

bench: .venv/.installed
	$(BIN)/python benchmarks/gate.py

bench-backup: .venv/.installed
	$(BIN)/python benchmarks/backup.py

kill-table: .venv/.installed
	$(BIN)/python benchmarks/kills.py

bad-table: .venv/.installed
	$(BIN)/python -m benchmarks.bad_migrations

clean:
	rm -rf .venv build dist
