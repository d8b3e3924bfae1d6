#!/usr/bin/env bash
# go test with a summary that a reader of a log can trust: the number of tests, and every skip with its reason.
# With CI=true a skip is a failure, also one that did not go through internal/skiptest.
set -euo pipefail
cd "$(dirname "$0")/.."
log=$(mktemp)
trap 'rm -f "$log"' EXIT

status=0
go test -v "$@" >"$log" 2>&1 || status=$?

# What packages that failed printed, without -v's lines about passing tests, and one line for each package.
awk '
  /^[[:space:]]*(=== (RUN|PAUSE|CONT|NAME)|--- PASS)/ { next }
  /^ok  |no test files/ { print; said = ""; next }
  /^FAIL\t/ { printf "%s%s\n", said, $0; said = ""; next }
  { said = said $0 "\n" }
  END { printf "%s", said }
' "$log"

passed=$(grep -cE '^\s*--- PASS' "$log" || true)
failed=$(grep -cE '^\s*--- FAIL' "$log" || true)
skipped=$(grep -cE '^\s*--- SKIP' "$log" || true)
if [[ $skipped -gt 0 ]]; then
  echo "skipped:"
  grep -E -B 1 '^\s*--- SKIP' "$log" | grep -vE '^--$|=== |--- PASS'
fi
echo "tests: $passed passed, $failed failed, $skipped skipped"
if [[ $skipped -gt 0 && ${CI:-} == true ]]; then
  echo "CI=true: a skip is a failure" >&2
  status=1
fi
exit "$status"
