"""The Python snippets of Microsoft's page "Communicate with your IoT hub by using the AMQP Protocol", run with uamqp.

usage: INTEROP_CA=ca.pem python uamqp_seed.py c2d|devbound|feedback|d2c|events|cbs|websocket [partition count]

What differs from the page, and nothing else:
- Python 3: `urllib.parse.quote_plus`, `b''.join(msg.get_data())`, annotations and content types are bytes,
  `redirect.address` is bytes;
- the certificate authority is private: a URI with a password leaves no place for one, hence `certifi.where`;
- each line that the caller checks begins with a word in capitals;
- `events` receives until it has seen what it was told to expect, because a batch may hold fewer than were stored.
"""
import base64
import json
import logging
import os
import sys
import time
import urllib.parse
import uuid

import certifi

certificates = os.environ['INTEROP_CA']
certifi.where = lambda: certificates

import uamqp  # noqa: E402  (after the certificates are in place)

from sas_helper import generate_sas_token  # noqa: E402

logging.basicConfig(level=logging.INFO)  # with debug=True, every frame on standard error

case = sys.argv[1]
iot_hub_name = 'test-hub'
hostname = '{iot_hub_name}.azure-devices.net'.format(iot_hub_name=iot_hub_name)
access_key = os.environ.get('INTEROP_KEY', base64.b64encode(b'k' * 32).decode())
policy_name = 'service'
device_id = 'dev1'


def uri_for(username, sas_token, operation):
    return 'amqps://{}:{}@{}{}'.format(
        urllib.parse.quote_plus(username), urllib.parse.quote_plus(sas_token), hostname, operation)


def service_uri(operation):
    username = '{policy_name}@sas.root.{iot_hub_name}'.format(policy_name=policy_name, iot_hub_name=iot_hub_name)
    return uri_for(username, generate_sas_token(hostname, access_key, policy_name), operation)


def device_uri(operation):
    username = '{device_id}@sas.{iot_hub_name}'.format(device_id=device_id, iot_hub_name=iot_hub_name)
    sas_token = generate_sas_token('{}/devices/{}'.format(hostname, device_id), access_key, None)
    return uri_for(username, sas_token, operation)


def c2d():
    send_client = uamqp.SendClient(service_uri('/messages/devicebound'), debug=True)
    msg_id = str(uuid.uuid4())
    to = '/devices/{device_id}/messages/devicebound'.format(device_id=device_id)
    msg_props = uamqp.message.MessageProperties(message_id=msg_id, to=to)
    msg = uamqp.Message(b'Message content goes here!', properties=msg_props, application_properties={'iothub-ack': 'full'})
    send_client.queue_message(msg)
    print('MESSAGE-ID', msg_id)
    print('RESULTS', send_client.send_all_messages())
    send_client.close()


def devbound():
    receive_client = uamqp.ReceiveClient(device_uri('/devices/{}/messages/devicebound'.format(device_id)), debug=True)
    batch = receive_client.receive_message_batch(max_batch_size=5)
    for msg in batch:
        print('BODY', b''.join(msg.get_data()))
        print('TO', msg.properties.to)
        print('MESSAGE-ID', msg.properties.message_id)
        print('SEQUENCE-NUMBER', msg.annotations[b'x-opt-sequence-number'])
        print('APPLICATION-PROPERTIES', msg.application_properties)
        msg.accept()
    receive_client.close()


def feedback():
    receive_client = uamqp.ReceiveClient(service_uri('/messages/serviceBound/feedback'), debug=True)
    batch = receive_client.receive_message_batch(max_batch_size=10)
    for msg in batch:
        print('CONTENT-TYPE', msg.properties.content_type)
        for record in json.loads(b''.join(msg.get_data())):
            print('FEEDBACK', record['statusCode'], record['originalMessageId'], record['deviceId'])
            print('RECORD', json.dumps(record, sort_keys=True))
        msg.accept()
    receive_client.close()


def d2c():
    send_client = uamqp.SendClient(device_uri('/devices/{}/messages/events'.format(device_id)), debug=True)
    msg_props = uamqp.message.MessageProperties()
    msg_props.message_id = str(uuid.uuid4())
    for name in ('creation_time', 'correlation_id', 'content_type', 'reply_to_group_id', 'subject', 'user_id', 'group_sequence',
                 'to', 'content_encoding', 'reply_to', 'absolute_expiry_time', 'group_id'):
        setattr(msg_props, name, None)
    message = uamqp.Message(b'Your message payload goes here', properties=msg_props,
                            application_properties={'app_property_key': 'app_property_value'})
    send_client.queue_message(message)
    print('MESSAGE-ID', msg_props.message_id)
    print('RESULTS', send_client.send_all_messages())
    send_client.close()


def websocket():
    """Not on the page: the device's sender over a WebSocket, as the page names it among the ways to connect."""
    resource = '{}/devices/{}'.format(hostname, device_id)
    auth = uamqp.authentication.SASLPlain(
        hostname, '{}@sas.{}'.format(device_id, iot_hub_name), generate_sas_token(resource, access_key, None),
        verify=certificates, transport_type=uamqp.constants.TransportType.AmqpOverWebsocket)
    target = 'amqps://{}/devices/{}/messages/events'.format(hostname, device_id)
    send_client = uamqp.SendClient(target, auth=auth, debug=True)
    send_client.queue_message(uamqp.Message(b'sent over a websocket'))
    print('RESULTS', send_client.send_all_messages())
    send_client.close()


def events():
    partition = sys.argv[2]
    wanted = int(sys.argv[3])
    operation = '/messages/events/ConsumerGroups/{consumer_group}/Partitions/{p_id}'.format(
        consumer_group='$Default', p_id=partition)
    endpoint_filter = b'amqp.annotation.x-opt-sequence-number > 2995'

    def set_endpoint_filter(uri, endpoint_filter=''):
        source_uri = uamqp.address.Source(uri)
        source_uri.set_filter(endpoint_filter)
        return source_uri

    receive_client = uamqp.ReceiveClient(set_endpoint_filter(service_uri(operation), endpoint_filter), debug=True)
    try:
        batch = receive_client.receive_message_batch(max_batch_size=5)
        print('NO-REDIRECT', len(batch))
        sys.exit(1)
    except uamqp.errors.LinkRedirect as redirect:
        receive_client.close()
        print('REDIRECT', redirect.address, redirect.hostname, redirect.port)
        address = redirect.address.decode()
    sas_auth = uamqp.authentication.SASTokenAuth.from_shared_access_key(address, policy_name, access_key)
    receive_client = uamqp.ReceiveClient(set_endpoint_filter(address, endpoint_filter), auth=sas_auth, debug=True)
    seen, give_up = 0, time.time() + 15
    while seen < wanted and time.time() < give_up:
        for msg in receive_client.receive_message_batch(max_batch_size=5, timeout=2000):
            seen += 1
            print('EVENT', msg.annotations[b'x-opt-sequence-number'], b''.join(msg.get_data()))
            print('OFFSET', msg.annotations[b'x-opt-offset'])
            print('ENQUEUED-TIME', msg.annotations[b'x-opt-enqueued-time'])
            print('ANNOTATIONS', msg.annotations)
            print('APPLICATION-PROPERTIES', msg.application_properties)
            msg.accept()
    receive_client.close()


def cbs():
    """The other way to authenticate: a token put on `$cbs`, after SASL MSSBCBS. uamqp encodes the key it is given,
    so it gets the decoded bytes as text. The token names the hub's policy `device`."""
    resource = 'amqps://{}/devices/{}'.format(hostname, device_id)
    sas_auth = uamqp.authentication.SASTokenAuth.from_shared_access_key(
        resource, 'device', base64.b64decode(access_key).decode(), verify=certificates)
    send_client = uamqp.SendClient('{}/messages/events'.format(resource), auth=sas_auth, debug=True)
    send_client.queue_message(uamqp.Message(b'sent after put-token'))
    print('RESULTS', send_client.send_all_messages())
    send_client.close()


{'c2d': c2d, 'devbound': devbound, 'feedback': feedback, 'd2c': d2c, 'events': events, 'cbs': cbs, 'websocket': websocket}[case]()
print('DONE')
