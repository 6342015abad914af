"""qpid-proton's Python client against a broker, case by case, for the matrix that run.sh prints.

usage: broker_cases.py HOST:PORT PID. Prints `CASE name: ok` or `CASE name: FAIL reason`; PID is the broker's, which ends all
connections when it is interrupted.
"""
import json
import os
import pathlib
import signal
import sys
import uuid

from proton import (
    Array, Data, DataException, Delivery, Described, Message, byte, char, decimal32, decimal64, decimal128, float32, int32, short, symbol,
    timestamp, ubyte, uint, ulong, ushort, UNDESCRIBED,
)
from proton.reactor import AtLeastOnce, AtMostOnce, LinkOption
from proton.utils import BlockingConnection, ConnectionClosed, LinkDetached

URL, BROKER = sys.argv[1], int(sys.argv[2])
VALUES = [
    None, True, False, ubyte(255), ushort(65535), uint(0), uint(255), uint(2**32 - 1), ulong(0), ulong(2**64 - 1),
    byte(-128), short(-32768), int32(-(2**31)), 2**63 - 1, -(2**63), float32(1.5), 2.5e300, char("\U0001f600"),
    timestamp(-1), decimal32(0x22500001), decimal64(1), decimal128(b"\x22" * 16), uuid.UUID(int=2**127), b"", b"\xff\x00",
    "", "text \u00fc", "x" * 300, symbol("sym"), [], [1, [2, "three"], {"k": ulong(4)}], {}, {"a": 1, symbol("b"): "2"},
    Array(UNDESCRIBED, Data.INT, 1, -2, 3), Described(symbol("x:y"), "value"),
]
failed = 0


def case(name):
    def run(function):
        global failed
        try:
            connection = BlockingConnection(URL, timeout=30, max_frame_size=512 if "512" in name else 65536)
            try:
                function(connection)
            finally:
                connection.close()
            print(f"CASE {name}: ok", flush=True)
        except Exception as error:  # pylint: disable=broad-except
            failed += 1
            print(f"CASE {name}: FAIL {type(error).__name__} {error}".replace("\n", " "), flush=True)

    return run


def same(sent, received):
    if isinstance(sent, bytes):
        return received == sent
    if isinstance(sent, Described):
        return received.descriptor == sent.descriptor and received.value == sent.value
    return type(received) is type(sent) and received == sent


def vectors():
    """The values of the vectors of this project, encoded: every type, with its corners."""
    path = pathlib.Path(__file__).parent.parent.parent / "data" / "vectors.json"
    for vector in json.loads(path.read_text())["vectors"]:
        if vector["valid"] and vector["value"][0] not in ("message", "frame", "protocol-header"):
            yield vector["id"], bytes.fromhex(vector["hex"])


def encoded(value):
    data = Data()
    data.put_object(value)
    return data.encode()


@case("types in bodies")
def _(connection):
    sender, receiver = connection.create_sender("py-bodies"), connection.create_receiver("py-bodies", credit=1)
    for value in VALUES:
        sender.send(Message(body=value, inferred=False))
        message = receiver.receive()
        # Octets are a view into the message, which goes with it.
        body = bytes(message.body) if isinstance(message.body, memoryview) else message.body
        receiver.accept()
        assert same(value, body), f"{value!r} comes back as {body!r}"
    unreadable = []
    for name, octets in vectors():
        try:
            data = Data()
            data.decode(octets)
            value = data.get_object()
            expected = encoded(value)
        except (ValueError, TypeError, KeyError, DataException) as error:
            unreadable.append(f"{name} ({type(error).__name__})")
            continue
        sender.send(Message(body=value, inferred=False))
        message = receiver.receive()
        body = bytes(message.body) if isinstance(message.body, memoryview) else message.body
        receiver.accept()
        assert encoded(body) == expected, f"{name}: {value!r} comes back as {body!r}"
    print("  vectors that it cannot hold:", *unreadable)
    assert len(unreadable) < 20, unreadable


@case("types in properties")
def _(connection):
    sender, receiver = connection.create_sender("py-props"), connection.create_receiver("py-props", credit=1)
    simple = [value for value in VALUES if not isinstance(value, (list, dict, Array, Described, type(None)))]
    sent = {f"p{number}": value for number, value in enumerate(simple)}
    sender.send(Message(body="x", properties=sent))
    received = receiver.receive().properties
    receiver.accept()
    assert len(received) == len(sent)
    for name, value in sent.items():
        assert same(value, received[name]), f"{value!r} comes back as {received[name]!r}"


def sizes(connection, queue, largest):
    sender, receiver = connection.create_sender(queue), connection.create_receiver(queue, credit=1)
    for size in (0, 1, 400, 511, 512, 513, 65535, 65536, 100_000, 1_000_000, 10_000_000, 50_000_000):
        if size > largest:
            break
        body = (bytes(range(251)) * (size // 251 + 1))[:size]
        sender.send(Message(body=body, inferred=True))
        message = receiver.receive()
        assert bytes(message.body or b"") == body, size
        receiver.accept()


@case("0 B to 50 MB")
def _(connection):
    sizes(connection, "py-sizes", 50_000_000)


@case("frames of 512 B")
def _(connection):
    sizes(connection, "py-sizes-512", 1_000_000)


@case("pre-settled")
def _(connection):
    sender = connection.create_sender("py-settled", options=AtMostOnce())
    for number in range(100):
        sender.link.send(Message(body=number))
    connection.wait(lambda: sender.link.queued == 0)
    receiver = connection.create_receiver("py-settled", credit=100, options=AtMostOnce())
    for number in range(100):
        assert receiver.receive().body == number


@case("at least once")
def _(connection):
    sender = connection.create_sender("py-once", options=AtLeastOnce())
    for number in range(300):
        assert sender.send(Message(body=number)).remote_state == Delivery.ACCEPTED
    receiver = connection.create_receiver("py-once", credit=50)
    for number in range(300):
        assert receiver.receive().body == number
        receiver.accept()


class Second(LinkOption):
    """Asks the receiver to settle after the sender."""

    def apply(self, link):
        link.rcv_settle_mode = 1


@case("mode second")
def _(connection):
    sender = connection.create_sender("py-second", options=Second())
    for number in range(10):
        # The blocking sender waits for the receiver to settle, which in this mode comes after its own settlement.
        sent = sender.link.send(Message(body=number))
        connection.wait(lambda d=sent: d.remote_state == Delivery.ACCEPTED)
        assert not sent.settled
        sent.settle()
    receiver = connection.create_receiver("py-second", credit=10, options=Second())
    for number in range(10):
        assert receiver.receive().body == number
        delivery = receiver.fetcher.unsettled[0]
        delivery.update(Delivery.ACCEPTED)
        connection.wait(lambda d=delivery: d.settled)
        receiver.settle()


def lent(connection, queue):
    sender = connection.create_sender(queue)
    sender.send(Message(body="x"))
    receiver = connection.create_receiver(queue, credit=1)
    receiver.receive()
    return receiver, sender


@case("reject")
def _(connection):
    receiver, sender = lent(connection, "py-reject")
    receiver.reject()
    sender.send(Message(body="next"))
    assert receiver.receive().body == "next", "it came again"
    receiver.accept()


@case("release")
def _(connection):
    receiver, _sender = lent(connection, "py-release")
    receiver.release(delivered=False)
    again = receiver.receive()
    assert again.body == "x" and again.delivery_count == 0
    receiver.accept()


@case("modify")
def _(connection):
    receiver, _sender = lent(connection, "py-modify")
    delivery = receiver.fetcher.unsettled.popleft()
    delivery.local.failed = True
    delivery.update(Delivery.MODIFIED)
    delivery.settle()
    again = receiver.receive()
    assert again.delivery_count == 1, again.delivery_count
    receiver.accept()


@case("drain")
def _(connection):
    sender = connection.create_sender("py-drain")
    for number in range(3):
        sender.send(Message(body=number))
    receiver = connection.create_receiver("py-drain", credit=0)
    receiver.link.drain(10)
    connection.wait(lambda: receiver.fetcher.has_message == 3 and receiver.link.credit == 0)
    assert [receiver.receive().body for _ in range(3)] == [0, 1, 2]


@case("dynamic reply-to")
def _(connection):
    replies = connection.create_receiver(None, dynamic=True, credit=1)
    address = replies.remote_source.address
    connection.create_sender("py-requests").send(Message(body="question", reply_to=address, id="1"))
    requests = connection.create_receiver("py-requests", credit=1)
    request = requests.receive()
    requests.accept()
    connection.create_sender(request.reply_to).send(Message(body="answer", correlation_id=request.id))
    assert replies.receive().correlation_id == "1"
    replies.accept()


@case("refused address")
def _(connection):
    try:
        connection.create_receiver("$nowhere")
    except LinkDetached as error:
        assert error.condition == "amqp:not-found", error.condition
    else:
        raise AssertionError("attached")
    connection.create_sender("py-after").send(Message(body="x"))


@case("link detach with error")
def _(connection):
    owner = connection.create_receiver(None, dynamic=True)
    sender = connection.create_sender(owner.remote_source.address)
    owner.close()
    try:
        for _ in range(10):
            sender.send(Message(body="x"))
    except LinkDetached as error:
        assert error.condition == "amqp:resource-deleted", error.condition
    else:
        raise AssertionError("not detached")


@case("connection forced")
def _(connection):
    receiver = connection.create_receiver("py-forced")
    os.kill(BROKER, signal.SIGINT)
    try:
        receiver.receive(timeout=20)
    except ConnectionClosed as error:
        assert error.condition == "amqp:connection:forced", error.condition
    else:
        raise AssertionError("not closed")


sys.exit(1 if failed else 0)
