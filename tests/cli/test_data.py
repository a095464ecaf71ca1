#!/usr/bin/env python3
"""Bad and missing data: exit code 3 and a sentence that names it. Good data of every form."""
import gzip
import json
import os
import struct

import support
from support import CliTest, write_png


class BadData(CliTest):
    def bad(self, spec, names=(), arguments=()):
        return self.run_error("train", "--data", spec, "--net", "resnet8", "--batch", "2", "--run", self.path("run"),
                              *arguments, expect=3, names=names)

    def test_missing(self):
        for form in ("cifar10", "cifar100", "folder", "idx", "fashion-mnist"):
            self.bad(f"{form}:{self.path('nowhere')}", names=[self.path("nowhere")])
        os.mkdir(self.path("empty"))
        for form in ("cifar10", "cifar100", "folder", "idx"):
            self.bad(f"{form}:{self.path('empty')}", names=[self.path("empty")])
        self.assertFalse(os.path.exists(self.path("run", "config.json")))

    def write_cifar(self, records=20):
        os.makedirs(self.path("cifar"), exist_ok=True)
        record = bytes([3]) + bytes(range(256)) * 12
        for name in [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]:
            with open(self.path("cifar", name), "wb") as file:
                file.write(record * records)
        return "cifar10:" + self.path("cifar")

    def test_cifar(self):
        spec = self.write_cifar()
        with open(self.path("cifar", "data_batch_3.bin"), "r+b") as file:
            file.truncate(3073 * 4 + 100)
        self.bad(spec, names=["data_batch_3.bin"])
        spec = self.write_cifar()
        with open(self.path("cifar", "data_batch_2.bin"), "r+b") as file:
            file.seek(3073 * 7)
            file.write(bytes([11]))
        self.bad(spec, names=["data_batch_2.bin", "11"])

    def write_idx(self, folder, pixels=None, labels=None, compress=True):
        os.makedirs(folder, exist_ok=True)
        for kind, count in (("train", 12), ("t10k", 6)):
            images = pixels or struct.pack(">IIII", 0x803, count, 10, 12) + bytes(i % 251 for i in range(120 * count))
            names = labels or struct.pack(">II", 0x801, count) + bytes(i % 3 for i in range(count))
            for name, data in ((f"{kind}-images-idx3-ubyte", images), (f"{kind}-labels-idx1-ubyte", names)):
                if compress:
                    with gzip.open(os.path.join(folder, name + ".gz"), "wb") as file:
                        file.write(data)
                else:
                    with open(os.path.join(folder, name), "wb") as file:
                        file.write(data)
        return "idx:" + folder

    def test_idx(self):
        self.bad(self.write_idx(self.path("a"), pixels=b"\x1f\x8bnothing", compress=False), names=["idx3-ubyte"])
        self.bad(self.write_idx(self.path("b"), pixels=struct.pack(">IIII", 0x803, 12, 10, 12) + bytes(50)),
                 names=["idx3-ubyte"])
        self.bad(self.write_idx(self.path("c"), labels=struct.pack(">II", 0x801, 7) + bytes(7)), names=["idx1-ubyte"])
        self.bad(self.write_idx(self.path("d"), pixels=struct.pack(">IIII", 0x802, 12, 10, 12)), names=["idx3-ubyte"])
        with open(self.path("a", "train-images-idx3-ubyte"), "wb") as file:
            file.write(b"")
        self.bad("idx:" + self.path("a"), names=["train-images"])

    def test_idx_good(self):
        for compress in (True, False):
            spec = self.write_idx(self.path(f"good{compress}"), compress=compress)
            self.run_program("train", "--data", spec, "--net", "resnet8", "--batch", "4", "--iterations", "0", "--run",
                             self.path(f"run{compress}"))
        configs = []
        for compress in (True, False):
            with open(self.path(f"run{compress}", "config.json"), encoding="utf-8") as file:
                configs.append(json.load(file))
        self.assertEqual(configs[0]["train_hash"], configs[1]["train_hash"])
        self.assertEqual(configs[0]["image"], "1,10,12")

    def test_batch_above_data(self):
        spec = self.write_idx(self.path("idx"))
        self.run_error("train", "--data", spec, "--net", "resnet8", "--batch", "13", "--run", self.path("run"),
                       expect=3, names=["13", "12"])

    def write_folder(self, count=6, classes=("ant", "bee")):
        root = self.path("photos")
        for split in ("train", "test"):
            for number, name in enumerate(classes):
                os.makedirs(os.path.join(root, split, name), exist_ok=True)
                for i in range(count):
                    write_png(os.path.join(root, split, name, f"{i:03d}.png"), 12, 10, 3, 40 * number + i)
        return root

    def test_folder(self):
        root = self.write_folder()
        for i in range(3):
            with open(os.path.join(root, "train", "ant", f"{i:03d}.png"), "wb") as file:
                file.write(b"this is no picture")
        self.bad("folder:" + root, names=["photos"])  # a quarter is broken: too many
        os.rename(os.path.join(root, "train"), os.path.join(root, "elsewhere"))
        self.bad("folder:" + root, names=["train"])

    def test_folder_few_broken(self):
        root = self.write_folder(count=120)
        broken = os.path.join(root, "train", "bee", "007.png")
        with open(broken, "r+b") as file:
            file.truncate(60)
        _, err = self.run_program("train", "--data", "folder:" + root, "--net", "resnet8", "--batch", "4",
                                  "--iterations", "0", "--run", self.path("run"))
        self.assertIn("007.png", err)
        with open(self.path("run", "config.json"), encoding="utf-8") as file:
            self.assertEqual(json.load(file)["train_images"], 239)

    def test_one_class(self):
        self.bad("folder:" + self.write_folder(classes=("ant",)))


if __name__ == "__main__":
    support.main()
