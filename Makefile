# Every target installs what it needs: a virtual environment in .venv, servers from wheels, data under STATE.
# Requires make, and Python 3.11 or newer with venv.
SHELL := /bin/sh
PORT ?= 8000
STATE ?= .local
export PORT STATE

PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3 python; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo $$p; break; }; done)
VENV := .venv
RUN := $(VENV)/bin/python
HASH = $(shell cat $(1) | cksum | cut -d' ' -f1)
RUN_STAMP := $(VENV)/.run-$(call HASH,requirements.txt)
DEV_STAMP := $(VENV)/.dev-$(call HASH,requirements.txt requirements-dev.txt)
LOCAL := $(RUN) -m hub.local
PRODUCTION_CHECK := PRODUCTION=true RULES_PARTY_KEY=00000000000000000000000000000000 SECRET_KEY="$$($(RUN) -c 'import secrets; print(secrets.token_urlsafe(64))')" \
	ALLOWED_HOSTS=hub.example PARTICIPANT_AUTH=certificate,token SIGNATURES=required ADMINISTRATION_AUTH=oauth2 \
	ADMINISTRATION_API_READ_ONLY=false TWO_PEOPLE=everywhere HUB_SIGNING_KEY_FILE=unused EMAIL_URL=none TRUSTED_PROXY_COUNT=1 \
	RETENTION_DAYS=bodies=400,quotes=400,lookups=30,deliveries=30,sessions=30,facts=400,decisions=400,hits=0,signals=400 \
	PROXY_SECRET="$$($(RUN) -c 'import secrets; print(secrets.token_urlsafe(48))')"

.PHONY: help setup demo run test quick thorough looks messages check lint bench chaos fuzz stop clean env
help: ## list these commands
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{ printf "%-16s %s\n", $$1, $$2 }'

$(RUN):
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or newer with venv was found on the PATH. Install one (Debian: python3-venv), or set PYTHON=/path/to/python."; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(RUN_STAMP): | $(RUN)
	$(RUN) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(DEV_STAMP): $(RUN_STAMP)
	$(RUN) -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

setup: $(DEV_STAMP) ## create .venv with everything for development

demo: $(RUN_STAMP) ## make payments between two banks through a hub and compare all books; PAYMENTS=file.csv
	$(LOCAL) demo $(if $(PAYMENTS),--payments $(PAYMENTS))

run: $(RUN_STAMP) ## run a hub until Ctrl-C; PORT=8000 STATE=.local DEMO=1 (with two banks) LIFE=2 (payments a second)
	@$(LOCAL) run $(if $(DEMO),--demo) $(if $(LIFE),--life $(LIFE))

test: $(DEV_STAMP) ## run the tests, except the thorough ones; ARGS="-k name" selects some
	$(LOCAL) test $(ARGS)

QUICK := fspiop ledger quotes directory settlement outbox sweeps test_documents.py test_threats.py test_plans.py
quick: $(DEV_STAMP) ## run the tests of the rules and the money, without browser, attacks and live processes
	EXAMPLES=0.2 $(LOCAL) test -- $(QUICK:%=tests/%) -m "not live and not thorough and not slow" -n 4 -q

thorough: $(DEV_STAMP) ## run the long tests: appearance of every page, chaos, memory, timing; five times the usual examples
	EXAMPLES=5 $(LOCAL) test -- -m "thorough or hypothesis" -v

LOOKS ?= .local/looks
looks: $(DEV_STAMP) ## open every page in three languages, on desk and phone, light and dark; pictures in LOOKS=.local/looks
	@mkdir -p $(LOOKS)
	SCREENSHOTS="$(abspath $(LOOKS))" $(LOCAL) test -- tests/browser -m looks -n 2 -q $(ARGS)

messages: $(DEV_STAMP) ## collect the portal's texts for translation, and compile the translations (needs gettext)
	$(RUN) manage.py makemessages -l fr -l sw --no-location --no-obsolete --no-wrap -i .venv -i example_dfsp
	$(RUN) manage.py compilemessages -i .venv

lint: $(DEV_STAMP) ## check style, types, import directions, migrations and production settings
	@$(MAKE) --no-print-directory -k -j2 mypy ruff imports migrations production

.PHONY: mypy ruff imports migrations production
# mypy takes as long as all others together, so it begins first.
mypy:
	$(VENV)/bin/mypy .
ruff:
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
imports:
	$(VENV)/bin/lint-imports
migrations:
	$(RUN) -W ignore::RuntimeWarning manage.py makemigrations --check --dry-run
production:
	$(PRODUCTION_CHECK) $(RUN) -W ignore::RuntimeWarning manage.py check --deploy --fail-level WARNING

check: lint test ## run all checks of CI

bench: $(RUN_STAMP) ## measure transfers through live processes: rate, latency, CPU, ledger; ARGS="--rate 100 --suite --bad all ..."
	$(RUN) -m bench $(ARGS)

chaos: $(DEV_STAMP) ## disturb a running hub in every way possible on one machine, then check all books; MINUTES=5 SEED=n
	$(RUN) -m tests.faults.chaos --minutes $(or $(MINUTES),5) $(if $(SEED),--seed $(SEED)) $(ARGS)

fuzz: ## send requests generated from the OpenAPI documents to a running hub; URL=http://127.0.0.1:8000 ARGS="--signed"
	@test -x .fuzz/bin/python || $(PYTHON) -m venv .fuzz
	@.fuzz/bin/pip install --quiet --disable-pip-version-check -r requirements-fuzz.txt
	.fuzz/bin/python -m tests.protocol.fuzz --url $(or $(URL),http://127.0.0.1:$(PORT)) $(ARGS)

stop: $(RUN_STAMP) ## stop the hub that uses STATE
	@$(LOCAL) stop

clean: $(RUN_STAMP) ## stop the hub and remove its data
	@$(LOCAL) clean

env: $(RUN_STAMP) ## print DATABASE_URL, REDIS_URL and PATH for STATE's hub, for manage.py
	@$(LOCAL) env
