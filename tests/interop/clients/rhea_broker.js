// A small broker on rhea, for tests of our client: queues by address, and nodes made on request.
//
// usage: NODE_PATH=<node_modules> node rhea_broker.js PORT [MAX-FRAME-SIZE]
// Its applications get numbers without their types, so a message is read by rhea's reader and written by its writer as it is,
// types included, and once it was modified as applications see it. What it cannot read or write it rejects.
// SASL: PLAIN as user with password secret, ANONYMOUS, or none. Addresses with a meaning of their own:
//   reject, release, modify   answer every message with that outcome
//   $...                      refused
//   anything else             a queue
// SIGUSR1 ends all links on which it sends with an error, SIGUSR2 all connections.
'use strict';
const rhea = require('rhea');

const { sections, encoded } = require('./rhea_sections.js');

const port = Number(process.argv[2]);
const max_frame_size = Number(process.argv[3] || 65536);
const decode = rhea.message.decode;
rhea.message.decode = (octets) => {
  try {
    return Object.assign(decode(octets), { octets: encoded(sections(octets)) });
  } catch (error) {
    return { error };
  }
};
const container = rhea.create_container({ id: 'rhea-broker' });
container.sasl_server_mechanisms.enable_anonymous();
container.sasl_server_mechanisms.enable_plain((user, password) => user === 'user' && password === 'secret');

const queues = new Map();
function queue(address) {
  if (!queues.has(address)) queues.set(address, { messages: [], consumers: new Set() });
  return queues.get(address);
}

// What a consumer has, by delivery, until it is settled.
const lent = new Map();

function give_back({ sender, delivery }, is_failed) {
  const message = lent.get(delivery);
  if (message === undefined) return;
  lent.delete(delivery);
  if (is_failed) {
    message.delivery_count = (message.delivery_count || 0) + 1;
    delete message.octets;
  }
  queue(sender.source.address).messages.unshift(message);
  dispatch(queue(sender.source.address));
}

function dispatch({ messages, consumers }) {
  for (const consumer of consumers) {
    while (messages.length > 0 && consumer.sendable()) {
      const message = messages.shift();
      lent.set(message.octets ? consumer.send(message.octets, undefined, 0) : consumer.send(message), message);
    }
  }
}

container.on('connection_open', ({ connection }) => console.log('OPEN', connection.container_id || ''));
let made = 0;
container.on('sender_open', ({ sender }) => {
  const address = sender.source.dynamic ? `made-${(made += 1)}` : sender.source.address;
  if (address.startsWith('$')) return sender.close({ condition: 'amqp:not-found', description: 'no such queue' });
  sender.local.attach.snd_settle_mode = sender.remote.attach.snd_settle_mode;
  sender.set_source({ address, dynamic: Boolean(sender.source.dynamic) });
  return queue(address).consumers.add(sender);
});
container.on('receiver_open', ({ receiver }) => receiver.set_target({ address: receiver.target.address }));
container.on('accepted', ({ delivery }) => lent.delete(delivery));
container.on('rejected', ({ delivery }) => lent.delete(delivery));
container.on('released', (context) => give_back(context, false));
container.on('modified', (context) => give_back(context, true));
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
  if (message.error) return delivery.reject({ condition: 'amqp:decode-error', description: String(message.error) });
  if (address === 'reject') return delivery.reject({ condition: 'amqp:not-allowed', description: 'not here' });
  if (address === 'release') return delivery.release();
  if (address === 'modify') return delivery.modified({ delivery_failed: true, undeliverable_here: true });
  queue(address).messages.push(message);
  delivery.accept();
  return dispatch(queue(address));
});
container.on('error', (error) => console.log('ERROR', error.message));
container.listen({ port, max_frame_size, host: '127.0.0.1', receiver_options: { autoaccept: false } }).on('listening', () => console.log('LISTENING', port));

const links = () => [...queues.values()].flatMap(({ consumers }) => [...consumers]);
process.on('SIGUSR1', () => links().forEach((link) => link.close({ condition: 'amqp:resource-deleted', description: 'the queue was deleted' })));
process.on('SIGUSR2', () => {
  for (const connection of new Set(links().map((link) => link.connection))) {
    connection.close({ condition: 'amqp:connection:forced', description: 'maintenance' });
  }
});
