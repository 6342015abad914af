"""Microsoft's Event Hubs SDK for Python (pyamqp, which reads frames by position) on the built-in event hub.

usage: INTEROP_CA=ca.pem python azure_eventhub_reader.py CONNECTION-STRING PARTITION SEQUENCE-NUMBER COUNT

Asks `$management` for the partitions, then reads COUNT events after SEQUENCE-NUMBER.
"""
import os
import sys
import threading

from azure.eventhub import EventHubConsumerClient

connection_string, partition, after, count = sys.argv[1:]
client = EventHubConsumerClient.from_connection_string(
    connection_string, consumer_group='$Default', connection_verify=os.environ['INTEROP_CA'])
print('PARTITIONS', ' '.join(sorted(client.get_partition_ids())))
properties = client.get_partition_properties(partition)
print('LAST', properties['last_enqueued_sequence_number'], 'EMPTY', properties['is_empty'])

seen = []
enough = threading.Event()


def on_event(context, event):
    if event is None or enough.is_set():
        return
    seen.append(event)
    print('EVENT', event.sequence_number, event.body_as_str(), flush=True)
    print('SYSTEM', event.offset, event.enqueued_time.isoformat(), event.system_properties.get(b'iothub-connection-device-id'))
    print('PROPERTIES', event.properties)
    if len(seen) >= int(count):
        enough.set()


def on_error(context, error):
    print('ERROR', error, flush=True)


worker = threading.Thread(target=client.receive, daemon=True, kwargs={
    'on_event': on_event, 'on_error': on_error, 'partition_id': partition, 'starting_position': int(after), 'max_wait_time': 1})
worker.start()
enough.wait(20)
client.close()
worker.join(5)
print('DONE' if enough.is_set() else 'INCOMPLETE')
sys.exit(0 if enough.is_set() else 1)
