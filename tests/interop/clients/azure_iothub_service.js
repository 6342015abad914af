// Microsoft's service SDK for Node: sends one command, then waits for the feedback record that answers it.
//
// usage: NODE_PATH=<node_modules> NODE_EXTRA_CA_CERTS=ca.pem node azure_iothub_service.js HOST DEVICE MESSAGE-ID
// Each line that the caller checks begins with a word in capitals.
'use strict';
const { Client } = require('azure-iothub');
const { Message } = require('azure-iot-common');

const [, , host, device, messageId] = process.argv;
const key = process.env.INTEROP_KEY || Buffer.alloc(32, 'k').toString('base64');
const transport = { AmqpWs: require('azure-iothub/dist/amqp_ws').AmqpWs }[process.env.INTEROP_TRANSPORT];
const client = Client.fromConnectionString(
  `HostName=${host};SharedAccessKeyName=service;SharedAccessKey=${key}`,
  transport,
);

function receiver(open) {
  return new Promise((resolve, reject) => {
    open.call(client, (error, link) => (error ? reject(error) : resolve(link)));
  });
}

async function main() {
  await client.open();
  console.log('OPEN');
  const feedback = await receiver(client.getFeedbackReceiver);
  const answered = new Promise((resolve, reject) => {
    feedback.on('errorReceived', reject);
    feedback.on('message', (batch) => {
      const records = JSON.parse(batch.getData().toString());
      for (const record of records) {
        console.log('FEEDBACK', record.statusCode, record.originalMessageId, record.deviceId);
      }
      feedback.complete(batch, (error) => {
        if (error) reject(error);
        else if (records.some((record) => record.originalMessageId === messageId)) resolve();
      });
    });
  });

  const command = new Message('c2d body');
  command.ack = 'full';
  command.messageId = messageId;
  command.expiryTimeUtc = Date.now() + 60000;
  command.properties.add('p', 'v');
  const result = await client.send(device, command);
  console.log('SENT', result && result.constructor.name);

  await answered;
  console.log('COMPLETED');
  await client.close();
  console.log('CLOSED');
}

main().then(
  () => process.exit(0),
  (error) => {
    console.log('FAIL', error.name, error.message, String(error.amqpError || ''));
    process.exit(1);
  },
);
setTimeout(() => {
  console.log('TIMEOUT');
  process.exit(2);
}, 30000).unref();
