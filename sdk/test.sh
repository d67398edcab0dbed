#!/usr/bin/env bash
# Builds and tests both SDKs, as packages and against a live gateway (SIGNALBOX_BIN,
# by default bin/signalbox), and prints the time of each part.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export SIGNALBOX_BIN="${SIGNALBOX_BIN:-$PWD/bin/signalbox}"
if [ ! -x "$SIGNALBOX_BIN" ]; then
  echo "sdk/test.sh: $SIGNALBOX_BIN is missing; build it, or set SIGNALBOX_BIN" >&2
  exit 1
fi
python=$PWD/.cache/venv-sdk/bin/python

ts_build() (
  cd sdk/typescript
  npm run --silent build
  npm run --silent build:test
)

ts_test() (
  cd sdk/typescript
  npm test --silent
)

# The package as a user gets it: packed, installed in an empty folder, imported.
ts_pack() (
  mkdir "$work/npm"
  npm --prefix sdk/typescript pack ./sdk/typescript --ignore-scripts --pack-destination "$work/npm"
  cd "$work/npm"
  echo '{"type":"module","private":true}' >package.json
  npm install --ignore-scripts --prefer-offline --no-audit --no-fund ./signalbox-sdk-*.tgz
  cat >use.js <<'JS'
import { SignalboxClient, UnavailableError } from "@signalbox/sdk";
import { AgentSchema } from "@signalbox/sdk/registry/v1";
import { KeySchema } from "@signalbox/sdk/identity/v1";
import { EventSchema } from "@signalbox/sdk/audit/v1";
import { PolicySchema } from "@signalbox/sdk/policy/v1";
for (const s of [AgentSchema, KeySchema, EventSchema, PolicySchema]) console.log(s.typeName);
const client = new SignalboxClient({ baseUrl: "http://127.0.0.1:1", apiKey: "sb_x" });
const err = await client.listAgents().toArray().catch((e) => e);
if (!(err instanceof UnavailableError)) throw new Error(`not an UnavailableError: ${err}`);
JS
  node use.js
  test -f node_modules/@signalbox/sdk/dist/index.d.ts
  test -f node_modules/@signalbox/sdk/README.md
)

py_types() (
  cd sdk/python
  "$python" -m mypy
)

py_test() (
  cd sdk/python
  "$python" -m pytest -q
)

py_wheel() (
  pip=("$python" -m pip --disable-pip-version-check)
  "${pip[@]}" wheel --quiet --no-deps --no-build-isolation --wheel-dir "$work/wheel" ./sdk/python
  # What it asks for must be what it was tested with.
  "${pip[@]}" install --dry-run --no-index "$work"/wheel/signalbox-*.whl
  "${pip[@]}" install --quiet --no-deps --no-index --target "$work/site" "$work"/wheel/signalbox-*.whl
  cd "$work"
  PYTHONPATH=$work/site "$python" - <<'PY'
import os
import signalbox
from signalbox.audit.v1 import Event
from signalbox.identity.v1 import Key
from signalbox.policy.v1 import Policy
from signalbox.registry.v1 import Agent
home = os.path.dirname(signalbox.__file__)
assert home == os.path.join(os.environ["PYTHONPATH"], "signalbox"), home
assert os.path.exists(os.path.join(home, "py.typed"))
print([m.desc().type_name for m in (Agent, Key, Event, Policy)])
with signalbox.Signalbox("http://127.0.0.1:1", "sb_x") as client:
    try:
        list(client.list_agents())
    except signalbox.UnavailableError:
        pass
    else:
        raise AssertionError("an unreachable gateway answered")
PY
)

# One part, in a process of its own: bash ignores "set -e" in a function whose status is asked for.
if [ $# -gt 0 ]; then
  "$@"
  exit
fi

work=$(mktemp -d)
export work
trap 'rm -rf "$work"' EXIT

# part NAME COMMAND...: prints the time, and the output only when the command fails.
part() {
  local status=0 TIMEFORMAT
  TIMEFORMAT=$(printf 'sdk  %-24s %%1R s' "$1")
  time "${@:2}" >"$work/log" 2>&1 || status=$?
  if [ "$status" != 0 ]; then
    cat "$work/log"
    echo "sdk  $1: FAILED" >&2
    exit "$status"
  fi
}

part "install" sdk/install.sh
part "typescript: build" sdk/test.sh ts_build
part "typescript: test" sdk/test.sh ts_test
part "typescript: package" sdk/test.sh ts_pack
part "python: types" sdk/test.sh py_types
part "python: test" sdk/test.sh py_test
part "python: wheel" sdk/test.sh py_wheel
