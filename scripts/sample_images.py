#!/usr/bin/env python3
"""Writes a few test images of Fashion-MNIST as PNG files named after their class, for `depthdrop predict`.

For the built-in data set `shapes` it draws a disc and a bar instead, since that set has no files.
Python's standard library alone.
"""
import argparse
import gzip
import os
import struct
import zlib

FASHION_MNIST = "/usr/share/datasets/fashion-mnist"
CLASSES = ["t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle-boot"]


def write_png(path, width, height, channels, pixels):
    """pixels: [height][width][channels] bytes; channels 1 (grey) or 3 (RGB)."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    row = width * channels
    raw = b"".join(b"\0" + pixels[y * row:(y + 1) * row] for y in range(height))
    head = struct.pack(">IIBBBBB", width, height, 8, 0 if channels == 1 else 2, 0, 0, 0)
    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(raw)))
        file.write(chunk(b"IEND", b""))


def read_idx(path, magic):
    """The body of an idx file, gzip'd or not, with its dimensions."""
    if os.path.exists(path + ".gz"):
        with gzip.open(path + ".gz", "rb") as file:
            data = file.read()
    else:
        with open(path, "rb") as file:
            data = file.read()
    if struct.unpack(">I", data[:4])[0] != magic:
        raise ValueError(f"{path} is no idx file of this kind")
    dimensions = magic & 255
    sizes = struct.unpack(f">{dimensions}I", data[4:4 + 4 * dimensions])
    return data[4 + 4 * dimensions:], sizes


def sample_fashion_mnist(output, count):
    pixels, (_, height, width) = read_idx(FASHION_MNIST + "/t10k-images-idx3-ubyte", 0x803)
    labels, _ = read_idx(FASHION_MNIST + "/t10k-labels-idx1-ubyte", 0x801)
    size = height * width
    for i in range(count):
        name = os.path.join(output, f"{i:02d}-{CLASSES[labels[i]]}.png")
        write_png(name, width, height, 1, pixels[i * size:(i + 1) * size])


def draw_shapes(output):
    size = 32
    disc = bytearray(3 * size * size)
    bar = bytearray(3 * size * size)
    for y in range(size):
        for x in range(size):
            at = 3 * (y * size + x)
            if (x - 15.5) ** 2 + (y - 15.5) ** 2 < 100:
                disc[at:at + 3] = bytes((220, 60, 40))
            if 12 <= y < 20:
                bar[at:at + 3] = bytes((60, 200, 80))
    write_png(os.path.join(output, "disc.png"), size, size, 3, bytes(disc))
    write_png(os.path.join(output, "bar.png"), size, size, 3, bytes(bar))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", choices=["fashion-mnist", "shapes"], required=True)
    parser.add_argument("--output", required=True, help="folder, made if missing")
    parser.add_argument("--count", type=int, default=8)
    options = parser.parse_args()
    os.makedirs(options.output, exist_ok=True)
    if options.data == "fashion-mnist":
        sample_fashion_mnist(options.output, options.count)
    else:
        draw_shapes(options.output)


if __name__ == "__main__":
    main()
