#!/bin/sh
# Stops the service before its program goes, but not when a newer version takes its place.
set -e
[ -d /run/systemd/system ] || exit 0
case "$1" in
remove | purge | 0)
	systemctl disable --now saker-sensor.service || true
	;;
esac
