#!/bin/sh
# A JupyterHub with ngshare for tests/test_ngshare.py, in $VENV/hub, away from the learners' packages.
# Without Node.js or the registries the test is skipped and says so.
set -u
VENV=${1:-.venv}
HUB=$VENV/hub
# ngshare 0.6.0 with SQLAlchemy 2 answers "success" and stores nothing.
HUBS="jupyterhub==6.1.1 ngshare==0.6.0 sqlalchemy==1.4.54 alembic==1.13.3"
MARK="$HUBS ngshare_exchange==0.5.3 configurable-http-proxy@5.3.0"
[ "$(cat "$HUB/.installed" 2>/dev/null)" = "$MARK" ] && exit 0
if command -v npm >/dev/null 2>&1 \
  && "$VENV/bin/python" -m venv "$HUB/py" \
  && "$HUB/py/bin/python" -m pip install -qq --disable-pip-version-check $HUBS 2>/dev/null \
  && "$VENV/bin/python" -m pip install -qq --disable-pip-version-check --no-deps --upgrade \
       --target "$HUB/client" ngshare_exchange==0.5.3 2>/dev/null \
  && npm install --silent --no-audit --no-fund --prefix "$HUB" configurable-http-proxy@5.3.0 >/dev/null; then
  echo "$MARK" > "$HUB/.installed"
else
  echo "No JupyterHub with ngshare here: its test will be skipped and says so. It needs Node.js (npm), PyPI and npm."
fi
exit 0
