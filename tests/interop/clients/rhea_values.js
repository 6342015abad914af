// rhea's types as a reader and writer of AMQP values, for the agreement test.
//
// check: each line of standard input is an encoded value in hexadecimal. It is decoded, and a line of JSON is printed:
// the value in typed notation and rhea's own encoding of what it has read, or the error.
// make SEED COUNT: random values, printed in the same form.
'use strict';

const types = require('rhea').types;
const readline = require('readline');

const CODES = {
  null: 0x40, boolean: 0x56, ubyte: 0x50, ushort: 0x60, uint: 0x70, ulong: 0x80, byte: 0x51, short: 0x61, int: 0x71,
  long: 0x81, float: 0x72, double: 0x82, decimal32: 0x74, decimal64: 0x84, decimal128: 0x94, char: 0x73, timestamp: 0x83,
  uuid: 0x98, binary: 0xb0, string: 0xb1, symbol: 0xb3, list: 0xd0, map: 0xd1, array: 0xf0,
};
const SCALARS = Object.keys(CODES).slice(0, 21);
const OTHER_CODES = {
  0x41: 'boolean', 0x42: 'boolean', 0x43: 'uint', 0x52: 'uint', 0x44: 'ulong', 0x53: 'ulong', 0x54: 'int', 0x55: 'long',
  0xa0: 'binary', 0xa1: 'string', 0xa3: 'symbol', 0x45: 'list', 0xc0: 'list', 0xc1: 'map', 0xe0: 'array',
};
for (const name of Object.keys(CODES)) OTHER_CODES[CODES[name]] = name;

// JSON with integers of any size.
function show(node) {
  if (typeof node === 'bigint') return String(node);
  if (Array.isArray(node)) return '[' + node.map(show).join(',') + ']';
  if (Buffer.isBuffer(node)) return JSON.stringify(node.toString('hex'));
  if (node !== null && typeof node === 'object') {
    return '{' + Object.keys(node).map((key) => JSON.stringify(key) + ':' + show(node[key])).join(',') + '}';
  }
  return JSON.stringify(node === undefined ? null : node);
}

function bits(value, width) {
  const octets = Buffer.alloc(width);
  if (width === 4) octets.writeFloatBE(value);
  else octets.writeDoubleBE(value);
  return { bits: octets };
}

function uuid(octets) {
  return octets.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}

// What rhea has read, in typed notation.
function read(node) {
  if (node.descriptor) {
    const { descriptor } = node;
    return ['described', read(descriptor), plain(node)];
  }
  return plain(node);
}

function plain(node) {
  const name = OTHER_CODES[node.type.typecode];
  const value = node.value;
  switch (name) {
    case 'null': return [name];
    case 'boolean': return [name, Boolean(value)];
    case 'float': return [name, bits(value, 4)];
    case 'double': return [name, bits(value, 8)];
    case 'decimal32': case 'decimal64': case 'decimal128': return [name, { bits: value }];
    case 'ulong': return [name, Buffer.isBuffer(value) ? value.readBigUInt64BE() : value];
    case 'long': return [name, Buffer.isBuffer(value) ? value.readBigInt64BE() : value];
    case 'timestamp': return [name, value.getTime()];
    case 'uuid': return [name, uuid(value)];
    case 'binary': return [name, { hex: value }];
    case 'list': return [name, value.map(read)];
    case 'map': return [name, value.reduce((all, item, at) => {
      if (at % 2 === 0) all.push([read(item)]);
      else all[all.length - 1].push(read(item));
      return all;
    }, [])];
    case 'array': return [name, {
      element_type: OTHER_CODES[node.array_constructor.typecode],
      element_descriptor: node.array_constructor.descriptor ? read(node.array_constructor.descriptor) : null,
      items: value.map(plain),
    }];
    default: return [name, value];
  }
}

// rhea writes arrays of bare values, and reads arrays of typed ones.
function bare(node) {
  const code = node.type.typecode;
  if (code === 0xe0 || code === 0xf0) node.value = node.value.map((item) => bare(item).value);
  else if (Array.isArray(node.value)) node.value.forEach(bare);
  return node;
}

function encode(node) {
  const writer = new types.Writer();
  writer.write(node);
  return writer.toBuffer();
}

function check() {
  readline.createInterface({ input: process.stdin }).on('line', (line) => {
    let value;
    try {
      const octets = Buffer.from(line, 'hex');
      const reader = new types.Reader(octets);
      const node = reader.read();
      if (reader.remaining() !== 0) throw new Error('octets are left over');
      value = read(node);
      process.stdout.write(show({ value, hex: encode(bare(node)) }) + '\n');
    } catch (error) {
      process.stdout.write(show(value === undefined ? { error: String(error) } : { value, error: String(error) }) + '\n');
    }
  });
}

// mulberry32
function generator(seed) {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) | 0;
    let word = Math.imul(state ^ (state >>> 15), 1 | state);
    word = (word + Math.imul(word ^ (word >>> 7), 61 | word)) ^ word;
    return ((word ^ (word >>> 14)) >>> 0) / 4294967296;
  };
  const below = (end) => Math.floor(next() * end);
  const pick = (list) => list[below(list.length)];
  const octets = (length) => Buffer.from(Array.from({ length }, () => below(256)));
  return { next, below, pick, octets };
}

function integer(rng, low, high) {
  const drawn = rng.next() < 0.5 ? rng.pick([low, high, 0, 1, 127, 128, 255, 256, -1, -128, -129]) :
    low + Math.floor(rng.next() * (high - low));
  return Math.min(Math.max(drawn, low), high);
}

function letters(rng, alphabet) {
  const length = rng.next() < 0.2 ? rng.pick([0, 1, 254, 255, 256, 257]) : rng.below(12);
  return Array.from({ length }, () => rng.pick(alphabet)).join('');
}

// A value in typed notation, beside what rhea's users pass to rhea for it.
function scalar(rng, name) {
  const most = Number.MAX_SAFE_INTEGER;
  const signed = { byte: 8, short: 16, int: 32 }[name];
  const unsigned = { ubyte: 8, ushort: 16, uint: 32 }[name];
  if (signed) return simple(name, integer(rng, -(2 ** (signed - 1)), 2 ** (signed - 1) - 1));
  if (unsigned) return simple(name, integer(rng, 0, 2 ** unsigned - 1));
  switch (name) {
    case 'null': return [[name], null];
    case 'boolean': return simple(name, rng.next() < 0.5);
    case 'ulong': case 'long': {
      const octets = rng.octets(8);
      const big = name === 'ulong' ? octets.readBigUInt64BE() : octets.readBigInt64BE();
      if (rng.next() < 0.3) return [[name, big], octets];
      return simple(name, integer(rng, name === 'ulong' ? 0 : -most, most));
    }
    case 'timestamp': return simple(name, integer(rng, -8.64e15, 8.64e15));
    case 'float': {
      const value = Math.fround(rng.pick([0, -0, Infinity, -Infinity, NaN, 1.5, rng.next() * 1e9]));
      return [[name, bits(value, 4)], value];
    }
    case 'double': {
      const value = rng.pick([0, -0, Infinity, -Infinity, NaN, Number.MIN_VALUE, rng.next() * 1e300]);
      return [[name, bits(value, 8)], value];
    }
    case 'decimal32': case 'decimal64': case 'decimal128': {
      const octets = rng.octets(Number(name.slice(7)) / 8);
      return [[name, { bits: octets }], octets];
    }
    case 'char': return simple(name, rng.pick([0, 97, 0xe9, 0xd7ff, 0xe000, 0x1f600, 0x10ffff]));
    case 'uuid': {
      const octets = rng.octets(16);
      return [[name, uuid(octets)], octets];
    }
    case 'binary': {
      const octets = rng.octets(rng.pick([0, 1, 9, 255, 256, 1000]));
      return [[name, { hex: octets }], octets];
    }
    case 'string': return simple(name, letters(rng, ['a', 'b', ' ', 'é', '€', '\u{1f600}', '\0']));
    default: return simple(name, letters(rng, ['a', 'b', ':', '.', '-', '_', '0']));
  }
}

function simple(name, value) {
  return [[name, value], value];
}

function draw(rng, name, depth) {
  if (SCALARS.includes(name)) {
    const [typed, value] = scalar(rng, name);
    return [typed, name === 'null' ? types.Null() : types['wrap_' + name] ? types['wrap_' + name](value) :
      types[name[0].toUpperCase() + name.slice(1)](value)];
  }
  if (name === 'list') {
    const length = depth === 3 && rng.next() < 0.05 ? 300 : rng.below(6);
    const items = Array.from({ length }, () => anything(rng, depth - 1));
    return [[name, items.map((item) => item[0])], types.wrap_list(items.map((item) => item[1]))];
  }
  if (name === 'map') {
    const entries = new Map();
    for (let count = rng.below(6); count > 0; count--) {
      const key = draw(rng, rng.pick(['string', 'symbol', 'ulong', 'int', 'uuid', 'binary']), 0);
      entries.set(show(key[0]), [key, anything(rng, depth - 1)]);
    }
    const all = [...entries.values()];
    return [[name, all.map(([key, value]) => [key[0], value[0]])],
      types.wrap_map_as_map(new Map(all.map(([key, value]) => [key[1], value[1]])))];
  }
  if (name === 'array') {
    // rhea's writer has no way to say what an array within an array holds.
    const kind = rng.pick(depth > 1 ? [...SCALARS, 'list', 'map'] : SCALARS);
    const items = Array.from({ length: rng.pick([0, 1, 2, 3, 5, 40]) }, () =>
      SCALARS.includes(kind) ? scalar(rng, kind) : draw(rng, kind, depth - 1));
    const values = items.map((item) => SCALARS.includes(kind) ? item[1] : item[1].value);
    const label = rng.next() < 0.1 ? 'of:' + letters(rng, ['x', 'y']) : null;
    return [[name, {
      element_type: kind,
      element_descriptor: label && ['symbol', label],
      items: items.map((item) => item[0]),
    }], types.wrap_array(values, CODES[kind], label ? types.wrap_symbol(label) : undefined)];
  }
  const descriptor = draw(rng, rng.pick(['ulong', 'symbol', 'symbol', 'string']), 0);
  // rhea keeps one descriptor for each value.
  const value = draw(rng, rng.pick(depth > 1 ? Object.keys(CODES) : SCALARS), depth - 1);
  return [[name, descriptor[0], value[0]], types.described(descriptor[1], value[1])];
}

function anything(rng, depth) {
  return draw(rng, rng.pick(depth > 0 ? [...Object.keys(CODES), 'described'] : SCALARS), depth);
}

function make(seed, count) {
  const rng = generator(seed);
  const names = [...Object.keys(CODES), 'described'];
  for (let number = 0; number < count; number++) {
    const [value, node] = draw(rng, names[number % names.length], 3);
    process.stdout.write(show({ value, hex: encode(node) }) + '\n');
  }
}

if (process.argv[2] === 'check') check();
else make(Number(process.argv[3]), Number(process.argv[4]));
