// The sections of a message by rhea's reader, with their types, and by its writer.
'use strict';
const { types } = require('rhea');

function sections(octets) {
  const reader = new types.Reader(octets);
  const read = [];
  while (reader.remaining()) read.push(reader.read());
  return read;
}

// rhea writes arrays of bare values, and reads arrays of typed ones.
function bare(node) {
  const code = node.type.typecode;
  if (code === 0xe0 || code === 0xf0) node.value = node.value.map((item) => bare(item).value);
  else if (Array.isArray(node.value)) node.value.forEach(bare);
  return node;
}

function encoded(typed) {
  const writer = new types.Writer();
  typed.forEach((section) => writer.write(bare(section)));
  return writer.toBuffer();
}

module.exports = { sections, bare, encoded };
