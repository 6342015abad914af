"""Takes TLS on one port and relays what it carries to another, for clients that speak nothing else.

usage: tls_front.py LISTEN-PORT TARGET-PORT CERTIFICATE KEY. Ends when it is told to (SIGTERM).
"""
import asyncio
import signal
import ssl
import sys

LISTEN, TARGET, CERTIFICATE, KEY = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]


async def relay(reader, writer):
    try:
        while octets := await reader.read(65536):
            writer.write(octets)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


async def front(reader, writer):
    inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", TARGET)
    await asyncio.gather(relay(reader, inner_writer), relay(inner_reader, writer))


async def main():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE, KEY)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await asyncio.start_server(front, "127.0.0.1", LISTEN, ssl=context)
    print("listening", flush=True)
    await stop.wait()


asyncio.run(main())
