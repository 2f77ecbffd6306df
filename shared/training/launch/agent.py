"""The side of a build: a job is written, torchrun's agent starts and watches over its ranks, the result is read."""

import contextlib
import io
import json
import logging
import os
import shlex
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from shared import errors
from shared.errors import ConfigError, LaunchError, require
from shared.training.backbones import torch
from shared.training.finetune import Say, Tuned
from shared.training.launch import folder as folders
from shared.training.stages import Job
from shared.tuning import Launch

torchrun: Any = require("torch.distributed.run", extra="train")
failures: Any = require("torch.distributed.elastic.multiprocessing.errors", extra="train")
elastic: Any = require("torch.distributed.elastic.multiprocessing.api", extra="train")

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_LISTEN_SECONDS = 0.2
_FEW = 2
"""Processes where there is no GPU."""


def tune(job: Job, how: Launch, *, say: Say) -> Tuned:
    """Fine-tune on many processes: :func:`shared.training.stages.tune` with a team.

    Args:
        job: What it is given.
        how: Over which processes.
        say: Told what rank 0 says.

    Raises:
        ConfigError: torchrun does not know an argument, or too few GPUs are there.
        LaunchError: A process ended before its time; what was learnt until the last checkpoint is kept.
    """
    nproc = processes(how, torch.cuda.device_count())
    folder = job.checkpoint.with_name(f"{job.checkpoint.name}-job")
    shutil.rmtree(folder, ignore_errors=True)
    folders.write_job(folder, job)
    say(f"fine-tuning on {nproc} processes of this machine" + _elsewhere(how, folder))
    with _heard(folder / folders.SAID, say):
        _run(_arguments(how, nproc, folder), folder)
    made = folders.read_result(folder, job)
    shutil.rmtree(folder)
    return made


def check(how: Launch) -> None:
    """Find out before the work whether it can be spread like this.

    Raises:
        ConfigError: torchrun does not know an argument, too few GPUs are there, or groups do not come out even.
    """
    nproc = processes(how, torch.cuda.device_count())
    machines = _parsed(_arguments(how, nproc, Path())).nnodes
    try:
        least, most = torchrun.parse_min_max_nnodes(machines)
    except (RuntimeError, ValueError) as error:
        raise ConfigError(f"launch.torchrun: --nnodes={machines}; allowed is a number of machines") from error
    if least != most:
        raise ConfigError(f"launch.torchrun: --nnodes={machines}; allowed is one number, a rerun may have another")
    world = nproc * most
    if how.sharding == "hybrid" and how.replicas and world % how.replicas:
        raise ConfigError(
            f"launch.replicas is {how.replicas}; allowed are divisors of {world}, the number of processes"
        )


def processes(how: Launch, gpus: int) -> int:
    """Processes on this machine, which has so many GPUs.

    Raises:
        ConfigError: More are wanted than there are GPUs.
    """
    if how.device == "cuda" and (not gpus or how.nproc > gpus):
        raise ConfigError(
            f"launch.device is 'cuda' with {how.nproc or 'all'} processes, and this machine has {gpus} GPUs; "
            "lower --nproc, or leave launch.device out"
        )
    return how.nproc or (gpus if gpus and how.device != "cpu" else _FEW)


def _arguments(how: Launch, nproc: int, folder: Path) -> list[str]:
    own = list(how.torchrun) or ["--standalone", "--local-addr=127.0.0.1"]
    return [
        *own,
        f"--nproc-per-node={nproc}",
        "--max-restarts=0",
        f"--log-dir={folder / folders.LOGS}",
        "-m",
        "shared.training.launch",
        str(folder),
    ]


def _elsewhere(how: Launch, folder: Path) -> str:
    """What to run on the other machines, where there are others."""
    if not how.torchrun:
        return ""
    line = shlex.join([*how.torchrun, "-m", "shared.training.launch", str(folder)])
    return f"; on each other machine, with its own number of GPUs: torchrun --nproc-per-node=8 {line}"


def _run(arguments: list[str], folder: Path) -> None:
    """Be torchrun until the ranks are done."""
    wanted = _parsed(arguments)
    pass_over_timers()
    with _quiet():
        try:
            torchrun.run(wanted)
        except failures.ChildFailedError as error:
            raise LaunchError(_why(error.failures, folder)) from error
        except elastic.SignalException as error:
            stopped = error.sigval
        else:
            return
    # The ranks are stopped; now the signal does what it would have done without them.
    signal.raise_signal(stopped)


def pass_over_timers() -> None:
    """Say nothing, from here on, of a timer of torchrun that ends in its own thread and so cannot wait for itself.

    Its rendezvous has one to show that it lives; that it ends so now and then, after an interrupt, costs nothing.
    """
    before = sys.unraisablehook

    def hook(said: Any) -> None:
        if not (isinstance(said.exc_value, RuntimeError) and "cannot join current thread" in str(said.exc_value)):
            before(said)

    sys.unraisablehook = hook


def _parsed(arguments: list[str]) -> Any:
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return torchrun.parse_args(arguments)
    except SystemExit as error:
        why = said.getvalue().strip().rpartition("error: ")[2]
        raise ConfigError(f"launch.torchrun: torchrun says {why!r}; `torchrun -h` lists what it takes") from error


def _why(failed: dict[int, Any], folder: Path) -> str:
    """One sentence about the ranks that ended first; a rank left alone fails too, and says less."""
    said = {rank: failure.error_file_data.get("message", {}) for rank, failure in failed.items()}
    texts = {rank: s.get("message", "") if isinstance(s, dict) else str(s) for rank, s in said.items()}
    for text in texts.values():
        kind, _, sentence = text.partition(": ")
        if isinstance(known := getattr(errors, kind, None), type) and issubclass(known, errors.LoupeError):
            return sentence
    killed = [rank for rank, failure in failed.items() if failure.exitcode < 0]
    rank = killed[0] if killed else min(failed)
    what = f"was ended by {failed[rank].signal_name()}" if killed else f"ended with an error ({texts[rank]})"
    return (
        f"fine-tuning: rank {rank} {what}, so the others were stopped; run the same command again, it goes on from the "
        f"last checkpoint (what the ranks wrote is in {folder / folders.LOGS})"
    )


@contextmanager
def _heard(file: Path, say: Say) -> Iterator[None]:
    """Pass on what rank 0 writes, line by line, until the end."""
    file.touch()
    ended = threading.Event()

    def follow() -> None:
        with file.open(encoding="utf-8") as stream:
            last = False
            while not last:
                last = ended.is_set()
                for line in stream:
                    say(json.loads(line))
                ended.wait(_LISTEN_SECONDS)

    listener = threading.Thread(target=follow, daemon=True)
    listener.start()
    try:
        yield
    finally:
        ended.set()
        listener.join()


@contextmanager
def _quiet() -> Iterator[None]:
    """Without torchrun's own words on stderr, and afterwards with the signals and the environment of before."""
    main = threading.current_thread() is threading.main_thread()
    handlers = {number: signal.getsignal(number) for number in _SIGNALS} if main else {}
    threads, before = os.environ.get("OMP_NUM_THREADS"), logging.root.manager.disable
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # each rank sets its own number
    sys.stderr.flush()
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
        if threads is None:
            del os.environ["OMP_NUM_THREADS"]
        for number, handler in handlers.items():
            signal.signal(number, handler)
