"""A client in a process of its own, to be killed: `python -m bench.serving.victim ADDRESS COUNT TOKEN...`."""

import asyncio
import sys

from bench.serving.clients import GrpcClient


async def main() -> None:
    address, count, *prompt = sys.argv[1:]
    client = GrpcClient(address)
    await client.channel.channel_ready()
    call = client.call([int(each) for each in prompt], int(count))
    await asyncio.sleep(0.05)  # what was asked is on its way
    print("asked", flush=True)
    async for _ in call:
        pass


if __name__ == "__main__":
    asyncio.run(main())
