#!/usr/bin/env bash
# Runs govulncheck where it and its database can be had, and says so where they cannot.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

tool=$(command -v govulncheck || true)
if [ -z "$tool" ]; then
  tool=.tools/govulncheck
  if [ ! -x "$tool" ] && ! GOBIN="$PWD/.tools" go install golang.org/x/vuln/cmd/govulncheck@v1.1.4 >/dev/null 2>&1; then
    echo "skipped: govulncheck cannot be installed here"
    exit 0
  fi
fi
status=0
out=$("$tool" ./... 2>&1) || status=$?
# 3 is what it returns for findings; anything else is its own failure, most of all a
# database that cannot be reached.
case $status in
  0) echo "$out" | tail -n 1 ;;
  3) echo "$out"; exit 1 ;;
  *) echo "skipped: govulncheck did not run: $(echo "$out" | tail -n 1)" ;;
esac
