#!/usr/bin/env bash
# Makes the wheel of the program in target/wheels/, installs it in a fresh virtual environment, and has it tell a story:
#
#     packaging/wheel.sh
#
# zig, which pip installs with maturin, links to the symbols that glibc had in 2.17: one wheel for every Linux with a glibc since 2012.
set -euo pipefail
cd "$(dirname "$0")/.."

mkdir -p target/wheels
rm -f target/wheels/itera-*.whl
environments=$(mktemp -d)
trap 'rm -rf "$environments"' EXIT

python3 -m venv "$environments/maker"
"$environments/maker/bin/pip" install --quiet "maturin[zig]>=1.9,<2"
export PATH=$environments/maker/bin:$PATH
(cd packaging && maturin build --zig --compatibility manylinux_2_17 --out ../target/wheels)

python3 -m venv "$environments/user"
"$environments/user/bin/pip" install --quiet --no-index target/wheels/itera-*.whl
"$environments/user/bin/itera" --version
"$environments/user/bin/itera" generate checkpoints/stories-75k.gguf --prompt "Once upon a time" -n 40
ls -l target/wheels/itera-*.whl
