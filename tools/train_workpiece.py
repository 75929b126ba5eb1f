"""Train the built-in workpiece model on drawn frames and write it as ONNX.

Needs the `train` extra. One command, from the repository's root, gives the model that ships:

    PYTHONPATH=. python tools/train_workpiece.py
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from producers.sources.synthetic.workpiece import LABELS
from tools.evaluate_workpiece import MODEL, MODEL_SIDE_PX, evaluate, frames, show

#: Output channels, side of the kernel and stride of each convolution.
LAYERS = ((16, 3, 2), (24, 3, 2), (40, 3, 2), (64, 3, 2), (64, 3, 1))

OPSET = 17
IR_VERSION = 8
SEED = 20_251


class WorkpieceNet(nn.Module):  # type: ignore[misc]  # torch is not in the development environment
    """Five convolutions, then the mean and the maximum of each channel, then one linear layer.

    The maximum lets one small defect speak for the whole frame.
    """

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for outputs, kernel, stride in LAYERS:
            layers.append(nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False))
            layers.append(nn.BatchNorm2d(outputs))
            layers.append(nn.ReLU(inplace=True))
            inputs = outputs
        self.layers = nn.Sequential(*layers)
        self.head = nn.Linear(2 * inputs, len(LABELS))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Turn float[batch, 3, 128, 128] in 0 to 1 into logits, float[batch, 5]."""
        features = self.layers(image)
        pooled = torch.cat([features.mean(dim=(2, 3)), features.amax(dim=(2, 3))], dim=1)
        return self.head(nn.functional.dropout(pooled, 0.1, self.training))


def draw(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw the training set: uint8[count, 3, 128, 128] (channels last in memory) and int64[count]."""
    images = np.empty((count, MODEL_SIDE_PX, MODEL_SIDE_PX, 3), dtype=np.uint8)
    labels = np.empty(count, dtype=np.int64)
    for index, (image, label, _) in enumerate(frames(0, count)):
        images[index], labels[index] = image, label
    return torch.from_numpy(images).permute(0, 3, 1, 2), torch.from_numpy(labels)


def turned(batch: torch.Tensor, way: int) -> torch.Tensor:
    """Turn or mirror a batch in one of the eight ways of a square."""
    if way & 1:
        batch = batch.flip(2)
    if way & 2:
        batch = batch.flip(3)
    return batch.transpose(2, 3) if way & 4 else batch


def train(images: torch.Tensor, labels: torch.Tensor, epochs: int, batch: int, rate: float) -> WorkpieceNet:
    """Train with AdamW, a one-cycle rate and label smoothing."""
    net = WorkpieceNet()
    net.to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=1e-3)
    steps = len(images) // batch
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=epochs * steps, pct_start=0.2)
    for epoch in range(epochs):
        started, loss_sum, right = time.monotonic(), 0.0, 0
        order = torch.randperm(len(images))
        for step in range(steps):
            chosen = order[step * batch : (step + 1) * batch]
            way = int(torch.randint(8, ()))
            inputs = turned(images[chosen], way).float() * (torch.rand(batch, 1, 1, 1) * 0.4 + 0.8) / 255
            outputs = net(inputs.contiguous(memory_format=torch.channels_last))
            loss = nn.functional.cross_entropy(outputs, labels[chosen], label_smoothing=0.03)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            loss_sum += loss.item()
            right += int((outputs.argmax(1) == labels[chosen]).sum())
        print(
            f"epoch {epoch + 1}/{epochs}: loss {loss_sum / steps:.4f}, training accuracy "
            f"{right / steps / batch:.4f}, {time.monotonic() - started:.0f} s",
            flush=True,
        )
    net.eval()
    return net


def folded(net: WorkpieceNet) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Fold each batch normalisation, and the first layer's 1/255, into the weight and bias of its convolution."""
    layers = list(net.layers)
    result = []
    for index in range(0, len(layers), 3):
        conv, norm = layers[index], layers[index + 1]
        factor = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        weight = conv.weight * factor[:, None, None, None]
        if index == 0:
            weight = weight / 255
        bias = norm.bias - norm.running_mean * factor
        result.append((weight.detach().contiguous().numpy(), bias.detach().numpy()))
    return result


def export(net: WorkpieceNet, path: Path) -> None:
    """Write the graph: uint8[batch, 128, 128, 3] `image` in, float32[batch, 5] `logits` out."""
    constants = []
    nodes = [
        helper.make_node("Transpose", ["image"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["planes"], ["x0"], to=TensorProto.FLOAT),
    ]
    for index, (weight, bias) in enumerate(folded(net)):
        _, kernel, stride = LAYERS[index]
        constants += [numpy_helper.from_array(weight, f"w{index}"), numpy_helper.from_array(bias, f"b{index}")]
        nodes.append(
            helper.make_node(
                "Conv",
                [f"x{index}", f"w{index}", f"b{index}"],
                [f"c{index}"],
                kernel_shape=[kernel, kernel],
                strides=[stride, stride],
                pads=[kernel // 2] * 4,
            )
        )
        nodes.append(helper.make_node("Relu", [f"c{index}"], [f"x{index + 1}"]))
    last = f"x{len(LAYERS)}"
    nodes += [
        helper.make_node("GlobalAveragePool", [last], ["mean"]),
        helper.make_node("GlobalMaxPool", [last], ["peak"]),
        helper.make_node("Concat", ["mean", "peak"], ["pooled"], axis=1),
        helper.make_node("Flatten", ["pooled"], ["features"]),
        helper.make_node("Gemm", ["features", "w", "b"], ["logits"], transB=1),
    ]
    constants += [
        numpy_helper.from_array(net.head.weight.detach().numpy(), "w"),
        numpy_helper.from_array(net.head.bias.detach().numpy(), "b"),
    ]
    side = MODEL_SIDE_PX
    graph = helper.make_graph(
        nodes,
        "workpiece",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", side, side, 3])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", len(LABELS)])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    model.producer_name = "streamer tools/train_workpiece.py"
    preprocessing = {
        "short_side": side,
        "crop": [side, side],
        "mean": None,
        "std": None,
        "layout": "NHWC",
        "dtype": "uint8",
    }
    properties = {
        "streamer.labels": json.dumps(LABELS),
        "streamer.name": "workpiece",
        "streamer.preprocessing": json.dumps(preprocessing),
        "streamer.activation": "softmax",
    }
    helper.set_model_props(model, properties)
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString(deterministic=True))


def main() -> None:
    """Run as a command."""
    parser = argparse.ArgumentParser(description="Train the built-in workpiece model and write it as ONNX.")
    parser.add_argument("--frames", type=int, default=16_000, help="training frames (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rate", type=float, default=4e-3, help="the highest learning rate")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--output", type=Path, default=MODEL)
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    torch.set_num_threads(arguments.threads)
    torch.use_deterministic_algorithms(mode=True)
    started = time.monotonic()
    images, labels = draw(arguments.frames)
    print(f"drew {len(images)} frames in {time.monotonic() - started:.0f} s", flush=True)
    net = train(images, labels, arguments.epochs, arguments.batch, arguments.rate)
    export(net, arguments.output)
    print(f"wrote {arguments.output} after {time.monotonic() - started:.0f} s")
    show(evaluate(arguments.output, 2000))


if __name__ == "__main__":
    main()
