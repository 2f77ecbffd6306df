# /// script
# dependencies = ["autogluon.multimodal==1.6.3", "torch==2.12.1", "torchvision==0.27.1", "safetensors"]
# ///
"""AutoGluon's MultiModalPredictor, medium_quality with the stand-in backbone, its own time_limit.

A local folder with config.json and pytorch_model.bin is what AutoGluon takes in place of a name from the hub. It
passes no arguments to the backbone, so the padding of these weights is registered with timm under a name of its own.
Images are squashed to a square by AutoGluon's own transform instead of cropped, and labels are weighted to count the
same by its focal loss with gamma 0.
"""

from exchange import BACKBONE, BACKBONE_ARGS, IMAGE_SIZE, MEAN, STD, Task, answer, elapsed, task  # isort: skip

import json
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import timm
import torch
from autogluon.multimodal import MultiModalPredictor
from safetensors.torch import load_file
from timm.models import register_model

NAME = f"{BACKBONE}_same"
BATCH = 32
SHARE = 0.95
"""Of the time left is given as time_limit: AutoGluon ends a little after it."""


def mobilenetv2_100_same(pretrained: bool = False, **kwargs):
    """The backbone with the padding that its weights were trained with."""
    return timm.create_model(BACKBONE, pretrained=pretrained, **{**BACKBONE_ARGS, **kwargs})


def local_checkpoint(todo: Task) -> Path:
    """A folder that AutoGluon loads the backbone from."""
    register_model(mobilenetv2_100_same)
    folder = todo.folder / "checkpoint"
    folder.mkdir()
    model = timm.create_model(NAME, num_classes=0)
    # timm loads such a file strictly: without the ImageNet classifier, with the counters of the normalisation layers.
    state = model.state_dict()
    state.update({key: value.float() for key, value in load_file(todo.weights).items() if key in state})
    torch.save(state, folder / "pytorch_model.bin")
    config = {
        "architecture": NAME,
        "num_features": model.num_features,
        "pretrained_cfg": {"input_size": [3, IMAGE_SIZE, IMAGE_SIZE], "mean": list(MEAN), "std": list(STD)},
    }
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def main() -> None:
    todo = task()
    torch.set_num_threads(todo.threads)
    tables = [pd.DataFrame([(c.path, c.label) for c in part], columns=["image", "label"]) for part in parts(todo)]
    train, validation, test = tables
    predictor = MultiModalPredictor(
        label="label", problem_type="multiclass", eval_metric="balanced_accuracy", path=str(todo.folder / "model")
    )
    transforms = ["resize_to_square", "center_crop"]
    checkpoint = local_checkpoint(todo)
    predictor.fit(
        train,
        tuning_data=validation,
        presets="medium_quality",
        time_limit=SHARE * todo.left,
        seed=todo.seed,
        column_types={"image": "image_path"},
        hyperparameters={
            "model.names": ["timm_image"],
            "model.timm_image.checkpoint_name": str(checkpoint),
            "model.timm_image.train_transforms": [*transforms, "trivial_augment"],
            "model.timm_image.val_transforms": transforms,
            "optim.loss_func": "focal_loss",
            "optim.focal_loss.alpha": todo.class_weights(),
            "optim.focal_loss.gamma": 0.0,
            # The default of 128 would be one or two steps in an epoch of a small set.
            "env.batch_size": BATCH,
            "env.per_gpu_batch_size": BATCH,
            "env.num_gpus": 0,
            "env.precision": 32,
        },
    )
    seconds = elapsed()
    predicted = predictor.predict(test[["image"]])
    answer(
        todo,
        [str(p) for p in predicted],
        version=version("autogluon.multimodal"),
        start="ImageNet stand-in",
        trained_seconds=seconds,
        note="medium_quality",
    )


def parts(todo: Task):
    return todo.train, todo.validation, todo.test


if __name__ == "__main__":
    main()
