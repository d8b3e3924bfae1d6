#!/usr/bin/env bash
# What `make deps` runs: everything that the tests need beside Go, gcc and make.
#
# The pinned tools are built from tools/. The system packages (the oldest Prometheus and Alertmanager that the bundle
# supports, as Debian 12 ships them) are installed where this runs as root on Debian or Ubuntu. Elsewhere the script says
# what is missing and goes on: the tests that need it skip with that reason. With CI=true anything missing is an error.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(prometheus prometheus-alertmanager)
units=(prometheus prometheus-alertmanager)

missing=()
for p in "${packages[@]}"; do
  case $p in
  prometheus) command -v prometheus >/dev/null && command -v promtool >/dev/null || missing+=("$p") ;;
  prometheus-alertmanager) command -v prometheus-alertmanager >/dev/null || missing+=("$p") ;;
  esac
done

is_debian() { [[ -r /etc/os-release ]] && grep -qE '^ID(_LIKE)?=.*(debian|ubuntu)' /etc/os-release; }

if [[ ${#missing[@]} -gt 0 ]] && [[ $EUID -eq 0 ]] && is_debian; then
  echo "installing ${missing[*]} (tests against the oldest supported servers)"
  if [[ -d /run/systemd/system ]]; then
    # The packages would start their daemons on :9090 and :9093 now and at every boot; the tests only want the programs.
    systemctl mask --quiet "${units[@]/%/.service}"
    echo "masked ${units[*]}: 'systemctl unmask NAME' to run them as services"
  fi
  export DEBIAN_FRONTEND=noninteractive
  apt-get -q update
  apt-get -q install -y --no-install-recommends "${missing[@]}"
  missing=()
fi

if [[ ${#missing[@]} -gt 0 ]]; then
  echo "missing system packages: ${missing[*]}" >&2
  echo "  tests against Debian 12's Prometheus 2.42 and Alertmanager 0.25 will be skipped;" >&2
  echo "  to run them: sudo apt-get install --no-install-recommends ${missing[*]}" >&2
  if [[ ${CI:-} == true ]]; then
    exit 1
  fi
fi

command -v gcc >/dev/null || {
  echo "missing gcc: the exporter is then built without NVML, and the race detector cannot run" >&2
  [[ ${CI:-} != true ]] || exit 1
}

scripts/tools.sh
