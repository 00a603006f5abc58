#!/usr/bin/env bash
# On a machine with an NVIDIA GPU and nvcc: builds with CUDA, runs the GPU tests, looks for memory errors, measures.
#   bench/gpu.sh [RESULTS.json]      PYTHON=... names another Python (3.10 or newer, with pip)
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3}
command -v nvcc >/dev/null || export PATH="/usr/local/cuda/bin:$PATH"
command -v nvcc >/dev/null || { echo "nvcc is not on PATH" >&2; exit 2; }
nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader

WORK=${WORK:-/tmp/sportcore-gpu}
[ -x "$WORK/venv/bin/python" ] || "$PYTHON" -m venv --system-site-packages "$WORK/venv"
PY="$WORK/venv/bin/python"
# the wheel is built in a folder of its own, so that the source tree stays as it is
"$PY" -m pip -q install "scikit-build-core>=0.10" "pybind11>=2.13" "cmeel-eigen>=3.4" ninja cmake \
  numpy scipy opencv-python-headless pytest pytest-benchmark hypothesis
SITE=$("$PY" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
CMAKE_PREFIX_PATH="$SITE/cmeel.prefix" CMAKE_ARGS="-DSPORTCORE_CUDA=ON" \
  "$PY" -m pip -q install --force-reinstall --no-deps --no-build-isolation -C build-dir="$WORK/build" .
cd "$WORK" && rm -rf tests bench && cp -r "$OLDPWD/tests" "$OLDPWD/bench" . # away from the sources, so that the installed package is imported
"$PY" -c 'from sportcore import _core; assert _core.built_with_cuda() and _core.cuda_device_count() > 0; print(_core.cuda_device_name())'

FILES="tests/test_camera_models.py tests/test_reproject.py tests/test_triangulate.py tests/test_least_squares.py"
"$PY" -m pytest -q -p no:cacheprovider -c /dev/null --rootdir . -o pythonpath=tests --import-mode=importlib $FILES

if command -v compute-sanitizer >/dev/null; then
  for TOOL in memcheck racecheck initcheck; do
    compute-sanitizer --tool $TOOL --error-exitcode 9 "$PY" -m pytest -q -p no:cacheprovider -c /dev/null --rootdir . \
      -o pythonpath=tests --import-mode=importlib -k "cuda and brown5 or cuda and 8" tests/test_reproject.py tests/test_triangulate.py
  done
else
  echo "compute-sanitizer is not installed: memory checks left out" >&2
fi

MACHINE=$("$PY" -c 'from sportcore import _core; print(_core.cuda_device_name().lower().replace(" ", "-"))')
RESULTS=${1:-$OLDPWD/bench/results/$MACHINE.json}
"$PY" -m pytest -q -p no:cacheprovider -c /dev/null --rootdir . -o pythonpath=bench -o "python_files=bench_*.py" -o "python_functions=bench_*" \
  --import-mode=importlib --benchmark-only --results "$RESULTS" bench/bench_reproject.py bench/bench_triangulate.py
echo "wrote $RESULTS"
