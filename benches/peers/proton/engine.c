// qpid-proton C: two connection drivers back to back in memory, one thread, without its message codec.
//   engine PAYLOAD settled|unsettled MESSAGES
// Prints "RESULT nanoseconds-per-message", the median of seven runs, both ends together.
#define _GNU_SOURCE
#include <proton/connection.h>
#include <proton/connection_driver.h>
#include <proton/delivery.h>
#include <proton/link.h>
#include <proton/session.h>
#include <proton/transport.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { CREDIT = 2000, IN_FLIGHT = 1000, MAX_FRAME = 1024 * 1024, RUNS = 7 };

static int is_settled, messages, sent, settled_count, received;
static size_t payload_size;
static char *payload, *taken;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void send_some(pn_link_t *link) {
  while (pn_link_credit(link) > 0 && sent < messages && (is_settled || sent - settled_count < IN_FLIGHT)) {
    pn_delivery_t *delivery = pn_delivery(link, pn_dtag((char *)&sent, sizeof sent));
    pn_link_send(link, payload, payload_size);
    pn_link_advance(link);
    if (is_settled) pn_delivery_settle(delivery);
    sent++;
  }
}

static void on_delivery(pn_link_t *link, pn_delivery_t *delivery) {
  if (pn_link_is_sender(link)) {
    if (pn_delivery_remote_state(delivery) != PN_ACCEPTED) return;
    pn_delivery_settle(delivery);
    settled_count++;
    send_some(link);
    return;
  }
  if (!pn_delivery_readable(delivery) || pn_delivery_partial(delivery)) return;
  if (pn_link_recv(link, taken, payload_size) != (ssize_t)payload_size) abort();
  pn_link_advance(link);
  pn_delivery_update(delivery, PN_ACCEPTED);
  pn_delivery_settle(delivery);
  received++;
  if (pn_link_credit(link) <= CREDIT / 2) pn_link_flow(link, CREDIT - pn_link_credit(link));
}

static void attach(pn_connection_t *connection) {
  pn_connection_set_container(connection, "client");
  pn_connection_open(connection);
  pn_session_t *session = pn_session(connection);
  pn_session_open(session);
  pn_link_t *link = pn_sender(session, "sender");
  pn_terminus_set_address(pn_link_target(link), "queue");
  pn_link_set_snd_settle_mode(link, is_settled ? PN_SND_SETTLED : PN_SND_UNSETTLED);
  pn_link_open(link);
}

static void drive(pn_connection_driver_t *driver, int is_server) {
  for (pn_event_t *event; (event = pn_connection_driver_next_event(driver));) {
    pn_link_t *link = pn_event_link(event);
    switch (pn_event_type(event)) {
      case PN_CONNECTION_INIT: if (!is_server) attach(driver->connection); break;
      case PN_CONNECTION_REMOTE_OPEN: if (is_server) pn_connection_open(driver->connection); break;
      case PN_SESSION_REMOTE_OPEN: if (is_server) pn_session_open(pn_event_session(event)); break;
      case PN_LINK_REMOTE_OPEN:
        if (!is_server) break;
        pn_terminus_copy(pn_link_target(link), pn_link_remote_target(link));
        pn_link_open(link);
        pn_link_flow(link, CREDIT);
        break;
      case PN_LINK_FLOW: if (pn_link_is_sender(link)) send_some(link); break;
      case PN_DELIVERY: on_delivery(link, pn_event_delivery(event)); break;
      default: break;
    }
  }
}

static void carry(pn_connection_driver_t *from, pn_connection_driver_t *to, int to_is_server) {
  pn_bytes_t out = pn_connection_driver_write_buffer(from);
  if (!out.size) return;
  pn_rwbytes_t in = pn_connection_driver_read_buffer_sized(to, out.size);
  size_t size = out.size < in.size ? out.size : in.size;
  if (!size) return;
  memcpy(in.start, out.start, size);
  pn_connection_driver_read_done(to, size);
  pn_connection_driver_write_done(from, size);
  drive(to, to_is_server);
}

static double run(void) {
  sent = settled_count = received = 0;
  pn_connection_driver_t client, server;
  pn_connection_driver_init(&client, NULL, NULL);
  pn_connection_driver_init(&server, NULL, NULL);
  pn_transport_set_max_frame(client.transport, MAX_FRAME);
  pn_transport_set_max_frame(server.transport, MAX_FRAME);
  pn_transport_set_server(server.transport);
  pn_transport_require_auth(server.transport, false);
  pn_connection_driver_bind(&client);
  pn_connection_driver_bind(&server);
  double start = 0;
  while (received < messages || (!is_settled && settled_count < messages)) {
    drive(&client, 0);
    drive(&server, 1);
    if (start == 0 && sent) start = now();
    carry(&client, &server, 1);
    carry(&server, &client, 0);
  }
  double each = (now() - start) / messages;
  pn_connection_driver_destroy(&client);
  pn_connection_driver_destroy(&server);
  return each;
}

static int compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

int main(int words, char **word) {
  if (words != 4) return 2;
  payload_size = strtoul(word[1], NULL, 10);
  is_settled = strcmp(word[2], "settled") == 0;
  messages = atoi(word[3]);
  payload = calloc(1, payload_size);
  taken = malloc(payload_size);
  double times[RUNS];
  for (int i = 0; i < RUNS; i++) times[i] = run();
  qsort(times, RUNS, sizeof *times, compare);
  printf("RESULT %.1f\n", times[RUNS / 2]);
  return 0;
}
