#!/bin/sh
# Installs the packages of the test peers, exactly as they are pinned beside
# this file, and builds a2a-go's command. Quick when nothing has changed.
# usage: setup.sh [js] [js03] [py] [py03] [gocli] [oidc]      (none means all)
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
mkdir -p "$root/.cache/peers"

# Two test binaries may find a peer missing at the same time.
if command -v flock >/dev/null 2>&1; then
	exec 9>"$root/.cache/peers/setup.lock"
	flock 9
fi

node_peer() {
	cd "$here/$1"
	cmp -s package-lock.json node_modules/.installed && return 0
	echo "peers: installing $1" >&2
	npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2
	cp package-lock.json node_modules/.installed
}

python_peer() {
	venv="$root/.cache/venv-$1"
	cmp -s "$here/$1/requirements.txt" "$venv/.installed" && "$venv/bin/python" -c '' 2>/dev/null && return 0
	echo "peers: installing $1" >&2
	rm -rf "$venv"
	"${PYTHON:-python3}" -m venv "$venv"
	# Everything is listed, so nothing is resolved; wheels only, so nothing is built.
	"$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
		-r "$here/$1/requirements.txt" >&2
	cp "$here/$1/requirements.txt" "$venv/.installed"
}

go_command() {
	cd "$root"
	bin=.cache/peers/a2a
	version=$(awk '$1 == "github.com/a2aproject/a2a-go/v2" {print $2}' go.mod)
	[ -x "$bin" ] && [ "$(cat "$bin.installed" 2>/dev/null)" = "$version" ] && return 0
	echo "peers: building a2a $version" >&2
	CGO_ENABLED=0 go build -o "$bin" github.com/a2aproject/a2a-go/v2/cmd/a2a >&2
	echo "$version" >"$bin.installed"
}

[ $# -gt 0 ] || set -- js js03 py py03 gocli oidc
for peer in "$@"; do
	case $peer in
	js | js03) (node_peer "$peer") ;;
	py | py03) (python_peer "$peer") ;;
	gocli) (go_command) ;;
	oidc) "$here/oidc/setup.sh" ;;
	*)
		echo "peers: no peer is called $peer" >&2
		exit 2
		;;
	esac
done
