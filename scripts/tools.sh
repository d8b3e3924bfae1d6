#!/usr/bin/env bash
# Builds the pinned programs that tests run beside the project's own: one module per tool in tools/, so that no tool's
# dependencies move another's. A tool is built again only when its go.mod or go.sum changes.
#
#   scripts/tools.sh [TOOL...]     all of tools/ when none is named
set -euo pipefail
cd "$(dirname "$0")/.."
bin=$PWD/.cache/tools/bin
mkdir -p "$bin"

# build_version sets what a release would report, because modules built from the proxy carry no version strings.
build_version() { sed -nE "s|^\t?(require )?$1 (v[^ ]+).*|\2|p" go.mod | head -n 1; }

flags_for() {
  case $1 in
  prometheus)
    # Prometheus numbers its Go module 0.3xx.y for the release 3.xx.y.
    local v
    v=$(build_version github.com/prometheus/prometheus)
    v=${v#v0.3}
    printf '%s\n' -tags remove_all_sd -ldflags "-X github.com/prometheus/common/version.Version=3.$((10#${v%%.*})).${v##*.}"
    ;;
  alertmanager | amtool)
    local v
    v=$(build_version github.com/prometheus/alertmanager)
    printf '%s\n' -ldflags "-X github.com/prometheus/common/version.Version=${v#v}"
    ;;
  esac
}

build() {
  local tool=$1 key stamp flags packages p
  stamp=$PWD/.cache/tools/$tool.key
  key=$(cat "tools/$tool/go.mod" "tools/$tool/go.sum" "$0" | sha256sum | cut -d' ' -f1)-$(go env GOVERSION)
  if [[ -f $stamp && $(<"$stamp") == "$key" ]]; then
    return
  fi
  echo "building the pinned $tool (once per version, minutes from an empty cache)"
  rm -f "$stamp"
  (
    cd "tools/$tool"
    mapfile -t flags < <(flags_for "$tool")
    mapfile -t packages < <(go list -e -f '{{.ImportPath}}' tool)
    for p in "${packages[@]}"; do
      # A rename, so that a half-written program is never run.
      nice go build -mod=readonly "${flags[@]}" -o "$bin/.${p##*/}" "$p"
      mv -f "$bin/.${p##*/}" "$bin/${p##*/}"
    done
  )
  echo "$key" >"$stamp"
}

if [[ $# -eq 0 ]]; then
  set -- $(cd tools && ls -d -- */ | tr -d /)
fi
for tool; do
  [[ -f tools/$tool/go.mod ]] || { echo "no tools/$tool/go.mod: see the folders of tools/" >&2; exit 2; }
  build "$tool"
done
