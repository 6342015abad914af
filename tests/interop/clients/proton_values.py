"""qpid-proton's Data as a reader and writer of AMQP values, for the agreement test.

check: each line of standard input is an encoded value in hexadecimal. It is decoded, and a line of JSON is printed: the
value in typed notation and Proton's own encoding of what it has read, or the error.
make SEED COUNT: random values, printed in the same form.
"""
import json
import random
import struct
import sys
import uuid

from proton import Data, decimal32, decimal64, decimal128, symbol

NAMES = {
    Data.NULL: "null", Data.BOOL: "boolean", Data.UBYTE: "ubyte", Data.USHORT: "ushort", Data.UINT: "uint",
    Data.ULONG: "ulong", Data.BYTE: "byte", Data.SHORT: "short", Data.INT: "int", Data.LONG: "long",
    Data.FLOAT: "float", Data.DOUBLE: "double", Data.DECIMAL32: "decimal32", Data.DECIMAL64: "decimal64",
    Data.DECIMAL128: "decimal128", Data.CHAR: "char", Data.TIMESTAMP: "timestamp", Data.UUID: "uuid",
    Data.BINARY: "binary", Data.STRING: "string", Data.SYMBOL: "symbol", Data.LIST: "list", Data.MAP: "map",
    Data.ARRAY: "array", Data.DESCRIBED: "described",
}
CODES = {name: code for code, name in NAMES.items()}
SCALARS = [name for name in CODES if name not in ("list", "map", "array", "described")]


def read(data):
    """The current node in typed notation."""
    name = NAMES[data.type()]
    if name == "null":
        return [name]
    if name == "boolean":
        return [name, data.get_bool()]
    if name in ("ubyte", "ushort", "uint", "ulong", "byte", "short", "int", "long", "timestamp"):
        return [name, int(getattr(data, "get_" + name)())]
    if name == "float":
        return [name, {"bits": struct.pack(">f", data.get_float()).hex()}]
    if name == "double":
        return [name, {"bits": struct.pack(">d", data.get_double()).hex()}]
    if name == "decimal32":
        return [name, {"bits": "%08x" % data.get_decimal32()}]
    if name == "decimal64":
        return [name, {"bits": "%016x" % data.get_decimal64()}]
    if name == "decimal128":
        return [name, {"bits": bytes(data.get_decimal128()).hex()}]
    if name == "char":
        return [name, ord(data.get_char())]
    if name == "uuid":
        return [name, str(data.get_uuid())]
    if name == "binary":
        return [name, {"hex": bytes(data.get_binary()).hex()}]
    if name == "string":
        return [name, data.get_string()]
    if name == "symbol":
        return [name, str(data.get_symbol())]
    if name == "list":
        return [name, children(data)]
    if name == "map":
        nodes = children(data)
        return [name, [[key, value] for key, value in zip(nodes[::2], nodes[1::2])]]
    if name == "array":
        _, described, kind = data.get_array()
        nodes = children(data)
        descriptor = nodes.pop(0) if described else None
        return [name, {"element_type": NAMES.get(kind), "element_descriptor": descriptor, "items": nodes}]
    return [name, *children(data)]


def children(data):
    nodes = []
    data.enter()
    while data.next():
        nodes.append(read(data))
    data.exit()
    return nodes


def put(data, node):
    """Appends a node in typed notation."""
    name, content = node[0], node[1] if len(node) > 1 else None
    if name == "null":
        data.put_null()
    elif name == "boolean":
        data.put_bool(content)
    elif name == "float":
        data.put_float(struct.unpack(">f", bytes.fromhex(content["bits"]))[0])
    elif name == "double":
        data.put_double(struct.unpack(">d", bytes.fromhex(content["bits"]))[0])
    elif name == "decimal32":
        data.put_decimal32(decimal32(int(content["bits"], 16)))
    elif name == "decimal64":
        data.put_decimal64(decimal64(int(content["bits"], 16)))
    elif name == "decimal128":
        data.put_decimal128(decimal128(bytes.fromhex(content["bits"])))
    elif name == "char":
        data.put_char(chr(content))
    elif name == "uuid":
        data.put_uuid(uuid.UUID(content))
    elif name == "binary":
        data.put_binary(bytes.fromhex(content["hex"]))
    elif name == "symbol":
        data.put_symbol(symbol(content))
    elif name == "list":
        data.put_list()
        put_all(data, content)
    elif name == "map":
        data.put_map()
        put_all(data, [node for entry in content for node in entry])
    elif name == "array":
        descriptor = content["element_descriptor"]
        data.put_array(descriptor is not None, CODES[content["element_type"]])
        put_all(data, ([descriptor] if descriptor else []) + content["items"])
    elif name == "described":
        data.put_described()
        put_all(data, node[1:])
    else:
        getattr(data, "put_" + name)(content)


def put_all(data, nodes):
    data.enter()
    for node in nodes:
        put(data, node)
    data.exit()


def integer(rng, bits, signed):
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    edges = [low, high, 0, 1, 127, 128, 255, 256, -1, -128, -129]
    value = rng.choice(edges) if rng.random() < 0.5 else rng.randint(low, high)
    return min(max(value, low), high)


def text(rng, letters):
    length = rng.choice([0, 1, 5, 254, 255, 256, 257]) if rng.random() < 0.2 else rng.randint(0, 12)
    return "".join(rng.choice(letters) for _ in range(length))


def scalar(rng, name):
    widths = {"byte": 8, "short": 16, "int": 32, "long": 64, "timestamp": 64}
    if name == "null":
        return [name]
    if name == "boolean":
        return [name, rng.random() < 0.5]
    if name in widths:
        return [name, integer(rng, widths[name], True)]
    if name in ("ubyte", "ushort", "uint", "ulong"):
        return [name, integer(rng, {"ubyte": 8, "ushort": 16, "uint": 32, "ulong": 64}[name], False)]
    if name == "float":
        edges = ["00000000", "80000000", "7f800000", "ff800000", "7fc00000", "00000001", "7f7fffff"]
        drawn = struct.pack(">f", rng.uniform(-1e9, 1e9)).hex()
        return [name, {"bits": rng.choice(edges) if rng.random() < 0.4 else drawn}]
    if name == "double":
        edges = ["0" * 16, "8" + "0" * 15, "7ff" + "0" * 13, "fff" + "0" * 13, "7ff8" + "0" * 12, "0" * 15 + "1"]
        drawn = struct.pack(">d", rng.uniform(-1e300, 1e300)).hex()
        return [name, {"bits": rng.choice(edges) if rng.random() < 0.4 else drawn}]
    if name.startswith("decimal"):
        return [name, {"bits": rng.randbytes(int(name[7:]) // 8).hex()}]
    if name == "char":
        return [name, ord(rng.choice("aé€\U0001f600\0\ud7ff\ue000\U0010ffff"))]
    if name == "uuid":
        return [name, str(uuid.UUID(bytes=rng.randbytes(16)))]
    if name == "binary":
        return [name, {"hex": rng.randbytes(rng.choice([0, 1, 9, 255, 256, 1000])).hex()}]
    if name == "string":
        return [name, text(rng, "abc é€\U0001f600\0")]
    return [name, text(rng, "abc:.-_0")]


def draw(rng, name, depth):
    if name in SCALARS:
        return scalar(rng, name)
    if name == "list":
        count = 300 if depth == 3 and rng.random() < 0.05 else rng.randint(0, 5)
        return [name, [anything(rng, depth - 1) for _ in range(count)]]
    if name == "map":
        entries = {}
        for _ in range(rng.randint(0, 5)):
            key = scalar(rng, rng.choice(["string", "symbol", "ulong", "int", "uuid", "binary"]))
            entries[json.dumps(key)] = [key, anything(rng, depth - 1)]
        return [name, list(entries.values())]
    if name == "array":
        kind = rng.choice(SCALARS + (["list", "map", "array"] if depth > 1 else []))
        items = [draw(rng, kind, depth - 1) for _ in range(rng.choice([0, 1, 2, 3, 5, 40]))]
        descriptor = ["symbol", "of:" + text(rng, "xyz")] if rng.random() < 0.1 else None
        return [name, {"element_type": kind, "element_descriptor": descriptor, "items": items}]
    return [name, scalar(rng, rng.choice(["ulong", "symbol", "symbol", "string"])), anything(rng, depth - 1)]


def anything(rng, depth):
    return draw(rng, rng.choice(list(CODES) if depth > 0 else SCALARS), depth)


def encoded(data, value):
    return {"value": value, "hex": data.encode().hex()}


def check():
    for line in sys.stdin:
        data = Data()
        try:
            octets = bytes.fromhex(line)
            used = data.decode(octets)
            data.rewind()
            data.next()
            value = read(data)
            if used != len(octets):
                raise ValueError("read %d of %d octets" % (used, len(octets)))
        except Exception as error:
            print(json.dumps({"error": "%s: %s" % (type(error).__name__, error)}))
            continue
        try:
            print(json.dumps(encoded(data, value)))
        except Exception as error:
            print(json.dumps({"value": value, "error": "%s: %s" % (type(error).__name__, error)}))


def make(seed, count):
    rng = random.Random(seed)
    names = list(CODES)
    for number in range(count):
        data = Data()
        value = draw(rng, names[number % len(names)], 3)
        put(data, value)
        print(json.dumps(encoded(data, value)))


if sys.argv[1] == "check":
    check()
else:
    make(int(sys.argv[2]), int(sys.argv[3]))
