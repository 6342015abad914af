"""Relays one TCP port to another and writes what passes as a capture file, without the rights that capturing needs.

usage: capture.py LISTEN-PORT TARGET-PORT FILE. Ends when it is told to (SIGTERM).
"""
import selectors
import signal
import socket
import struct
import sys

LISTEN, TARGET, FILE = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
# Octets of payload in one made-up packet.
SEGMENT = 1400


class Capture:
    """Packets of raw IPv4 in the classic format (link type 101)."""

    def __init__(self, path):
        self.file = open(path, "wb")  # pylint: disable=consider-using-with
        self.file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 101))
        self.clock = 0
        self.file.flush()

    def packet(self, source, target, sequence, acknowledged, flags, payload=b""):
        tcp = struct.pack(">HHIIBBHHH", source, target, sequence, acknowledged, 0x50, flags, 65535, 0, 0) + payload
        ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), 0, 0x4000, 64, 6, 0, b"\x7f\0\0\1", b"\x7f\0\0\1")
        data = ip + tcp
        self.clock += 10
        self.file.write(struct.pack("<IIII", self.clock // 1000000, self.clock % 1000000, len(data), len(data)) + data)
        self.file.flush()


class Side:
    """One end of a relayed connection."""

    def __init__(self, stream, port):
        self.stream, self.port, self.sequence, self.other = stream, port, 1, None


def relay(capture):
    selector = selectors.DefaultSelector()
    listener = socket.create_server(("127.0.0.1", LISTEN))
    selector.register(listener, selectors.EVENT_READ, None)
    print("listening", flush=True)
    while True:
        for key, _events in selector.select():
            if key.data is None:
                stream, (_host, port) = listener.accept()
                near = Side(stream, port)
                far = Side(socket.create_connection(("127.0.0.1", TARGET)), TARGET)
                near.other, far.other = far, near
                capture.packet(port, TARGET, 0, 0, 0x02)
                capture.packet(TARGET, port, 0, 1, 0x12)
                capture.packet(port, TARGET, 1, 1, 0x10)
                for side in (near, far):
                    selector.register(side.stream, selectors.EVENT_READ, side)
                continue
            side, other = key.data, key.data.other
            try:
                data = side.stream.recv(65536)
            except OSError:
                data = b""
            if not data:
                selector.unregister(side.stream)
                capture.packet(side.port, other.port, side.sequence, other.sequence, 0x11)
                try:
                    other.stream.shutdown(socket.SHUT_WR)
                except OSError:
                    pass
                continue
            for start in range(0, len(data), SEGMENT):
                piece = data[start:start + SEGMENT]
                capture.packet(side.port, other.port, side.sequence, other.sequence, 0x18, piece)
                side.sequence += len(piece)
            other.stream.sendall(data)


signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
relay(Capture(FILE))
