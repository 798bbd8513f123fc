# Sourced by tests/sdk/run and tests/browser/run: installs what is missing, runs parts, counts
# results.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
passed=0 failed=0

# needs COMMAND PACKAGE…: installs the packages if the command is missing.
needs() {
  command -v "$1" >/dev/null && return
  local sudo=
  [ "$(id -u)" = 0 ] || sudo=sudo
  $sudo apt-get update -q
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -yq --no-install-recommends "${@:2}"
}

# needs_binary: makes the debug build, unless SLUICEGATE_BIN names another binary.
needs_binary() {
  if [ -z "${SLUICEGATE_BIN:-}" ]; then
    (cd "$root" && cargo build --quiet)
    export SLUICEGATE_BIN=${CARGO_TARGET_DIR:-$root/target}/debug/sluicegate
  fi
}

# needs_modules: installs the packages of this folder's lock file and sets `node`. The packages
# include a Node because the one of the distribution may be too old.
needs_modules() {
  needs npm npm
  [ node_modules/.package-lock.json -nt package-lock.json ] || npm ci --no-audit --no-fund
  node=node
  [ ! -x node_modules/.bin/node ] || node=node_modules/.bin/node
}

# part SECONDS COMMAND…: runs a command with a time limit and adds its last line `N passed, N
# failed` to the totals. A timeout sends SIGINT, so that the command can clean up. Background jobs
# of a script ignore SIGINT, so `env` restores its default action.
part() {
  local log status=0 counts
  log=$(mktemp)
  timeout --signal=INT --kill-after=30 "$1" env --default-signal=INT "${@:2}" </dev/null 2>&1 | tee "$log" || status=$?
  counts=$(grep -E '^[0-9]+ passed, [0-9]+ failed$' "$log" | tail -n 1 || true)
  rm -f "$log"
  read -r good _ bad _ <<<"${counts:-0 passed, 0 failed}"
  # A part that exits with an error or prints no totals counts as at least one failure.
  [ "$status" = 0 ] || [ "$bad" != 0 ] || bad=1
  [ -n "$counts" ] || bad=$((bad > 0 ? bad : 1))
  passed=$((passed + good)) failed=$((failed + bad))
}

# summary NAME: prints the totals, and fails if a part failed or nothing ran. tests/run reads this
# line.
summary() {
  echo "$1: $passed passed, $failed failed"
  [ "$failed" = 0 ] && [ "$passed" -gt 0 ]
}
