#!/usr/bin/env python3
"""train --init: weights from our own files and from files of others under torchvision's names."""
import json
import os
import random
import struct

import support
from support import CliTest, SMALL_NET, sha256


def read_tensors(path):
    """{name: (dtype, shape, bytes)} of a safetensors file."""
    with open(path, "rb") as file:
        data = file.read()
    start = 8 + struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:start])
    header.pop("__metadata__", None)
    return {name: (entry["dtype"], entry["shape"], data[start + entry["data_offsets"][0]:
                                                        start + entry["data_offsets"][1]])
            for name, entry in header.items()}


def write_tensors(path, tensors):
    """The same the other way round, header not padded: as other writers may do."""
    header, body = {"__metadata__": {"format": "pt"}}, b""
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + body)


def floats(shape, low=-0.1, high=0.1):
    count = 1
    for size in shape:
        count *= size
    return "F32", list(shape), struct.pack(f"<{count}f", *(random.uniform(low, high) for _ in range(count)))


def torchvision_resnet8(classes, channels):
    """What torchvision's ResNet class would give its state_dict for three stages of one basic block."""
    tensors = {}

    def conv_bn(conv, bn, out, inner, kernel):
        tensors[conv + ".weight"] = floats((out, inner, kernel, kernel))
        for part in ("weight", "bias", "running_mean"):
            tensors[f"{bn}.{part}"] = floats((out,))
        tensors[bn + ".running_var"] = floats((out,), 0.5, 2)
        tensors[bn + ".num_batches_tracked"] = ("I64", [], struct.pack("<q", 7))

    conv_bn("conv1", "bn1", 16, channels, 3)
    for stage, width in enumerate((16, 32, 64), 1):
        before = max(16, width // 2)
        conv_bn(f"layer{stage}.0.conv1", f"layer{stage}.0.bn1", width, before, 3)
        conv_bn(f"layer{stage}.0.conv2", f"layer{stage}.0.bn2", width, width, 3)
        if stage > 1:
            conv_bn(f"layer{stage}.0.downsample.0", f"layer{stage}.0.downsample.1", width, before, 1)
    tensors["fc.weight"] = floats((classes, 64))
    tensors["fc.bias"] = floats((classes,))
    return tensors


class Init(CliTest):
    def weights(self, folder):
        return {name: tensor for name, tensor in read_tensors(os.path.join(folder, "last.safetensors")).items()
                if not name.startswith(("optimizer.", "input."))}

    def start_run(self, name, *arguments, net=SMALL_NET):
        """A run of no iterations: (its folder, its messages)."""
        folder = self.path(name)
        _, err = self.run_program("train", *net, "--iterations", "0", *arguments, "--run", folder)
        return folder, err

    def test_own_file(self):
        first = self.train("first", "--iterations", "3")
        second, err = self.start_run("second", "--seed", "2", "--init", os.path.join(first, "last.safetensors"))
        self.assertEqual(self.weights(second), self.weights(first))
        count = len(self.weights(first))
        self.assertIn(f"{count} of the network's {count} tensors\n", err)
        momentum = [data for name, (_, _, data) in read_tensors(os.path.join(second, "last.safetensors")).items()
                    if name.startswith("optimizer.momentum.")]
        self.assertTrue(momentum)
        self.assertFalse(any(any(data) for data in momentum), "momentum does not start at 0")
        info = json.loads(self.run_program("info", "--model", os.path.join(second, "last.safetensors"), "--json")[0])
        self.assertEqual(info["iteration"], 0)
        # it trains from there: the loss of the first step is not that of fresh weights
        trained = self.train("trained", "--iterations", "1", "--init", os.path.join(first, "last.safetensors"))
        fresh = self.train("fresh", "--iterations", "1")
        self.assertNotEqual(self.weights(trained), self.weights(fresh))

    def test_other_shortcuts(self):
        """A conv net from an identity model: its shortcuts begin as they would without the file."""
        first = self.train("first", "--iterations", "2")
        net = [*SMALL_NET, "--shortcut", "conv"]
        plain, _ = self.start_run("plain", net=net)
        mixed, err = self.start_run("mixed", "--init", os.path.join(first, "last.safetensors"), net=net)
        old, fresh, new = self.weights(first), self.weights(plain), self.weights(mixed)
        for name, tensor in new.items():
            self.assertEqual(tensor, old[name] if name in old else fresh[name], name)
        line = [text for text in err.split("\n") if "weights from" in text]
        self.assertEqual(len(line), 1, err)
        self.assertIn(f"{len(old)} of the network's {len(new)} tensors; {len(new) - len(old)} keep their initial "
                      "values: layer1.0.downsample.0.weight, ", line[0])
        self.assertTrue(line[0].endswith(", ..."), line[0])
        # the other way round the file has more than the network
        _, err = self.start_run("back", "--init", os.path.join(mixed, "last.safetensors"))
        self.assertIn(f"{len(old)} of the network's {len(old)} tensors; {len(new) - len(old)} of the file have no "
                      "place in the network: ", err)

    def test_torchvision_names(self):
        random.seed(5)
        plain, _ = self.start_run("plain", net=[*SMALL_NET, "--shortcut", "projection"])
        fresh = self.weights(plain)
        classes, channels = fresh["fc.weight"][1][0], fresh["conv1.weight"][1][1]
        for name, theirs in (("same", classes), ("other", classes + 3)):
            tensors = torchvision_resnet8(theirs, channels)
            tensors["extra.flag"] = ("BOOL", [1], b"\1")  # floats behind it are not aligned
            tensors["avgpool.note"] = floats((3,))
            write_tensors(self.path(name + ".safetensors"), tensors)
            run, err = self.start_run(name, "--init", self.path(name + ".safetensors"),
                                      net=[*SMALL_NET, "--shortcut", "projection"])
            new = self.weights(run)
            for key, tensor in new.items():
                kept = name == "other" and key.startswith("fc.")
                self.assertEqual(tensor, fresh[key] if kept else tensors[key], f"{name}: {key}")
            self.assertIn("2 of the file have no place in the network: extra.flag, avgpool.note", err)
            self.assertNotIn("num_batches_tracked", err)
            if name == "other":
                self.assertIn("2 keep their initial values: fc.weight, fc.bias", err)

    def test_run_goes_on_without_the_file(self):
        first = self.train("first", "--iterations", "2")
        model = self.path("model.safetensors")
        os.rename(os.path.join(first, "last.safetensors"), model)
        long = ["--lr-drops", "none", "--init", model]
        straight = self.train("straight", *long, "--iterations", "4")
        run = self.train("run", *long, "--iterations", "2")
        with open(os.path.join(run, "config.json"), encoding="utf-8") as file:
            config = json.load(file)
        self.assertEqual(config["init"], model)
        self.assertRegex(config["init_hash"], "^[0-9a-f]{16}$")
        os.remove(model)
        self.run_program("train", "--resume", run, "--iterations", "4")
        self.assertEqual(sha256(os.path.join(run, "last.safetensors")),
                         sha256(os.path.join(straight, "last.safetensors")))

    def refused(self, path, *names, net=SMALL_NET):
        self.run_error("train", *net, "--iterations", "0", "--init", path, "--run", self.path("never"), expect=3,
                       names=names)
        self.assertFalse(os.path.exists(self.path("never")), "a refused file has left a run folder behind")

    def test_refusals(self):
        first, _ = self.start_run("first")
        model, bad = os.path.join(first, "last.safetensors"), self.path("bad.safetensors")
        self.refused(self.path("nowhere.safetensors"), "--init", "nowhere.safetensors")
        tensors = read_tensors(model)
        shape = "x".join(str(size) for size in tensors["conv1.weight"][1])

        write_tensors(bad, {**tensors, "conv1.weight": floats((64, 3, 7, 7))})
        self.refused(bad, "conv1.weight", "64x3x7x7", shape)
        write_tensors(bad, {**tensors, "bn1.bias": floats((4, 4))})
        self.refused(bad, "bn1.bias", "4x4", "16")
        for dtype, size in (("BF16", 2), ("F16", 2), ("I32", 4)):
            write_tensors(bad, {**tensors, "bn1.bias": (dtype, [16], bytes(16 * size))})
            self.refused(bad, "bn1.bias", dtype, "F32")
        write_tensors(bad, {**tensors, "bn1.bias": ("F32", [16], struct.pack("<f", float("nan")) * 16)})
        self.refused(bad, "bn1.bias", "not finite")
        write_tensors(bad, {"weight": floats((3, 3))})
        self.refused(bad, "none of the tensors", "conv1.weight")
        with open(model, "rb") as file:
            data = file.read()
        with open(bad, "wb") as file:
            file.write(data[:-1])
        self.refused(bad, "cut off")


if __name__ == "__main__":
    support.main()
