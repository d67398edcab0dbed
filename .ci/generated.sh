#!/usr/bin/env bash
# Makes all generated code anew and fails when that changes it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

generated=(gen internal/store/dbsqlc sdk/typescript/src/gen sdk/python/src/signalbox/_gen)
# Of the files as they are, committed or not, so that it says what would be committed.
sum() { find "${generated[@]}" -type f -not -name '*.pyc' -print0 | sort -z | xargs -0 sha256sum; }

before=$(sum)
make --no-print-directory generate
if ! diff <(echo "$before") <(sum); then
  echo "generated code is not up to date: run 'make generate' and commit the result" >&2
  exit 1
fi
