# The matrix of brokers and clients: our client and command against brokers of other makers, and clients of other makers
# against the broker of amqp-transport/examples. Sourced by run.sh, never run.
# shellcheck shell=bash disable=SC2154  # root, work, logs and here are run.sh's

results=$logs/matrix.tsv  # peer, case and result, a line each
example_port=25675
front_port=25677

# Runs all cases of one column; each prints `CASE name: ok`, `ok, but remark`, `n.a. reason` or `FAIL reason`.
column() { # PEER COMMAND...
  local peer=$1
  shift
  run cases "$peer" 240 "$@"
  collect "$peer" 15
}

# Puts the cases of the current row's log into the matrix.
collect() { # PEER LEAST
  local peer=$1 least=$2 line name result count=0 able=0
  while IFS= read -r line; do
    name=${line#CASE } name=${name%%: *} result=${line#*: }
    count=$((count + 1))
    printf '%s\t%s\t%s\n' "$peer" "$name" "$result" >>"$results"
    case $result in
      ok*) able=$((able + 1)) ;;
      n.a.*) ;;
      *) faults+=("$name: ${result#FAIL }") ;;
    esac
  done < <(grep -o 'CASE .*' "$row_log")
  [ $count -ge "$least" ] || faults+=("ran $count cases")
  finish "$able of $count cases, $((count - able)) n.a."
}

# Starts a client that sends our values back, and goes on; `collect_echo` waits for what came of it.
begin_echo() { # PEER KNOWN-AS COMMAND
  INTEROP_ECHO=$2 INTEROP_ECHO_COMMAND=${3:-} begin echo "$1" 120 "$work/bin/interop" --ignored --exact echo::values --nocapture
}

collect_echo() { # PEER
  join echo "$1"
  collect "$1" 1
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

# A pair whose way to connect is a case of the matrix.
way_in() { # PEER MATRIX-CASE CASE URL ARGUMENTS...
  local peer=$1 case=$2 before=$broken result=ok
  shift 2
  command_pair "$@"
  [ "$broken" = "$before" ] || result='FAIL see its row'
  printf '%s\t%s\t%s\n' "$peer" "$case" "$result" >>"$results"
}

# A broker of another maker in two instances, the second of which takes frames of 512 B only; then our client's cases.
twin_brokers() { # PEER KNOWN-AS PORT COMMAND... with PORT and SMALL in place of its address and the limit of frames
  local peer=$1 known=$2 port=$3 small=$(($3 + 1))
  shift 3
  start "$peer" 20 LISTENING env INTEROP_LISTEN="127.0.0.1:$port" "${@//PORT/$port}" &&
    start "$peer-small" 20 LISTENING env INTEROP_LISTEN="127.0.0.1:$small" INTEROP_MAX_FRAME=512 "${@//PORT/$small}" 512 && {
    INTEROP_CODEC=$known INTEROP_SMALL_FRAMES=127.0.0.1:$small INTEROP_DETACH="kill -USR1 ${pids[$peer]}" \
      INTEROP_FORCE="kill -USR2 ${pids[$peer]}" our_client "ours>$peer" "127.0.0.1:$port"
    way_in "ours>$peer" anonymous "$peer" "amqp://127.0.0.1:$port/command" --sasl anonymous
  }
  stop "$peer" KILL
  stop "$peer-small" KILL
}
