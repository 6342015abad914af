# RabbitMQ 3.10 of Debian with its AMQP 1.0 plugin, in the foreground, on loopback, with nothing outside its own folder.
# Sourced by run.sh, never run.
# shellcheck shell=bash disable=SC2154  # work, logs and here are run.sh's

rabbit_home=$work/rabbitmq
rabbit_port=25672
rabbit_tls_port=25671

# Debian starts a server as soon as it is installed, unless a policy says otherwise.
install_rabbitmq() {
  [ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] && return
  echo 'interop: debian package rabbitmq-server'
  local policy=/usr/sbin/policy-rc.d status
  if [ -e "$policy" ]; then
    apt_install rabbitmq-server
  else
    printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod +x "$policy"
    apt_install rabbitmq-server
    status=$?
    rm -f "$policy"
    return $status
  fi
}

# A private authority, a certificate for localhost, and one for a client.
make_certificates() { # FOLDER
  mkdir -p "$1" && (
    cd "$1" || exit
    openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj '/CN=interop test CA' -keyout ca.key -out ca.pem \
      -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign || exit
    certificate() { # NAME COMMON-NAME NAMES
      openssl req -newkey rsa:2048 -nodes -subj "/CN=$2" -keyout "$1.key" -out "$1.csr" || return
      printf 'basicConstraints=CA:FALSE\nkeyUsage=digitalSignature,keyEncipherment\nextendedKeyUsage=serverAuth,clientAuth\n%b' "$3" >"$1.ext"
      openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -days 3650 -extfile "$1.ext" -out "$1.crt"
    }
    certificate server localhost 'subjectAltName=DNS:localhost,IP:127.0.0.1\n' && certificate client interop-client ''
  ) >"$logs/certificates.log" 2>&1
}

rabbit_environment() {
  export HOME=$rabbit_home RABBITMQ_NODENAME=interop@localhost RABBITMQ_CONFIG_FILE=$rabbit_home/rabbitmq.conf \
    RABBITMQ_ENABLED_PLUGINS_FILE=$rabbit_home/enabled_plugins RABBITMQ_MNESIA_BASE=$rabbit_home/mnesia \
    RABBITMQ_LOG_BASE=$rabbit_home/log RABBITMQ_DIST_PORT=25678 ERL_EPMD_PORT=24369 ERL_EPMD_ADDRESS=127.0.0.1
}

rabbitmqctl() { (rabbit_environment && exec timeout 60 /usr/lib/rabbitmq/bin/rabbitmqctl "$@"); }

start_rabbitmq() {
  rm -rf "$rabbit_home" && mkdir -p "$rabbit_home" && make_certificates "$rabbit_home/tls" || return
  echo '[rabbitmq_amqp1_0,rabbitmq_auth_mechanism_ssl].' >"$rabbit_home/enabled_plugins"
  cat >"$rabbit_home/rabbitmq.conf" <<EOF
listeners.tcp.1 = 127.0.0.1:$rabbit_port
listeners.ssl.1 = 127.0.0.1:$rabbit_tls_port
ssl_options.cacertfile = $rabbit_home/tls/ca.pem
ssl_options.certfile = $rabbit_home/tls/server.crt
ssl_options.keyfile = $rabbit_home/tls/server.key
ssl_options.verify = verify_peer
ssl_options.fail_if_no_peer_cert = false
auth_mechanisms.1 = PLAIN
auth_mechanisms.2 = ANONYMOUS
auth_mechanisms.3 = EXTERNAL
ssl_cert_login_from = common_name
amqp1_0.default_user = guest
disk_free_limit.absolute = 50MB
log.console = true
log.console.level = info
EOF
  (rabbit_environment && exec /usr/lib/rabbitmq/bin/rabbitmq-server) >"$logs/rabbitmq.log" 2>&1 </dev/null &
  pids[rabbitmq]=$!
}

# The rest of the start, after other rows have had the time.
await_rabbitmq() {
  local waited=0
  until grep -q 'Server startup complete' "$logs/rabbitmq.log"; do
    if ! kill -0 "${pids[rabbitmq]}" 2>/dev/null || [ $waited -ge 900 ]; then
      open_row rabbitmq start "$logs/rabbitmq.log"
      faults=('did not start')
      finish ''
      return 1
    fi
    sleep 0.1
    waited=$((waited + 1))
  done
  rabbitmqctl add_user interop-client unused >>"$logs/rabbitmqctl.log" 2>&1 &&
    rabbitmqctl set_permissions interop-client '.*' '.*' '.*' >>"$logs/rabbitmqctl.log" 2>&1
}

# The node, and the name server that it spawned.
stop_rabbitmq() {
  [ -n "${pids[rabbitmq]:-}" ] || return
  rabbitmqctl stop "$rabbit_home/mnesia/interop@localhost.pid" >>"$logs/rabbitmqctl.log" 2>&1
  wait "${pids[rabbitmq]}" 2>/dev/null
  unset 'pids[rabbitmq]'
  (rabbit_environment && epmd -kill) >>"$logs/rabbitmqctl.log" 2>&1
}
