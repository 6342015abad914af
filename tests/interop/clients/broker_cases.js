// rhea, and rhea-promise, against a broker, case by case, for the matrix that run.sh prints.
//
// usage: NODE_PATH=<node_modules> node broker_cases.js rhea|rhea-promise HOST:PORT PID
// Prints `CASE name: ok` or `CASE name: FAIL reason`; PID is the broker's, which ends all connections when it is interrupted.
'use strict';
const [flavour, address, broker] = process.argv.slice(2);
const [host, port] = address.split(':');
const rhea = require('rhea');
const { types } = rhea;
const PATIENCE = 30000;
let failed = 0;

// The next event of a kind, or an error when it does not come.
function next(emitter, event) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no ${event} in time`)), PATIENCE);
    emitter.once(event, (context) => {
      clearTimeout(timer);
      resolve(context);
    });
  });
}

// The few words that differ between the two libraries.
const libraries = {
  rhea: {
    async connect(options) {
      const connection = rhea.create_container().connect({ host, port, reconnect: false, ...options });
      await next(connection, 'connection_open');
      return connection;
    },
    async sender(connection, options) {
      const sender = connection.open_sender(options);
      await next(sender, 'sender_open');
      return sender;
    },
    async receiver(connection, options) {
      const receiver = connection.open_receiver(options);
      await next(receiver, 'receiver_open');
      return receiver;
    },
    async send(sender, message) {
      if (!sender.sendable()) await next(sender, 'sendable');
      const accepted = next(sender, 'accepted');
      sender.send(message);
      await accepted;
    },
    close: async (connection) => {
      connection.close();
      await next(connection, 'connection_close');
    },
    raw: (link) => link,
  },
  'rhea-promise': {
    async connect(options) {
      const { Connection } = require('rhea-promise');
      const connection = new Connection({ host, port, reconnect: false, ...options });
      await connection.open();
      return connection;
    },
    sender: (connection, options) => connection.createAwaitableSender(options),
    receiver: (connection, options) => connection.createReceiver({ ...options, onMessage: undefined }),
    async send(sender, message) {
      await sender.send(message, { timeoutInSeconds: PATIENCE / 1000 });
    },
    close: (connection) => connection.close(),
    raw: (link) => link._link,
  },
};
const library = libraries[flavour];

async function test(name, run) {
  let connection;
  try {
    connection = await library.connect({ max_frame_size: name.includes('512') ? 512 : 65536 });
    await run(connection);
    if (connection.is_open ? connection.is_open() : connection.isOpen()) await library.close(connection);
    console.log(`CASE ${name}: ok`);
  } catch (error) {
    failed += 1;
    console.log(`CASE ${name}: FAIL ${String((error && error.message) || error).replace(/\n/g, ' ')}`);
  }
}

const queue = (name) => `${flavour}-${name}`;

// A link that receives with credit given by hand, and nothing answered by itself.
function consumer(connection, name, more) {
  return library.receiver(connection, { source: { address: queue(name) }, credit_window: 0, autoaccept: false, ...more });
}

async function receive(receiver) {
  const raw = library.raw(receiver);
  const coming = next(raw, 'message');
  raw.add_credit(1);
  return coming;
}

async function nothing(receiver) {
  const raw = library.raw(receiver);
  let came = false;
  raw.once('message', () => { came = true; });
  raw.add_credit(1);
  await new Promise((resolve) => setTimeout(resolve, 300));
  if (came) throw new Error('it came again');
}

async function lent(connection, name) {
  const sender = await library.sender(connection, { target: { address: queue(name) } });
  await library.send(sender, { body: 'x' });
  const receiver = await consumer(connection, name);
  return { receiver, delivery: (await receive(receiver)).delivery };
}

async function sizes(connection, name, largest) {
  const sender = await library.sender(connection, { target: { address: queue(name) } });
  const receiver = await consumer(connection, name);
  for (const size of [0, 1, 400, 511, 512, 513, 65535, 65536, 100000, 1000000, 10000000, 50000000].filter((size) => size <= largest)) {
    const body = Buffer.alloc(size, Buffer.from(Array.from({ length: 251 }, (_, octet) => octet)));
    await library.send(sender, { body: rhea.message.data_section(body) });
    const { message, delivery } = await receive(receiver);
    const content = message.body.content || message.body;
    if (Buffer.compare(Buffer.from(content), body) !== 0) throw new Error(`${size} octets differ`);
    delivery.accept();
  }
}

const VALUES = [
  types.wrap_boolean(true), types.wrap_ubyte(255), types.wrap_ushort(65535), types.wrap_uint(4294967295),
  types.wrap_ulong(9007199254740991), types.wrap_byte(-128), types.wrap_short(-32768), types.wrap_int(-2147483648),
  types.wrap_long(-9007199254740991), types.wrap_float(1.5), types.wrap_double(2.5e300), types.wrap_char(0x1f600),
  types.wrap_timestamp(1700000000000), types.wrap_uuid(Buffer.alloc(16, 7)), types.wrap_binary(Buffer.from([255, 0])),
  types.wrap_string('text ü'), types.wrap_symbol('sym'), types.wrap_list([1, 'two', [3]]), types.wrap_map({ a: 1, b: 'x' }),
  types.wrap_array([1, 2, 3], 0x71),
];

function plain(value) {
  if (value && value.type && value.value !== undefined) return plain(value.value);
  if (Buffer.isBuffer(value)) return `octets ${value.toString('hex')}`;
  if (value instanceof Date) return value.getTime();
  if (Array.isArray(value)) return value.map(plain);
  if (value && typeof value === 'object') return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]));
  return value;
}

function same(sent, received) {
  const [a, b] = [JSON.stringify(plain(sent)), JSON.stringify(plain(received))];
  if (a !== b) throw new Error(`${a} comes back as ${b}`);
}

async function main() {
  await test('types in bodies', async (connection) => {
    const sender = await library.sender(connection, { target: { address: queue('bodies') } });
    const receiver = await consumer(connection, 'bodies');
    for (const value of VALUES.slice(0, 17)) {
      await library.send(sender, { body: value });
      const { message, delivery } = await receive(receiver);
      same(value, message.body);
      delivery.accept();
    }
    for (const value of [[1, 'two', [3]], { a: 1, b: 'x' }]) {
      await library.send(sender, { body: value });
      const { message, delivery } = await receive(receiver);
      same(value, message.body);
      delivery.accept();
    }
  });
  await test('types in properties', async (connection) => {
    const sender = await library.sender(connection, { target: { address: queue('props') } });
    const receiver = await consumer(connection, 'props');
    const sent = Object.fromEntries(VALUES.slice(0, 17).map((value, number) => [`p${number}`, value]));
    await library.send(sender, { body: 'x', application_properties: sent });
    const { message, delivery } = await receive(receiver);
    for (const [name, value] of Object.entries(sent)) same(value, message.application_properties[name]);
    delivery.accept();
  });
  await test('0 B to 50 MB', (connection) => sizes(connection, 'sizes', 50000000));
  await test('frames of 512 B', (connection) => sizes(connection, 'sizes-512', 1000000));
  await test('pre-settled', async (connection) => {
    const sender = await library.sender(connection, { target: { address: queue('settled') }, snd_settle_mode: 1 });
    const raw = library.raw(sender);
    if (!raw.sendable()) await next(raw, 'sendable');
    for (let number = 0; number < 50; number += 1) raw.send({ body: number });
    const receiver = await consumer(connection, 'settled', { snd_settle_mode: 1 });
    for (let number = 0; number < 50; number += 1) {
      const { message, delivery } = await receive(receiver);
      if (message.body !== number) throw new Error(`${message.body} instead of ${number}`);
      if (!delivery.remote_settled) throw new Error('not settled');
    }
  });
  await test('at least once', async (connection) => {
    const sender = await library.sender(connection, { target: { address: queue('once') } });
    for (let number = 0; number < 300; number += 1) await library.send(sender, { body: number });
    const receiver = await consumer(connection, 'once');
    for (let number = 0; number < 300; number += 1) {
      const { message, delivery } = await receive(receiver);
      if (message.body !== number) throw new Error(`${message.body} instead of ${number}`);
      delivery.accept();
    }
    await nothing(receiver);
  });
  await test('mode second', async (connection) => {
    const sender = await library.sender(connection, { target: { address: queue('second') }, rcv_settle_mode: 1 });
    for (let number = 0; number < 10; number += 1) await library.send(sender, { body: number });
    const receiver = await consumer(connection, 'second', { rcv_settle_mode: 1 });
    for (let number = 0; number < 10; number += 1) {
      const { delivery } = await receive(receiver);
      const settled = next(library.raw(receiver), 'settled');
      delivery.accept();
      await settled;
    }
    await nothing(receiver);
  });
  await test('reject', async (connection) => {
    const { receiver, delivery } = await lent(connection, 'reject');
    delivery.reject({ condition: 'amqp:not-allowed', description: 'not wanted' });
    await nothing(receiver);
  });
  await test('release', async (connection) => {
    const { receiver, delivery } = await lent(connection, 'release');
    delivery.release({ delivery_failed: false });
    const again = await receive(receiver);
    if (again.message.delivery_count) throw new Error('counted as failed');
    again.delivery.accept();
    await nothing(receiver);
  });
  await test('modify', async (connection) => {
    const { receiver, delivery } = await lent(connection, 'modify');
    delivery.modified({ delivery_failed: true, undeliverable_here: false, message_annotations: { 'x-opt-why': 'test' } });
    const again = await receive(receiver);
    if (again.message.delivery_count !== 1) throw new Error(`delivery-count ${again.message.delivery_count}`);
    same('test', again.message.message_annotations['x-opt-why']);
    again.delivery.modified({ undeliverable_here: true });
    await nothing(receiver);
    const other = await consumer(connection, 'modify', { name: 'another' });
    (await receive(other)).delivery.accept();
  });
  await test('drain', async (connection) => {
    const sender = await library.sender(connection, { target: { address: queue('drain') } });
    for (let number = 0; number < 3; number += 1) await library.send(sender, { body: number });
    const receiver = await consumer(connection, 'drain');
    const raw = library.raw(receiver);
    let count = 0;
    raw.on('message', ({ delivery }) => {
      count += 1;
      delivery.accept();
    });
    const drained = next(raw, 'receiver_drained');
    raw.drain = true;
    raw.add_credit(10);
    await drained;
    if (count !== 3) throw new Error(`${count} messages before the end of the drain`);
  });
  await test('dynamic reply-to', async (connection) => {
    const replies = await library.receiver(connection, { source: { dynamic: true }, credit_window: 0, autoaccept: false });
    const { address } = library.raw(replies).source;
    const sender = await library.sender(connection, { target: { address: queue('requests') } });
    await library.send(sender, { body: 'question', reply_to: address, message_id: '1' });
    const requests = await consumer(connection, 'requests');
    const { message, delivery } = await receive(requests);
    delivery.accept();
    const answers = await library.sender(connection, { target: { address: message.reply_to } });
    await library.send(answers, { body: 'answer', correlation_id: message.message_id });
    const answer = await receive(replies);
    same('1', answer.message.correlation_id);
    answer.delivery.accept();
  });
  await test('refused address', async (connection) => {
    let condition;
    if (flavour === 'rhea') {
      const refused = connection.open_receiver({ source: { address: '$nowhere' } });
      const { receiver } = await next(refused, 'receiver_error');
      condition = receiver.error.condition;
    } else {
      // It may resolve with the answer to the attach, which a detach follows.
      const error = await new Promise((resolve) => {
        const onError = ({ receiver }) => resolve(receiver.error);
        library.receiver(connection, { source: { address: '$nowhere' }, credit_window: 0, onError }).catch(resolve);
      });
      condition = error.condition;
    }
    if (!String(condition).includes('amqp:not-found')) throw new Error(`condition ${condition}`);
  });
  await test('link detach with error', async (connection) => {
    const owner = await library.receiver(connection, { source: { dynamic: true }, credit_window: 0 });
    const { address } = library.raw(owner).source;
    const sender = library.raw(await library.sender(connection, { target: { address } }));
    sender.on('sender_close', () => {});
    const ended = next(sender, 'sender_error');
    owner.close();
    if (!sender.sendable()) await next(sender, 'sendable');
    await new Promise((resolve) => setTimeout(resolve, 100));
    sender.send({ body: 'x' });
    await ended;
    same('amqp:resource-deleted', sender.error.condition);
  });
  await test('connection forced', async (connection) => {
    const raw = flavour === 'rhea' ? connection : connection._connection;
    raw.on('connection_close', () => {});
    const ended = next(raw, 'connection_error');
    process.kill(Number(broker), 'SIGINT');
    await ended;
    same('amqp:connection:forced', raw.error.condition);
  });
}

process.on('unhandledRejection', () => {});
main().then(() => process.exit(failed ? 1 : 0));
