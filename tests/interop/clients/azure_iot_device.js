// Microsoft's device SDK for Node over AMQP: opens, sends one event, receives one command and settles it, closes.
//
// usage: NODE_PATH=<node_modules> INTEROP_CA=ca.pem node azure_iot_device.js HOST DEVICE complete|reject|abandon
// With INTEROP_TRANSPORT=AmqpWs it goes over a WebSocket, always on port 443.
// Each line that the caller checks begins with a word in capitals.
'use strict';
const fs = require('fs');
const { Client, Message } = require('azure-iot-device');
const transports = require('azure-iot-device-amqp');

const [, , host, device, verdict] = process.argv;
const key = process.env.INTEROP_KEY || Buffer.alloc(32, 'k').toString('base64');
const client = Client.fromConnectionString(`HostName=${host};DeviceId=${device};SharedAccessKey=${key}`, transports[process.env.INTEROP_TRANSPORT || 'Amqp']);

function within(milliseconds, what, promise) {
  const late = new Promise((_, reject) => {
    setTimeout(() => reject(new Error(`no ${what} within ${milliseconds} ms`)), milliseconds).unref();
  });
  return Promise.race([promise, late]);
}

function fail(error) {
  console.log('FAIL', error.name, error.message, error.amqpError || '');
  process.exit(1);
}

async function main() {
  await client.setOptions({ ca: fs.readFileSync(process.env.INTEROP_CA).toString() });
  client.on('error', (error) => console.log('ERROR', error.message));
  const settled = new Promise((resolve, reject) => {
    client.on('message', (command) => {
      console.log('BODY', command.getData().toString());
      console.log('MESSAGE-ID', command.messageId);
      console.log('TO', command.to);
      console.log('PROPERTIES', JSON.stringify(command.properties.propertyList));
      client[verdict](command, (error) => (error ? reject(error) : resolve()));
    });
  });
  await within(8000, 'open', client.open());
  console.log('OPEN');

  const event = new Message('telemetry body');
  event.messageId = 'node-event';
  event.correlationId = 'correlation 1';
  event.contentType = 'application/json';
  event.contentEncoding = 'utf-8';
  event.properties.add('p1', 'v1');
  console.log('SENT', (await within(8000, 'outcome', client.sendEvent(event))).constructor.name);

  await within(20000, 'command', settled);
  console.log('SETTLED', verdict);
  await within(8000, 'close', client.close());
  console.log('CLOSED');
}

main().then(() => process.exit(0), fail);
