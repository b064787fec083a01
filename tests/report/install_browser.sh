#!/usr/bin/env bash
# Install Chromium for tests/report/test_page.py if it is missing and we are allowed to; without it these tests are
# skipped.
command -v chromedriver >/dev/null && command -v chromium >/dev/null && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium chromium-driver >/dev/null
fi || echo "no browser could be installed; the tests of the report in a browser are skipped"
