// The codec benchmark's cases by Qpid Proton C: prints `CASE NANOSECONDS` for each, medians of short turns.
//
//     cc -O2 -o codec codec.c $(pkg-config --cflags --libs libqpid-proton)
//
// Its public interface has messages and values, no performatives and frames.
#include <proton/codec.h>
#include <proton/message.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { TURNS = 101, TURN = 50000 };

typedef struct {
  pn_message_t *message; // what is encoded
  size_t payload;        // octets of its body
  pn_message_t *decoded; // what is decoded into
  pn_data_t *map;
  pn_data_t *decoded_map;
  pn_rwbytes_t buffer; // what is encoded into, reused
  char *octets;        // what is decoded
  size_t length;
} state_t;

static void check(int is_good) {
  if (!is_good) abort();
}

static double nanoseconds(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1e9 + time.tv_nsec;
}

static double turn(void (*once)(state_t *), state_t *state, long count) {
  double start = nanoseconds();
  for (long i = 0; i < count; i++) once(state);
  return (nanoseconds() - start) / count;
}

static int compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static void measure(const char *name, void (*once)(state_t *), state_t *state) {
  turn(once, state, 64);
  double fastest = turn(once, state, 16);
  for (int i = 0; i < 4; i++) {
    double cost = turn(once, state, 16);
    if (cost < fastest) fastest = cost;
  }
  long count = fastest < TURN ? (long)(TURN / fastest) : 1;
  double turns[TURNS];
  for (int i = 0; i < TURNS; i++) turns[i] = turn(once, state, count);
  qsort(turns, TURNS, sizeof *turns, compare);
  printf("%s %.1f\n", name, turns[TURNS / 2]);
}

static pn_bytes_t text(const char *text) { return pn_bytes(strlen(text), text); }

static void annotate(pn_data_t *map) {
  pn_data_put_map(map);
  pn_data_enter(map);
  pn_data_put_symbol(map, text("iothub-connection-device-id"));
  pn_data_put_string(map, text("device-0001"));
  pn_data_put_symbol(map, text("iothub-enqueuedtime"));
  pn_data_put_timestamp(map, 1700000000000);
  pn_data_put_symbol(map, text("x-opt-sequence-number"));
  pn_data_put_long(map, 123456);
  pn_data_exit(map);
}

static void describe(pn_data_t *map) {
  pn_data_put_map(map);
  pn_data_enter(map);
  pn_data_put_string(map, text("temperatureAlert"));
  pn_data_put_string(map, text("true"));
  pn_data_put_string(map, text("level"));
  pn_data_put_int(map, 3);
  pn_data_put_string(map, text("ratio"));
  pn_data_put_double(map, 0.5);
  pn_data_put_string(map, text("region"));
  pn_data_put_string(map, text("westeurope"));
  pn_data_put_string(map, text("seq"));
  pn_data_put_ulong(map, 99);
  pn_data_exit(map);
}

static char payload[65536];

static void build_data(state_t *state) {
  pn_message_clear(state->message);
  pn_message_set_inferred(state->message, true);
  pn_data_put_binary(pn_message_body(state->message), pn_bytes(state->payload, payload));
}

static void build_telemetry(state_t *state) {
  pn_message_t *message = state->message;
  build_data(state);
  pn_message_set_durable(message, true);
  annotate(pn_message_annotations(message));
  pn_atom_t id = {.type = PN_STRING, .u.as_bytes = text("8f2b1d3e-7f39-4b0a-9a52-0c6c8f6f6b10")};
  pn_message_set_id(message, id);
  pn_message_set_address(message, "/devices/device-0001/messages/events");
  pn_message_set_subject(message, "telemetry");
  pn_message_set_content_type(message, "application/json");
  pn_message_set_creation_time(message, 1700000000000);
  describe(pn_message_properties(message));
}

static void encode_message(state_t *state) {
  ssize_t length = pn_message_encode2(state->message, &state->buffer);
  check(length > 0);
  state->length = (size_t)length;
}

static void build_and_encode(state_t *state) {
  build_telemetry(state);
  encode_message(state);
}

static void decode_message(state_t *state) {
  check(pn_message_decode(state->decoded, state->octets, state->length) == 0);
}

static void fill_map(pn_data_t *map) {
  pn_data_put_map(map);
  pn_data_enter(map);
  for (int i = 0; i < 100; i++) {
    char key[16], value[16];
    uint8_t octets[16];
    snprintf(key, sizeof key, "key-%d", i);
    snprintf(value, sizeof value, "value-%d", i);
    memset(octets, i, sizeof octets);
    pn_data_put_string(map, text(key));
    switch (i % 8) {
      case 0: pn_data_put_string(map, text(value)); break;
      case 1: pn_data_put_int(map, i * 1000); break;
      case 2: pn_data_put_ulong(map, i); break;
      case 3: pn_data_put_double(map, i); break;
      case 4: pn_data_put_bool(map, i % 16 == 4); break;
      case 5: pn_data_put_timestamp(map, 1700000000000 + i); break;
      case 6: {
        pn_uuid_t uuid;
        memcpy(uuid.bytes, octets, sizeof octets);
        pn_data_put_uuid(map, uuid);
        break;
      }
      default: pn_data_put_binary(map, pn_bytes(sizeof octets, (char *)octets));
    }
  }
  pn_data_exit(map);
}

static void encode_map(state_t *state) {
  check(pn_data_encode(state->map, state->buffer.start, state->buffer.size) > 0);
}

static void decode_map(state_t *state) {
  pn_data_clear(state->decoded_map);
  check(pn_data_decode(state->decoded_map, state->octets, state->length) > 0);
}

static void build_and_encode_map(state_t *state) {
  pn_data_clear(state->map);
  fill_map(state->map);
  encode_map(state);
}

// What was just encoded is what is decoded.
static void keep(state_t *state) {
  free(state->octets);
  state->octets = malloc(state->length);
  check(state->octets != NULL);
  memcpy(state->octets, state->buffer.start, state->length);
}

int main(void) {
  memset(payload, 0x5a, sizeof payload);
  state_t state = {.message = pn_message(), .decoded = pn_message(), .map = pn_data(16), .decoded_map = pn_data(16)};
  state.buffer.size = 1 << 17;
  state.buffer.start = malloc(state.buffer.size);
  check(state.buffer.start != NULL);

  state.payload = 256;
  measure("telemetry-build-encode", build_and_encode, &state);
  measure("telemetry-encode", encode_message, &state);
  keep(&state);
  measure("telemetry-decode", decode_message, &state);

  static const struct { const char *encode, *decode; size_t payload; } bodies[] = {
      {"data-1k-encode", "data-1k-decode", 1024}, {"data-64k-encode", "data-64k-decode", 65536}};
  for (int i = 0; i < 2; i++) {
    state.payload = bodies[i].payload;
    build_data(&state);
    measure(bodies[i].encode, encode_message, &state);
    keep(&state);
    measure(bodies[i].decode, decode_message, &state);
  }

  fill_map(state.map);
  state.length = (size_t)pn_data_encode(state.map, state.buffer.start, state.buffer.size);
  keep(&state);
  measure("map-encode", encode_map, &state);
  measure("map-decode", decode_map, &state);
  measure("map-build-encode", build_and_encode_map, &state);
  return 0;
}
