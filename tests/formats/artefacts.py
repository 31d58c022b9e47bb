"""Real models as files, made when they are needed."""

import hashlib
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

ROWS = [[0.0, 1.0, 2.0], [3.0, 1.0, 0.5], [0.2, 0.9, 1.9], [2.8, 1.2, 0.4]]


def classifier() -> Any:
    """Fitted on `ROWS`: the first and third are "a", the others "b"."""
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(np.array(ROWS), ["a", "b", "a", "b"])


def text_classifier() -> Any:
    """Knows praise from blame."""
    texts = ["good great fine", "bad awful poor", "great good", "awful bad"]
    return make_pipeline(CountVectorizer(), LogisticRegression()).fit(texts, ["praise", "blame", "praise", "blame"])


class Linear(torch.nn.Module):
    """y = xW + b, with weights that are the same every time."""

    def __init__(self, sizes: int = 3) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(sizes, 2)
        with torch.no_grad():
            self.layer.weight.copy_(torch.arange(2.0 * sizes).reshape(2, sizes))
            self.layer.bias.copy_(torch.tensor([0.5, -0.5]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)  # type: ignore[no-any-return]


class Homemade(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """An estimator of nobody's library."""

    def predict(self, rows: Any) -> Any:
        return rows


class Evil:
    """A pickle of it would create a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return open, (str(self.mark), "w")


def reveal(names: list[str]) -> list[Any]:
    """What this process knows under `names`, now and from its start."""
    from_the_start = Path("/proc/self/environ").read_bytes().decode().split("\0")
    return [[os.environ.get(name, ""), *(line for line in from_the_start if line.startswith(name))] for name in names]


def digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def pickled(folder: Path, value: Any, name: str = "model.pkl") -> Path:
    file = folder / name
    file.write_bytes(pickle.dumps(value))
    return file


def exported(folder: Path) -> Path:
    file = folder / "linear.pt2"
    rows = torch.export.Dim("rows")
    program = torch.export.export(Linear(), (torch.zeros(2, 3),), dynamic_shapes=({0: rows},))
    torch.export.save(program, file)
    return file


def torchscript(folder: Path) -> Path:
    file = folder / "linear.pt"
    torch.jit.trace(Linear(), torch.zeros(1, 3)).save(str(file))  # type: ignore[no-untyped-call]
    return file


def state_dict(folder: Path) -> Path:
    file = folder / "linear.state.pt"
    torch.save(Linear().state_dict(), file)
    return file
