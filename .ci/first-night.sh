#!/usr/bin/env bash
# A clean machine to the first pull request, as a transcript on standard output: each command, what it
# said, and how long a person waited. Behind the real nginx, under a path prefix, on the stand-in GitHub
# with real git over HTTP. docs/first-night.md is made of it.
#   .ci/first-night.sh target/release/foreman
# Its two ends are in docs/first-night.md: what stands between the rules there is this output.
set -euo pipefail
binary=$(realpath "${1:?the foreman binary}")
here=$(dirname "$(realpath "$0")")/..
home=$(mktemp -d "${TMPDIR:-/tmp}/first-night.XXXXXX")
mkdir "$home/bin" "$home/work"
ln -s "$binary" "$home/bin/foreman"
children=()
ended() { for child in "${children[@]}"; do kill "$child" 2>/dev/null || true; done; wait; rm -rf "$home"; }
trap ended EXIT
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# The world outside: a GitHub and a model provider.
env -i PATH="$home/bin:$PATH" HOME="$home" foreman demo --stand-ins --json > "$home/serving" &
children+=($!)
until [ -s "$home/serving" ] && jq -e .serving "$home/serving" > /dev/null 2>&1; do sleep 0.1; done
of() { jq -r ".serving.$1" "$home/serving"; }
repo=$(of repository)
port=$(free_port) front=$(free_port)

# Nothing of this machine's own set-up reaches the person.
person=(env -i "PATH=$home/bin:/usr/local/cargo/bin:${PATH}" "HOME=${HOME}" "LC_ALL=C.UTF-8" "TERM=dumb")
steady() {
  sed -e "s#$home/work#/srv/foreman#g" -e "s#127.0.0.1:$port#127.0.0.1:3000#g" \
      -e "s#127.0.0.1:$front#foreman.example.org#g" -e "s#\x1b\[[0-9;]*m##g"
}
# Runs a line in a shell and says it, its words and its time. Its exit code goes to `code`.
tell() {
  local begun=$EPOCHREALTIME
  printf '```console\n$ %s\n' "$1" | steady
  code=0
  (cd "$home/work" && "${person[@]}" bash -c "set -a; [ -f shell.env ] && . ./shell.env; set +a; $1") 2>&1 | steady || code=$?
  local took; took=$(awk -v a="$begun" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }')
  printf '```\n\n'
  [ "$code" = 0 ] || printf 'Exit code %s. ' "$code"
  printf 'Waited: %s s.\n\n' "$took"
}
say() { printf '%s\n\n' "$*"; }

tell "foreman --version"
tell "foreman doctor $repo"
say "The GitHub and the provider of this transcript are elsewhere than the real ones; two lines say where."
cat > "$home/work/.env" <<LINES
GITHUB_API_URL=$(of githubApiUrl)
OPENAI_BASE_URL=$(of openaiBaseUrl)
PORT=$port
LINES
tell "sed -E 's#=.*#=…#' .env"
of githubToken > "$home/work/github-token"
echo demo-key-that-opens-nothing > "$home/work/openai-key"
tell "foreman init $repo --github-token-file github-token --openai-key-file openai-key --budget 2 --yes"
tell "foreman plan $repo"
tell "foreman run $repo --dry-run"
say "As a service, behind nginx: a token for whoever asks, a path prefix, and the address of the proxy."
tell "printf 'FOREMAN_API_TOKEN=ann:admin:%s\nFOREMAN_BASE_PATH=/foreman\n' \"\$(openssl rand -hex 24)\" >> .env && printf '\n[server]\ntrusted_proxies = [\"127.0.0.1\"]\n' >> foreman.toml"
cat > "$home/nginx.conf" <<CONF
daemon off; master_process off; pid $home/nginx.pid; error_log stderr;
events {}
http { access_log off; client_body_temp_path $home/b; proxy_temp_path $home/p; fastcgi_temp_path $home/f;
  uwsgi_temp_path $home/u; scgi_temp_path $home/s;
  server { listen 127.0.0.1:$front;
$(sed "s#http://127.0.0.1:3000#http://127.0.0.1:$port#" "$here/docs/deploy/nginx.conf")
  } }
CONF
nginx -c "$home/nginx.conf" -p "$home" 2> "$home/nginx.log" &
children+=($!)
(cd "$home/work" && exec "${person[@]}" foreman serve 2> foreman.log) &
children+=($!)
until curl -fs "http://127.0.0.1:$front/foreman/healthz" > /dev/null 2>&1; do sleep 0.1; done
say '`foreman serve` runs, and nginx before it with [the recipe](deploy/nginx.conf).'
printf 'FOREMAN_URL=http://127.0.0.1:%s/foreman\n' "$front" > "$home/work/shell.env"
say "From here on a person elsewhere: \`export FOREMAN_URL=http://foreman.example.org/foreman\`, and the token in \`.env\`."
tell "curl -s \$FOREMAN_URL/api/foreman/overnight; echo"
tell "foreman status"
tell "foreman run $repo --issues 1"
tell "foreman status"
tell "foreman why $repo#1"
tell "foreman why $repo#7"
tell "git -c credential.helper='!f() { echo username=x-access-token; echo password=\$(cat github-token); }; f' ls-remote --heads $(of githubApiUrl)$repo.git"
tell "curl -s -H \"Authorization: Bearer \$(sed -n 's/^FOREMAN_API_TOKEN=ann:admin://p' .env)\" \"\$FOREMAN_URL/api/foreman/overnight/runs?limit=1\" | jq '.runs[0] | {status, costUsd, pull: [.issueResults[] | .prUrl // empty]}'"
