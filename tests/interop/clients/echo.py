"""qpid-proton's Python client, which sends back what it reads: body, application properties and annotations, as Python's
values.

usage: echo.py HOST:PORT. Rejects what it cannot read or write.
"""
import sys

from proton import Delivery, Message
from proton.handlers import IncomingMessageHandler, MessagingHandler
from proton.reactor import Container


class Echo(MessagingHandler):
    def __init__(self):
        super().__init__(prefetch=100, auto_accept=False)
        # It would end the program over a message that cannot be read.
        self.handlers = [handler for handler in self.handlers if not isinstance(handler, IncomingMessageHandler)]

    def on_start(self, event):
        connection = event.container.connect(sys.argv[1], reconnect=False, allowed_mechs="ANONYMOUS")
        self.sender = event.container.create_sender(connection, "echoed")
        event.container.create_receiver(connection, "values")

    def on_delivery(self, event):
        delivery = event.delivery
        if not delivery.link.is_receiver or not delivery.readable or delivery.partial:
            return
        octets = delivery.link.recv(delivery.pending)
        delivery.link.advance()
        try:
            message = Message()
            message.decode(octets)
            self.sender.send(Message(
                body=message.body, properties=message.properties, annotations=message.annotations, correlation_id=message.id,
            ))
            delivery.update(Delivery.ACCEPTED)
        except Exception as error:  # pylint: disable=broad-except
            delivery.local.condition = None
            print(type(error).__name__, error, flush=True)
            delivery.update(Delivery.REJECTED)
        delivery.settle()


Container(Echo()).run()
