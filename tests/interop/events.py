"""Reads the JSON lines of `iothub monitor` and says what is missing of the foreign clients' events.

usage: events.py FILE MESSAGE-ID     prints FAULT lines, and the partition that holds dev1's events
"""
import json
import sys

path, message_id = sys.argv[1:]
events = [json.loads(line) for line in open(path, encoding='utf-8')]
fillers = [event for event in events if event.get('body') == 'filler']
foreign = [event for event in events if event.get('body') != 'filler']


def fault(text):
    print('FAULT', text)




if len(fillers) != 2996:
    fault('read %d fillers, not 2996' % len(fillers))
bodies = [event.get('body') for event in foreign]
wanted = ['Your message payload goes here', 'sent after put-token', 'telemetry body', 'telemetry body']
if bodies != wanted:
    fault('read %r, not %r' % (bodies, wanted))
partitions = {str(event.get('partition')) for event in events}
if len(partitions) != 1:
    fault('one device, but partitions %s' % sorted(partitions))
numbers = [event.get('sequence_number') for event in events]
if numbers != list(range(len(events))):
    fault('sequence numbers do not count from 0 without gaps')
for event in foreign:
    if event.get('device_id') != 'dev1':
        fault('device id is %r' % event.get('device_id'))
by_body = {event.get('body'): event for event in foreign}
seed = json.dumps(by_body.get('Your message payload goes here', {}))
for text in (message_id, 'app_property_key', 'app_property_value'):
    if text not in seed:
        fault('the event of uamqp lacks %r: %s' % (text, seed))
node = json.dumps(by_body.get('telemetry body', {}))
for text in ('node-event', 'correlation 1', 'application/json', 'utf-8', '"p1"', '"v1"'):
    if text not in node:
        fault('the event of the Node SDK lacks %r: %s' % (text, node))
print('PARTITION', *sorted(partitions))
