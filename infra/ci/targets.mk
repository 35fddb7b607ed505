# The stages of a release, as Jenkinsfile and .gitlab-ci.yml call them, in this order; by hand they are the same.
# What a stage needs to know of its place comes from variables (infra/ci/README.md); nothing is decided here.
.PHONY: ci-lint ci-test ci-build ci-train ci-gate ci-deploy ci-verify ci-rollback ci-fresh ci-stage pipeline-check

CI_OUT := build/ci
CI_CANDIDATE := $(CI_OUT)/candidate
CI_RECIPE ?= training/recipes/flights.toml
CI_PREPARE ?= $(BIN)/dvc repro apply
CI_TESTS ?=
CI_IMAGES ?= training serving jobs
CI_SERVERS ?= http://127.0.0.1:8080
CI_ALERTMANAGER ?=
CI_VERIFY ?=
STAGES := shadow canary champion

# What a command says as JSON goes to a file; where it fails, into the job's log too.
keep = > $(CI_OUT)/$(1) || { code=$$?; cat $(CI_OUT)/$(1); exit $$code; }
candidate = "$$(cat $(CI_CANDIDATE))"

# DVC's stages call python, feast and trueup by name.
ci-%: export PATH := $(CURDIR)/$(BIN):$(PATH)

ci-lint: lint types
	$(BIN)/check-jsonschema --builtin-schema vendor.gitlab-ci --data-transform gitlab-ci .gitlab-ci.yml

ci-test: setup
	$(BIN)/pytest -n $(TEST_WORKERS) --dist loadfile --no-loadscope-reorder --junitxml $(CI_OUT)/tests.xml $(CI_TESTS)

ci-build: setup
	$(BIN)/uv build --wheel --no-build-isolation --quiet --python $(BIN)/python --out-dir $(CI_OUT)/dist
	@for service in $(CI_IMAGES); do $(MAKE) image SERVICE=$$service || exit 1; done

ci-train: ci-fresh setup
	$(CI_PREPARE)
	$(BIN)/trueup train $(CI_RECIPE) --version-file $(CI_CANDIDATE) --metrics $(CI_OUT)/metrics.json

# Reproduced here, where nobody else writes; asked about without the key, so that nothing is kept and nothing moves.
ci-gate: setup
	$(BIN)/trueup reproduce $(candidate) --json $(call keep,reproduce.json)
	$(BIN)/trueup promote $(candidate) --to champion --dry-run --json $(call keep,gate.json)

ci-deploy: setup ci-stage
	$(BIN)/trueup promote $(candidate) --to $(STAGE) --json $(call keep,deploy-$(STAGE).json)

ci-verify: setup ci-stage
	$(BIN)/trueup verify $(candidate) --as $(STAGE) $(CI_SERVERS:%=--server %) \
	  $(if $(CI_ALERTMANAGER),--alertmanager $(CI_ALERTMANAGER)) --report $(CI_OUT)/parity-$(STAGE).html \
	  --json-file $(CI_OUT)/parity-$(STAGE).json --junit $(CI_OUT)/parity-$(STAGE).xml $(CI_VERIFY)

# The whole release, last step first, as far as it got.
ci-rollback: setup
	@test -e $(CI_CANDIDATE) || echo "nothing was trained, so nothing is taken back"
	@test ! -e $(CI_CANDIDATE) || $(BIN)/trueup rollback $(candidate) --to champion --to canary --to shadow

# Before all else of a training: what an older release left must not be taken for this one, to be rolled back.
ci-fresh:
	@rm -f $(CI_CANDIDATE)
	@mkdir -p $(CI_OUT)

ci-stage:
	@case " $(STAGES) " in *" $(STAGE) "*) ;; *) echo "STAGE=$(STAGE): name one of $(STAGES)"; exit 2;; esac

pipeline-check: setup ## the GitLab pipeline run here for real: a good release, and a bad one taken back (minutes)
	$(BIN)/python -m tests.ops.pipeline
