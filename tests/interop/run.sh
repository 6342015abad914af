#!/bin/bash
# Foreign clients against `iothub emulator`, and our own client and listener against foreign AMQP 1.0 peers.
#
#   bash tests/interop/run.sh          installs what it needs under target/interop, builds, runs, prints a matrix
#   bash tests/interop/run.sh --readme writes the matrix into README.md, too
#
# The clients have host name and port 5671 built in, so everything runs in a network and mount namespace of its own,
# where that port is free and a hosts file of our own is in place. What a client printed is compared with what it
# must have seen: an exit status alone proves nothing here.
# Every client is pinned, has a time limit, and leaves its log in target/interop/logs.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
work=$root/target/interop
logs=$work/logs
hub=test-hub.azure-devices.net
key=$(printf 'k%.0s' {1..32} | base64)
# shellcheck source=tests/interop/lib.sh
. "$here/lib.sh"
# shellcheck source=tests/interop/rabbitmq.sh
. "$here/rabbitmq.sh"
# shellcheck source=tests/interop/brokers.sh
. "$here/brokers.sh"

python_packages='uamqp==1.6.11 azure-iot-hub==2.7.0 azure-eventhub==5.15.1 six==1.17.0 certifi'
values_packages='python-qpid-proton==0.40.0'
node_packages='azure-iot-device@1.18.4 azure-iot-device-amqp@1.14.4 azure-iothub@1.16.6 @azure/event-hubs@6.0.4 rhea@3.0.5 rhea-promise@3.0.3'
debian_packages='libqpid-proton11-dev libqpid-proton11-dev-examples'

if [ "${1:-}" != --inside ]; then
  mkdir -p "$logs" || exit 1
  rm -f "$logs"/*
  install_python venv "$python_packages" && install_qpid_proton "$values_packages" && install_node "$node_packages" && install_proton "$debian_packages" && install_rabbitmq && install_tshark && build || exit 1
  in_namespace "$0" --inside "$@"
  exit
fi

trap stop_everything EXIT
export INTEROP_CA=$work/ca.pem INTEROP_KEY=$key NODE_PATH=$work/npm/node_modules NODE_EXTRA_CA_CERTS=$work/ca.pem
export PYTHONDONTWRITEBYTECODE=1
device="HostName=$hub;DeviceId=dev1;SharedAccessKey=$key"
service="HostName=$hub;SharedAccessKeyName=service;SharedAccessKey=$key"
python=$work/venv/bin/python

# It takes its time, and has it while the first rows run.
start_rabbitmq

start emulator 20 '^ready' "$work/bin/iothub" emulator --host "$hub" --port 5671 --partitions 2 --ca-out "$INTEROP_CA" \
  --device "dev1=$key" --policy "service=$key" --policy "device=$key" --feedback-interval 1 || exit 1

# The page's snippet reads what lies after sequence number 2995, so that many events have to be there first.
run iothub fill 60 "$work/bin/iothub" --ca "$INTEROP_CA" --connection-string "$device" device send filler --count 2996
finish 'sends 2,996 events'

# --- Python, uamqp 1.6.11: the snippets of Microsoft's page -----------------------------------------------------
seed() { run uamqp "$1" 45 "$python" "$here/clients/uamqp_seed.py" "$@"; }

seed c2d
expect 'RESULTS .*SendComplete'
expect '^DONE'
command_id=$(sed -n 's/^MESSAGE-ID //p' "$(log_of uamqp c2d)")
finish 'SASL PLAIN service; command accepted'

seed devbound
expect "^BODY b'Message content goes here!'"
expect "^TO b'/devices/dev1/messages/devicebound'"
expect "^MESSAGE-ID b?'?${command_id:-none}"
expect '^SEQUENCE-NUMBER [0-9]+'
expect "^APPLICATION-PROPERTIES .*iothub-ack.*full"
finish 'SASL PLAIN device; command read and accepted'

seed feedback
expect "^CONTENT-TYPE b'application/vnd.microsoft.iothub.feedback.json'"
expect "^FEEDBACK Success ${command_id:-none} dev1"
expect '^RECORD .*"deviceGenerationId".*"enqueuedTimeUtc": "20'
finish 'Success for the same message id'

seed d2c
expect 'RESULTS .*SendComplete'
event_id=$(sed -nE "s/^MESSAGE-ID (b')?([0-9a-f-]+).*/\\2/p" "$(log_of uamqp d2c)")
finish 'event accepted'

seed cbs
expect 'RESULTS .*SendComplete'
expect '^DONE'
finish 'SASL MSSBCBS, put-token, event accepted'

# --- Node, Microsoft's device and service SDKs ------------------------------------------------------------------
node_pair() { # VERDICT STATUS [CASE-PREFIX]
  local id=node-${3:-}$1
  begin node-device "${3:-}$1" 60 node "$here/clients/azure_iot_device.js" "$hub" dev1 "$1"
  run node-service "${3:-}$1" 45 node "$here/clients/azure_iothub_service.js" "$hub" dev1 "$id"
  expect '^OPEN'
  expect '^SENT '
  expect "^FEEDBACK $2 $id dev1"
  expect '^COMPLETED'
  expect '^CLOSED'
  finish "put-token without SASL; command accepted; $2 read and completed"
  join node-device "${3:-}$1"
  expect '^OPEN'
  expect '^SENT MessageEnqueued'
  expect '^BODY c2d body'
  expect "^MESSAGE-ID $id"
  expect '^TO /devices/dev1/messages/devicebound'
  expect '^PROPERTIES .*\{"key":"p","value":"v"\}'
  expect "^SETTLED $1"
  expect '^CLOSED'
  finish "put-token without SASL; event accepted; command read, $1"
}
node_pair complete Success
node_pair reject Rejected

# --- What was stored, read by our own monitor and by uamqp after a redirect ---------------------------------------
run iothub monitor 60 "$work/bin/iothub" --ca "$INTEROP_CA" --connection-string "$service" -o jsonl monitor --from earliest --until-idle 3
expect_python events.py "$(log_of iothub monitor)" "${event_id:-none}"
partition=$(sed -n 's/^PARTITION //p' "$logs/check.log")
finish 'every foreign event is stored with its properties'

seed events "${partition:-0}" 4
expect "^REDIRECT b'amqps://.*/ConsumerGroups/\\\$Default/Partitions/${partition:-0}'"
expect "^EVENT 2996 b'Your message payload goes here'"
expect "^EVENT 2997 b'sent after put-token'"
expect "^EVENT 2998 b'telemetry body'"
expect "^EVENT 2999 b'telemetry body'"
expect_count 4 '^EVENT '
expect "^OFFSET b?'?[0-9]+"
expect '^ENQUEUED-TIME [0-9]{13}'
expect "^ANNOTATIONS .*b?'iothub-connection-device-id'.*dev1"
expect '^APPLICATION-PROPERTIES .*app_property_key.*app_property_value'
finish 'redirect followed, selector filter obeyed'

# --- Microsoft's SDKs for the event hub behind the hub, with an Event Hubs connection string -----------------------
event_hub=$(grep -oE 'Endpoint=sb://[^ ]*SharedAccessKeyName=service;[^ ]*' "$logs/emulator.log" | head -1)
run azure-eventhub read 45 "$python" "$here/clients/azure_eventhub_reader.py" "$event_hub" "${partition:-0}" 2995 4
expect '^PARTITIONS 0 1'
expect '^LAST 2999 EMPTY False'
expect '^EVENT 2996 Your message payload goes here'
expect '^EVENT 2999 telemetry body'
expect_count 4 '^EVENT '
expect "^SYSTEM [0-9]+ 20[0-9T:.+-]+ b?'?dev1"
expect '^PROPERTIES .*app_property_key.*app_property_value'
finish 'management answered; events read by a parser that wants full lists'

run event-hubs-js read 45 node "$here/clients/azure_event_hubs_reader.js" "$event_hub" "${partition:-0}" 2995 4
expect '^PARTITIONS 0 1'
expect '^LAST 2999 EMPTY false'
expect '^EVENT 2996 Your message payload goes here'
expect '^EVENT 2999 telemetry body'
expect_count 4 '^EVENT '
expect '^SYSTEM [0-9]+ 20[0-9T:.Z-]+ dev1'
finish 'management answered; events read'

run azure-iot-hub c2d 30 "$python" "$here/clients/azure_iot_hub_service.py" "$service" dev1 python-service
expect '^SENT'
finish 'put-token with the host as name; command accepted'
run iothub listen 30 "$work/bin/iothub" --ca "$INTEROP_CA" --connection-string "$device" -o jsonl device listen --count 1
expect 'from azure-iot-hub'
expect 'python-service'
finish 'its command is delivered'

# --- Wrong credentials: refused in words the client understands ---------------------------------------------------
wrong=$(printf 'w%.0s' {1..32} | base64)
INTEROP_KEY=$wrong run_failing node-service wrong-key 30 node "$here/clients/azure_iothub_service.js" "$hub" dev1 none
expect '^FAIL .*UnauthorizedError: the signature does not match'
finish 'put-token answered 401'

INTEROP_KEY=$wrong run_failing node-device wrong-key 30 node "$here/clients/azure_iot_device.js" "$hub" dev1 complete
expect '^FAIL UnauthorizedError the signature does not match'
finish 'put-token answered 401'

INTEROP_KEY=$wrong run_failing uamqp wrong-key 30 "$python" "$here/clients/uamqp_seed.py" d2c
expect '^MESSAGE-ID'
expect_count 0 '^RESULTS'
finish 'SASL PLAIN refused; nothing was sent'

stop emulator INT
expect_status emulator 0
finish 'Ctrl-C ends it with 0'

# --- The same over WebSocket, on port 443, which these clients have built in ---------------------------------------
export INTEROP_TRANSPORT=AmqpWs INTEROP_CA=$work/ca-443.pem NODE_EXTRA_CA_CERTS=$work/ca-443.pem
start emulator-443 20 '^ready' "$work/bin/iothub" emulator --host "$hub" --port 443 --partitions 2 --ca-out "$INTEROP_CA" \
  --device "dev1=$key" --policy "service=$key" --feedback-interval 1 || exit 1
node_pair complete Success websocket-

seed websocket
expect 'RESULTS .*SendComplete'
expect '^DONE'
finish 'AMQPWSB10; SASL PLAIN device; event accepted'

run iothub websocket 60 "$work/bin/iothub" --ca "$INTEROP_CA" --connection-string "$service" --websocket -o jsonl monitor --from earliest --until-idle 3
expect 'telemetry body'
expect 'over a websocket'
finish 'redirect followed; foreign events read, all on port 443'
stop emulator-443 INT
unset INTEROP_TRANSPORT

# --- Our client and listener with peers of other makers -----------------------------------------------------------
export INTEROP_PROTON=$work/proton INTEROP_NODE_CLIENTS=$here/clients
start proton-broker 10 'listening' "$work/proton/broker" 127.0.0.1 25673 &&
  INTEROP_BROKER=127.0.0.1:25673 engine proton_c_broker 'qpid-proton C broker: SASL ANONYMOUS, send and receive'
stop proton-broker TERM
start rhea-broker 10 '^LISTENING' node "$here/clients/rhea_broker.js" 25674 &&
  INTEROP_BROKER=127.0.0.1:25674 engine rhea_broker 'rhea: PLAIN, ANONYMOUS, none; outcomes, large messages, drain'
stop rhea-broker TERM
engine proton_c_clients 'qpid-proton C send and receive on our listener'
export INTEROP_PYTHON=$work/values/bin/python
run engine proton_transactions 60 "$work/bin/interop" --ignored --exact transactions::proton_transactions --nocapture
expect '1 passed'
finish 'qpid-proton Python as controller: commit, roll back, accept under a transaction'

# --- Every client sends our values back, while the rest goes on ----------------------------------------------------
begin_echo 'Proton>ours' proton "$INTEROP_PYTHON '$here/clients/echo.py' \$ADDRESS"
begin_echo 'rhea>ours' rhea "node '$here/clients/echo.js' rhea \$ADDRESS"
begin_echo 'rhea-promise>ours' rhea "node '$here/clients/echo.js' rhea-promise \$ADDRESS"
begin_echo 'fe2o3>ours' fe2o3-amqp
start echo-front 10 '^listening' python3 "$here/clients/tls_front.py" 25687 25686 "$rabbit_home/tls/server.crt" "$rabbit_home/tls/server.key" &&
  INTEROP_LISTEN=127.0.0.1:25686 begin_echo 'uamqp>ours' uamqp "$python '$here/clients/uamqp_echo.py' 25687 '$rabbit_home/tls/ca.pem'"

# --- Every case with every broker, and every client with ours ------------------------------------------------------
export -f rabbitmqctl rabbit_environment
export rabbit_home
await_rabbitmq && {
  # RabbitMQ 3.10 crashes on bodies that are lists or arrays of something: the vectors' ids of such.
  lists='VL-005 VL-006 VL-008 VL-009 VL-010 VL-011 VL-012 VL-013 VL-017 VL-018 VA-008 VA-015 VA-019 VA-021 VA-022 VA-023'
  lists="$lists VA-027 VA-030 VA-031 VA-032 VA-033 VA-034 VA-035 VA-037 VA-038 VD-007"
  rabbit='mode second = it answers amqp:not-implemented
    modify = it knows no modified state and ends the session
    drain = its classic queue crashes on a drain, which ends the session
    dynamic reply-to = it answers amqp:not-implemented
    link detach with error = its connection crashes when the queue is deleted
    connection forced = it ends the sessions with amqp:internal-error and leaves the connection open'
  INTEROP_SASL=plain INTEROP_PREFIX=/queue/ INTEROP_BAD_ADDRESS=/nonsense/x INTEROP_BREAKS_ON="its parser crashes on lists and arrays of something = $lists" INTEROP_OVERRUN=1000 \
    INTEROP_DETACH='rabbitmqctl delete_queue "$QUEUE"' INTEROP_FORCE='rabbitmqctl close_all_connections maintenance' \
    INTEROP_IMPOSSIBLE=$rabbit our_client 'ours>RabbitMQ' "127.0.0.1:$rabbit_port"
  tls=$rabbit_home/tls
  way_in 'ours>RabbitMQ' plain rabbitmq-plain "amqp://guest:guest@127.0.0.1:$rabbit_port//queue/command" --allow-plain-without-tls
  way_in 'ours>RabbitMQ' anonymous rabbitmq-anonymous "amqp://127.0.0.1:$rabbit_port//queue/command" --sasl anonymous
  way_in 'ours>RabbitMQ' tls rabbitmq-tls "amqps://guest:guest@localhost:$rabbit_tls_port//queue/command" --ca "$tls/ca.pem"
  way_in 'ours>RabbitMQ' external rabbitmq-external "amqps://localhost:$rabbit_tls_port//queue/command" --ca "$tls/ca.pem" \
    --client-cert "$tls/client.crt" --client-key "$tls/client.key"
  stop_rabbitmq
}
start proton-broker 10 'listening' "$work/proton/broker" 127.0.0.1 25673 && {
  way_in 'ours>Proton C' anonymous proton-c amqp://127.0.0.1:25673/command --sasl anonymous
  stop proton-broker TERM
}
# Some cases bring it down, so they start it themselves.
settled='it sends every message settled, whatever is asked for'
INTEROP_BROKER_COMMAND="$work/proton/broker 127.0.0.1 25673" INTEROP_FORCE='pkill -TERM -x -P $PPID broker' \
  INTEROP_IMPOSSIBLE="mode second = $settled
    release = $settled
    modify = $settled
    reject = $settled
    drain = it does not answer a drain
    dynamic reply-to = it makes no nodes: its attach has no address
    refused address = it takes every address
    link detach with error = it makes no nodes that could go away
    connection forced = it ends without a close when it is told to end" our_client 'ours>Proton C' 127.0.0.1:25673
twin_brokers Proton proton 25680 "$work/values/bin/python" "$here/clients/proton_broker.py" 127.0.0.1:PORT
INTEROP_SMALL_LARGEST='100000 = a message of more than 2,047 frames stalls: it renews the window only when it writes' \
  twin_brokers rhea rhea 25682 node "$here/clients/rhea_broker.js" PORT
INTEROP_IMPOSSIBLE="mode second = its listener's sender does not settle
  drain = its sender gives the credit back before it sends what waits
  refused address = its listener refuses a link without an error" \
  twin_brokers fe2o3 fe2o3-amqp 25684 "$work/bin/interop" --ignored --exact fe2o3_broker::serve --nocapture
start example-broker 10 'listening on' "$work/bin/broker" "127.0.0.1:$example_port" && {
  command_pair example amqp://127.0.0.1:$example_port/command
  INTEROP_FORCE="kill -INT ${pids[example-broker]}" our_client 'ours>ours' "127.0.0.1:$example_port"
  stop example-broker INT
}
their_client 'Proton>ours' "$work/values/bin/python" "$here/clients/broker_cases.py"
their_client 'rhea>ours' node "$here/clients/broker_cases.js" rhea
their_client 'rhea-promise>ours' node "$here/clients/broker_cases.js" rhea-promise
fe2o3_client
uamqp_client "$rabbit_home/tls"
for peer in Proton rhea rhea-promise fe2o3 uamqp; do collect_echo "$peer>ours"; done
stop echo-front TERM

# --- What tshark makes of our frames -------------------------------------------------------------------------------
# Through a relay that writes a capture: the cases, but those whose values the dissector misreads (seen: described values and empty
# lists in bodies, empty texts in properties, frames of a delivery behind the first as if they were the first).
start example-broker 10 'listening on' "$work/bin/broker" "127.0.0.1:$example_port" &&
  start capture 10 '^listening' python3 "$here/capture.py" 25676 $example_port "$work/frames.pcap" && {
  reason='the dissector misreads it'
  INTEROP_BROKER=127.0.0.1:25676 INTEROP_FORCE="kill -INT ${pids[example-broker]}" INTEROP_LEFT_OUT="types in bodies = $reason
    types in properties = $reason
    0 B to 50 MB = $reason
    frames of 512 B = $reason" \
    run tshark cases 60 "$work/bin/interop" --ignored --exact cases::our_client --nocapture
  expect_count 11 '^CASE .*: ok'
  finish 'the cases, through a relay'
  stop capture TERM
  stop example-broker INT
  dissect frames $example_port 400 flow disposition detach close sasl-mechanisms sasl-init sasl-outcome
}
# And a conversation of our own two sides: every form of SASL, deliveries of several frames, transactions, a link resumed, errors.
start capture 10 '^listening' python3 "$here/capture.py" 25688 25689 "$work/traffic.pcap" && {
  INTEROP_LISTEN=127.0.0.1:25689 INTEROP_BROKER=127.0.0.1:25688 \
    run tshark conversation 60 "$work/bin/interop" --ignored --exact traffic::dissected --nocapture
  expect '1 passed'
  finish 'SASL, several frames, transactions, resume, errors, through a relay'
  stop capture TERM
  dissect traffic 25689 100 sasl-challenge sasl-response transfer disposition detach end close
}

# --- Our codec and the codecs of others: random values of every type, both ways ------------------------------------
agree qpid_proton
agree rhea
agree serde_amqp
grep -h '^DEVIATION ' "$logs"/codec-agreement_*.log

# A README is written of a run without a fault only.
readme=()
[ $broken -gt 0 ] || [ "${2:-}" != --readme ] || readme=(--readme "$root/README.md")
python3 "$here/matrix.py" "$results" "${readme[@]}" || broken=$((broken + 1))
matrix
