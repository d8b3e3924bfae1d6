#!/usr/bin/env bash
# Renders the bundle into an empty folder and compares it with what is committed: a rendered file that was edited by hand,
# or a checklist that was changed without `make generate`, fails with the difference.
set -euo pipefail
cd "$(dirname "$0")/.."
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
CGO_ENABLED=0 go run -tags remove_all_sd ./cmd/genaictl render --out "$out" | tail -n 1
status=0
while IFS= read -r -d '' file; do
  diff -u "${file#"$out"/}" "$file" --label "committed ${file#"$out"/}" --label rendered || status=1
done < <(find "$out" -type f -print0 | sort -z)
# These folders hold rendered files only, so what is not rendered any more does not belong there.
for folder in rules dashboards mixin; do
  [[ -d $folder ]] || continue
  while IFS= read -r -d '' file; do
    if [[ ! -e $out/$file ]]; then
      echo "$file is not rendered (any more): remove it" >&2
      status=1
    fi
  done < <(find "$folder" -type f -print0 | sort -z)
done
if [[ $status -ne 0 ]]; then
  echo "rendered files are not fresh: run 'make generate' and commit the result" >&2
fi
exit "$status"
