"""uamqp 1.6.11, which sends back what it reads: a message as its C library has decoded it, encoded again.

usage: uamqp_echo.py TLS-PORT CA. It goes through tls_front.py, as uamqp_cases.py does.
"""
import sys
import time

import uamqp
from uamqp import address, authentication, constants, errors
from uamqp.message import MessageProperties

PORT, CA = int(sys.argv[1]), sys.argv[2]


def auth():
    return authentication.SASLAnonymous("localhost", port=PORT, verify=CA)


def clients():
    source = address.Source("amqps://localhost/values")
    receiver = uamqp.ReceiveClient(source, auth=auth(), prefetch=1, auto_complete=False)
    sender = uamqp.SendClient("amqps://localhost/echoed", auth=auth(), error_policy=errors.ErrorPolicy(max_retries=0),
                              receive_settle_mode=constants.ReceiverSettleMode.ReceiveAndDelete)
    receiver.open()
    sender.open()
    return receiver, sender


def echo(message, sender):
    # As its C library has them, types included, which its Python leaves out.
    again = uamqp.Message(None, properties=MessageProperties(correlation_id=message.properties.message_id),
                          body_type=uamqp.MessageBodyType.Value)
    # pylint: disable=protected-access
    again._message.set_body_value(message._message.get_body_value())
    sender.queue_message(again)
    while sender.messages_pending():
        sender.do_work()
    return again.state == constants.MessageState.SendComplete


def work():
    """Until a message that it cannot read or write, over which it gives its link up."""
    receiver, sender = clients()
    try:
        while time.monotonic() < UNTIL:
            for message in receiver.receive_message_batch(max_batch_size=1, timeout=1000):
                if echo(message, sender):
                    message.accept()
                else:
                    message.reject(condition=b"amqp:internal-error", description=b"not written")
    except Exception as error:  # pylint: disable=broad-except
        print(type(error).__name__, error, flush=True)
    for client in (receiver, sender):
        try:
            client.close()
        except Exception:  # pylint: disable=broad-except
            pass


UNTIL = time.monotonic() + 90
while time.monotonic() < UNTIL:
    work()
