"""One module per target: a bundle in, files for another runtime out, with a way to ask that runtime here."""

from dataclasses import dataclass

from shared.export.certificate import Answer


@dataclass(frozen=True)
class Written:
    """What a target wrote, and how it answers.

    Attributes:
        files: Names in the folder, the one that the runtime opens first.
        runtime: Name and version of what answered here.
        own_runtime: Whether that is the target's own runtime, and not a stand-in that computes the same file.
        takes: Shape and type of the input, and what must be done to a decoded picture before.
        notes: What a person must know.
        answer: Decoded pictures to answers, by the written files.
        said: Further facts for the side-car.
    """

    files: tuple[str, ...]
    runtime: str
    own_runtime: bool
    takes: str
    notes: tuple[str, ...]
    answer: Answer
    said: tuple[tuple[str, object], ...] = ()


AS_IT_IS = "image: uint8 RGB [n, height, width, 3], decoded and otherwise as it is; preprocessing is inside the model"
