#!/bin/sh
# Resolve pyproject.toml into requirements.lock. torch is pinned to a release whose plain name also
# names the CPU build; triton is left to it, because a CUDA torch brings the triton it was built with.
set -eu
bin=$1
echo "torch==2.13.0" > /tmp/ladder-constraints.txt
"$bin/pip-compile" --quiet --extra dev --extra cohort --extra smollm2 --strip-extras --no-emit-find-links --no-emit-index-url \
  --no-emit-options --no-header --no-annotate --allow-unsafe --constraint /tmp/ladder-constraints.txt \
  --output-file requirements.lock pyproject.toml
sed -i -E 's/^(torch==[0-9.]+)\+.*/\1/; /^triton==/d; /^nvidia-/d' requirements.lock
sed -i '1i # Made by `make lock` from pyproject.toml; every direct and indirect dependency, pinned.' requirements.lock
