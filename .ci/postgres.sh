# A temporary PostgreSQL for the tests. Source it, then call `start_postgres`, which sets and
# exports TEST_DATABASE_URL, and `stop_postgres` at the end. Run as a program it takes `start`
# (prints `export` lines for `eval`) or `stop`.
#
# The cluster lives in a temporary folder, listens on 127.0.0.1 alone on a free port, and is thrown
# away: it never touches a cluster that is there already.

postgres_bin() {
  if command -v pg_config >/dev/null 2>&1 && [ -x "$(pg_config --bindir)/initdb" ]; then
    pg_config --bindir
    return
  fi
  local found
  found=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)
  if [ -z "$found" ]; then
    echo "postgres.sh: no PostgreSQL server found below /usr/lib/postgresql" >&2
    return 1
  fi
  echo "$found"
}

# initdb and the server refuse to run as root.
as_postgres() {
  if [ "$(id -u)" -ne 0 ]; then
    "$@"
  elif id postgres >/dev/null 2>&1; then
    setpriv --reuid=postgres --regid="$(id -g postgres)" --clear-groups -- "$@"
  else
    setpriv --reuid=65534 --regid=65534 --clear-groups -- "$@"
  fi
}

start_postgres() {
  local bin port try
  bin=$(postgres_bin) || return 1
  FOREMAN_TEST_POSTGRES=$(mktemp -d /tmp/foreman-postgres.XXXXXX) || return 1
  export FOREMAN_TEST_POSTGRES
  chmod 755 "$FOREMAN_TEST_POSTGRES"
  mkdir "$FOREMAN_TEST_POSTGRES/home"
  if [ "$(id -u)" -eq 0 ]; then
    chown "$(id -u postgres 2>/dev/null || echo 65534)" "$FOREMAN_TEST_POSTGRES/home"
  fi
  (
    cd "$FOREMAN_TEST_POSTGRES/home" || exit 1
    LC_ALL=C as_postgres "$bin/initdb" --pgdata=data --username=postgres --auth=trust \
      --encoding=UTF8 --locale=C --no-sync >initdb.log 2>&1 || { cat initdb.log >&2; exit 1; }
  ) || return 1
  for try in 1 2 3 4 5; do
    port=$((54000 + (RANDOM % 1000)))
    if (
      cd "$FOREMAN_TEST_POSTGRES/home" &&
        as_postgres "$bin/pg_ctl" --pgdata=data --log=server.log --wait --silent start --options="\
-p $port -k $FOREMAN_TEST_POSTGRES/home -c listen_addresses=127.0.0.1 -c fsync=off \
-c max_connections=300" >pg_ctl.log 2>&1
    ); then
      export TEST_DATABASE_URL="postgres://postgres@127.0.0.1:$port/postgres?sslmode=disable"
      return 0
    fi
  done
  cat "$FOREMAN_TEST_POSTGRES/home/server.log" >&2
  return 1
}

stop_postgres() {
  local bin
  [ -n "${FOREMAN_TEST_POSTGRES:-}" ] || return 0
  bin=$(postgres_bin) || return 1
  (
    cd "$FOREMAN_TEST_POSTGRES/home" &&
      as_postgres "$bin/pg_ctl" --pgdata=data --mode=immediate --wait --silent stop
  ) || true
  rm -rf "$FOREMAN_TEST_POSTGRES"
  unset FOREMAN_TEST_POSTGRES TEST_DATABASE_URL
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
  case "${1:-}" in
    start)
      start_postgres || exit 1
      echo "export TEST_DATABASE_URL='$TEST_DATABASE_URL'"
      echo "export FOREMAN_TEST_POSTGRES='$FOREMAN_TEST_POSTGRES'"
      ;;
    stop) stop_postgres ;;
    *)
      echo "usage: eval \"\$(bash .ci/postgres.sh start)\"; …; bash .ci/postgres.sh stop" >&2
      exit 2
      ;;
  esac
fi
