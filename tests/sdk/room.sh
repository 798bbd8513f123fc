# Sourced by the `run` of this room and of tests/browser: what a part needs, how it is run, and how all of it is counted.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
passed=0 failed=0

# needs COMMAND PACKAGE…: installs the packages where the command is missing.
needs() {
  command -v "$1" >/dev/null && return
  local sudo=
  [ "$(id -u)" = 0 ] || sudo=sudo
  $sudo apt-get update -q
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -yq --no-install-recommends "${@:2}"
}

# The debug build, unless SLUICEGATE_BIN names another one.
needs_binary() {
  if [ -z "${SLUICEGATE_BIN:-}" ]; then
    (cd "$root" && cargo build --quiet)
    export SLUICEGATE_BIN=${CARGO_TARGET_DIR:-$root/target}/debug/sluicegate
  fi
}

# The packages of this folder's lock file, a Node that is new enough among them.
needs_modules() {
  needs npm npm
  [ node_modules/.package-lock.json -nt package-lock.json ] || npm ci --no-audit --no-fund
  node=node
  [ ! -x node_modules/.bin/node ] || node=node_modules/.bin/node
}

# part SECONDS COMMAND…: runs a part, whose last words are `N passed, N failed`, and counts. An interrupt lets it tidy up,
# also where this runs in the background of a script, which would have it ignored.
part() {
  local log status=0 counts
  log=$(mktemp)
  timeout --signal=INT --kill-after=30 "$1" env --default-signal=INT "${@:2}" </dev/null 2>&1 | tee "$log" || status=$?
  counts=$(grep -E '^[0-9]+ passed, [0-9]+ failed$' "$log" | tail -n 1 || true)
  rm -f "$log"
  read -r good _ bad _ <<<"${counts:-0 passed, 0 failed}"
  # A part that failed without saying how has failed all the same.
  [ "$status" = 0 ] || [ "$bad" != 0 ] || bad=1
  [ -n "$counts" ] || bad=$((bad > 0 ? bad : 1))
  passed=$((passed + good)) failed=$((failed + bad))
}

# The end: one line, and the exit code.
told() {
  echo "$1: $passed passed, $failed failed"
  [ "$failed" = 0 ] && [ "$passed" -gt 0 ]
}
