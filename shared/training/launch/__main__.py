"""One rank of a fine-tuning: ``torchrun ... -m shared.training.launch JOB``; rank 0 alone writes and talks."""

import json
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn

from torch.distributed.elastic.multiprocessing.errors import record

from shared import cores
from shared.training import stages
from shared.training.backbones import torch
from shared.training.launch import folder as folders
from shared.training.ranks import Ranks
from shared.training.stages import Job
from shared.tuning import Launch

PATIENCE = timedelta(minutes=10)
"""How long a rank waits for the others at one place."""


@record
def main() -> None:
    """Do this rank's share of the job whose folder is named, and as rank 0 write the result into it."""
    folder = Path(sys.argv[1])
    _hush(folder / folders.LOGS / f"rank-{os.environ['RANK']}.txt")
    job = folders.read_job(folder)
    team = _join(job.recipe.launch or Launch())
    if team.how.precision == "float64":
        torch.set_default_dtype(torch.float64)
        job.net.double()
    try:
        made = stages.tune(_for_all(job, team), say=_voice(folder, team), team=team)
        if team.rank == 0:
            folders.write_result(folder, made)
        team.agreed(None)  # no rank leaves before the result is there
    finally:
        torch.distributed.destroy_process_group()


def _hush(log: Path) -> None:
    """Let all that this process and its libraries print go to a file: the command's own lines are not to be mixed."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as stream:
        for standard in (1, 2):
            os.dup2(stream.fileno(), standard)


def _join(how: Launch) -> Ranks:
    """Become one of the ranks that torchrun has started, with gloo between CPUs and nccl between GPUs."""
    rank, world, place, here = (int(os.environ[n]) for n in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"))
    device = choose_device(how, place, here, torch.cuda.device_count())
    if device.type == "cuda":
        torch.cuda.set_device(device)
    # What ranks agree on are numbers of the CPU, on any machine.
    backend = "gloo" if device.type == "cpu" else "cpu:gloo,cuda:nccl"
    torch.distributed.init_process_group(backend, timeout=PATIENCE)
    return Ranks(rank, world, here, device, how, os.getppid())


def choose_device(how: Launch, place: int, here: int, gpus: int) -> Any:
    """The device of a rank: a GPU of its own where each rank of the machine has one and nobody wants otherwise.

    Args:
        how: Says ``auto``, ``cpu`` or ``cuda``.
        place: Number of the rank on its machine.
        here: Ranks on the machine.
        gpus: GPUs of the machine.
    """
    on_gpu = how.device == "cuda" or (how.device == "auto" and 0 < here <= gpus)
    return torch.device("cuda", place) if on_gpu else torch.device("cpu")


def _for_all(job: Job, team: Ranks) -> Job:
    """The job with rank 0's times, and with this rank's share of the machine's cores."""
    first, until = team.agreed([job.first_until, job.until])
    threads = job.recipe.threads or max(1, cores.available() // team.local_world)
    return replace(job, first_until=first, until=until, recipe=replace(job.recipe, threads=threads))


def _voice(folder: Path, team: Ranks) -> Callable[[str], None]:
    def say(text: str) -> None:
        if team.rank == 0:
            with (folder / folders.SAID).open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(text) + "\n")

    return say


def _leave(code: int) -> NoReturn:
    """End this process as it is, without taking the interpreter apart.

    A mesh of shards keeps its process groups past ``destroy_process_group``; a worker of gloo that still lets go of a
    tensor then asks for the interpreter's lock, and a process that is finalising ends that thread, and so itself, with
    SIGABRT.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    try:
        main()
    except BaseException:
        traceback.print_exc()
        _leave(1)
    _leave(0)
