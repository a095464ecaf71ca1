#!/usr/bin/env python3
"""Full disks, damaged model files and diverging runs: nothing good is lost, and the message names what is wrong."""
import json
import os
import resource
import shutil
import struct
import subprocess

import support
from support import CliTest, environment, read_log, sha256


class FullDisk(CliTest):
    def check_after(self, folder, kept, straight):
        """The old checkpoint is whole, and the run can be finished once there is room."""
        self.assertEqual(sha256(os.path.join(folder, "last.safetensors")), kept)
        self.run_program("train", "--resume", folder, "--iterations", "6")
        self.assertEqual(sha256(os.path.join(folder, "last.safetensors")),
                         sha256(os.path.join(straight, "last.safetensors")))
        leftovers = [name for name in os.listdir(folder) if name.endswith((".tmp", ".new", ".part"))]
        self.assertEqual(leftovers, [])

    def test_file_size_limit(self):
        net = ["--data", "shapes", "--net", "resnet20", "--shortcut", "conv", "--batch", "8"]
        folder = self.train("run", "--iterations", "3", "--lr-drops", "none", net=net)
        straight = self.train("straight", "--iterations", "6", "--lr-drops", "none", net=net)
        kept = sha256(os.path.join(folder, "last.safetensors"))
        # far above what the driver's compiler writes, which gives up by ending the process
        size = os.path.getsize(os.path.join(folder, "last.safetensors")) - 4096

        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

        err = self.run_error("train", "--resume", folder, "--iterations", "6", expect=3, preexec_fn=limit)
        self.assertIn("safetensors", err)
        self.check_after(folder, kept, straight)

    def test_small_disk(self):
        disk = self.path("disk")
        os.mkdir(disk)
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", disk], capture_output=True)
        if mounted.returncode != 0:
            self.skipTest("cannot mount a small disk here")
        self.addCleanup(subprocess.run, ["umount", "-l", disk])
        folder = os.path.join(disk, "run")
        self.run_program("train", *support.SMALL_NET, "--iterations", "3", "--lr-drops", "none", "--run", folder)
        straight = self.train("straight", "--iterations", "6", "--lr-drops", "none")
        kept = sha256(os.path.join(folder, "last.safetensors"))
        filler = os.path.join(disk, "filler")
        with open(filler, "wb", buffering=0) as file:
            try:
                while file.write(bytes(4096)) > 0:
                    pass
            except OSError:
                pass
        self.run_error("train", "--resume", folder, "--iterations", "6", expect=3, names=[disk])
        self.assertEqual(sha256(os.path.join(folder, "last.safetensors")), kept)
        os.remove(filler)
        self.check_after(folder, kept, straight)


class DamagedModel(CliTest):
    def setUp(self):
        super().setUp()
        self.run_folder = self.train("run", "--iterations", "1")
        with open(os.path.join(self.run_folder, "last.safetensors"), "rb") as file:
            self.data = file.read()
        self.header_size = struct.unpack("<Q", self.data[:8])[0]

    def damaged(self, data, word="damaged.safetensors"):
        path = self.path("damaged.safetensors")
        with open(path, "wb") as file:
            file.write(data)
        self.run_error("info", "--model", path, expect=3, names=[word])
        self.run_error("eval", "--model", path, "--data", "shapes", expect=3, names=[word])
        self.run_error("predict", "--model", path, "x.png", expect=3, names=[word])

    def with_header(self, change):
        """The file with its header's JSON changed."""
        header = json.loads(self.data[8:8 + self.header_size])
        change(header)
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        return struct.pack("<Q", len(text)) + text + self.data[8 + self.header_size:]

    def test_lengths(self):
        self.damaged(b"")
        self.damaged(self.data[:7])
        self.damaged(self.data[:8 + self.header_size // 2])
        self.damaged(self.data[:-1])
        self.damaged(self.data[:-4096])
        self.damaged(self.data + b"\0")

    def test_header(self):
        self.damaged(struct.pack("<Q", 1 << 60) + self.data[8:])
        self.damaged(struct.pack("<Q", 0) + self.data[8:])
        self.damaged(self.data[:8] + b"[" + self.data[9:])
        self.damaged(b"PK\3\4" + bytes(500))
        self.damaged(self.with_header(lambda header: header.pop("__metadata__")))

    def test_tensors(self):
        def shorter(header):
            header["fc.bias"]["data_offsets"][1] -= 4

        def other_shape(header):
            header["conv1.weight"]["shape"] = [3, 16, 3, 3]

        def other_type(header):
            header["conv1.weight"]["dtype"] = "F16"

        for change in (shorter, other_shape, other_type):
            self.damaged(self.with_header(change))
        renamed = lambda header: header.update({"fc.bios": header.pop("fc.bias")})
        path = self.path("renamed.safetensors")
        with open(path, "wb") as file:
            file.write(self.with_header(renamed))
        self.run_error("eval", "--model", path, "--data", "shapes", expect=3, names=["fc.bi"])

    def test_metadata(self):
        for key, value in (("net", "resnet14"), ("net", "resnet9"), ("image", "3,x,1"), ("classes", "cat"),
                           ("shortcut", "conv"), ("format_version", "99")):
            path = self.path("metadata.safetensors")
            with open(path, "wb") as file:
                file.write(self.with_header(lambda header: header["__metadata__"].update({key: value})))
            self.run_error("eval", "--model", path, "--data", "shapes", expect=3, names=["metadata.safetensors"])

    def test_resume(self):
        path = os.path.join(self.run_folder, "last.safetensors")
        with open(path, "r+b") as file:
            file.truncate(len(self.data) - 100)
        self.run_error("train", "--resume", self.run_folder, "--iterations", "2", expect=3, names=["last.safetensors"])

    def test_missing(self):
        for command in (["info"], ["eval", "--data", "shapes"]):
            self.run_error(*command, "--model", self.path("nowhere.safetensors"), expect=3,
                           names=["nowhere.safetensors"])
        self.run_error("info", "--model", self.folder, expect=3)

    def test_wrong_data(self):
        """The classes of a model and of the data must be the same."""
        from support import write_png
        os.makedirs(self.path("photos", "test", "no such class"))
        write_png(self.path("photos", "test", "no such class", "a.png"), 32, 32, 3, None)
        self.run_error("eval", "--model", os.path.join(self.run_folder, "last.safetensors"), "--data",
                       "folder:" + self.path("photos"), expect=3, names=["no such class"])


class Diverging(CliTest):
    def test_diverging(self):
        folder = self.path("run")
        err = self.run_error("train", *support.SMALL_NET, "--iterations", "40", "--lr", "1e30", "--log-every", "1",
                             "--save-every", "1", "--run", folder, expect=7)
        self.assertRegex(err, r"iteration \d+")
        info = json.loads(self.run_program("info", "--model", os.path.join(folder, "last.safetensors"), "--json")[0])
        finite = [event["iteration"] for event in read_log(folder)
                  if event["event"] == "step" and event["loss"] is not None]
        self.assertLessEqual(info["iteration"], max(finite, default=0))
        shutil.copy(os.path.join(folder, "last.safetensors"), self.path("kept.safetensors"))
        self.run_error("train", "--resume", folder, expect=7)  # bits are the same, so it diverges again
        self.assertEqual(sha256(os.path.join(folder, "last.safetensors")), sha256(self.path("kept.safetensors")))


class Memory(CliTest):
    def test_too_large(self):
        err = self.run_error("train", "--data", "shapes", "--net", "resnet1202", "--batch", "2000", "--run",
                             self.path("run"), expect=5)
        self.assertRegex(err, r"[KMG]i?B|bytes")
        self.assertRegex(err, r"batch")
        self.assertFalse(os.path.exists(self.path("run", "config.json")))


class OutputClosed(CliTest):
    def test_full_output(self):
        if not os.path.exists("/dev/full"):
            self.skipTest("no /dev/full")
        with open("/dev/full", "w", encoding="utf-8") as full:
            done = subprocess.run([support.PROGRAM, "info", "--net", "resnet8"], stdout=full, stderr=subprocess.PIPE,
                                  text=True, env=environment())
        self.assertEqual(done.returncode, 1)
        self.assertIn("standard output", done.stderr)


if __name__ == "__main__":
    support.main()
