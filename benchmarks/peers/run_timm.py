# /// script
# dependencies = ["timm==1.0.31", "torch==2.14.1", "torchvision==0.29.1", "safetensors"]
# ///
"""timm's own pieces put together as its train.py does: RandAugment, random erasing, AdamW, cosine with warm-up.

Differences from the defaults of train.py, all to the benefit of small sets: AdamW instead of SGD, a milder crop (scale
0.35 to 1), labels weighted to count the same, the image squashed to a square instead of cropped when it is judged, and
a schedule that runs over the time budget instead of a number of epochs. The best state on the validation images is
kept.
"""

from exchange import BACKBONE, BACKBONE_ARGS, IMAGE_SIZE, MEAN, STD, Case, Task, answer, elapsed, task  # isort: skip

import copy
from collections.abc import Sequence

import numpy as np
import timm
import torch
from PIL import Image
from timm.data import create_transform
from timm.optim import create_optimizer_v2
from timm.scheduler import CosineLRScheduler
from torch.utils.data import DataLoader, Dataset

BATCH = 32
LEARNING_RATE, WEIGHT_DECAY, SMOOTHING = 1e-3, 0.05, 0.1
STEPS = 1000
"""Resolution of the schedule; which of them comes next is read off the clock."""
JUDGING = 0.6
"""Time of judging an image relative to training on it, with a margin, until it has been measured."""


class Images(Dataset):
    """Cases to (pixels, label index)."""

    def __init__(self, cases: Sequence[Case], labels: list[str], training: bool) -> None:
        self.cases, self.labels = cases, labels
        augment = {"auto_augment": "rand-m9-mstd0.5-inc1", "re_prob": 0.25, "scale": (0.35, 1.0)}
        judge = {"crop_pct": 1.0, "crop_mode": "squash"}
        self.transform = create_transform(
            IMAGE_SIZE,
            is_training=training,
            mean=MEAN,
            std=STD,
            interpolation="bicubic",
            **(augment if training else judge),
        )

    def __len__(self) -> int:
        return len(self.cases)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        case = self.cases[i]
        label = self.labels.index(case.label) if case.label in self.labels else -1
        with Image.open(case.path) as image:
            return self.transform(image.convert("RGB")), label


def batches(cases: Sequence[Case], labels: list[str], training: bool = False) -> DataLoader:
    return DataLoader(
        Images(cases, labels, training),
        batch_size=min(BATCH, len(cases)),
        shuffle=training,
        drop_last=training,
        num_workers=2,
        persistent_workers=training,
    )


@torch.inference_mode()
def judge(model: torch.nn.Module, loader: DataLoader) -> tuple[np.ndarray, np.ndarray]:
    model.eval()
    found = [(model(pixels).argmax(1).numpy(), y.numpy()) for pixels, y in loader]
    return np.concatenate([p for p, _ in found]), np.concatenate([y for _, y in found])


def balanced_accuracy(predicted: np.ndarray, y: np.ndarray) -> float:
    return float(np.mean([(predicted[y == c] == c).mean() for c in np.unique(y)]))


def train(model: torch.nn.Module, todo: Task) -> str:
    """Train until the time is up; the model ends in its best state."""
    labels = todo.labels
    loss_of = torch.nn.CrossEntropyLoss(torch.tensor(todo.class_weights()), label_smoothing=SMOOTHING)
    optimizer = create_optimizer_v2(model, opt="adamw", lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = CosineLRScheduler(
        optimizer, t_initial=STEPS, warmup_t=STEPS // 20, warmup_lr_init=1e-6, lr_min=1e-6, t_in_epochs=False
    )
    training, validation = batches(todo.train, labels, training=True), batches(todo.validation, labels)
    best, best_state, epochs, seen, spare = -1.0, model.state_dict(), 0, 0, 0.0
    begin, finished = todo.left, False
    while not finished:
        model.train()
        for pixels, y in training:
            schedule.step_update(min(STEPS, int(STEPS * (begin - todo.left) / max(begin - spare, 1))))
            loss = loss_of(model(pixels), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if not epochs:
                seen += len(y)
                spare = JUDGING * (begin - todo.left) / seen * len(todo.validation)
            finished = todo.left < spare
            if finished:
                break
        epochs += 1
        mark = todo.left
        score = balanced_accuracy(*judge(model, validation))
        spare = 1.2 * (mark - todo.left)
        finished = finished or todo.left < spare
        if score >= best:
            best, best_state = score, copy.deepcopy(model.state_dict())
    model.load_state_dict(best_state)
    return f"epochs: {epochs}"


def main() -> None:
    todo = task()
    torch.set_num_threads(todo.threads)
    torch.manual_seed(todo.seed)
    np.random.seed(todo.seed)
    model = timm.create_model(
        BACKBONE,
        pretrained=True,
        num_classes=len(todo.labels),
        drop_rate=0.2,
        pretrained_cfg_overlay={"file": str(todo.weights), "mean": MEAN, "std": STD},
        **BACKBONE_ARGS,
    )
    note = train(model, todo)
    seconds = elapsed()
    predicted, _ = judge(model, batches(todo.test, todo.labels))
    answer(
        todo,
        [todo.labels[p] for p in predicted],
        version=timm.__version__,
        start="ImageNet stand-in",
        trained_seconds=seconds,
        note=note,
    )


if __name__ == "__main__":
    main()
