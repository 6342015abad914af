# Functions of run.sh: installing, starting and stopping, expectations, the matrix. Sourced, never run.
# shellcheck shell=bash disable=SC2154  # root, work, logs and here are run.sh's

rows=()          # finished lines of the matrix
broken=0         # rows that failed
faults=()        # what is wrong with the current row
declare -A pids  # processes in the background, by name
row_client='' row_case='' row_log='' row_begun=0

# --- Installing ---------------------------------------------------------------------------------------------------

# Runs a command quietly; its output is shown when it fails.
quietly() {
  local log=$logs/install.log
  "$@" >"$log" 2>&1 </dev/null || { cat "$log"; echo "interop: failed: $*"; return 1; }
}

install_python() { # FOLDER PACKAGES
  [ "$(cat "$work/$1/.packages" 2>/dev/null)" = "$2" ] && return
  echo "interop: python packages $2"
  # uamqp 1.6.11 has wheels up to CPython 3.12 and does not build on later ones.
  local python candidate
  for candidate in python3.11 python3.12 python3.10 python3.9 python3; do
    command -v "$candidate" >/dev/null && python=$candidate && break
  done
  rm -rf "${work:?}/$1"
  # shellcheck disable=SC2086
  quietly timeout 60 "${python:-python3}" -m venv "$work/$1" &&
    quietly timeout 300 "$work/$1/bin/pip" install --disable-pip-version-check $2 && printf '%s' "$2" >"$work/$1/.packages"
}

# Comes as source, and is compiled.
install_qpid_proton() { # PACKAGES
  install_python values "$1" && return
  apt_install gcc python3-dev libssl-dev && install_python values "$1"
}

install_node() { # PACKAGES
  [ "$(cat "$work/npm/.packages" 2>/dev/null)" = "$1" ] && return
  echo "interop: node packages $1"
  rm -rf "$work/npm" && mkdir -p "$work/npm" && echo '{"private":true}' >"$work/npm/package.json" || return
  # shellcheck disable=SC2086
  quietly timeout 300 npm install --prefix "$work/npm" --no-audit --no-fund --ignore-scripts $1 &&
    printf '%s' "$1" >"$work/npm/.packages"
}

install_proton() { # PACKAGES
  [ -x "$work/proton/broker" ] && [ -x "$work/proton/receive" ] && return
  echo "interop: debian packages $1"
  # shellcheck disable=SC2086
  [ -f /usr/share/proton/examples/c/broker.c ] || apt_install gcc pkg-config $1 || return
  mkdir -p "$work/proton" || return
  local example
  for example in broker send receive; do
    # shellcheck disable=SC2046
    quietly gcc -O1 -o "$work/proton/$example" "/usr/share/proton/examples/c/$example.c" \
      $(pkg-config --cflags --libs libqpid-proton) -lpthread || return
  done
}

install_tshark() {
  command -v tshark >/dev/null && return
  echo 'interop: debian package tshark'
  apt_install tshark
}

# Builds the command and our side of the peer tests, with the features that README's commands use, so that nothing
# is built twice.
build() {
  echo 'interop: building'
  (cd "$root" && cargo build -q --release --features cli --bin iothub) || return
  mkdir -p "$work/bin" && cp "${CARGO_TARGET_DIR:-$root/target}/release/iothub" "$work/bin/iothub" || return
  local test
  test=$(cd "$root" && cargo test -q --workspace --all-features --test interop --no-run --message-format=json |
    python3 -c '
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if message.get("reason") == "compiler-artifact" and message["target"]["name"] == "interop" and message["executable"]:
        print(message["executable"])') || return
  [ -n "$test" ] && cp "$test" "$work/bin/interop" || return
  (cd "$root" && cargo build -q --workspace --all-features --example broker) || return
  cp "${CARGO_TARGET_DIR:-$root/target}/debug/examples/broker" "$work/bin/broker"
}

# Runs a script with a loopback and a hosts file of its own; where namespaces are not allowed, on the machine's
# loopback, with names looked up through nss_wrapper.
in_namespace() {
  local hosts=$work/hosts
  printf '127.0.0.1 %s\n' localhost "$hub" >"$hosts"
  command -v ip >/dev/null || command -v ifconfig >/dev/null || apt_install iproute2
  if [ "${INTEROP_NAMESPACE:-yes}" = yes ] && unshare --net --mount true 2>/dev/null; then
    # shellcheck disable=SC2016
    unshare --net --mount --fork --kill-child bash -c \
      'ip link set lo up 2>/dev/null || ifconfig lo up; mount --bind "$1" /etc/hosts; shift; exec bash "$@"' _ "$hosts" "$@"
    return
  fi
  echo 'interop: no namespaces here (CAP_SYS_ADMIN is missing): using port 5671 of this machine, and nss_wrapper for names'
  apt_install libnss-wrapper || return
  LD_PRELOAD=libnss_wrapper.so NSS_WRAPPER_HOSTS=$hosts bash "$@"
}

apt_install() { # PACKAGES...
  DEBIAN_FRONTEND=noninteractive quietly timeout 240 apt-get install -y -q --no-install-recommends "$@" && return
  quietly timeout 120 apt-get update -q && DEBIAN_FRONTEND=noninteractive quietly timeout 240 apt-get install -y -q --no-install-recommends "$@"
}

# --- Processes ----------------------------------------------------------------------------------------------------

# Starts a server and waits until a line of its log matches.
start() { # NAME SECONDS PATTERN COMMAND...
  local name=$1 limit=$2 pattern=$3 log=$logs/$1.log waited=0
  shift 3
  : >"$log"
  "$@" >"$log" 2>&1 </dev/null &
  pids[$name]=$!
  until grep -qE "$pattern" "$log"; do
    if ! kill -0 "${pids[$name]}" 2>/dev/null || [ $waited -ge $((limit * 10)) ]; then
      cat "$log"
      row_client=$name row_case=start row_log=$log faults=("did not start") row_begun=$SECONDS
      finish ''
      return 1
    fi
    sleep 0.1
    waited=$((waited + 1))
  done
}

# Stops a server by its process id and keeps its exit status.
stop() { # NAME SIGNAL
  local name=$1 waited=0
  open_row "$name" stop "$logs/$name.log"
  last_status=
  [ -n "${pids[$name]:-}" ] || return 0
  kill -s "$2" "${pids[$name]}" 2>/dev/null
  while kill -0 "${pids[$name]}" 2>/dev/null; do
    if [ $waited -ge 50 ]; then
      faults+=("still running 5 s after SIG$2")
      kill -s KILL "${pids[$name]}" 2>/dev/null
      break
    fi
    sleep 0.1
    waited=$((waited + 1))
  done
  wait "${pids[$name]}" 2>/dev/null
  last_status=$?
  unset "pids[$name]"
}

stop_everything() {
  local name
  for name in "${!pids[@]}"; do kill -s KILL "${pids[$name]}" 2>/dev/null; done
}

# --- Rows ---------------------------------------------------------------------------------------------------------

log_of() { printf '%s/%s-%s.log' "$logs" "$1" "$2"; } # CLIENT CASE

open_row() { row_client=$1 row_case=$2 row_log=$3 row_begun=$SECONDS faults=(); }

# Runs a client to its end; an exit status other than 0 is a fault.
run() { # CLIENT CASE SECONDS COMMAND...
  open_row "$1" "$2" "$(log_of "$1" "$2")"
  local limit=$3 status
  shift 3
  timeout --kill-after=5 "$limit" "$@" >"$row_log" 2>"$row_log.err" </dev/null
  status=$?
  [ $status -eq 124 ] && faults+=("no end after $limit s")
  [ $status -eq 0 ] || [ $status -eq 124 ] || faults+=("exit status $status")
}

# Runs a client that has to fail by itself.
run_failing() { # CLIENT CASE SECONDS COMMAND...
  run "$@"
  if [ "${faults[0]:-}" = "exit status 1" ]; then faults=(); else faults+=("was expected to fail with 1"); fi
}

# Starts a client in the background; `join` continues its row.
begin() { # CLIENT CASE SECONDS COMMAND...
  local log name=$1-$2 limit=$3
  log=$(log_of "$1" "$2")
  shift 3
  timeout --kill-after=5 "$limit" "$@" >"$log" 2>"$log.err" </dev/null &
  pids[$name]=$!
}

join() { # CLIENT CASE
  open_row "$1" "$2" "$(log_of "$1" "$2")"
  wait "${pids[$1-$2]}"
  local status=$?
  unset "pids[$1-$2]"
  [ $status -eq 0 ] || faults+=("exit status $status")
}

# One of our tests that talk to a foreign peer.
engine() { # TEST SEEN
  run engine "$1" 60 "$work/bin/interop" --ignored --exact "$1" --nocapture
  expect '1 passed'
  finish "$2"
}

# One of our tests that compare our codec with another.
agree() { # PEER
  run codec "agreement_$1" 60 "$work/bin/interop" --ignored --exact "agreement::agreement_$1" --nocapture
  expect '1 passed'
  expect '^AGREED [1-9]'
  finish "$(sed -n 's/^AGREED //p' "$row_log")"
}

# What tshark says of a capture: no malformed packet, no complaint, and as many frames of each kind as our own reader counts.
dissect() { # CAPTURE PORT LEAST KIND...
  local capture=$1 port=$2
  run tshark "$1" 60 tshark -r "$work/$1.pcap" -d "tcp.port==$2,amqp" -q -z expert,error
  # It knows no described value in a body, which the requests to a coordinator are.
  grep -vE 'AMQP +Unknown AMQP type 0 \(0x0\) of field "AMQP-Value"' "$row_log" >"$row_log.rest"
  [ "$(grep -cE '(AMQP|Malformed)' "$row_log.rest")" = 0 ] || faults+=("it complains")
  tshark -r "$work/$1.pcap" -d "tcp.port==$2,amqp" -T fields -E occurrence=a -e amqp.performative -e amqp.sasl.method 2>>"$row_log.err" >"$logs/$1.fields"
  shift 2
  expect_python frames.py "$work/$capture.pcap" "$port" "$logs/$capture.fields" "$@"
  finish "no complaint; $(grep -o '^[0-9].*' "$logs/check.log" | head -1)"
}

expect() { grep -qE -- "$1" "$row_log" || faults+=("printed no line like: $1"); } # PATTERN

expect_count() { # NUMBER PATTERN
  local count
  count=$(grep -cE -- "$2" "$row_log")
  [ "$count" = "$1" ] || faults+=("printed $count lines like: $2, not $1")
}

expect_status() { # NAME STATUS
  [ "$last_status" = "$2" ] || faults+=("$1 ended with ${last_status:-nothing}, not $2")
}

# A check in Python that prints one line for each fault, and KEY VALUE lines for later rows.
expect_python() { # SCRIPT ARGUMENTS...
  local script=$here/$1 line
  shift
  python3 "$script" "$@" >"$logs/check.log" 2>&1 || faults+=("the check itself failed: see check.log")
  while IFS= read -r line; do faults+=("${line#FAULT }"); done < <(grep '^FAULT ' "$logs/check.log")
}

# Closes the current row with what was seen.
finish() { # SEEN
  local result=ok seen=$1 fault
  if [ ${#faults[@]} -gt 0 ]; then
    result=FAILED
    seen=${faults[0]}
    broken=$((broken + 1))
    printf 'interop: %s %s failed\n' "$row_client" "$row_case"
    for fault in "${faults[@]}"; do printf '    %s\n' "$fault"; done
    tail -n 25 "$row_log" "$row_log.err" 2>/dev/null | sed 's/^/    | /'
  fi
  rows+=("$(printf '%-14s %-22s %-7s %3d s  %s' "$row_client" "$row_case" "$result" $((SECONDS - row_begun)) "$seen")")
}

matrix() {
  printf '\n%-14s %-22s %-7s %5s  %s\n' client case result time 'what was seen'
  printf '%s\n' "${rows[@]}"
  if [ $broken -gt 0 ]; then
    echo "interop: $broken of ${#rows[@]} failed"
    tail -n 60 "$logs/emulator.log" | sed 's/^/emulator| /'
    exit 1
  fi
  echo "interop: all ${#rows[@]} passed"
  exit 0
}
