#!/bin/sh
# A Chromium for the browser tests: the one on this machine, else Debian's package.
set -u
for name in chromium chromium-browser google-chrome; do
  command -v "$name" >/dev/null 2>&1 && exit 0
done
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
  apt-get update -qq >/dev/null && DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends chromium fonts-noto-cjk >/dev/null && exit 0
fi
echo "No Chromium here: the browser tests will be skipped and say so. Install one with"
echo "  sudo apt-get install chromium    (or put chromium or google-chrome on PATH)"
exit 0
