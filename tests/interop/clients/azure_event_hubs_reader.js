// Microsoft's Event Hubs SDK for Node on the built-in event hub: asks `$management` for the partitions, then reads
// COUNT events after SEQUENCE-NUMBER.
//
// usage: NODE_PATH=<node_modules> NODE_EXTRA_CA_CERTS=ca.pem \
//        node azure_event_hubs_reader.js CONNECTION-STRING PARTITION SEQUENCE-NUMBER COUNT
'use strict';
const { EventHubConsumerClient } = require('@azure/event-hubs');

const [, , connectionString, partition, after, count] = process.argv;
const client = new EventHubConsumerClient('$Default', connectionString);

async function main() {
  console.log('PARTITIONS', (await client.getPartitionIds()).sort().join(' '));
  const properties = await client.getPartitionProperties(partition);
  console.log('LAST', properties.lastEnqueuedSequenceNumber, 'EMPTY', properties.isEmpty);
  let left = Number(count);
  await new Promise((resolve, reject) => {
    const subscription = client.subscribe(
      partition,
      {
        async processEvents(events) {
          for (const event of events) {
            const device = event.systemProperties['iothub-connection-device-id'];
            console.log('EVENT', event.sequenceNumber, Buffer.isBuffer(event.body) ? event.body.toString() : event.body);
            console.log('SYSTEM', event.offset, event.enqueuedTimeUtc.toISOString(), device);
            left -= 1;
          }
          if (left <= 0) subscription.close().then(resolve, reject);
        },
        async processError(error) {
          reject(error);
        },
      },
      { startPosition: { sequenceNumber: Number(after), isInclusive: false }, maxWaitTimeInSeconds: 1 },
    );
  });
  await client.close();
  console.log('DONE');
}

main().then(
  () => process.exit(0),
  (error) => {
    console.log('FAIL', error.name, error.message);
    process.exit(1);
  },
);
setTimeout(() => {
  console.log('TIMEOUT');
  process.exit(2);
}, 30000).unref();
