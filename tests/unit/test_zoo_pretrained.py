"""Trained weights: from the caches, never as pickles that run, and one line where they cannot be fetched."""

import hashlib
import io
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.errors import ModelError
from engine.models.zoo.building import build
from engine.models.zoo.catalog import ARCHITECTURES
from tests.fakes.optional_backends import need
from tests.fakes.programs import environ, python
from tests.zoo.verification import pictures

SIDE_PX = 64
#: Nothing listens there.
NOWHERE = "http://127.0.0.1:9"
PROXIES = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), NOWHERE)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> "Hub":
    """torch's cache, empty, and no way to fill it."""
    need("torchvision")
    for name, value in PROXIES.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return Hub(folder, monkeypatch)


def weights_of(name: str) -> Any:
    from torchvision.models import get_model_weights

    architecture = ARCHITECTURES[name]
    return get_model_weights(architecture.source)[architecture.pretrained]


@dataclass(frozen=True)
class Hub:
    """torch's cache."""

    folder: Path
    monkeypatch: pytest.MonkeyPatch

    def keep(self, state: object, name: str, cut_to: int | None = None) -> Path:
        """Put weights where torchvision would have put those of that name, and have it ask for just these."""
        import torch

        file = io.BytesIO()
        torch.save(state, file)
        data = file.getvalue()[:cut_to]
        path = self.folder / f"{name}-{hashlib.sha256(data).hexdigest()[:8]}.pth"
        path.write_bytes(data)
        self.monkeypatch.setattr(weights_of(name).value, "url", f"{NOWHERE}/{path.name}")
        return path


def test_every_one_of_torchvision_has_weights_and_resnet50_its_second() -> None:
    need("torchvision")
    files = {
        name: weights_of(name).url.rpartition("/")[2]
        for name, architecture in ARCHITECTURES.items()
        if architecture.origin == "torchvision"
    }
    assert len(files) == 51
    assert files["resnet-50"] == files["resnet50"] == "resnet50-11ad3fa6.pth"
    assert files["vit_b_16"] == "vit_b_16-c867db91.pth"


def test_weights_of_the_cache_need_no_network(hub: Hub) -> None:
    trained = build(ARCHITECTURES["squeezenet1_1"], "random", SIDE_PX, seed=5)
    hub.keep(trained.module.state_dict(), "squeezenet1_1")
    built = build(ARCHITECTURES["squeezenet1_1"], "pretrained", SIDE_PX)
    batch = pictures(SIDE_PX)
    assert built.weights == "pretrained"
    assert not built.module.training
    assert np.array_equal(built.answer(batch), trained.answer(batch))


def test_the_old_names_of_densenet_are_known(hub: Hub) -> None:
    import torch
    from torchvision.models import get_model

    torch.manual_seed(3)
    state = get_model("densenet121", weights=None).state_dict()
    old = {name.replace("norm1.", "norm.1.").replace("conv2.", "conv.2."): tensor for name, tensor in state.items()}
    assert old.keys() != state.keys()
    hub.keep(old, "densenet121")
    built = build(ARCHITECTURES["densenet121"], "pretrained", SIDE_PX).module.state_dict()
    assert built.keys() == state.keys()
    assert all(torch.equal(built[name], state[name]) for name in state)


def test_the_positions_of_a_vit_are_those_of_the_size_asked_for() -> None:
    need("torchvision")
    import torch

    from engine.models.zoo.from_torchvision import _fitting

    state = {"encoder.pos_embedding": torch.rand(1, 1 + 7 * 7, 8)}
    for side_px, positions in ((224, 50), (64, 5)):
        fitting = _fitting(dict(state), ARCHITECTURES["vit_b_32"], side_px)
        assert fitting["encoder.pos_embedding"].shape == (1, positions, 8)


class _Runs:
    """A pickle that makes a folder as it is read."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self._path),)


def test_a_pickle_in_the_cache_is_never_run(hub: Hub, tmp_path: Path) -> None:
    path = hub.keep({"features.0.weight": _Runs(tmp_path / "ran")}, "squeezenet1_1")
    with pytest.raises(ModelError, match=f"^the weights of squeezenet1_1 in {path} cannot be read: ") as error:
        build(ARCHITECTURES["squeezenet1_1"], "pretrained", SIDE_PX)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "ran").exists()


def test_weights_that_nobody_published_are_not_taken(hub: Hub) -> None:
    strange = build(ARCHITECTURES["squeezenet1_1"], "random", SIDE_PX, seed=5).module.state_dict()
    path = hub.keep(strange, "squeezenet1_1")
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(ModelError, match=f"^the weights of squeezenet1_1 in {path} are another file than its name"):
        build(ARCHITECTURES["squeezenet1_1"], "pretrained", SIDE_PX)


def test_a_damaged_file_in_the_cache_is_named(hub: Hub) -> None:
    path = hub.keep({}, "squeezenet1_1", cut_to=100)
    with pytest.raises(ModelError, match=f"^the weights of squeezenet1_1 in {path} cannot be read: "):
        build(ARCHITECTURES["squeezenet1_1"], "pretrained", SIDE_PX)


def test_without_network_torchvision_fails_at_once_and_names_the_way_out(hub: Hub) -> None:
    begun = time.monotonic()
    with pytest.raises(ModelError) as error:
        build(ARCHITECTURES["resnet-50"], "pretrained", SIDE_PX)
    assert str(error.value) == (
        "the weights of resnet-50 cannot be fetched from https://download.pytorch.org/models/resnet50-11ad3fa6.pth: "
        "the proxy gives no connection; without network: --weights random"
    )
    assert time.monotonic() - begun < 20
    assert not list(hub.folder.iterdir())


#: Builds both of Hugging Face's: from a cache that holds small ones, and from an empty one.
SCRIPT = """
import json, sys, time
from pathlib import Path
from engine.errors import ModelError
from engine.models.zoo.building import build
from engine.models.zoo.catalog import ARCHITECTURES
import numpy as np, torch, transformers, os
from engine.models.zoo import from_transformers
said = {}
home = Path(os.environ["HF_HOME"])
os.chdir(home)
for name, side_px, changes in (
    ("resnet-152", 64, {"depths": [1, 1, 1, 1], "hidden_sizes": [4, 4, 4, 4], "embedding_size": 4}),
    ("vit-base-patch16-224", 48, {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
                                  "intermediate_size": 8}),
):
    architecture = ARCHITECTURES[name]
    kind, config = from_transformers._described(architecture)
    config.update(changes)
    model = kind(config)
    model.save_pretrained(home / architecture.source)  # in the current directory: not to be taken
    begun = time.monotonic()
    try:
        build(architecture, "pretrained", side_px)
    except ModelError as exc:
        said[name] = [str(exc), time.monotonic() - begun]
    folder = home / "hub" / ("models--" + architecture.source.replace("/", "--"))
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("0" * 40)
    model.save_pretrained(folder / "snapshots" / ("0" * 40))
    built = build(architecture, "pretrained", side_px)
    answer = built.answer(np.random.default_rng(0).standard_normal((2, 3, side_px, side_px)).astype(np.float32))
    said[name] += [list(answer.shape), all(
        torch.equal(built.module.state_dict()["model." + key], value) for key, value in model.state_dict().items()
        if "position" not in key
    )]
print(json.dumps(said))
"""


def test_hugging_face_is_asked_shortly_and_its_cache_needs_no_network(tmp_path: Path) -> None:
    need("transformers")
    surroundings = environ(HF_HOME=str(tmp_path), HF_ENDPOINT=NOWHERE, no_proxy="127.0.0.1")
    done = python(["-c", SCRIPT], env=surroundings, timeout=110)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    for name, (message, took_s, shape, is_same) in said.items():
        assert message == (
            f"the weights of {name} cannot be fetched from {NOWHERE}: no connection, or it broke off; "
            "without network: --weights random"
        )
        assert took_s < 20
        assert shape == [2, 1000]
        assert is_same
    assert len(said) == 2
    assert done.stderr == ""
