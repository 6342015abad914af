"""The frames of a capture by a small reader of our own, held against what tshark has seen of them.

usage: frames.py CAPTURE PORT FIELDS LEAST [KIND...]. FIELDS is tshark's list of performatives, LEAST the number of frames that must
be there, a KIND the name of one that must be among them. Prints the counts, and a line `FAULT ...` for each that differs.
"""
import collections
import struct
import sys

NAMES = {
    0x10: "open", 0x11: "begin", 0x12: "attach", 0x13: "flow", 0x14: "transfer", 0x15: "disposition", 0x16: "detach", 0x17: "end",
    0x18: "close", 0x40: "sasl-mechanisms", 0x41: "sasl-init", 0x42: "sasl-challenge", 0x43: "sasl-response", 0x44: "sasl-outcome",
}


def streams(path):
    """The octets of each direction of each connection: link type 101, IPv4 and TCP without options, in order."""
    with open(path, "rb") as file:
        data = file.read()
    at, found = 24, collections.defaultdict(bytes)
    while at < len(data):
        length = struct.unpack_from("<I", data, at + 8)[0]
        packet = data[at + 16:at + 16 + length]
        source, target, _sequence, _ack, _offset, flags = struct.unpack_from(">HHIIBB", packet, 20)
        if flags & 2 and not flags & 16:
            # A port that is used again is another connection.
            found[source, target, at] = b""
            latest[source, target] = latest[target, source] = at
        found[source, target, latest[source, target]] += packet[40:]
        at += 16 + length
    return found.values()


def performatives(stream):
    at = 0
    while at + 8 <= len(stream):
        if stream[at:at + 4] == b"AMQP":
            at += 8
            continue
        size, offset = struct.unpack_from(">IB", stream, at)
        body = stream[at + 4 * offset:at + size]
        if body:
            # A descriptor as a small or a whole ulong.
            yield body[2] if body[1] == 0x53 else struct.unpack_from(">Q", body, 2)[0]
        at += size


latest = {}
ours = collections.Counter(kind for stream in streams(sys.argv[1]) for kind in performatives(stream))
with open(sys.argv[3], encoding="utf-8") as lines:
    theirs = collections.Counter(int(number, 0) for line in lines for number in line.replace(",", " ").split())
counted = ", ".join(f"{count} {NAMES.get(kind, hex(kind))}" for kind, count in sorted(ours.items()))
print(f"{sum(ours.values())} frames: {counted}")
for kind in sorted(set(ours) | set(theirs)):
    if ours[kind] != theirs[kind]:
        print(f"FAULT tshark sees {theirs[kind]} of {NAMES.get(kind, hex(kind))}, and {ours[kind]} were there")
if sum(ours.values()) < int(sys.argv[4]):
    print(f"FAULT {sum(ours.values())} frames are too few")
for name in sys.argv[5:]:
    if name not in [NAMES.get(kind) for kind in ours]:
        print(f"FAULT no {name} among them")
