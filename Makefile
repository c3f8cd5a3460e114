# make run    the chat on http://127.0.0.1:7860 (GRADIO_SERVER_PORT chooses another port)
# make test   every test
# make lint   style
#
# The first call makes .venv and fetches the frozen weights; later ones start at once, without a network.
# PYTHON names the interpreter that .venv is made with: make PYTHON=python3.12 run

PYTHON ?= python3
BIN := .venv/bin

.PHONY: run test lint
.DELETE_ON_ERROR:

run: .venv/installed .venv/weights
	@exec $(BIN)/python app.py

test: .venv/installed-dev .venv/weights
	$(BIN)/python -m pytest -q

lint: .venv/installed-dev
	$(BIN)/ruff check .

.venv/bin/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(None if (3, 10) <= v < (3, 13) else \
	"Python 3.10, 3.11 or 3.12 is needed; $(PYTHON) is %d.%d. Try: make PYTHON=python3.12 run" % v[:2])'
	@$(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }

# The stamps hold the time of the last installation: pip runs again only when the requirements are newer.
.venv/installed: requirements.txt | .venv/bin/python
	$(BIN)/python -m pip install --disable-pip-version-check -r requirements.txt
	@touch $@

.venv/installed-dev: requirements-dev.txt .venv/installed
	$(BIN)/python -m pip install --disable-pip-version-check -r requirements-dev.txt
	@touch $@

# Whoever empties the cache later loses nothing: what is missing is fetched again when it is first needed.
.venv/weights: checkpoints/pocket/config.json .venv/installed
	$(BIN)/python -m nextgpt_core weights
	@touch $@
