#!/usr/bin/python3
"""Writes an idx data set of exactly N images, so that every training step sees all of them.

    one_batch.py --count 128 --output /tmp/one [--source /usr/share/datasets/fashion-mnist] [--first 0]

takes images first .. first + N - 1 of the source's training set, as training and as test images; train on it by
`depthdrop train --data idx:/tmp/one --batch 128 --augment none`, then compare with replay.py.
"""
import argparse
import gzip
import os
import struct
import sys

import numpy as np


def read_idx(path):
    """An idx file of bytes, compressed or not."""
    opener = gzip.open if path.endswith(".gz") else open
    with opener(path, "rb") as file:
        data = file.read()
    rank = data[3]
    if data[:3] != b"\0\0\x08":
        raise ValueError(f"{path}: not an idx file of bytes")
    shape = struct.unpack(f">{rank}I", data[4:4 + 4 * rank])
    return np.frombuffer(data, np.uint8, int(np.prod(shape)), 4 + 4 * rank).reshape(shape)


def find_idx(folder, name):
    for candidate in (os.path.join(folder, name), os.path.join(folder, name + ".gz")):
        if os.path.exists(candidate):
            return candidate
    raise ValueError(f"{folder}: has neither {name} nor {name}.gz")


def write_idx(path, array):
    with open(path, "wb") as file:
        file.write(b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape))
        file.write(np.ascontiguousarray(array).tobytes())


def main():
    parser = argparse.ArgumentParser(description="an idx data set of exactly one batch")
    parser.add_argument("--source", default="/usr/share/datasets/fashion-mnist", metavar="DIR")
    parser.add_argument("--count", type=int, default=128, metavar="N")
    parser.add_argument("--first", type=int, default=0, metavar="I")
    parser.add_argument("--output", required=True, metavar="DIR")
    options = parser.parse_args()
    try:
        images = read_idx(find_idx(options.source, "train-images-idx3-ubyte"))
        labels = read_idx(find_idx(options.source, "train-labels-idx1-ubyte"))
        chosen = slice(options.first, options.first + options.count)
        if options.count < 1 or options.first < 0 or chosen.stop > len(images):
            raise ValueError(f"{options.source} has {len(images)} images, {options.count} from {options.first} on "
                             "were asked for")
        os.makedirs(options.output, exist_ok=True)
        for split in ("train", "t10k"):
            write_idx(os.path.join(options.output, f"{split}-images-idx3-ubyte"), images[chosen])
            write_idx(os.path.join(options.output, f"{split}-labels-idx1-ubyte"), labels[chosen])
    except (OSError, ValueError) as error:
        print(f"one_batch.py: {error}", file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
