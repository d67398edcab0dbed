#!/usr/bin/env bash
# Generates all that buf.gen.yaml names: Go, TypeScript and Python. Needs buf and the
# vendored protos (`make vendor-proto`); installs the generators of the SDKs itself.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

sdk/install.sh
# Emptied before, or the code of a proto that is gone would stay.
rm -rf sdk/typescript/src/gen sdk/python/src/signalbox/_gen
"${BUF:-.tools/npm/node_modules/.bin/buf}" generate
