"""Answers from a bundle, with onnxruntime and numpy alone."""

from shared.inference.bundle import Bundle
from shared.inference.runtime import Answers, Runtime

__all__ = ["Answers", "Bundle", "Runtime"]
