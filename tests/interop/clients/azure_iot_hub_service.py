"""Microsoft's service SDK for Python: sends one command over AMQP (SASL MSSBCBS, then `$cbs` with a host as the name).

usage: INTEROP_CA=ca.pem python azure_iot_hub_service.py CONNECTION-STRING DEVICE MESSAGE-ID
"""
import os
import sys

import certifi

certifi.where = lambda: os.environ['INTEROP_CA']

from azure.iot.hub import IoTHubRegistryManager  # noqa: E402  (after the certificates are in place)

connection_string, device, message_id = sys.argv[1:]
manager = IoTHubRegistryManager.from_connection_string(connection_string)
manager.send_c2d_message(device, 'from azure-iot-hub', properties={'messageId': message_id, 'iothub-ack': 'full', 'p': 'v'})
print('SENT')
manager.amqp_svc_client.disconnect_sync()
print('DONE')
