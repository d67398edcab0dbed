#!/usr/bin/env bash
# Compares the protos with those of the last release. Without a release there is
# nothing to break.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

base=${BASE:-$(git describe --tags --abbrev=0 --match 'v*' 2>/dev/null || true)}
if [ -z "$base" ]; then
  echo "no base: there is no release tag to compare with"
  exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# The vendored protos are not in git; without them the base would not compile.
git archive "$base" buf.yaml proto | tar x -C "$work"
cp -r .buf-vendor "$work"
.tools/npm/node_modules/.bin/buf breaking --against "$work"
