# /// script
# dependencies = ["fastai==2.8.12", "timm==1.0.31", "torch==2.14.1", "torchvision==0.29.1", "safetensors"]
# ///
"""fastai as its documentation begins: vision_learner on a timm backbone, aug_transforms, fine_tune.

fastai plans in epochs, not in time: a few batches are timed on a copy of the model, and fine_tune gets as many epochs
as fit into the budget. The epoch with the best balanced accuracy on the validation images is kept. Labels are weighted
to count the same, and images are squashed to a square, so that nothing at the border is lost.
"""

from exchange import BACKBONE, BACKBONE_ARGS, IMAGE_SIZE, MEAN, STD, Task, answer, elapsed, task  # isort: skip

import copy
import math
import time
from pathlib import Path

import fastai
import fastai.callback.schedule
import pandas as pd
import torch
from fastai.callback.core import Callback, CancelFitException
from fastai.callback.tracker import SaveModelCallback
from fastai.losses import CrossEntropyLossFlat
from fastai.metrics import BalancedAccuracy
from fastai.torch_core import set_seed
from fastai.vision.augment import Resize, ResizeMethod, aug_transforms
from fastai.vision.data import ImageDataLoaders
from fastai.vision.learner import vision_learner

BATCH = 32
MOST_EPOCHS = 100
BEST = "best"
SHARE = 0.9
"""Of the time left is planned for; the rest is for what the timing of a few batches misses."""


class Deadline(Callback):
    """Ends the training when the time is up and one epoch was kept; the best epoch so far is then loaded."""

    def __init__(self, todo: Task) -> None:
        self.todo = todo

    def after_batch(self) -> None:
        """Called by fastai."""
        kept = self.learn.path / self.learn.model_dir / f"{BEST}.pth"
        if self.training and self.todo.left < 0 and kept.is_file():
            raise CancelFitException


def learner(todo: Task):
    parts = [("train", False), ("validation", True)]
    table = pd.DataFrame(
        [(c.path, c.label, valid) for part, valid in parts for c in getattr(todo, part)],
        columns=["path", "label", "valid"],
    )
    loaders = ImageDataLoaders.from_df(
        table,
        path=Path("/"),
        valid_col="valid",
        item_tfms=Resize(IMAGE_SIZE, method=ResizeMethod.Squish),
        batch_tfms=aug_transforms(),
        bs=min(BATCH, len(todo.train)),
        num_workers=2,
        device=torch.device("cpu"),
    )
    weights = dict(zip(todo.labels, todo.class_weights(), strict=True))
    return vision_learner(
        loaders,
        BACKBONE,
        pretrained=True,
        loss_func=CrossEntropyLossFlat(weight=torch.tensor([weights[label] for label in loaders.vocab])),
        metrics=BalancedAccuracy(),
        path=todo.folder,
        pretrained_cfg_overlay={"file": str(todo.weights), "mean": MEAN, "std": STD},
        **BACKBONE_ARGS,
    )


def epoch_seconds(learn, todo: Task, batches: int = 4) -> float:
    """Seconds of one unfrozen epoch with its validation, from a few batches on a copy of the model."""
    model = copy.deepcopy(learn.model).requires_grad_(True).train()
    times = []
    mark = time.monotonic()
    for i, (x, y) in enumerate(learn.dls.train):
        learn.loss_func(model(x), y).backward()
        model.zero_grad()
        times.append(time.monotonic() - mark)
        mark = time.monotonic()
        if i + 1 == batches:
            break
    # The first batch waits for the workers to start, as every epoch does; a validation image costs about a third.
    steady = min(times[1:] or times)
    validation = len(todo.validation) / len(todo.train) / 3
    return steady * len(learn.dls.train) * (1 + validation) + (times[0] - steady)


def main() -> None:
    todo = task()
    torch.set_num_threads(todo.threads)
    set_seed(todo.seed, reproducible=True)
    learn = learner(todo)
    planned = math.floor(SHARE * todo.left / epoch_seconds(learn, todo)) - 1
    epochs = min(MOST_EPOCHS, max(1, planned))
    keep = SaveModelCallback(monitor="balanced_accuracy_score", fname=BEST, reset_on_fit=False)
    with learn.no_bar():
        learn.fine_tune(epochs, cbs=[keep, Deadline(todo)])
    seconds = elapsed()
    table = pd.DataFrame({"path": [c.path for c in todo.test]})
    with learn.no_bar():
        probabilities, _ = learn.get_preds(dl=learn.dls.test_dl(table))
    answer(
        todo,
        [learn.dls.vocab[i] for i in probabilities.argmax(1).tolist()],
        version=fastai.__version__,
        start="ImageNet stand-in",
        trained_seconds=seconds,
        note=f"fine_tune({epochs})",
    )


if __name__ == "__main__":
    main()
