"""uamqp 1.6.11 against a broker, case by case, for the matrix that run.sh prints.

usage: uamqp_cases.py HOST:PORT PID TLS-PORT CA. It opens TLS and WebSocket over TLS only (its C module exports no other way
in), so it goes through tls_front.py. Prints `CASE name: ok`, `CASE name: n.a. reason` after having seen the reason, or
`CASE name: FAIL reason`; PID is the broker's, which ends all connections when it is interrupted.
"""
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
import uuid

import uamqp
from uamqp import address, authentication, constants, errors, types

BROKER, PORT, CA = int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
PATIENCE = 20
failed = 0


class Unable(Exception):
    """What the library cannot do, seen."""


def auth():
    return authentication.SASLAnonymous("localhost", port=PORT, verify=CA)


def sender(queue, **more):
    # Its default is mode second, in which its senders never settle: see the case of that name.
    more.setdefault("receive_settle_mode", constants.ReceiverSettleMode.ReceiveAndDelete)
    return uamqp.SendClient(f"amqps://localhost/ua-{queue}", auth=auth(), error_policy=errors.ErrorPolicy(max_retries=0), **more)


def receiver(queue, credit=1, **more):
    source = address.Source(f"amqps://localhost/ua-{queue}")
    more.setdefault("auto_complete", False)
    return uamqp.ReceiveClient(source, auth=auth(), prefetch=credit, **more)


def send(client, *messages):
    until = time.monotonic() + PATIENCE
    for message in messages:
        client.queue_message(message)
    client.open()
    while client.messages_pending():
        assert time.monotonic() < until, "no outcome in time"
        client.do_work()
    for message in messages:
        assert message.state == constants.MessageState.SendComplete, message.state


def receive(client, seconds=PATIENCE):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        messages = client.receive_message_batch(max_batch_size=1, timeout=1000)
        if messages:
            return messages[0]
    raise AssertionError("no message in time")


def work(client, seconds=0.3):
    """Lets what was settled reach the broker."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        client.do_work()


def nothing(client):
    assert not client.receive_message_batch(max_batch_size=1, timeout=700), "it came again"


def case(name):
    def run(function):
        global failed
        opened = []

        def keep(client):
            opened.append(client)
            return client

        try:
            remark = function(keep)
            print(f"CASE {name}: ok" + (f", but {remark}" if remark else ""), flush=True)
        except Unable as reason:
            print(f"CASE {name}: n.a. {reason}", flush=True)
        except BaseException as error:  # pylint: disable=broad-except
            failed += 1
            print(f"CASE {name}: FAIL {type(error).__name__} {error}".replace("\n", " "), flush=True)
        for client in opened:
            try:
                client.close()
            except Exception:  # pylint: disable=broad-except
                pass

    return run


# Each as it is written and as it is read. Not there: char, which its own wrapper fails to make, and empty lists and maps,
# which it reads as None.
VALUES = [
    (True, True), (False, False), (types.AMQPuByte(255), 255), (types.AMQPuShort(65535), 65535), (types.AMQPuInt(0), 0),
    (types.AMQPuInt(2**32 - 1), 2**32 - 1), (types.AMQPuLong(2**64 - 1), 2**64 - 1), (types.AMQPByte(-128), -128),
    (types.AMQPShort(-32768), -32768), (types.AMQPInt(-(2**31)), -(2**31)), (types.AMQPLong(2**63 - 1), 2**63 - 1),
    (types.AMQPLong(-(2**63)), -(2**63)), (2.5e300, 2.5e300), (uuid.UUID(int=2**127), uuid.UUID(int=2**127)),
    (b"text \xc3\xbc", b"text \xc3\xbc"), (b"x" * 300, b"x" * 300), (types.AMQPSymbol(b"sym"), b"sym"),     ([1, [2, b"three"], {b"k": 4}], [1, [2, b"three"], {b"k": 4}]), ({b"a": 1, b"b": b"2"}, {b"a": 1, b"b": b"2"}),
    (types.AMQPArray([1, 2, 3]), [1, 2, 3]),
]


@case("types in bodies")
def _(keep):
    to, of = keep(sender("bodies")), keep(receiver("bodies"))
    for sent, expected in VALUES:
        send(to, uamqp.Message(sent, body_type=uamqp.MessageBodyType.Value))
        message = receive(of)
        body = message.get_data()
        message.accept()
        assert body == expected, f"{expected!r} comes back as {body!r}"


@case("types in properties")
def _(keep):
    to, of = keep(sender("props")), keep(receiver("props"))
    simple = [(sent, expected) for sent, expected in VALUES if not isinstance(expected, (list, dict))]
    properties = {f"p{number}".encode(): sent for number, (sent, _) in enumerate(simple)}
    send(to, uamqp.Message(b"x", application_properties=properties))
    message = receive(of)
    received = message.application_properties
    message.accept()
    assert len(received) == len(simple)
    for number, (_, expected) in enumerate(simple):
        value = received[f"p{number}".encode()]
        assert value == expected, f"{expected!r} comes back as {value!r}"


def sizes(keep, queue, largest, max_frame_size=None):
    limit = 64 * 1024 * 1024
    # What it sends is cut to the peer's frames, and then measured by its own: small ones are for its receiver alone.
    to = keep(sender(queue, max_message_size=limit))
    of = keep(receiver(queue, max_message_size=limit, max_frame_size=max_frame_size))
    for size in (0, 1, 400, 511, 512, 513, 65535, 65536, 100_000, 1_000_000, 10_000_000, 50_000_000):
        if size > largest:
            break
        body = (bytes(range(251)) * (size // 251 + 1))[:size]
        send(to, uamqp.Message(body))
        message = receive(of)
        assert b"".join(message.get_data()) == body, f"{size} octets differ"
        message.accept()


@case("0 B to 50 MB")
def _(keep):
    sizes(keep, "sizes", 50_000_000)


@case("frames of 512 B")
def _(keep):
    sizes(keep, "sizes-512", 1_000_000, max_frame_size=512)


@case("pre-settled")
def _(keep):
    to = keep(sender("settled", send_settle_mode=constants.SenderSettleMode.Settled))
    send(to, *[uamqp.Message(str(number).encode()) for number in range(100)])
    of = keep(receiver("settled", credit=100, send_settle_mode=constants.SenderSettleMode.Settled,
                       receive_settle_mode=constants.ReceiverSettleMode.ReceiveAndDelete))
    for number in range(100):
        assert b"".join(receive(of).get_data()) == str(number).encode()


@case("at least once")
def _(keep):
    to, of = keep(sender("once")), keep(receiver("once", credit=50))
    send(to, *[uamqp.Message(str(number).encode()) for number in range(300)])
    for number in range(300):
        message = receive(of)
        assert b"".join(message.get_data()) == str(number).encode()
        message.accept()
    work(of)
    nothing(of)


@case("mode second")
def _(keep):
    to = keep(sender("first"))
    of = keep(receiver("first", receive_settle_mode=constants.ReceiverSettleMode.PeekLock))
    send(to, uamqp.Message(b"x"))
    receive(of).accept()
    work(of)
    nothing(of)
    to = keep(sender("second", receive_settle_mode=constants.ReceiverSettleMode.PeekLock))
    message = uamqp.Message(b"x")
    to.queue_message(message)
    to.open()
    work(to, 3)
    assert message.state == constants.MessageState.WaitingForSendAck, message.state
    return "its sender asks for the mode and never settles"


def lent(keep, queue):
    to, of = keep(sender(queue)), keep(receiver(queue))
    send(to, uamqp.Message(b"x"))
    return to, of, receive(of)


@case("reject")
def _(keep):
    _, of, message = lent(keep, "reject")
    message.reject(condition=b"amqp:not-allowed", description=b"not wanted")
    work(of)
    nothing(of)


@case("release")
def _(keep):
    _, of, message = lent(keep, "release")
    message.release()
    again = receive(of)
    assert not again.header or not again.header.delivery_count, again.header
    again.accept()
    work(of)
    nothing(of)


@case("modify")
def _(keep):
    _, of, message = lent(keep, "modify")
    message.modify(True, False)
    again = receive(of)
    assert again.header.delivery_count == 1, again.header
    again.accept()
    work(of)
    nothing(of)


@case("drain")
def _(keep):
    of = keep(receiver("drain"))
    of.open()
    while not of.client_ready():
        of.do_work()
    able = [name for name in dir(of.message_handler) + dir(of.message_handler._link) if "drain" in name.lower()]
    assert not able, able
    raise Unable("neither its receiver nor its link has a way to ask for a drain")


def node_of_another(*more):
    """A node made on request by a client that can, and its address."""
    helper = pathlib.Path(__file__).with_name("dynamic_node.py")
    command = [os.environ["INTEROP_PYTHON"], helper, sys.argv[1], *more]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    return process, process.stdout.readline().strip()


def sender_to(text):
    target = address.Target("amqps://localhost/any")
    # What it sends by itself is the whole URI.
    target._address.address = uamqp.c_uamqp.string_value(text.encode())
    return uamqp.SendClient(target, auth=auth(), error_policy=errors.ErrorPolicy(max_retries=0),
                            receive_settle_mode=constants.ReceiverSettleMode.ReceiveAndDelete)


@case("dynamic reply-to")
def _(keep):
    asking, node = node_of_another("amqps://localhost/ua-requests")
    of = keep(receiver("requests"))
    request = receive(of)
    assert request.properties.reply_to == node.encode(), request.properties.reply_to
    properties = uamqp.message.MessageProperties(correlation_id=request.properties.message_id)
    send(keep(sender_to(node)), uamqp.Message(b"answer", properties=properties))
    request.accept()
    told = asking.communicate(timeout=PATIENCE)[0].strip()
    assert told in ("7", "b'7'"), told
    source = address.Source("amqps://localhost/ua-dynamic")
    source._address.dynamic = True
    asker = keep(uamqp.ReceiveClient(source, auth=auth(), prefetch=1, auto_complete=False))
    asker.open()
    while not asker.client_ready():
        asker.do_work()
    able = [name for name in dir(asker.message_handler._link) if "source" in name or "address" in name]
    assert not able, able
    return "it answers only: its links do not tell the address of what was made for them"


@case("refused address")
def _(keep):
    source = address.Source("amqps://localhost/$nowhere")
    # What it sends by itself is the whole URI.
    source._address.address = uamqp.c_uamqp.string_value(b"$nowhere")
    of = keep(uamqp.ReceiveClient(source, auth=auth(), prefetch=1))
    try:
        of.receive_message_batch(timeout=5000)
    except errors.LinkDetach as error:
        assert error.condition == constants.ErrorCodes.NotFound, error.condition
    else:
        raise AssertionError("attached")


@case("link detach with error")
def _(keep):
    owner, node = node_of_another()
    to = keep(sender_to(node))
    send(to, uamqp.Message(b"x"))
    owner.communicate("go\n", timeout=PATIENCE)
    message = uamqp.Message(b"x")
    to.queue_message(message)
    until = time.monotonic() + PATIENCE
    error = None
    while not error and time.monotonic() < until:
        try:
            to.do_work()
        except errors.LinkDetach as detached:
            error = detached.condition
    assert error == constants.ErrorCodes.ResourceDeleted, error


@case("connection forced")
def _(keep):
    of = keep(receiver("forced"))
    threading.Timer(1, os.kill, (BROKER, signal.SIGINT)).start()
    try:
        receive(of)
    except errors.ConnectionClose as error:
        assert error.condition == constants.ErrorCodes.ConnectionCloseForced, error.condition
    else:
        raise AssertionError("not closed")


sys.exit(1 if failed else 0)
