"""A state dict, and the classifier that its weights are of."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.errors import ModelError, OptionsError, first_line
from engine.models.zoo.building import ZooModel, build, weight_shapes
from engine.models.zoo.catalog import ARCHITECTURES, CHANNELS, Architecture, find_architecture

#: Where training programs keep the weights within what they save.
_WITHIN = ("state_dict", "model_state_dict", "model", "net")
#: What they put before every name: of the parallel wrapper, and of a module that holds the model.
_PREFIXES = ("module.", "_orig_mod.", "model.")
#: The weight by which a family is known, so that not all 53 are built to be compared; of the rest, conv1.weight.
_MARKS = {
    "alexnet": "features.0.weight",
    "densenet": "features.conv0.weight",
    "efficientnet": "features.0.0.weight",
    "inception": "Conv2d_1a_3x3.conv.weight",
    "mnasnet": "layers.0.weight",
    "mobilenet": "features.0.0.weight",
    "resnet-152": "embedder.embedder.convolution.weight",
    "shufflenet": "conv1.0.weight",
    "squeezenet": "features.0.weight",
    "vgg": "features.0.weight",
    "vit_": "class_token",
    "vit-": "embeddings.cls_token",
}
_Shapes = Mapping[str, tuple[int, ...]]


def plain_weights(content: Any, path: Path) -> dict[str, Any]:
    """Return the weights by name that a file holds, itself or within.

    Raises:
        ModelError: There are none.
    """
    for name in _WITHIN:
        if isinstance(content, dict) and isinstance(content.get(name), dict):
            content = content[name]
    tensors = {name: value for name, value in content.items() if hasattr(value, "shape")} if _is_named(content) else {}
    if not tensors:
        raise ModelError(f"{path} holds no weights by name: save them with torch.save(model.state_dict(), …)")
    return tensors


def classifier_of(
    state: Mapping[str, Any], path: Path, name: str | None, input_shape: Sequence[int] | None
) -> tuple[ZooModel, tuple[str, ...]]:
    """Build the classifier that a state dict is of.

    Its last layer may have any number of classes.

    Args:
        state: Weights by name.
        path: The file, for messages.
        name: The architecture; None finds it by names and shapes of the weights.
        input_shape: [n, 3, side, side]; None for the architecture's own side.

    Returns:
        It, with the weights loaded; and what was found, a line each.

    Raises:
        ModelError: They are of no known classifier, or not of that one.
        OptionsError: There is no such classifier, or the shape is none for it.
    """
    wanted = [find_architecture(name)] if name else [entry for entry in ARCHITECTURES.values() if _may_be(entry, state)]
    found = next(_candidates(state, wanted), None)
    if found is None and name:
        raise ModelError(f"{path} does not hold the weights of {name}: {_difference(state, wanted[0])}")
    if found is None:
        raise ModelError(
            f"the {len(state)} weights of {path} are of no classifier that is known by name: give the model itself, "
            "saved with torch.jit.save or torch.export.save"
        )
    architecture, weights, head = found
    model = build(architecture, "random", _side_px(architecture, input_shape))
    try:
        for layer in head:
            _fit(model.module, layer, weights)
        model.module.load_state_dict(weights)
    except Exception as exc:
        raise ModelError(f"{path} does not hold the weights of {architecture.name}: {first_line(exc)}") from exc
    classes = f", with {len(weights[head[0] + '.weight'])} classes" if head else ""
    notes = [] if name else [f"the weights are those of {architecture.name}{classes}: name another architecture if not"]
    return model, tuple(notes)


def _may_be(architecture: Architecture, state: Mapping[str, Any]) -> bool:
    """Tell whether the weights have the name by which the family is known."""
    mark = next((mark for family, mark in _MARKS.items() if architecture.name.startswith(family)), "conv1.weight")
    return any(name.endswith(mark) for name in state)


def _candidates(
    state: Mapping[str, Any], architectures: Sequence[Architecture]
) -> Iterator[tuple[Architecture, dict[str, Any], tuple[str, ...]]]:
    """Give the architectures that the weights fit: with the weights as it calls them, and the layers to be resized."""
    for architecture in architectures:
        wanted = weight_shapes(architecture)
        for weights in _renamed(state, wanted):
            head = _resized_head({name: tuple(tensor.shape) for name, tensor in weights.items()}, wanted)
            if head is not None:
                yield architecture, weights, head


def _renamed(state: Mapping[str, Any], wanted: _Shapes) -> Iterator[dict[str, Any]]:
    """Give the weights under the names that are wanted, where a common prefix is all that differs."""
    for prefix in ("", *_PREFIXES):
        if all(name.startswith(prefix) for name in state):
            bare = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
            for added in ("", "model."):
                names = {added + name for name in bare}
                # What only training uses, or older files lack, does not count.
                if {name for name in wanted if not name.endswith("num_batches_tracked")} <= names:
                    yield {name: bare[name.removeprefix(added)] for name in wanted if name in names}


def _resized_head(shapes: _Shapes, wanted: _Shapes) -> tuple[str, ...] | None:
    """Return the layers whose number of classes differs; None where anything else does."""
    layers = []
    for name, shape in shapes.items():
        if shape == wanted[name]:
            continue
        layer, _, part = name.rpartition(".")
        last = [other.rpartition(".")[0] for other in wanted if other.endswith(".weight")][-1]
        if part not in ("weight", "bias") or shape[1:] != wanted[name][1:] or layer != last:
            return None
        layers.append(layer)
    return tuple(dict.fromkeys(layers))


def _fit(module: Any, layer: str, weights: Mapping[str, Any]) -> None:
    """Give the last layer as many classes as the weights have."""
    import torch

    last = module.get_submodule(layer)
    for part in ("weight", "bias"):
        if getattr(last, part, None) is not None:
            setattr(last, part, torch.nn.Parameter(torch.empty_like(weights[f"{layer}.{part}"]), requires_grad=False))
    classes = len(weights[f"{layer}.weight"])
    setattr(last, "out_features" if hasattr(last, "out_features") else "out_channels", classes)


def _side_px(architecture: Architecture, input_shape: Sequence[int] | None) -> int:
    if input_shape is None:
        return architecture.image_size_px
    if len(input_shape) != 4 or input_shape[1] != CHANNELS or input_shape[2] != input_shape[3]:
        shown = ",".join(map(str, input_shape))
        raise OptionsError(f"input shape {shown}: {architecture.name} takes 1,3,SIDE,SIDE, such as 1,3,224,224")
    return input_shape[2]


def _difference(state: Mapping[str, Any], architecture: Architecture) -> str:
    """Say the first thing that differs."""
    wanted = weight_shapes(architecture)
    missing = [name for name in wanted if name not in state]
    if missing:
        return f"{missing[0]} is missing"
    other = next((name for name, shape in wanted.items() if tuple(state[name].shape) != shape), "its last layer")
    return f"{other} has another shape"


def _is_named(content: Any) -> bool:
    return isinstance(content, dict) and all(isinstance(name, str) for name in content)
