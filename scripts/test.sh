#!/usr/bin/env bash
# go test with a summary that a reader of a log can trust: the number of tests, and every skip with its reason.
# With CI=true a skip is a failure, also one that did not go through internal/skiptest.
set -euo pipefail
cd "$(dirname "$0")/.."
log=$(mktemp)
trap 'rm -f "$log"' EXIT

status=0
go test -v "$@" >"$log" 2>&1 || status=$?

if [[ $status -ne 0 ]]; then
  # Everything of the packages that failed is between their RUN lines; without -v's noise of the passing ones.
  grep -vE '^\s*(=== (RUN|PAUSE|CONT|NAME)|--- PASS)|^ok |no test files' "$log" || true
fi
grep -E '^(ok|FAIL|panic)|no test files' "$log" || true

passed=$(grep -cE '^\s*--- PASS' "$log" || true)
failed=$(grep -cE '^\s*--- FAIL' "$log" || true)
skipped=$(grep -cE '^\s*--- SKIP' "$log" || true)
if [[ $skipped -gt 0 ]]; then
  echo "skipped:"
  grep -E -A 2 '^\s*--- SKIP' "$log" | grep -vE '^--$|=== |--- PASS'
fi
echo "tests: $passed passed, $failed failed, $skipped skipped"
if [[ $skipped -gt 0 && ${CI:-} == true ]]; then
  echo "CI=true: a skip is a failure" >&2
  status=1
fi
exit "$status"
