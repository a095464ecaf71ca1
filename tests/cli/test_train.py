#!/usr/bin/env python3
"""train, eval, predict and info on a small network: files, JSON keys and what they must agree on."""
import fcntl
import json
import math
import os
import re
import struct
import subprocess
import tempfile
import termios

import support
from support import CliTest, GATED_NET, environment, read_log, sha256, write_png

STEP_KEYS = ["event", "iteration", "epoch", "loss", "lr", "gates", "units_run", "images_per_s", "train_s"]


class Train(CliTest):
    def test_a_run(self):
        folder = self.train("run", "--iterations", "6", "--log-every", "1", "--bn-recalibrate", "2", net=GATED_NET)
        self.assertEqual(set(os.listdir(folder)) & {"config.json", "log.jsonl", "last.safetensors", "best.safetensors"},
                         {"config.json", "log.jsonl", "last.safetensors", "best.safetensors"})
        log = read_log(folder)
        steps = [event for event in log if event["event"] == "step"]
        evals = [event for event in log if event["event"] == "eval"]
        self.assertEqual([event["iteration"] for event in steps], [1, 2, 3, 4, 5, 6])
        for step in steps:
            self.assertEqual(list(step), STEP_KEYS)
            self.assertEqual(len(step["gates"]), 6)
            self.assertEqual(step["units_run"], step["gates"].count("1"))
            for unit in (0, 2, 4):  # the first units of the stages are not gated
                self.assertEqual(step["gates"][unit], "1")
            self.assertTrue(0 < step["loss"] < 100)
            self.assertEqual(step["epoch"], 1)
        self.assertTrue(any("0" in step["gates"] for step in steps))
        self.assertEqual([step["lr"] for step in steps], [0.1] * 3 + [0.01] + [0.001] * 2)  # drops after 3 and 4
        self.assertEqual(evals[-1]["iteration"], 6)
        self.assertEqual(evals[-1]["split"], "test")
        self.assertEqual(evals[-1]["statistics"], "recalibrated")
        self.assertTrue(0 <= evals[-1]["error"] <= 1)
        self.assertNotEqual(evals[-1]["loss_running"], evals[-1]["loss"])
        self.check_eval(folder, evals[-1])
        self.check_info(folder)
        self.check_predict(folder)

    def check_eval(self, folder, logged):
        model = os.path.join(folder, "last.safetensors")
        out, _ = self.run_program("eval", "--model", model, "--data", "shapes", "--json")
        result = json.loads(out)
        self.assertEqual(list(result), ["model", "data", "split", "images", "error", "error_top5", "loss", "classes"])
        self.assertEqual(result["model"], model)
        self.assertEqual(result["images"], logged["images"])
        self.assertAlmostEqual(result["error"], logged["error"], places=8)
        self.assertAlmostEqual(result["loss"], logged["loss"], delta=1e-5 * max(1, logged["loss"]))
        self.assertEqual(sum(row["images"] for row in result["classes"]), result["images"])
        wrong = sum(row["images"] * (row["error"] or 0) for row in result["classes"])
        self.assertAlmostEqual(wrong / result["images"], result["error"], places=6)
        self.assertLessEqual(result["error_top5"], result["error"])
        out, _ = self.run_program("eval", "--model", model, "--data", "shapes")
        for row in result["classes"]:
            self.assertIn(row["class"], out)

    def check_info(self, folder):
        info = json.loads(self.run_program("info", "--model", os.path.join(folder, "last.safetensors"), "--json")[0])
        self.assertEqual(list(info), ["model", "net", "shortcut", "gate", "image", "classes", "iteration", "tensors",
                                      "bytes", "optimizer"])
        self.assertEqual((info["net"], info["shortcut"], info["gate"], info["iteration"]),
                         ("resnet14", "conv", "uniform:0.5", 6))
        self.assertIs(info["optimizer"], True)
        self.classes = info["classes"]
        self.image = [int(part) for part in info["image"].split(",")]
        self.assertIn("resnet14", self.run_program("info", "--model", os.path.join(folder, "last.safetensors"))[0])

    def check_predict(self, folder):
        model = os.path.join(folder, "best.safetensors")
        channels, height, width = self.image
        good, other, bad = self.path("good one.png"), self.path("other.png"), self.path("bad.png")
        write_png(good, width, height, channels, None)
        write_png(other, 2 * width + 3, height, 4 - channels, 200)  # another size, another number of channels
        with open(bad, "wb") as file:
            file.write(b"\x89PNG\r\n\x1a\nbroken")
        out, err = self.run_program("predict", "--model", model, "--json", good, bad, other, expect=3)
        self.assertIn("bad.png", err)
        lines = [json.loads(line) for line in out.splitlines()]
        self.assertEqual([line["file"] for line in lines], [good, other])
        for line in lines:
            self.assertEqual(list(line), ["file", "class", "probability", "top", "logits"])
            self.assertEqual(len(line["logits"]), len(self.classes))
            best = max(range(len(self.classes)), key=lambda label: line["logits"][label])
            self.assertEqual(line["class"], self.classes[best])
            self.assertEqual(line["top"][0], {"class": line["class"], "probability": line["probability"]})
            self.assertLessEqual(len(line["top"]), 5)
            total = sum(math.exp(logit - line["logits"][best]) for logit in line["logits"])
            self.assertAlmostEqual(line["probability"], 1 / total, places=5)
        out, err = self.run_program("predict", "--model", model, good)
        self.assertTrue(out.startswith(good + ": " + lines[0]["class"]), out)
        self.run_error("predict", "--model", model, self.path("nowhere.png"), expect=3, names=["nowhere.png"])
        single = json.loads(self.run_program("predict", "--model", model, "--json", "--batch", "1", other)[0])
        for one, many in zip(single["logits"], lines[1]["logits"]):
            self.assertAlmostEqual(one, many, delta=1e-4 * max(1, abs(many)))

    def test_same_seed_same_bits(self):
        runs = [self.train(name, "--iterations", "4", "--seed", seed, net=GATED_NET)
                for name, seed in (("a", "7"), ("b", "7"), ("c", "8"))]
        hashes = [sha256(os.path.join(run, "last.safetensors")) for run in runs]
        self.assertEqual(hashes[0], hashes[1])
        self.assertNotEqual(hashes[0], hashes[2])

    def test_iterations_0(self):
        folder = self.train("run", "--iterations", "0")
        self.assertTrue(os.path.exists(os.path.join(folder, "config.json")))
        info = json.loads(self.run_program("info", "--model", os.path.join(folder, "last.safetensors"), "--json")[0])
        self.assertEqual(info["iteration"], 0)
        self.run_program("train", "--resume", folder)

    def test_dry_run(self):
        before, results = os.listdir(self.folder), set()
        for target in ([], ["--run", self.path("run")], ["--run", self.path("deep", "run"), "--quiet"]):
            out, err = self.run_program("train", *GATED_NET, *target, "--dry-run")
            for word in ("parameters", "FLOP", "units", "MiB"):
                self.assertIn(word, out)
            results.add(out)
        self.assertEqual((len(results), err), (1, ""))
        self.assertEqual(os.listdir(self.folder), before)
        self.run_error("train", "--data", "shapes", "--net", "resnet9", "--dry-run", expect=2)

    def test_dry_run_of_a_folder(self):
        """What keeps the run's folder from being made is told by a dry run as by the run, before data or a device."""
        kept = self.train("kept", "--iterations", "0")
        with open(self.path("file"), "wb"):
            pass
        os.symlink(self.path("nowhere"), self.path("link"))
        os.mkdir(self.path("locked"), 0o500)
        cases = [(kept, 2), (self.path("file"), 2), (self.path("file", "run"), 3),
                 (self.path("file", "deep", "run"), 3), (self.path("link", "run"), 3), (self.path("r" * 300), 3)]
        if os.geteuid() != 0:  # whom permissions do not stop
            cases += [(self.path("locked"), 3), (self.path("locked", "deep", "run"), 3)]
        before = sorted(os.listdir(self.folder))
        for folder, code in cases:
            with self.subTest(folder=folder):
                command = ["train", *support.SMALL_NET, "--run", folder]
                dry = self.run_error(*command, "--dry-run", expect=code, names=[folder])
                self.assertEqual(self.run_error(*command, expect=code), dry)
                self.run_error(*command, "--dry-run", "--quiet", expect=code, names=[folder],
                               env=environment(OCL_ICD_VENDORS="/nonexistent"))
        self.assertEqual(sorted(os.listdir(self.folder)), before)

    def test_output(self):
        run = self.path("run")
        out, err = self.run_program("train", *support.SMALL_NET, "--iterations", "4", "--log-every", "2", "--run", run)
        self.assertEqual(out, "")
        for iteration in (1, 2, 4):
            self.assertRegex(err, rf"(?m)^iteration {iteration}/4 .*loss [0-9.]+.*ETA ")
        self.assertRegex(err, r"(?m)^iteration 4: test error [0-9.]+ % \(loss [0-9.]+\), best$")
        self.assertNotIn("\033", err)
        out, err = self.run_program("train", *support.SMALL_NET, "--iterations", "2", "--quiet", "--run",
                                    self.path("b"))
        self.assertEqual((out, err), ("", ""))

    def test_val_split(self):
        folder = self.train("run", "--iterations", "4", "--val-split", "32")
        splits = {event["split"] for event in read_log(folder) if event["event"] == "eval"}
        self.assertIn("val", splits)

    def test_options_in_config(self):
        folder = self.train("run", "--iterations", "3", "--lr", "0.05", "--momentum=0.5", "--weight-decay", "0.001",
                            "--lr-drops", "none", "--lr-warmup", "2", "--seed", "18446744073709551615", "--augment",
                            "none", "--log-every", "1")
        with open(os.path.join(folder, "config.json"), encoding="utf-8") as file:
            config = json.load(file)
        for key, value in {"data": "shapes", "net": "resnet8", "batch": 16, "iterations": 3, "lr": 0.05,
                           "momentum": 0.5, "weight_decay": 0.001, "lr_drops": "none", "lr_warmup": 2,
                           "augment": "none"}.items():
            self.assertEqual(config[key], value, key)
        self.assertEqual(config["seed"] % 2 ** 64, 2 ** 64 - 1)
        self.assertEqual([event["lr"] for event in read_log(folder) if event["event"] == "step"], [0.025, 0.05, 0.05])


class Terminal(CliTest):
    def on_terminal(self, columns, **changes):
        """The bytes that a short training writes to a terminal so wide."""
        try:
            master, slave = os.openpty()
        except OSError as error:  # a container without /dev/pts
            self.skipTest(f"no pseudo-terminal: {error}")
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        folder = tempfile.mkdtemp(dir=self.folder)
        env = environment(TERM="xterm", **changes)
        if "NO_COLOR" not in changes:
            env.pop("NO_COLOR", None)
        process = subprocess.Popen([support.PROGRAM, "train", *support.SMALL_NET, "--iterations", "8", "--run", folder],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=slave, env=env)
        os.close(slave)
        received = b""
        while True:
            try:
                data = os.read(master, 65536)
            except OSError:  # the terminal is closed
                break
            if not data:
                break
            received += data
        os.close(master)
        self.assertEqual(process.wait(240), 0, received)
        return received.decode()

    def test_line_fits(self):
        for columns in (120, 60, 30):
            text = self.on_terminal(columns)
            drawn = [line.split("\033[K")[0] for line in re.findall(r"\riteration[^\r]*\033\[K", text)]
            self.assertTrue(drawn, text)
            for line in drawn:
                self.assertLess(len(line.lstrip("\r")), columns, line)
            if columns == 120:
                self.assertRegex(drawn[-1], r"iteration 8/8 .*loss .*train error .*images/s .*units .*ETA 0:00:00")
            self.assertIn("\033[1mbest", text)

    def test_no_color(self):
        self.assertNotIn("\033[1m", self.on_terminal(80, NO_COLOR="1"))


if __name__ == "__main__":
    support.main()
