#!/usr/bin/env bash
# Get what the tests need beside Python, where this machine lets us; say in a line what could not be had.
# With CI set, what is missing is a failure.
set -u

# Built once, and kept for the next time.
bin="${XDG_CACHE_HOME:-$HOME/.cache}/tusfm-tests/bin"

missing() {
    echo "not to be had here: $1"
    [ -z "${CI:-}" ] || exit 1
}

has() { command -v "$1" >/dev/null 2>&1; }

# The makers of MinIO publish no binaries any more.
build() { # the name of the program, and what makes it
    if has "$1" || [ -x "$bin/$1" ]; then return; fi
    if ! has go; then
        missing "$1 (Go builds it)"
        return
    fi
    echo "building $1, which takes a few minutes once"
    made="$(mktemp -d)"
    if GOBIN="$made" go install "$2" >"$made/log" 2>&1; then
        mkdir -p "$bin" && mv "$made/$(ls "$made" | grep -v log)" "$bin/$1"
    else
        tail -5 "$made/log"
        missing "$1"
    fi
    rm -rf "$made"
}
(
    build minio github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c
    build versitygw github.com/versity/versitygw/cmd/versitygw@v1.8.0
    build toxiproxy-server github.com/Shopify/toxiproxy/v2/cmd/server@v2.5.0
) &
built=$!

packages=()
has chromium || packages+=(chromium)
has mariadbd || packages+=(mariadb-server)
has rabbitmq-server || [ -x /usr/sbin/rabbitmq-server ] || packages+=(rabbitmq-server)
has curl || packages+=(curl)
has wget || packages+=(wget)
has haproxy || [ -x /usr/sbin/haproxy ] || packages+=(haproxy)
has caddy || packages+=(caddy)
has strace || packages+=(strace)
has nginx || [ -x /usr/sbin/nginx ] || packages+=(nginx-light)
if [ ${#packages[@]} -gt 0 ]; then
    if has apt-get && [ "$(id -u)" = 0 ]; then
        apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null ||
            missing "${packages[*]}"
    else
        missing "${packages[*]} (apt-get as root installs it)"
    fi
fi

# promtool looks over the alerts; Debian's package would start a Prometheus beside it.
if ! has promtool && [ ! -x "$bin/promtool" ] && has apt-get && has dpkg-deb; then
    made="$(mktemp -d)"
    chmod 755 "$made"
    if (cd "$made" && apt-get download -qq prometheus && dpkg-deb -x prometheus_*.deb .) >/dev/null 2>&1; then
        mkdir -p "$bin" && mv "$made/usr/bin/promtool" "$bin/promtool"
    else
        echo "not to be had here: promtool; its test is left out"
    fi
    rm -rf "$made"
fi

wait "$built"
