// A small broker on rhea, for tests of our client: queues by address, one message in flight at a time per consumer.
//
// usage: NODE_PATH=<node_modules> node rhea_broker.js PORT
// SASL: PLAIN as user with password secret, ANONYMOUS, or none. Addresses with a meaning of their own:
//   reject, release, modify   answer every message with that outcome
//   anything else             a queue
'use strict';
const rhea = require('rhea');

const port = Number(process.argv[2]);
const container = rhea.create_container({ id: 'rhea-broker' });
container.sasl_server_mechanisms.enable_anonymous();
container.sasl_server_mechanisms.enable_plain((user, password) => user === 'user' && password === 'secret');

const queues = new Map();
function queue(address) {
  if (!queues.has(address)) queues.set(address, { messages: [], consumers: new Set() });
  return queues.get(address);
}

function dispatch({ messages, consumers }) {
  for (const consumer of consumers) {
    while (messages.length > 0 && consumer.sendable()) consumer.send(messages.shift());
  }
}

container.on('connection_open', ({ connection }) => console.log('OPEN', connection.container_id || ''));
container.on('sender_open', ({ sender }) => {
  const address = sender.source.address;
  sender.set_source({ address });
  queue(address).consumers.add(sender);
});
container.on('receiver_open', ({ receiver }) => receiver.set_target({ address: receiver.target.address }));
container.on('sender_flow', ({ sender }) => dispatch(queue(sender.source.address)));
container.on('sender_draining', ({ sender }) => {
  dispatch(queue(sender.source.address));
  sender.set_drained(true);
});
container.on('sendable', ({ sender }) => dispatch(queue(sender.source.address)));
container.on('sender_close', ({ sender }) => queue(sender.source.address).consumers.delete(sender));
container.on('disconnected', ({ connection }) => {
  for (const { consumers } of queues.values()) {
    for (const consumer of consumers) if (consumer.connection === connection) consumers.delete(consumer);
  }
});
container.on('message', ({ message, delivery, receiver }) => {
  const address = receiver.target.address;
  if (address === 'reject') return delivery.reject({ condition: 'amqp:not-allowed', description: 'not here' });
  if (address === 'release') return delivery.release();
  if (address === 'modify') return delivery.modified({ delivery_failed: true, undeliverable_here: true });
  queue(address).messages.push(message);
  delivery.accept();
  return dispatch(queue(address));
});
container.on('error', (error) => console.log('ERROR', error.message));
container.listen({ port, host: '127.0.0.1', receiver_options: { autoaccept: false } }).on('listening', () => console.log('LISTENING', port));
