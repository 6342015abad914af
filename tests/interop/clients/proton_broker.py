"""A small broker on qpid-proton's Python binding, for tests of our client: queues by address, and nodes made on request.

usage: proton_broker.py HOST:PORT [MAX-FRAME-SIZE]. Messages are decoded, and encoded again when they are sent on. What it cannot
read it rejects. Addresses that begin with $ are refused. SIGUSR1 ends all links on which it sends with an error, SIGUSR2 all
connections.
"""
import collections
import signal
import sys
import uuid

from proton import Condition, Delivery, Message, Terminus
from proton.handlers import IncomingMessageHandler, MessagingHandler, OutgoingMessageHandler
from proton.reactor import ApplicationEvent, Container, EventInjector


class Queue:
    def __init__(self):
        self.messages = collections.deque()
        self.consumers = []


class Broker(MessagingHandler):
    def __init__(self):
        super().__init__(prefetch=100, auto_accept=False, auto_settle=False)
        # Deliveries are dealt with here: a message that cannot be read would end the program.
        ours = (IncomingMessageHandler, OutgoingMessageHandler)
        self.handlers = [handler for handler in self.handlers if not isinstance(handler, ours)]
        self.queues = collections.defaultdict(Queue)
        self.lent = {}
        self.connections = []

    def on_start(self, event):
        event.container.listen(sys.argv[1])
        injector = EventInjector()
        event.container.selectable(injector)
        for number, name in ((signal.SIGUSR1, "delete"), (signal.SIGUSR2, "force")):
            signal.signal(number, lambda *_, name=name: injector.trigger(ApplicationEvent(name)))
        print("LISTENING", flush=True)

    def on_connection_bound(self, event):
        if len(sys.argv) > 2:
            event.transport.max_frame_size = int(sys.argv[2])

    def on_connection_opened(self, event):
        self.connections.append(event.connection)

    def on_delete(self, _event):
        for queue in self.queues.values():
            for link in queue.consumers:
                link.condition = Condition("amqp:resource-deleted", "the queue was deleted")
                link.close()
            queue.consumers = []

    def on_force(self, _event):
        for connection in self.connections:
            connection.condition = Condition("amqp:connection:forced", "maintenance")
            connection.close()

    def on_link_opening(self, event):
        link = event.link
        link.snd_settle_mode, link.rcv_settle_mode = link.remote_snd_settle_mode, link.remote_rcv_settle_mode
        if not link.is_sender:
            link.target.address = link.remote_target.address
            return
        address = str(uuid.uuid4()) if link.remote_source.dynamic else link.remote_source.address
        if address.startswith("$"):
            link.source.type = Terminus.UNSPECIFIED
            return
        link.source.address, link.source.dynamic = address, link.remote_source.dynamic
        self.queues[address].consumers.append(link)

    def on_link_opened(self, event):
        link = event.link
        if link.is_sender and link.source.type == Terminus.UNSPECIFIED:
            link.condition = Condition("amqp:not-found", "no such queue")
            link.close()

    def on_link_closing(self, event):
        for queue in self.queues.values():
            queue.consumers = [link for link in queue.consumers if link != event.link]

    def on_connection_closing(self, event):
        self.forget(event.connection)

    def on_disconnected(self, event):
        self.forget(event.connection)

    def forget(self, connection):
        self.connections = [other for other in self.connections if other != connection]
        for queue in self.queues.values():
            queue.consumers = [link for link in queue.consumers if link.connection != connection]

    def on_link_flow(self, event):
        link = event.link
        if link.is_sender and link.source.address:
            self.dispatch(self.queues[link.source.address])
            if link.drain_mode:
                link.drained()

    def dispatch(self, queue):
        for link in queue.consumers:
            while queue.messages and link.credit > 0:
                message = queue.messages.popleft()
                delivery = link.send(message)
                if link.snd_settle_mode == link.SND_SETTLED:
                    delivery.settle()
                else:
                    self.lent[link.name, delivery.tag] = (queue, message)

    def on_delivery(self, event):
        delivery = event.delivery
        if delivery.link.is_sender:
            self.on_answer(delivery)
        elif delivery.readable and not delivery.partial:
            self.on_octets(delivery)
        elif delivery.settled:
            delivery.settle()

    def on_octets(self, delivery):
        link = delivery.link
        octets = link.recv(delivery.pending)
        link.advance()
        try:
            message = Message()
            message.decode(octets)
            message.encode()
        except Exception as error:  # pylint: disable=broad-except
            print("UNREADABLE", type(error).__name__, error, flush=True)
            delivery.update(Delivery.REJECTED)
            delivery.settle()
            return
        delivery.update(Delivery.ACCEPTED)
        if delivery.settled or link.rcv_settle_mode == link.RCV_FIRST:
            delivery.settle()
        queue = self.queues[link.target.address]
        queue.messages.append(message)
        self.dispatch(queue)

    def on_answer(self, delivery):
        state = delivery.remote_state
        if not state and not delivery.settled:
            return
        queue, message = self.lent.pop((delivery.link.name, delivery.tag), (None, None))
        if queue and state not in (Delivery.ACCEPTED, Delivery.REJECTED):
            if state == Delivery.MODIFIED and delivery.remote.failed:
                message.delivery_count += 1
            queue.messages.appendleft(message)
        delivery.settle()
        if queue:
            self.dispatch(queue)


Container(Broker()).run()
