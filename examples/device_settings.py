"""What should this device do? A record with tags of many types is changed as a whole and in part."""

import asyncio
import os
import sys

from gossipnode.client import InvalidInputError, StrArray, connect

AT = sys.argv[1:] or [os.environ.get("GOSSIPNODE_AT", "127.0.0.1:7400")]
SENSOR = ("examples", "device", "sensor-17")


async def main() -> None:
    async with connect(*AT) as client:
        applied = await client.apply(
            *SENSOR,
            {"interval": 60, "limits": [5, 35], "rooms": ["attic"], "key": b"\x01\x02", "note": None},
            replace=True,
        )
        print("stored on", applied.acknowledged, "of", applied.replicas)

        # Only the given tags change. An empty list must say what it is a list of.
        await client.apply(*SENSOR, {"interval": 10, "rooms": StrArray(())})
        try:
            await client.apply(*SENSOR, {"rooms": []})
        except InvalidInputError as error:
            print(error)

        sensor = await client.get(*SENSOR)
        if sensor is not None:
            print(sensor.tags)
        often = client.query("examples", name="device", where="interval < 30", order_by="interval")
        print("ask often:", [device.id async for device in often])


asyncio.run(main())
