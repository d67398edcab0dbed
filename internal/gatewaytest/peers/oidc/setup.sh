#!/bin/sh
# Installs the OpenID provider exactly as it is pinned beside this file. Quick when
# nothing has changed.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../../.." && pwd)
mkdir -p "$root/.cache/peers"

# Two test binaries may find it missing at the same time.
if command -v flock >/dev/null 2>&1; then
	exec 8>"$root/.cache/peers/oidc.lock"
	flock 8
fi

cd "$here"
cmp -s package-lock.json node_modules/.installed && exit 0
echo "peers: installing oidc" >&2
npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2
cp package-lock.json node_modules/.installed
