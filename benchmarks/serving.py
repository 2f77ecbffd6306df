"""What the server costs over the runtime in the same process, and what it does with 64 clients at once.

    python benchmarks/serving.py BUNDLE PHOTOGRAPHS/SET/images [--images 200] [--apart] [--stream]

The client is tritonclient, on the same machine and cores; with ``--apart`` the server and the runtime in the process
have one core, each in its turn, and the clients another one, as if they were on another machine. Latency: one image,
the runtime and the server in turn, so that both meet the same load. Throughput: all images through the runtime in
batches of 16, then through the server by 64 clients of which each waits for its answer; both as often as ``--rounds``
says, in turn. With ``--stream`` each client has one stream for all of its requests instead of a call for each. Then
the same 64 clients ask an empty server, grpc.aio's with one method that answers a few bytes at once: what a core spends
on that and on the model in batches is what a server with nothing of its own would give. Prints Markdown.
"""

import argparse
import asyncio
import contextlib
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import cv2
import numpy as np
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio

from shared import cores
from shared.data import images
from shared.inference import Runtime

CLIENTS, BATCH = 64, 16


def request(*pictures: np.ndarray) -> list:
    tensor = triton.InferInput("image", [len(pictures), *pictures[0].shape], "UINT8")
    tensor.set_data_from_numpy(np.stack(pictures))
    return [tensor]


def latency(runtime: Runtime, client: triton.InferenceServerClient, name: str, pictures: list) -> tuple[list, list]:
    """Milliseconds of each image in the process and over gRPC."""
    own, served = [], []
    for picture in pictures:
        start = time.perf_counter()
        runtime.predict([picture])
        middle = time.perf_counter()
        client.infer(name, request(picture))
        end = time.perf_counter()
        own.append(1000 * (middle - start))
        served.append(1000 * (end - middle))
    return own, served


def encoded_latency(client: triton.InferenceServerClient, name: str, pictures: list) -> list:
    """Milliseconds of each image as JPEG, decoded by the server."""
    found = []
    for picture in pictures:
        data = cv2.imencode(".jpg", picture[..., ::-1])[1].tobytes()
        tensor = triton.InferInput("encoded", [1], "BYTES")
        tensor.set_data_from_numpy(np.array([data], dtype=object))
        start = time.perf_counter()
        client.infer(name, [tensor])
        found.append(1000 * (time.perf_counter() - start))
    return found


async def crowd(where: str, name: str, pictures: list, together: int, streamed: bool) -> tuple[float, float]:
    """Images per second by 64 clients that share the work, and the share of the cores that the clients took."""
    todo = iter([pictures[i : i + together] for i in range(0, len(pictures), together)])
    async with triton_aio.InferenceServerClient(where) as client:

        async def one() -> None:
            for some in todo:
                await client.infer(name, request(*some))

        async def one_stream() -> None:
            answered = asyncio.Semaphore(1)

            async def asks() -> AsyncIterator[dict]:
                for some in todo:
                    await answered.acquire()
                    yield {"model_name": name, "inputs": request(*some)}
                await answered.acquire()

            async for _, error in client.stream_infer(asks()):
                if error is not None:
                    raise error
                answered.release()

        start, own = time.perf_counter(), time.process_time()
        await asyncio.gather(*((one_stream if streamed else one)() for _ in range(CLIENTS)))
        seconds, own = time.perf_counter() - start, time.process_time() - own
        return len(pictures) / seconds, own / seconds / cores.available()


def keep_to(chosen: set[int]) -> None:
    """Let all threads of this process, and processes begun from here on, run on these cores alone."""
    for thread in Path("/proc/self/task").iterdir():
        with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
            os.sched_setaffinity(int(thread.name), chosen)


def alone(runtime: Runtime, pictures: list) -> float:
    """Images per second in this process, in batches."""
    start = time.perf_counter()
    for i in range(0, len(pictures), BATCH):
        runtime.predict(pictures[i : i + BATCH])
    return len(pictures) / (time.perf_counter() - start)


def spent(pid: int) -> float:
    """Seconds of processor time that a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def empty_call(pictures: list, together: int, streamed: bool, within: set[int], beside: set[int]) -> float:
    """Seconds of a core that an empty server takes for one request of 64 clients that ask at once."""
    keep_to(within)
    line = [sys.executable, str(Path(__file__).with_name("empty_server.py"))]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as server:
        try:
            where = f"127.0.0.1:{int(server.stdout.readline())}"
            keep_to(beside)
            asyncio.run(crowd(where, "empty", pictures, together, streamed))
            before, rounds = spent(server.pid), 10
            for _ in range(rounds):
                asyncio.run(crowd(where, "empty", pictures, together, streamed))
            return (spent(server.pid) - before) / (rounds * math.ceil(len(pictures) / together))
        finally:
            server.terminate()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("images", type=Path)
    parser.add_argument("--images", dest="count", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--together", type=int, default=1, help="images of one request, where 64 clients ask at once")
    parser.add_argument("--stream", action="store_true", help="a stream to each of the 64 clients")
    parser.add_argument("--apart", action="store_true", help="the clients on a core of their own")
    options = parser.parse_args()
    side = 224
    every = sorted(os.sched_getaffinity(0))
    inside, outside = (set(every[:1]), set(every[1:2])) if options.apart else (set(every), set(every))
    if not outside:
        parser.error("--apart needs two cores")
    keep_to(inside)
    files = sorted(f for f in options.images.rglob("*") if f.suffix.lower() in images.SUFFIXES)[: options.count]
    pictures = [cv2.resize(images.read(f), (side, side), interpolation=cv2.INTER_AREA) for f in files]
    loupe = str(Path(sys.executable).parent / "loupe")
    line = [loupe, "serve", str(options.bundle), "--port", "0", "--batch", str(BATCH), "--json"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as server:
        try:
            facts = json.loads(server.stdout.readline())
            where, (name,) = f"127.0.0.1:{facts['port']}", facts["models"]
            client, runtime = triton.InferenceServerClient(where), Runtime.open(options.bundle)
            latency(runtime, client, name, pictures[:20])
            own, served = latency(runtime, client, name, pictures)
            files_ms = encoded_latency(client, name, pictures)
            rounds = []
            for _ in range(options.rounds):
                keep_to(inside)
                own_rate = alone(runtime, pictures)
                keep_to(outside)
                rounds.append((own_rate, *asyncio.run(crowd(where, name, pictures, options.together, options.stream))))
        finally:
            server.terminate()
    print(f"{len(pictures)} images of {side} x {side} px, one at a time, milliseconds:\n")
    print("| way | p50 | p95 |\n| --- | --- | --- |")
    for way, values in (("in the process", own), ("over gRPC, pixels", served), ("over gRPC, JPEG", files_ms)):
        print(f"| {way} | {statistics.median(values):.2f} | {np.quantile(values, 0.95):.2f} |")
    over = [s - o for s, o in zip(served, own, strict=True)]
    print(f"\nserver over process, p50: {statistics.median(over):.2f} ms")
    ratio = [s / o for o, s, _ in rounds]
    clients = statistics.median(c for _, _, c in rounds)
    crowded, batched = (statistics.median(r[i] for r in rounds) for i in (1, 0))
    print(f"{CLIENTS} clients at once: {crowded:.0f} images per second, in the process in batches {batched:.0f}")
    spread = f"{statistics.median(ratio):.2f} [{min(ratio):.2f} .. {max(ratio):.2f}]"
    print(f"ratio {spread} over {len(rounds)} rounds; the clients took {clients:.1%} of their cores")
    empty = empty_call(pictures, options.together, options.stream, inside, outside)
    model = len(inside) / batched
    took = f"{1000 * empty:.2f} ms of a core on a request, the model {1000 * model:.2f} on an image"
    print(f"an empty server spends {took}: by itself that would be {model / (model + empty / options.together):.2f}")


if __name__ == "__main__":
    main()
