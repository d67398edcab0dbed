#!/usr/bin/env bash
# Installs what the SDKs are generated, built and tested with, at pinned versions,
# into ignored folders: sdk/typescript/node_modules and .cache/venv-sdk. Does
# nothing when the pins have not changed since the last time.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# stamped STAMP PIN...: whether STAMP was written for these very pins.
stamped() { [ -f "$1" ] && [ "$(cat "$1")" = "$(cksum "${@:2}")" ]; }
stamp() { cksum "${@:2}" >"$1"; }

npm_pins=(sdk/typescript/package.json sdk/typescript/package-lock.json)
npm_stamp=sdk/typescript/node_modules/.signalbox-stamp
if ! stamped "$npm_stamp" "${npm_pins[@]}"; then
  npm --prefix sdk/typescript ci --ignore-scripts --no-audit --no-fund --loglevel=error
  stamp "$npm_stamp" "${npm_pins[@]}"
fi

venv=.cache/venv-sdk
pip_pins=(sdk/python/requirements-dev.txt)
if ! stamped "$venv/.signalbox-stamp" "${pip_pins[@]}"; then
  rm -rf "$venv"
  "${PYTHON:-python3}" -m venv "$venv"
  "$venv/bin/python" -m pip --disable-pip-version-check --quiet install -r sdk/python/requirements-dev.txt
  stamp "$venv/.signalbox-stamp" "${pip_pins[@]}"
fi
