// qpid-proton C: one end of the transport benchmark's cases, over its proactor.
//   loop recv PORT PAYLOAD settled|unsettled IN-FLIGHT MESSAGES
//   loop send PORT PAYLOAD settled|unsettled IN-FLIGHT MESSAGES
// A tenth of MESSAGES goes first to warm up, on the same link. Prints "ADDRESS port" when it listens, and at the end
// "RESULT messages-per-second microseconds-of-processor-per-message" of the measured stretch at this end. Messages are
// built and encoded for each send and decoded at the far end.
#define _GNU_SOURCE
#include <proton/connection.h>
#include <proton/delivery.h>
#include <proton/link.h>
#include <proton/listener.h>
#include <proton/message.h>
#include <proton/proactor.h>
#include <proton/sasl.h>
#include <proton/session.h>
#include <proton/transport.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum { CREDIT = 2000, MAX_FRAME = 1024 * 1024 };

static int is_sender, is_settled, in_flight, warm_up, total;
static size_t payload_size;
static char *payload;
static pn_message_t *message;
static pn_rwbytes_t buffer;
static int count, settled_count, is_done;
static double started, started_cpu, ended, ended_cpu;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double cpu(void) {
  struct rusage r;
  getrusage(RUSAGE_SELF, &r);
  return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) + (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}

static void start(void) {
  started = now();
  started_cpu = cpu();
}

static void stop(void) {
  ended = now();
  ended_cpu = cpu();
}

static void send_some(pn_link_t *link) {
  while (pn_link_credit(link) > 0 && count < total && (is_settled || count - settled_count < in_flight)) {
    if (count == warm_up) start();
    pn_delivery_t *delivery = pn_delivery(link, pn_dtag((char *)&count, sizeof count));
    pn_message_clear(message);
    pn_message_set_inferred(message, true);
    pn_data_put_binary(pn_message_body(message), pn_bytes(payload_size, payload));
    ssize_t size = pn_message_encode2(message, &buffer);
    if (size < 0) abort();
    pn_link_send(link, buffer.start, (size_t)size);
    pn_link_advance(link);
    if (is_settled) pn_delivery_settle(delivery);
    if (++count == total && is_settled) stop();
  }
}

static void receive(pn_link_t *link, pn_delivery_t *delivery) {
  if (!pn_delivery_readable(delivery) || pn_delivery_partial(delivery)) return;
  if (count == warm_up) start();
  size_t size = pn_delivery_pending(delivery);
  if (buffer.size < size) {
    buffer.start = realloc(buffer.start, size);
    buffer.size = size;
  }
  if (pn_link_recv(link, buffer.start, size) != (ssize_t)size) abort();
  if (pn_message_decode(message, buffer.start, size)) abort();
  pn_data_t *body = pn_message_body(message);
  pn_data_rewind(body);
  if (!pn_data_next(body) || pn_data_get_binary(body).size != payload_size) abort();
  pn_link_advance(link);
  pn_delivery_update(delivery, PN_ACCEPTED);
  pn_delivery_settle(delivery);
  if (pn_link_credit(link) <= CREDIT / 2) pn_link_flow(link, CREDIT - pn_link_credit(link));
  if (++count == total) stop();
}

static void on_delivery(pn_link_t *link, pn_delivery_t *delivery) {
  if (pn_link_is_receiver(link)) {
    receive(link, delivery);
  } else if (pn_delivery_updated(delivery) && pn_delivery_remote_state(delivery) == PN_ACCEPTED) {
    pn_delivery_settle(delivery);
    if (++settled_count == total) stop();
    send_some(link);
  }
}

static void attach(pn_connection_t *connection) {
  pn_connection_set_container(connection, "client");
  pn_connection_open(connection);
  pn_session_t *session = pn_session(connection);
  pn_session_open(session);
  pn_link_t *link = pn_sender(session, "sender");
  pn_terminus_set_address(pn_link_target(link), "queue");
  pn_link_set_snd_settle_mode(link, is_settled ? PN_SND_SETTLED : PN_SND_UNSETTLED);
  pn_link_set_rcv_settle_mode(link, PN_RCV_FIRST);
  pn_link_open(link);
}

static void accept_link(pn_link_t *link) {
  if (!pn_link_is_receiver(link) || is_sender) return;
  pn_terminus_copy(pn_link_target(link), pn_link_remote_target(link));
  pn_link_set_snd_settle_mode(link, pn_link_remote_snd_settle_mode(link));
  pn_link_open(link);
  pn_link_flow(link, CREDIT);
}

static void handle(pn_event_t *event) {
  switch (pn_event_type(event)) {
    case PN_LISTENER_ACCEPT: pn_listener_accept2(pn_event_listener(event), NULL, NULL); break;
    case PN_CONNECTION_BOUND:
      pn_transport_set_max_frame(pn_event_transport(event), MAX_FRAME);
      if (!is_sender) pn_transport_require_auth(pn_event_transport(event), false);
      pn_sasl_allowed_mechs(pn_sasl(pn_event_transport(event)), "ANONYMOUS");
      break;
    case PN_CONNECTION_INIT: if (is_sender) attach(pn_event_connection(event)); break;
    case PN_CONNECTION_REMOTE_OPEN: if (!is_sender) pn_connection_open(pn_event_connection(event)); break;
    case PN_SESSION_REMOTE_OPEN: if (!is_sender) pn_session_open(pn_event_session(event)); break;
    case PN_LINK_REMOTE_OPEN: accept_link(pn_event_link(event)); break;
    case PN_LINK_FLOW: if (is_sender) send_some(pn_event_link(event)); break;
    case PN_DELIVERY: on_delivery(pn_event_link(event), pn_event_delivery(event)); break;
    case PN_CONNECTION_REMOTE_CLOSE: pn_connection_close(pn_event_connection(event)); break;
    case PN_TRANSPORT_CLOSED: is_done = 1; break;
    default: break;
  }
  if (is_sender && ended != 0 && pn_event_connection(event) && !is_done)
    pn_connection_close(pn_event_connection(event));
}

int main(int words, char **word) {
  if (words != 7) return 2;
  is_sender = strcmp(word[1], "send") == 0;
  payload_size = strtoul(word[3], NULL, 10);
  is_settled = strcmp(word[4], "settled") == 0;
  in_flight = atoi(word[5]);
  int messages = atoi(word[6]);
  warm_up = messages / 10;
  total = warm_up + messages;
  payload = malloc(payload_size);
  memset(payload, 0x5a, payload_size);
  message = pn_message();
  char address[PN_MAX_ADDR];
  pn_proactor_addr(address, sizeof address, "127.0.0.1", word[2]);
  pn_proactor_t *proactor = pn_proactor();
  if (is_sender) pn_proactor_connect2(proactor, NULL, NULL, address);
  else pn_proactor_listen(proactor, pn_listener(), address, 16);
  int is_announced = is_sender;
  while (!is_done) {
    pn_event_batch_t *batch = pn_proactor_wait(proactor);
    for (pn_event_t *event; (event = pn_event_batch_next(batch));) {
      if (!is_announced && pn_event_type(event) == PN_LISTENER_OPEN) {
        is_announced = printf("ADDRESS %s\n", word[2]) > 0;
        fflush(stdout);
      }
      handle(event);
    }
    pn_proactor_done(proactor, batch);
  }
  if (ended == 0) return 1;
  printf("RESULT %.1f %.4f\n", messages / (ended - started), (ended_cpu - started_cpu) * 1e6 / messages);
  return 0;
}
