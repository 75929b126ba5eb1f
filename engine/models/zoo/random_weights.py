"""Random weights with which a classifier tells pictures apart. Imports torch: only `building` imports this."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from engine.models.zoo.catalog import CHANNELS, CLASSES

#: How many pixels the statistics come from, about, and how many pictures. Smaller pictures would not do: their borders
#: weigh more, and a deep network adds up what differs.
_PIXELS = 8 * 224**2
_MIN_PICTURES, _MAX_PICTURES = 4, 16
#: The pictures are noise of different brightness and contrast, so that they lie around what is asked later: standard
#: normal noise, and noise from 0 to 1.
_BRIGHTNESS = (-0.5, 0.5)
_CONTRAST = (0.3, 1.2)
#: The weight of each block beside the one that it is added to, about as trained networks have it. With 1, as networks
#: are drawn, a hundred layers make of float32's rounding a thousandth of the answer.
_BRANCH_WEIGHT = 0.25
#: How far the head weakens what pictures differ most by, at the most.
_MAX_WEAKENING = 10


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Let torch draw the same numbers each time; the caller's own sequence goes on afterwards as if nothing was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def make_usable(module: nn.Module, image_size_px: int) -> None:
    """Change a freshly built classifier so that its answers are of order 1, and others for other pictures.

    As the libraries draw them, weights let the signal die or explode within the network, batch normalisation knows
    nothing of it, and heads are all zeros or outweighed by their biases: nearly the same answer comes to any pictures,
    and a wrong export would go unseen. So batch normalisation gets its statistics from one pass in training mode,
    networks without normalisation are drawn anew with weights that keep the signal's size, a ResNet's blocks are
    weakened, and the head is drawn anew, scaled, and shifted by what all pictures have in common.

    Call it within `seeded`.

    Args:
        module: In evaluation mode, float32[n, 3, side, side] to float32[n, 1000]; changed in place.
        image_size_px: The side of its pictures.
    """
    pictures = _pictures(image_size_px)
    head = _head_of(module)
    with torch.no_grad():
        if not any(isinstance(layer, nn.BatchNorm2d | nn.LayerNorm) for layer in module.modules()):
            _keep_the_signal(module)
        for norm in _branch_ends(module):
            nn.init.constant_(norm.weight, _BRANCH_WEIGHT)
        _normalise(module, pictures)
        _draw_head(module, head, pictures)


def _pictures(side_px: int) -> torch.Tensor:
    """Draw pictures, float32[n, 3, side_px, side_px]."""
    count = min(_MAX_PICTURES, max(_MIN_PICTURES, _PIXELS // side_px**2))
    brightness = torch.linspace(*_BRIGHTNESS, count)[torch.randperm(count)]
    contrast = torch.linspace(*_CONTRAST, count)
    noise = torch.randn(count, CHANNELS, side_px, side_px)
    return brightness[:, None, None, None] + contrast[:, None, None, None] * noise


def _head_of(module: nn.Module) -> nn.Linear | nn.Conv2d:
    """Return the layer that gives each class its value."""
    layers = [layer for layer in module.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    return next(layer for layer in reversed(layers) if len(layer.weight) == CLASSES)


def _keep_the_signal(module: nn.Module) -> None:
    """Draw weights that neither amplify nor damp. Source: He et al., Delving Deep into Rectifiers, 2015."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)


def _branch_ends(module: nn.Module) -> Iterator[nn.BatchNorm2d]:
    """Give the last normalisation of each block of a ResNet, before what went round the block is added."""
    for block in module.modules():
        for way_round in ("downsample", "shortcut"):  # torchvision's name, Hugging Face's name
            if hasattr(block, way_round):
                others = set((getattr(block, way_round) or nn.Identity()).modules())
                norms = [layer for layer in block.modules() if isinstance(layer, nn.BatchNorm2d)]
                yield [norm for norm in norms if norm not in others][-1]


def _normalise(module: nn.Module, pictures: torch.Tensor) -> None:
    """Give each batch normalisation the statistics of what reaches it; drop-out and the like stay off."""
    layers = [layer for layer in module.modules() if isinstance(layer, nn.BatchNorm2d)]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # the plain mean of all passes, and here there is one
        layer.train()
    if layers:
        module(pictures)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
        layer.eval()


def _draw_head(module: nn.Module, head: nn.Linear | nn.Conv2d, pictures: torch.Tensor) -> None:
    """Draw the last layer so that its values have mean 0 and deviation 1 over the pictures."""
    features = _features(module, head, pictures)
    common = features.mean(0)
    _, sizes, directions = torch.linalg.svd(features - common, full_matrices=False)
    # In deep networks all pictures lie along one direction, and other differences would drown in that one.
    kept = max(float(sizes[1] / sizes[0]), 1 / _MAX_WEAKENING)
    weight = torch.randn(CLASSES, len(common))
    weight -= (1 - kept) * torch.outer(weight @ directions[0], directions[0])
    weight /= ((features - common) @ weight.T).std()
    head.weight.copy_(weight.reshape(head.weight.shape))
    head.bias.copy_(-weight @ common)


def _features(module: nn.Module, head: nn.Module, pictures: torch.Tensor) -> torch.Tensor:
    """Return what reaches the head, float32[pictures, features]; of a map, its mean."""
    noted: list[torch.Tensor] = []

    def note(_layer: nn.Module, inputs: tuple[torch.Tensor]) -> None:
        noted.append(inputs[0].flatten(2).mean(2) if inputs[0].ndim > 2 else inputs[0].clone())

    handle = head.register_forward_pre_hook(note)
    try:
        module(pictures)
    finally:
        handle.remove()
    return noted[0]
