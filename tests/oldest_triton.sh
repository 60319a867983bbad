#!/bin/sh
# The kernel judge under the oldest Triton that it supports: an environment with that Triton alone, which
# takes all else from the project's own.  usage: sh tests/oldest_triton.sh .venv/bin
set -eu
version=3.6.0
bin=$(cd "$1" && pwd)
folder=$(dirname "$bin")/triton-$version
if ! "$folder/bin/python" -c "import triton, sys; sys.exit(triton.__version__ != '$version')" 2>/dev/null; then
  "$bin/python" -m venv --clear "$folder"
  own=$("$folder/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
  theirs=$("$bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
  "$folder/bin/python" -m pip install --quiet --no-deps "triton==$version"
  echo "import site; site.addsitedir('$theirs')" > "$own/project.pth"
fi
# what no version of Triton changes is left out: the command, figures, rounding, memory's index arithmetic
OMP_NUM_THREADS=1 "$folder/bin/python" -m pytest -n 2 --dist loadgroup -p no:cacheprovider \
  -k "not command and not roofline and not without_triton and not too_many and not rounding_is and not random_walks" \
  tests/test_kernel_judge_strict.py tests/test_kernel_judge_suites.py tests/test_kernel_judge_gate.py \
  tests/test_kernel_judge_fuzz.py
