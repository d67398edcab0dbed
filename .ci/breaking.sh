#!/usr/bin/env bash
# Compares the protos with those of the last release; before the first one, with those
# that the change started from.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

base=${BASE:-$(git describe --tags --abbrev=0 --match 'v*' 2>/dev/null || true)}
if [ -z "$base" ]; then
  base=$(git merge-base HEAD origin/main 2>/dev/null || true)
  if [ -z "$base" ] || [ "$base" = "$(git rev-parse HEAD)" ]; then
    echo "no base: there is no release, and nothing that this was made from"
    exit 0
  fi
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# The vendored protos are not in git; without them the base would not compile.
git archive "$base" buf.yaml proto | tar x -C "$work"
cp -r .buf-vendor "$work"
.tools/npm/node_modules/.bin/buf breaking --against "$work"
