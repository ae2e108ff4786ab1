#!/usr/bin/env bash
# Run an MLflow tracking server for a group: runs in PostgreSQL, artifacts through the server, a login for everybody.
#
# It listens on 127.0.0.1 unless RAYDD_SERVER_HOST says otherwise, and there is no default password: what has to be set is
# asked for. README.md beside this file says how to set it up, back it up and upgrade it.
set -euo pipefail

fail() { echo "start.sh: $1" >&2; exit 2; }

: "${RAYDD_SERVER_ENV:=}"
if [ -n "$RAYDD_SERVER_ENV" ]; then
  [ -r "$RAYDD_SERVER_ENV" ] || fail "RAYDD_SERVER_ENV names $RAYDD_SERVER_ENV, which cannot be read"
  set -a; . "$RAYDD_SERVER_ENV"; set +a
fi

database=${RAYDD_SERVER_DATABASE:-}
artifacts=${RAYDD_SERVER_ARTIFACTS:-}
state=${RAYDD_SERVER_STATE:-$HOME/.local/state/raydd-server}
host=${RAYDD_SERVER_HOST:-127.0.0.1}
port=${RAYDD_SERVER_PORT:-5000}
workers=${RAYDD_SERVER_WORKERS:-2}
permission=${RAYDD_SERVER_PERMISSION:-EDIT}
python=${RAYDD_SERVER_PYTHON:-python3}

case $database in
  postgresql+psycopg2://*) ;;
  "") fail "set RAYDD_SERVER_DATABASE=postgresql+psycopg2://USER:PASSWORD@HOST:5432/DATABASE" ;;
  *) fail "RAYDD_SERVER_DATABASE must begin with postgresql+psycopg2://" ;;
esac
[ -n "$artifacts" ] || fail "set RAYDD_SERVER_ARTIFACTS to a folder, or to s3://BUCKET/PREFIX"
[ -n "${MLFLOW_AUTH_ADMIN_PASSWORD:-}" ] || fail "set MLFLOW_AUTH_ADMIN_PASSWORD, 12 characters or more; there is no default"
[ ${#MLFLOW_AUTH_ADMIN_PASSWORD} -ge 12 ] || fail "MLFLOW_AUTH_ADMIN_PASSWORD has ${#MLFLOW_AUTH_ADMIN_PASSWORD} characters; 12 are the least"
secret=${MLFLOW_FLASK_SERVER_SECRET_KEY:-}
[ ${#secret} -ge 32 ] || fail "set MLFLOW_FLASK_SERVER_SECRET_KEY to 32 characters or more that stay the same (openssl rand -hex 32)"
case $permission in READ|EDIT|NO_PERMISSIONS) ;; *) fail "RAYDD_SERVER_PERMISSION must be READ, EDIT or NO_PERMISSIONS, got $permission" ;; esac
case $host in
  127.*|localhost|::1) ;;
  *) [ -n "${RAYDD_SERVER_NAMES:-}" ] || fail "on $host set RAYDD_SERVER_NAMES to the names under which it is reached, as tracking.example.org,tracking.example.org:$port: requests to others are refused" ;;
esac
"$python" -c 'import flask_wtf, mlflow, psycopg2' 2>/dev/null \
  || fail "$python lacks mlflow, flask-wtf or psycopg2: pip install 'raydd[server]', or name another with RAYDD_SERVER_PYTHON"

umask 077  # the file below holds the database's password
mkdir -p "$state"
cat > "$state/auth.ini" <<INI
[mlflow]
default_permission = $permission
database_uri = ${database//%/%%}
admin_username = ${MLFLOW_AUTH_ADMIN_USERNAME:-admin}
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
grant_default_workspace_access = false
auth_cache_ttl_seconds = 60
INI

export MLFLOW_AUTH_CONFIG_PATH=$state/auth.ini
# Through the environment, because everybody on the machine sees arguments.
export MLFLOW_BACKEND_STORE_URI=$database
export MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false  # job runners take 3 GB and are of no use here
export MLFLOW_DISABLE_TELEMETRY=true

cd "$state"
exec "$python" -m mlflow server --app-name basic-auth --host "$host" --port "$port" --workers "$workers" \
  --artifacts-destination "$artifacts" ${RAYDD_SERVER_NAMES:+--allowed-hosts "$RAYDD_SERVER_NAMES"}
