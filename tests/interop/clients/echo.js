// rhea, or rhea-promise, which sends back what it reads. Its applications get numbers without their types, so the sections of a
// message are read by its reader and written by its writer as they are, types included.
//
// usage: NODE_PATH=<node_modules> node echo.js rhea|rhea-promise HOST:PORT. Rejects what it cannot read or write.
'use strict';
const [flavour, address] = process.argv.slice(2);
const [host, port] = address.split(':');
const rhea = require('rhea');
const { sections, encoded } = require('./rhea_sections.js');

// Where the message of a delivery is decoded, for both libraries.
const decode = rhea.message.decode;
rhea.message.decode = (octets) => {
  try {
    const typed = sections(octets);
    return Object.assign(decode(octets), { typed });
  } catch (error) {
    return { error };
  }
};

const is_properties = ({ descriptor }) => Number(descriptor.value) === 0x73;

function answer(message, delivery, send) {
  try {
    if (message.error) throw message.error;
    // Properties are written anew: its id becomes the answer's correlation id.
    const properties = sections(rhea.message.encode({ correlation_id: message.message_id })).find(is_properties);
    send(encoded(message.typed.map((section) => (is_properties(section) ? properties : section))));
    delivery.accept();
  } catch (error) {
    console.log(String(error));
    delivery.reject({ condition: 'amqp:decode-error', description: String(error) });
  }
}

async function main() {
  if (flavour === 'rhea') {
    const connection = rhea.connect({ host, port, reconnect: false });
    const sender = connection.open_sender('echoed');
    const receiver = connection.open_receiver({ source: 'values', autoaccept: false, credit_window: 100 });
    receiver.on('message', ({ message, delivery }) => answer(message, delivery, (octets) => sender.send(octets, undefined, 0)));
    return;
  }
  const { Connection } = require('rhea-promise');
  const connection = new Connection({ host, port, reconnect: false });
  await connection.open();
  const sender = await connection.createSender({ target: { address: 'echoed' } });
  await connection.createReceiver({
    source: { address: 'values' },
    autoaccept: false,
    credit_window: 100,
    onMessage: ({ message, delivery }) => answer(message, delivery, (octets) => sender.send(octets, { format: 0 })),
    onError: () => {},
  });
}

rhea.on('connection_close', () => process.exit(0));
rhea.on('disconnected', () => process.exit(0));
main();
