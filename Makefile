.PHONY: check test bench docs

check: ## The whole gate, as CI runs it.
	.ci/run

test: ## The tests alone, in the environment that `make check` set up.
	.venv/bin/pytest -n 2

bench: ## The ratios of docs/bench.md.
	.venv/bin/python bench/run.py

docs: ## Regenerate the generated parts of docs/.
	.venv/bin/python docs/generate.py
