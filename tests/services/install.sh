#!/usr/bin/env bash
# Get what the tests need beside Python, where this machine lets us; say in a line what could not be had.
# With CI set, what is missing is a failure.
set -u

missing() {
    echo "not to be had here: $1"
    [ -z "${CI:-}" ] || exit 1
}

has() { command -v "$1" >/dev/null 2>&1; }

packages=()
has chromium || packages+=(chromium)
has mariadbd || packages+=(mariadb-server)
if [ ${#packages[@]} -gt 0 ]; then
    if has apt-get && [ "$(id -u)" = 0 ]; then
        apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null ||
            missing "${packages[*]}"
    else
        missing "${packages[*]} (apt-get as root installs it)"
    fi
fi
exit 0
