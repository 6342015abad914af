"""qpid-proton's Python client as owner of a node made on request, for a client that cannot ask for one.

usage: dynamic_node.py HOST:PORT [QUEUE]. Prints the node's address. With a queue, sends a request there and prints the correlation
id of the answer; without one, waits for a line on standard input and goes away, and the node with it.
"""
import sys

from proton import Message
from proton.utils import BlockingConnection

connection = BlockingConnection(sys.argv[1], timeout=20)
node = connection.create_receiver(None, dynamic=True, credit=1)
print(node.remote_source.address, flush=True)
if len(sys.argv) > 2:
    connection.create_sender(sys.argv[2]).send(Message(body=b"question", inferred=True, reply_to=node.remote_source.address, id="7"))
    print(node.receive().correlation_id, flush=True)
    node.accept()
else:
    sys.stdin.readline()
connection.close()
