#!/usr/bin/python3
"""Logits of images by a depthdrop model, computed in PyTorch.

    logits.py --model runs/x/last.safetensors a.png b.png

prints a JSON line per image with the keys file, class and logits of `depthdrop predict --json`; the logits agree to
float32 rounding (about 1e-4 of their size). Images must have the model's size: scaling is not repeated here. PNG is
decoded alike everywhere; JPEG decoders differ by a grey level or two, and the logits accordingly.
"""
import argparse
import json
import sys

import numpy as np
import torch
from PIL import Image

from model import Model


def read_image(path, model):
    image = Image.open(path).convert("L" if model.channels == 1 else "RGB")
    if image.size != (model.width, model.height):
        raise ValueError(f"{path}: {image.size[0]}x{image.size[1]} pixels, the model's images have "
                         f"{model.width}x{model.height}")
    pixels = np.asarray(image, dtype=np.uint8)
    return pixels[None, None] if model.channels == 1 else np.ascontiguousarray(pixels.transpose(2, 0, 1))[None]


def main():
    parser = argparse.ArgumentParser(description="logits of a depthdrop model, computed in PyTorch")
    parser.add_argument("--model", required=True, metavar="FILE")
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float64")
    parser.add_argument("images", nargs="+", metavar="IMAGE")
    options = parser.parse_args()
    try:
        model = Model(options.model, getattr(torch, options.dtype))
        model.net.eval()
        for path in options.images:
            with torch.no_grad():
                logits = model.net(model.normalise(read_image(path, model)))[0].tolist()
            best = max(range(len(logits)), key=logits.__getitem__)
            print(json.dumps({"file": path, "class": model.classes[best],
                              "logits": [float(f"{value:.9g}") for value in logits]}))
    except (OSError, ValueError, KeyError) as error:
        print(f"logits.py: {error}", file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
