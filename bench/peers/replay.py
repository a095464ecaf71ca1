#!/usr/bin/python3
"""Replays the first steps of a depthdrop run in PyTorch and compares every loss and the final state.

    one_batch.py --count 128 --output /tmp/one
    depthdrop train --data idx:/tmp/one --net resnet14 --shortcut conv --gate uniform:0.5 --batch 128 --augment none \\
        --lr 0.003 --weight-decay 0.05 --lr-drops none --iterations 0 --run /tmp/start
    depthdrop train (the same) --iterations 8 --log-every 1 --run /tmp/run
    replay.py --initial /tmp/start/last.safetensors --run /tmp/run --data idx:/tmp/one

The data set must be exactly one batch: then every step sees all of it, in an order that changes nothing but rounding.
Learning rate and gates come from the log, momentum and weight decay from config.json. A unit that is off is skipped;
its parameters get zero gradients, but momentum and weight decay as all others. Exit status 1 if anything differs by
more than the limits.
"""
import argparse
import json
import os
import sys

import numpy as np
import torch
import torch.nn.functional as F

from model import Model, read_safetensors
from one_batch import find_idx, read_idx


def read_folder(folder, model):
    """DIR/train/<class>/*: labels by bytewise order of the class names; all images of the model's size."""
    from PIL import Image
    train = os.path.join(folder, "train")
    images, labels = [], []
    for label, name in enumerate(sorted(os.listdir(train), key=os.fsencode)):
        for file in sorted(os.listdir(os.path.join(train, name)), key=os.fsencode):
            image = Image.open(os.path.join(train, name, file)).convert("L" if model.channels == 1 else "RGB")
            pixels = np.asarray(image, dtype=np.uint8)
            images.append(pixels[None] if model.channels == 1 else pixels.transpose(2, 0, 1))
            labels.append(label)
    return np.stack(images), np.array(labels)


def read_cifar10(folder):
    """Records of one label byte and 3072 pixels, of data_batch_1.bin and, if there, its successors."""
    records = []
    for number in range(1, 6):
        path = os.path.join(folder, f"data_batch_{number}.bin")
        if number == 1 or os.path.exists(path):
            records.append(np.fromfile(path, np.uint8).reshape(-1, 3073))
    records = np.concatenate(records)
    return records[:, 1:].reshape(-1, 3, 32, 32), records[:, 0].astype(np.int64)


def read_data(spec, model):
    kind, _, folder = spec.partition(":")
    if kind == "idx":
        images = read_idx(find_idx(folder, "train-images-idx3-ubyte"))[:, None]
        labels = read_idx(find_idx(folder, "train-labels-idx1-ubyte"))
    elif kind == "folder":
        images, labels = read_folder(folder, model)
    elif kind == "cifar10":
        images, labels = read_cifar10(folder)
    else:
        raise ValueError(f"data '{spec}': write idx:DIR, folder:DIR or cifar10:DIR")
    expected = (model.channels, model.height, model.width)
    if images.shape[1:] != expected:
        raise ValueError(f"{spec}: images of shape {images.shape[1:]}, the model has {expected}")
    return model.normalise(np.ascontiguousarray(images)), torch.from_numpy(labels.astype(np.int64))


def read_log(path):
    with open(path, encoding="utf-8") as file:
        steps = [line for line in map(json.loads, file) if line.get("event") == "step"]
    if [step["iteration"] for step in steps] != list(range(1, len(steps) + 1)) or not steps:
        raise ValueError(f"{path}: has no line for every step from 1 on: train with --log-every 1")
    return steps


def replay(model, images, labels, steps, momentum, weight_decay):
    """Runs the logged steps; returns the losses and the momentum of each parameter."""
    parameters = dict(model.net.named_parameters())
    velocity = {name: torch.zeros_like(value) for name, value in parameters.items()}
    losses = []
    model.net.train()
    for step in steps:
        gates = [gate == "1" for gate in step["gates"]]
        if len(gates) != len(model.net.units()):
            raise ValueError(f"iteration {step['iteration']}: {len(gates)} gates for {len(model.net.units())} units")
        loss = F.cross_entropy(model.net(images, gates), labels)
        for value in parameters.values():
            value.grad = None
        loss.backward()
        losses.append(loss.item())
        with torch.no_grad():
            for name, value in parameters.items():
                gradient = value.grad if value.grad is not None else torch.zeros_like(value)
                velocity[name].mul_(momentum).add_(gradient + weight_decay * value)
                value.sub_(step["lr"] * velocity[name])
    return losses, velocity


def kind_of(name, rank):
    if name.startswith("fc."):
        return name
    last = name.rsplit(".", 1)[1]
    if rank == 4:
        return "conv weight"
    return "bn " + last if last in ("weight", "bias") else last


def compare_tensors(pairs):
    """pairs: (kind, start, theirs, ours). Returns {kind: (norm of the difference, norm of the change)}."""
    sums = {}
    for kind, start, theirs, ours in pairs:
        difference, change = sums.get(kind, (0.0, 0.0))
        sums[kind] = (difference + float(np.sum((theirs - ours) ** 2)), change + float(np.sum((theirs - start) ** 2)))
    return {kind: (difference ** 0.5, change ** 0.5) for kind, (difference, change) in sums.items()}


def list_pairs(initial, final, net, velocity):
    """Every tensor of the final file beside the replayed one. Statistics that training goes on with come first."""
    for name, value in net.state_dict().items():
        if name.endswith("num_batches_tracked"):
            continue
        theirs = final.get("optimizer.running." + name, final[name]).astype(np.float64)
        yield kind_of(name, value.dim()), initial[name].astype(np.float64), theirs, value.double().numpy()
    for name, value in velocity.items():
        theirs = final["optimizer.momentum." + name].astype(np.float64)
        start = initial.get("optimizer.momentum." + name, np.zeros_like(theirs))
        yield "momentum " + kind_of(name, value.dim()), start, theirs, value.double().numpy()


def report_losses(steps, losses, limit):
    good = True
    print("iteration  gates  logged loss  replayed     difference")
    for step, loss in zip(steps, losses):
        logged = step["loss"] if step["loss"] is not None else float("nan")
        passed = abs(logged - loss) <= limit
        good = good and passed
        print(f"{step['iteration']:9d}  {step['gates']}  {logged:.7f}    {loss:.7f}    {abs(logged - loss):.1e}"
              f"{'' if passed else '  FAILED'}")
    return good


def report_tensors(sums, limit):
    good = True
    print("kind                       change       difference   of the change")
    for kind, (difference, change) in sums.items():
        share = difference / change if change > 0 else (0.0 if difference == 0 else float("inf"))
        passed = share <= limit
        good = good and passed
        print(f"{kind:25s}  {change:.5e}  {difference:.5e}  {100 * share:.4f} %{'' if passed else '  FAILED'}")
    return good


def main():
    parser = argparse.ArgumentParser(description="replays a depthdrop run in PyTorch")
    parser.add_argument("--initial", required=True, metavar="FILE", help="weights of `train --iterations 0`")
    parser.add_argument("--run", required=True, metavar="DIR", help="the run, logged with --log-every 1")
    parser.add_argument("--data", required=True, metavar="SPEC", help="idx:DIR, folder:DIR or cifar10:DIR: one batch")
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float64")
    parser.add_argument("--momentum", type=float, help="default: config.json's")
    parser.add_argument("--weight-decay", type=float, help="default: config.json's")
    parser.add_argument("--loss-limit", type=float, default=5e-4, help="largest difference of a loss (5e-4)")
    parser.add_argument("--tensor-limit", type=float, default=0.08, help="largest difference by change (0.08)")
    options = parser.parse_args()
    try:
        model = Model(options.initial, getattr(torch, options.dtype))
        images, labels = read_data(options.data, model)
        steps = read_log(os.path.join(options.run, "log.jsonl"))
        with open(os.path.join(options.run, "config.json"), encoding="utf-8") as file:
            config = json.load(file)
        momentum = config["momentum"] if options.momentum is None else options.momentum
        weight_decay = config["weight_decay"] if options.weight_decay is None else options.weight_decay
        if config["batch"] != len(labels):
            raise ValueError(f"{options.data} has {len(labels)} images, the run's batches {config['batch']}: they must "
                             "be equal")
        final, _ = read_safetensors(os.path.join(options.run, "last.safetensors"))
        losses, velocity = replay(model, images, labels, steps, momentum, weight_decay)
        sums = compare_tensors(list_pairs(model.tensors, final, model.net, velocity))
    except (OSError, ValueError, KeyError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else error
        print(f"replay.py: {what}", file=sys.stderr)
        return 3
    print(f"{model.meta['net']}, shortcut {model.meta['shortcut']}, {len(labels)} images, {len(steps)} steps, momentum "
          f"{momentum:g}, weight decay {weight_decay:g}, {options.dtype}")
    good = report_losses(steps, losses, options.loss_limit)
    good = report_tensors(sums, options.tensor_limit) and good
    print("equal within the limits" if good else "DIFFERENT")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
