"""The networks that depthdrop trains, in PyTorch, built from a model file alone.

Shared by replay.py, logits.py and pytorch_step.py. Needs numpy and torch (Debian: python3-torch). The class below names its tensors as
the model file does, so that loading is a loop over names.
"""
import json
import struct

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

IMAGENET_FORMS = {
    18: ([2, 2, 2, 2], False),
    34: ([3, 4, 6, 3], False),
    50: ([3, 4, 6, 3], True),
    101: ([3, 4, 23, 3], True),
    152: ([3, 8, 36, 3], True),
}


def read_safetensors(path):
    """Returns ({name: float32 array}, {key: value}); raises ValueError if the file is not one of ours."""
    with open(path, "rb") as file:
        data = file.read()
    if len(data) < 8:
        raise ValueError(f"{path}: {len(data)} bytes are too few for a safetensors file")
    (length,) = struct.unpack("<Q", data[:8])
    if length > len(data) - 8:
        raise ValueError(f"{path}: the header claims {length} bytes, the file has {len(data)}")
    header = json.loads(data[8:8 + length])
    meta = header.pop("__metadata__", {})
    tensors = {}
    for name, entry in header.items():
        if entry["dtype"] != "F32":
            raise ValueError(f"{path}: {name} is {entry['dtype']}, expected F32")
        start, end = (8 + length + offset for offset in entry["data_offsets"])
        tensors[name] = np.frombuffer(data[start:end], "<f4").reshape(entry["shape"]).copy()
    return tensors, meta


class Unit(nn.Module):
    """o = ReLU(a * f(x) + t(x)); basic or bottleneck, with the shortcut of the kind asked for."""

    def __init__(self, in_channels, width, stride, bottleneck, shortcut):
        super().__init__()
        out_channels = width * 4 if bottleneck else width
        kernels = [1, 3, 1] if bottleneck else [3, 3]
        strides = [1, stride, 1] if bottleneck else [stride, 1]
        channels = [in_channels] + [width] * (len(kernels) - 1) + [out_channels]
        self.depth = len(kernels)
        for i, (kernel, step) in enumerate(zip(kernels, strides)):
            conv = nn.Conv2d(channels[i], channels[i + 1], kernel, step, kernel // 2, bias=False)
            setattr(self, f"conv{i + 1}", conv)
            setattr(self, f"bn{i + 1}", nn.BatchNorm2d(channels[i + 1]))
        self.stride = stride
        self.extra_channels = out_channels - in_channels
        changes = stride != 1 or in_channels != out_channels
        self.shortcut_relu = shortcut == "conv"
        self.downsample = None
        if shortcut == "conv" or (shortcut == "projection" and changes):
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels))

    def shortcut(self, x):
        if self.downsample is not None:
            t = self.downsample(x)
            return F.relu(t) if self.shortcut_relu else t
        x = x[:, :, ::self.stride, ::self.stride]
        return F.pad(x, (0, 0, 0, 0, 0, self.extra_channels))

    def forward(self, x, gate=True):
        total = self.shortcut(x)
        if gate:
            f = x
            for i in range(1, self.depth + 1):
                f = getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(f))
                if i < self.depth:
                    f = F.relu(f)
            total = total + f
        return F.relu(total)


class ResNet(nn.Module):
    """net: "resnetD"; shortcut: "identity", "projection" or "conv"."""

    def __init__(self, net, shortcut, channels, classes):
        super().__init__()
        depth = int(net[len("resnet"):])
        self.imagenet = depth in IMAGENET_FORMS
        counts, bottleneck = IMAGENET_FORMS.get(depth, ([(depth - 2) // 6] * 3, False))
        width = 64 if self.imagenet else 16
        if self.imagenet:
            self.conv1 = nn.Conv2d(channels, width, 7, 2, 3, bias=False)
        else:
            self.conv1 = nn.Conv2d(channels, width, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        current = width
        self.stages = len(counts)
        for stage, count in enumerate(counts):
            units = []
            for position in range(count):
                stride = 2 if stage > 0 and position == 0 else 1
                units.append(Unit(current, width << stage, stride, bottleneck, shortcut))
                current = (width << stage) * (4 if bottleneck else 1)
            setattr(self, f"layer{stage + 1}", nn.ModuleList(units))
        self.fc = nn.Linear(current, classes)

    def units(self):
        """All units from input to output."""
        return [unit for stage in range(self.stages) for unit in getattr(self, f"layer{stage + 1}")]

    def forward(self, x, gates=None):
        x = F.relu(self.bn1(self.conv1(x)))
        if self.imagenet:
            x = F.max_pool2d(x, 3, 2, 1)
        for i, unit in enumerate(self.units()):
            x = unit(x, gates is None or gates[i])
        return self.fc(x.mean((2, 3)))


class Model:
    """A model file: its network with the file's weights, the input's normalisation, the class names."""

    def __init__(self, path, dtype=torch.float32):
        self.tensors, self.meta = read_safetensors(path)
        self.channels, self.height, self.width = (int(number) for number in self.meta["image"].split(","))
        self.classes = json.loads(self.meta["classes"])
        self.dtype = dtype
        self.net = ResNet(self.meta["net"], self.meta["shortcut"], self.channels, len(self.classes)).to(dtype)
        self.load(self.tensors)

    def load(self, tensors):
        """Copies every weight and statistic; a missing, extra or misshapen one is an error."""
        state = {name: value for name, value in self.net.state_dict().items()
                 if not name.endswith("num_batches_tracked")}
        ours = {name for name in tensors if not name.startswith(("input.", "optimizer."))}
        if ours != set(state):
            raise ValueError(f"tensor names differ: {sorted(ours ^ set(state))[:6]}")
        for name, value in state.items():
            if tuple(value.shape) != tensors[name].shape:
                raise ValueError(f"{name}: shape {tensors[name].shape}, the network has {tuple(value.shape)}")
            value.copy_(torch.from_numpy(tensors[name]).to(self.dtype))

    def normalise(self, pixels):
        """pixels: [N][C][H][W] bytes; returns the network's input."""
        scaled = torch.from_numpy(np.array(pixels)).to(self.dtype) / 255
        mean = torch.from_numpy(self.tensors["input.mean"]).to(self.dtype)
        std = torch.from_numpy(self.tensors["input.std"]).to(self.dtype)
        return (scaled - mean) / std
