# make demo   the main job on real video, all set-up included
# make test   the tests, all set-up included        make test-fast  without the slow ones
# make test-sanitize  the C++ tests under AddressSanitizer and UBSan, those with threads under ThreadSanitizer
# make wheel  manylinux wheels without CUDA and with it, in dist/
# make bench  kernel benchmarks        make bench-peers  calibration against other tools
# make lint  ruff, clang-format, mypy

PYTHON ?= python3
VENV   ?= .venv
PY     := $(VENV)/bin/python
PIP    := $(PY) -m pip --disable-pip-version-check -q
TORCH  ?= torch==2.13.0
SOURCES := pyproject.toml CMakeLists.txt $(shell find cmake cpp cuda python/bindings -type f 2>/dev/null)

.PHONY: demo test test-fast test-sanitize wheel bench bench-peers lint format stubs docs-media clean

demo: $(VENV)/.ready
	$(VENV)/bin/sportcore demo $(ARGS)

test: $(VENV)/.ready
	$(PY) -m pytest -q $(ARGS)

test-fast: $(VENV)/.ready
	$(PY) -m pytest -q -m "not slow and not gpu" $(ARGS)

# cmake, ninja and Eigen come from wheels in the environment; each build has a folder of its own
SANITIZE := PATH="$(abspath $(VENV))/bin:$$PATH" cmake -S . -G Ninja -DCMAKE_BUILD_TYPE=Release -DSPORTCORE_TESTS=ON \
  -DSPORTCORE_PYTHON=OFF -DSPORTCORE_CUDA=OFF -DPython_EXECUTABLE="$(abspath $(PY))" --log-level=WARNING
BUILD := PATH="$(abspath $(VENV))/bin:$$PATH" cmake --build
CTEST := PATH="$(abspath $(VENV))/bin:$$PATH" ctest --output-on-failure
THREADED := parallel threads triangulator

test-sanitize: $(VENV)/.ready
	$(SANITIZE) -B build/sanitize -DSPORTCORE_SANITIZE=address,undefined
	$(BUILD) build/sanitize
	cd build/sanitize && ASAN_OPTIONS=detect_stack_use_after_return=1 UBSAN_OPTIONS=print_stacktrace=1 $(CTEST) $(ARGS)
	$(SANITIZE) -B build/sanitize-thread -DSPORTCORE_SANITIZE=thread
	$(BUILD) build/sanitize-thread --target $(THREADED:%=test_%)
	cd build/sanitize-thread && TSAN_OPTIONS=halt_on_error=1 $(CTEST) \
	  -R '^($(subst $() ,|,$(strip $(THREADED))))$$' $(ARGS)

wheel: $(VENV)/.ready
	PATH="$$PATH:/usr/local/cuda/bin" $(PY) cmake/wheel.py $(ARGS)

bench: $(VENV)/.ready
	$(PY) -m pytest bench -q -p no:cacheprovider --benchmark-only --benchmark-columns=median,iqr,ops $(ARGS)

bench-peers: $(VENV)/.ready
	$(PY) bench/peers/run.py $(ARGS)

lint: $(VENV)/.ready
	$(VENV)/bin/ruff check python tests bench cmake
	$(VENV)/bin/ruff format --check python tests bench cmake
	find cpp cuda python/bindings tests/consumer examples cmake -name '*.h' -o -name '*.c' -o -name '*.cpp' -o -name '*.cu' -o -name '*.cuh' \
	  | xargs $(VENV)/bin/clang-format --dry-run --Werror
	$(VENV)/bin/mypy

format: $(VENV)/.ready
	$(VENV)/bin/ruff check --fix python tests bench cmake
	$(VENV)/bin/ruff format python tests bench cmake
	find cpp cuda python/bindings tests/consumer examples cmake -name '*.h' -o -name '*.c' -o -name '*.cpp' -o -name '*.cu' -o -name '*.cuh' \
	  | xargs $(VENV)/bin/clang-format -i

stubs: $(VENV)/.ready
	$(PY) -m pybind11_stubgen sportcore._core -o python --ignore-all-errors

# torch comes first and exactly: anything looser pulls gigabytes of CUDA. OpenCV's desktop wheel needs libGL; where
# that is missing the headless wheel serves as well.
$(VENV)/.ready: $(SOURCES)
	@test -x $(PY) || { echo "Making $(VENV) ..."; $(PYTHON) -m venv $(VENV); }
	@echo "Installing torch ..." && $(PIP) install $(TORCH)
	@echo "Building sportcore ..." && $(PIP) install -e ".[dev]"
	@$(PY) -c "import cv2" 2>/dev/null || { echo "No libGL here: taking the headless OpenCV ..."; \
	  $(PIP) uninstall -y opencv-python && $(PIP) install opencv-python-headless; }
	@touch $@

clean:
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .benchmarks
