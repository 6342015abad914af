"""qpid-proton's Python client as controller of transactions: one that commits two messages, one that rolls one back, and one
in which a message is taken and accepted.

usage: proton_transactions.py HOST:PORT. Prints what it was told, one word a line, and ends with DONE.
"""
import sys

from proton import Message
from proton.handlers import MessagingHandler, TransactionHandler
from proton.reactor import Container


class Controller(MessagingHandler, TransactionHandler):
    def __init__(self):
        super().__init__(prefetch=0, auto_accept=False)
        self.steps = iter(["commit", "abort", "take"])
        self.step = self.transaction = None

    def on_start(self, event):
        self.container = event.container
        self.connection = event.container.connect(sys.argv[1], reconnect=False)
        self.sender = event.container.create_sender(self.connection, "queue")
        self.receiver = event.container.create_receiver(self.connection, "queue")
        self.next()

    def next(self):
        self.step = next(self.steps, None)
        if self.step is None:
            self.connection.close()
        else:
            self.container.declare_transaction(self.connection, handler=self)

    def on_transaction_declared(self, event):
        print("declared", flush=True)
        self.transaction = event.transaction
        if self.step == "commit":
            self.transaction.send(self.sender, Message(body="a"))
            self.transaction.send(self.sender, Message(body="b"))
            self.transaction.commit()
        elif self.step == "abort":
            self.transaction.send(self.sender, Message(body="c"))
            self.transaction.abort()
        else:
            self.receiver.flow(1)

    def on_message(self, event):
        print(f"took {event.message.body}", flush=True)
        self.transaction.accept(event.delivery)
        self.transaction.commit()

    def on_transaction_committed(self, event):
        print("committed", flush=True)
        self.next()

    def on_transaction_aborted(self, event):
        print("aborted", flush=True)
        self.next()

    def on_transaction_declare_failed(self, event):
        print(f"not declared {event.delivery.remote.condition}", flush=True)
        self.connection.close()

    def on_transaction_commit_failed(self, event):
        print(f"not committed {event.delivery.remote.condition}", flush=True)
        self.connection.close()

    def on_connection_closed(self, event):
        print("DONE", flush=True)


Container(Controller()).run()
