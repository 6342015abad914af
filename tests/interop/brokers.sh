# The matrix of brokers and clients: our client and command against brokers of other makers, and clients of other makers
# against the broker of amqp-transport/examples. Sourced by run.sh, never run.
# shellcheck shell=bash disable=SC2154  # root, work, logs and here are run.sh's

peers=()          # columns of the matrix
cases=()          # its rows, in the order in which they were first seen
declare -A cells  # "case|peer" to ok, n.a. or FAIL
notes=()          # the reasons of what is n.a.
example_port=25675
front_port=25677

# Runs all cases of one column; each prints `CASE name: ok`, `n.a. reason` or `FAIL reason`.
column() { # PEER COMMAND...
  local peer=$1 line name result known count=0 able=0
  shift
  run cases "$peer" 240 "$@"
  peers+=("$peer")
  while IFS= read -r line; do
    name=${line#CASE } name=${name%%: *} result=${line#*: }
    count=$((count + 1))
    known=no
    [[ -n "${cells["$name|any"]:-}" ]] && known=yes
    cells["$name|any"]=seen
    [ $known = yes ] || cases+=("$name")
    cells["$name|$peer"]=${result%% *}
    case $result in
      ok) able=$((able + 1)) ;;
      n.a.*) notes+=("$peer, $name: ${result#n.a. }") ;;
      *) faults+=("$name: ${result#FAIL }") ;;
    esac
  done < <(grep -o 'CASE .*' "$row_log")
  [ $count -ge 15 ] || faults+=("ran $count cases")
  finish "$able of $count cases, $((count - able)) n.a."
}

# Our client's cases against a broker.
our_client() { # PEER HOST:PORT
  INTEROP_BROKER=$2 column "$1" "$work/bin/interop" --ignored --exact cases::our_client --nocapture
}

# Clients of other makers against our example broker, which the last case interrupts.
their_client() { # PEER COMMAND...
  local peer=$1 broker
  shift
  start example-broker 10 'listening on' "$work/bin/broker" "127.0.0.1:$example_port" || return
  broker=${pids[example-broker]}
  column "$peer" "$@" "127.0.0.1:$example_port" "$broker"
  stop example-broker INT
}

# fe2o3-amqp, which is part of our own program of cases.
fe2o3_client() {
  start example-broker 10 'listening on' "$work/bin/broker" "127.0.0.1:$example_port" || return
  INTEROP_BROKER=127.0.0.1:$example_port INTEROP_FORCE="kill -INT ${pids[example-broker]}" \
    column 'fe2o3>ours' "$work/bin/interop" --ignored --exact fe2o3_cases::fe2o3_client --nocapture
  stop example-broker INT
}

# uamqp, which has to be met with TLS.
uamqp_client() { # CERTIFICATES
  start tls-front 10 '^listening' python3 "$here/clients/tls_front.py" $front_port $example_port "$1/server.crt" "$1/server.key" || return
  start example-broker 10 'listening on' "$work/bin/broker" "127.0.0.1:$example_port" &&
    column 'uamqp>ours' "$python" "$here/clients/uamqp_cases.py" "127.0.0.1:$example_port" "${pids[example-broker]}" $front_port "$1/ca.pem"
  stop example-broker INT
  stop tls-front TERM
}

# The command sends to and receives from a broker.
command_pair() { # CASE URL ARGUMENTS...
  local name=$1 url=$2
  shift 2
  run iothub "$name-send" 40 "$work/bin/iothub" amqp send "$url" --body "through $name" --count 5 --durable -p a=b "$@"
  grep -q 'sent 5, accepted 5' "$row_log.err" || faults+=('not all were accepted')
  finish '5 sent and accepted'
  run iothub "$name-receive" 40 "$work/bin/iothub" amqp receive "$url" --count 5 -o jsonl "$@"
  expect_count 5 "\"properties\":\\{\"a\":\"b\"\\},(\"settled\":true,)?\"body\":\"through $name\""
  finish '5 received and accepted'
}

print_cases() {
  local name peer note
  printf '\n%-24s' 'case'
  printf '%-20s' "${peers[@]}"
  printf '\n'
  for name in "${cases[@]}"; do
    printf '%-24s' "$name"
    for peer in "${peers[@]}"; do printf '%-20s' "${cells["$name|$peer"]:--}"; done
    printf '\n'
  done
  for note in "${notes[@]}"; do echo "n.a.: $note"; done
}
