#!/usr/bin/env bash
# See to the programs that tests need and Python cannot bring: Chromium for the page, promtool for metrics and alerts,
# age and zstd to open bundles, libfaketime to set a server's clock, systemd-analyze to check units, ip to make hosts.
# On Debian and Ubuntu they are installed when they are missing and this runs as root; elsewhere it says what to do.
set -euo pipefail

packages=()
command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || packages+=(chromium)
command -v promtool >/dev/null || packages+=(prometheus)
command -v age >/dev/null || packages+=(age)
command -v zstd >/dev/null || packages+=(zstd)
command -v ip >/dev/null || packages+=(iproute2)
command -v faketime >/dev/null || packages+=(faketime)
command -v systemd-analyze >/dev/null || packages+=(systemd)
[ ${#packages[@]} -gt 0 ] || exit 0

if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
  echo "installing ${packages[*]} for the tests"
  apt-get update -qq
  # Prometheus brings a service that nobody needs here; on a system that runs services, do not start it.
  DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
else
  echo "the tests need ${packages[*]}; install with: sudo apt-get install ${packages[*]}" >&2
  exit 1
fi
