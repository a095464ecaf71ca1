#!/usr/bin/env python3
"""Run folders: one run each, one process at a time; stopped and killed runs end with an undisturbed run's bytes."""
import json
import os
import re
import signal
import struct
import time

import support
from support import CliTest, GATED_NET, read_log, sha256

# Long enough to be hit at several moments: 24 steps, an evaluation in between, a checkpoint every 5 steps.
LENGTH = ["--iterations", "24", "--log-every", "1", "--save-every", "5"]


# of config.json: added after the first run folders were written
YOUNGER_KEYS = ["data_from", "gate_warmup", "dropout", "unit_dropout", "init", "init_hash", "no_cache"]


def comparable_log(folder):
    """The log without what depends on speed."""
    return [{key: value for key, value in event.items() if key not in ("images_per_s", "train_s")}
            for event in read_log(folder)]


def count_steps(folder):
    """Whole step lines; the last may be cut short."""
    with open(os.path.join(folder, "log.jsonl"), encoding="utf-8") as file:
        return sum(1 for line in file if line.endswith("}\n") and '"step"' in line)


def undo_recalibration(path):
    """The checkpoint as it was before the evaluation at its iteration: training's own statistics in their place."""
    with open(path, "rb") as file:
        data = file.read()
    start = 8 + struct.unpack("<Q", data[:8])[0]
    header, out, body = json.loads(data[8:start]), {}, b""
    for name, entry in header.items():
        if name == "__metadata__":
            out[name] = entry
        elif not name.startswith("optimizer.running."):
            begin, end = header.get("optimizer.running." + name, entry)["data_offsets"]
            out[name] = {**entry, "data_offsets": [len(body), len(body) + end - begin]}
            body += data[start + begin:start + end]
    text = json.dumps(out, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + body)


class RunFolder(CliTest):
    def test_existing_run(self):
        folder = self.train("run", "--iterations", "1")
        before = {name: sha256(os.path.join(folder, name)) for name in os.listdir(folder)}
        self.run_error("train", *support.SMALL_NET, "--iterations", "1", "--run", folder, expect=2,
                       names=[folder, "--resume"])
        after = {name: sha256(os.path.join(folder, name)) for name in os.listdir(folder)}
        self.assertEqual(before, after)

    def test_finished_run(self):
        folder = self.train("run", "--iterations", "2")
        before = {name: sha256(os.path.join(folder, name)) for name in os.listdir(folder)}
        self.run_program("train", "--resume", folder)
        after = {name: sha256(os.path.join(folder, name)) for name in os.listdir(folder)}
        self.assertEqual(before, after)

    def test_no_run(self):
        self.run_error("train", "--resume", self.path("nowhere"), expect=3, names=["nowhere"])
        os.mkdir(self.path("empty"))
        self.run_error("train", "--resume", self.path("empty"), expect=3, names=["empty"])

    def test_folder_cannot_be_made(self):
        with open(self.path("file"), "wb") as file:
            file.write(b"")
        self.run_error("train", *support.SMALL_NET, "--iterations", "1", "--run", self.path("file"), expect=2,
                       names=["file"])
        self.run_error("train", *support.SMALL_NET, "--iterations", "1", "--run", self.path("file", "run"), expect=3)

    def test_two_processes(self):
        folder = self.path("run")
        first = self.start("train", *support.SMALL_NET, "--iterations", "100000", "--log-every", "1", "--eval-every",
                           "0", "--save-every", "1", "--run", folder)
        try:
            self.assertTrue(self.wait_for_log(first, folder, 2), first.communicate if first.poll() else "")
            self.run_error("train", "--resume", folder, expect=2, names=[folder])
            self.run_error("train", *support.SMALL_NET, "--iterations", "1", "--run", folder, expect=2, names=[folder])
        finally:
            _, err = self.interrupt(first)
        self.assertEqual(first.returncode, 130, err)
        self.assertIn(f"resume with: depthdrop train --resume {folder}", err)

    def test_longer_run(self):
        folder = self.train("run", "--iterations", "2", "--lr-drops", "none")
        self.run_program("train", "--resume", folder, "--iterations", "4", "--log-every", "1")
        straight = self.train("straight", "--iterations", "4", "--lr-drops", "none")
        self.assertEqual(sha256(os.path.join(folder, "last.safetensors")),
                         sha256(os.path.join(straight, "last.safetensors")))
        steps = [event["iteration"] for event in read_log(folder) if event["event"] == "step"]
        self.assertEqual(steps, [1, 2, 3, 4])

    def test_own_device(self):
        """A run keeps the device that it began on; --device alone, or that one's absence, gives it another."""
        two = support.environment(POCL_DEVICES="pthread basic")
        listed = json.loads(self.run_program("devices", "--json", env=two)[0])
        default = next((device["name"] for device in listed["devices"] if device["default"]), None)
        others = [device for device in listed["devices"] if device["usable"] and device["name"] != default and
                  device["platform_name"] == "Portable Computing Language"]
        if default is None or not others:
            self.skipTest("PoCL offers no device beside the default one")
        own = others[0]

        def resume(iterations, *arguments, **variables):
            err = self.run_program("train", "--resume", folder, "--iterations", str(iterations), *arguments,
                                   env={**two, **variables})[1]
            with open(os.path.join(folder, "config.json"), encoding="utf-8") as file:
                return json.load(file)["device_name"], "THE DEVICE DIFFERS" in err

        folder = self.train("run", "--iterations", "1", "--device", str(own["index"]), env=two)
        self.assertEqual(resume(2), (own["name"], False))
        self.assertEqual(resume(3, DEPTHDROP_DEVICE=default), (own["name"], False))
        self.assertEqual(resume(4, "--device", default), (default, True))
        path = os.path.join(folder, "config.json")
        with open(path, encoding="utf-8") as file:
            config = json.load(file)
        with open(path, "w", encoding="utf-8") as file:
            json.dump({**config, "device_name": "one that was sold"}, file)
        self.assertEqual(resume(5, DEPTHDROP_DEVICE=own["name"]), (own["name"], True))

    def test_gate_warmup(self):
        """A run that stops midway in the warm-up goes on in it: the gates follow from the iteration alone."""
        warm = ["--gate-warmup", "6", "--lr-drops", "none", "--log-every", "1"]
        straight = self.train("straight", *warm, "--iterations", "8", net=GATED_NET)
        folder = self.train("run", *warm, "--iterations", "3", net=GATED_NET)
        self.run_program("train", "--resume", folder, "--iterations", "8")
        self.assertEqual(sha256(os.path.join(folder, "last.safetensors")),
                         sha256(os.path.join(straight, "last.safetensors")))
        gates = [[event["gates"] for event in read_log(f) if event["event"] == "step"] for f in (folder, straight)]
        self.assertEqual(gates[0], gates[1])
        cold = self.train("cold", *warm[2:], "--iterations", "8", net=GATED_NET)
        full = [event["gates"] for event in read_log(cold) if event["event"] == "step"]
        self.assertEqual(gates[0][5:], full[5:])
        self.assertLess(sum(g.count("0") for g in gates[0][:5]), sum(g.count("0") for g in full[:5]))

    def test_width_dropout(self):
        """A resumed run draws the masks that the straight one drew; they matter, and only in training."""
        drop = ["--dropout", "0.5", "--unit-dropout", "0.25", "--lr-drops", "none", "--log-every", "1"]
        straight = self.train("straight", *drop, "--iterations", "6", net=GATED_NET)
        folder = self.train("run", *drop, "--iterations", "3", net=GATED_NET)
        self.run_program("train", "--resume", folder, "--iterations", "6")
        self.assertEqual(sha256(os.path.join(folder, "last.safetensors")),
                         sha256(os.path.join(straight, "last.safetensors")))
        plain = self.train("plain", *drop[4:], "--iterations", "6", net=GATED_NET)
        losses = [[event["loss"] for event in read_log(f) if event["event"] == "step"] for f in (straight, plain)]
        self.assertTrue(all(a != b for a, b in zip(*losses)), losses)
        model = os.path.join(folder, "last.safetensors")
        results = [self.run_program("eval", "--model", model, "--data", "shapes", "--json")[0] for _ in range(2)]
        self.assertEqual(results[0], results[1])
        with open(os.path.join(folder, "config.json"), encoding="utf-8") as file:
            config = json.load(file)
        self.assertEqual((config["dropout"], config["unit_dropout"]), (0.5, 0.25))

    def test_config_of_an_older_version(self):
        """Keys that are younger than the format may be absent."""
        folder = self.train("run", "--iterations", "1")
        path = os.path.join(folder, "config.json")
        with open(path, encoding="utf-8") as file:
            config = json.load(file)
        for key in YOUNGER_KEYS:
            self.assertIn(key, config)
            del config[key]
        with open(path, "w", encoding="utf-8") as file:
            json.dump(config, file)
        self.run_program("train", "--resume", folder, "--iterations", "2")
        del config["gate"]
        with open(path, "w", encoding="utf-8") as file:
            json.dump(config, file)
        self.run_error("train", "--resume", folder, "--iterations", "3", expect=3, names=["config.json", "gate"])

    def test_damaged_config(self):
        folder = self.train("run", "--iterations", "1")
        with open(os.path.join(folder, "config.json"), "r+b") as file:
            file.truncate(100)
        self.run_error("train", "--resume", folder, "--iterations", "2", expect=3, names=["config.json"])

    def test_edited_config(self):
        """Values that no option would be allowed to have are refused, whoever wrote them."""
        folder = self.train("run", "--iterations", "1")
        path = os.path.join(folder, "config.json")
        with open(path, encoding="utf-8") as file:
            config = json.load(file)
        edits = [("batch", 0, "--batch"), ("batch", -128, "--batch"), ("chosen_vector", 3, "chosen_vector"),
                 ("eval_every", 1e300, "--eval-every"), ("dropout", 1.5, "--dropout"), ("threads", -1, "--threads"),
                 ("no_cache", 2, "--no-cache"),
                 ("epochs", 1 << 62, "--epochs"), ("iterations_per_epoch", 1 << 62, "iterations_per_epoch"),
                 ("algorithm", "magic", "magic"), ("vector", "7", "7"), ("lr_drops", "5,3", "must rise"),
                 ("lr_drops", "soon", "soon"), ("lr_drops", "", "list of iterations"), ("iterations", -1, "iterations"),
                 ("iterations_per_epoch", 0, "iterations_per_epoch"), ("net", "resnet9", "resnet9"),
                 ("shortcut", "none", "none"), ("gate", "uniform:2", "uniform:2"), ("data", "photos", "photos"),
                 ("image_size", "huge", "image size"), ("val_split", 1 << 20, "--val-split"),
                 ("batch", 1 << 20, "batch")]
        for key, value, names in edits:
            with open(path, "w", encoding="utf-8") as file:
                json.dump({**config, key: value}, file)
            with self.subTest(key=key, value=value):
                self.run_error("train", "--resume", folder, *([] if key == "iterations" else ["--iterations", "2"]),
                               expect=3, names=["config.json", names])
        with open(path, "w", encoding="utf-8") as file:
            json.dump(config, file)
        self.run_error("train", "--resume", folder, "--epochs", str(1 << 62), expect=2, names=["--epochs"])
        self.run_error("train", "--resume", folder, "--log-every", "0", expect=2, names=["--log-every"])
        self.run_program("train", "--resume", folder, "--iterations", "2")

    def test_edited_algorithms(self):
        """An algorithm that cannot compute its convolution is refused: Winograd's kernels know 3x3 alone."""
        folder = self.train("run", "--iterations", "1", net=GATED_NET)
        path = os.path.join(folder, "config.json")
        with open(path, encoding="utf-8") as file:
            config = json.load(file)
        name = next(name for name in config["algorithms"] if "downsample" in name)
        config["algorithms"][name]["forward"] = "winograd"
        with open(path, "w", encoding="utf-8") as file:
            json.dump(config, file)
        self.run_error("train", "--resume", folder, "--iterations", "2", expect=3,
                       names=["config.json", "winograd", name])

    def test_val_folder_beside_val_split(self):
        """The folder's own val images are then called test: one name would mean two sets."""
        from support import write_png
        for split in ("train", "val"):
            for label in range(2):
                os.makedirs(self.path(f"data/{split}/{label}"))
                for number in range(8):
                    write_png(self.path(f"data/{split}/{label}/{number}.png"), 12, 12, 3, 99 * label + number)
        folder = self.train("run", "--iterations", "2", "--val-split", "4",
                            net=["--data", "folder:" + self.path("data"), "--net", "resnet8", "--batch", "4"])
        evaluations = [(event["split"], event["images"]) for event in read_log(folder) if event["event"] == "eval"]
        self.assertEqual(sorted(set(evaluations)), [("test", 16), ("val", 4)])

    def test_diverged(self):
        """A rate that config.json holds is changed by a new run alone."""
        folder = self.train("run", "--iterations", "1")
        path = os.path.join(folder, "config.json")
        with open(path, encoding="utf-8") as file:
            config = json.load(file)
        with open(path, "w", encoding="utf-8") as file:
            json.dump({**config, "lr": 1e38}, file)
        self.run_error("train", "--resume", folder, "--iterations", "9", expect=7, names=["--lr", "new run (--run)"])

    def write_photos(self, *parts):
        for split in ("train", "test"):
            for number, name in enumerate(("ant", "bee")):
                os.makedirs(self.path(*parts, split, name))
                for i in range(8):
                    support.write_png(self.path(*parts, split, name, f"{i}.png"), 12, 12, 3, 50 * number + i)

    def test_relative_data(self):
        """A relative path starts from where the run began, or from the current folder if the data were moved."""
        self.write_photos("begun", "photos")
        os.mkdir(self.path("other"))
        folder = self.train("run", "--iterations", "1", cwd=self.path("begun"),
                            net=["--data", "folder:photos", "--net", "resnet8", "--batch", "4"])

        def resume(place, iterations, **options):
            return self.run_program("train", "--resume", folder, "--iterations", str(iterations), cwd=self.path(place),
                                    **options)[1]

        def data():
            with open(os.path.join(folder, "config.json"), encoding="utf-8") as file:
                config = json.load(file)
            return config["data"], config["data_from"]

        resume("other", 2)
        self.assertEqual(data(), ("folder:photos", os.path.realpath(self.path("begun"))))
        os.makedirs(self.path("other", "photos", "train"))  # another set of that name
        resume("other", 3)
        os.rename(self.path("begun", "photos"), self.path("photos"))
        os.rmdir(self.path("other", "photos", "train"))
        os.rmdir(self.path("other", "photos"))
        err = resume("other", 4, expect=3)
        for word in ("config.json", "photos", os.path.realpath(self.path("begun"))):
            self.assertIn(word, err)
        resume(".", 4)
        self.assertEqual(data(), ("folder:photos", os.path.realpath(self.folder)))
        resume("other", 5)

    def test_relative_data_of_an_older_version(self):
        """Without a word on where the run began, the current folder is the only one to look from."""
        self.write_photos("begun", "photos")
        folder = self.train("run", "--iterations", "1", cwd=self.path("begun"),
                            net=["--data", "folder:photos", "--net", "resnet8", "--batch", "4"])
        path = os.path.join(folder, "config.json")
        with open(path, encoding="utf-8") as file:
            config = json.load(file)
        del config["data_from"]
        with open(path, "w", encoding="utf-8") as file:
            json.dump(config, file)
        self.run_error("train", "--resume", folder, "--iterations", "2", cwd=self.folder, expect=3,
                       names=["config.json", "folder:photos", "where the run began"])
        self.run_program("train", "--resume", folder, "--iterations", "2", cwd=self.path("begun"))
        self.run_program("train", "--resume", folder, "--iterations", "3", cwd=self.folder)

    def test_no_cache(self):
        """A run that keeps no decoded images goes on so; one that would can be kept from it."""
        self.write_photos("photos")
        net = ["--data", "folder:" + self.path("photos"), "--net", "resnet8", "--batch", "4"]
        cache = self.path("cache")

        def kept():
            return [name for _, _, names in os.walk(cache) for name in names if name.endswith(".images")]

        folder = self.train("without", "--iterations", "1", "--no-cache", "--cache-dir", cache, net=net)
        self.run_program("train", "--resume", folder, "--iterations", "2", "--cache-dir", cache)
        self.assertEqual(kept(), [])
        folder = self.train("with", "--iterations", "1", net=net)
        self.run_program("train", "--resume", folder, "--iterations", "2", "--cache-dir", cache, "--no-cache")
        self.assertEqual(kept(), [])
        self.run_program("train", "--resume", folder, "--iterations", "3", "--cache-dir", cache)
        self.assertEqual(len(kept()), 2)

    def test_other_data(self):
        """A checkpoint is continued with the data that it began with."""
        self.write_photos("photos")
        folder = self.train("run", "--iterations", "2",
                            net=["--data", "folder:" + self.path("photos"), "--net", "resnet8", "--batch", "4"])
        support.write_png(self.path("photos", "train", "ant", "3.png"), 12, 12, 3, 255)
        self.run_error("train", "--resume", folder, "--iterations", "4", expect=3, names=["photos"])


class Disturbed(CliTest):
    def finish(self, folder):
        self.run_program("train", "--resume", folder)

    def compare(self, folder, undisturbed):
        for name in ("last.safetensors", "best.safetensors"):
            self.assertEqual(sha256(os.path.join(folder, name)), sha256(os.path.join(undisturbed, name)), name)
        self.assertEqual(comparable_log(folder), comparable_log(undisturbed))

    def test_signals_and_kills(self):
        undisturbed = self.train("undisturbed", *LENGTH, "--bn-recalibrate", "2", net=GATED_NET)
        for number, moments in ((signal.SIGINT, (1, 9, 17)), (signal.SIGTERM, (6,)), (signal.SIGKILL, (2, 7, 12, 23))):
            with self.subTest(signal=number.name):
                folder = self.path(number.name)
                command = ["train", *GATED_NET, *LENGTH, "--bn-recalibrate", "2", "--run", folder]
                for moment in moments:
                    process = self.start(*command)
                    if self.wait_for_log(process, folder, moment):
                        _, err = self.interrupt(process, number)
                    else:
                        _, err = process.communicate()
                    if process.returncode == 0:
                        break  # it was finished before the signal came
                    if number == signal.SIGKILL:
                        self.assertEqual(process.returncode, -9, err)
                    else:
                        self.assertEqual(process.returncode, 130, err)
                        self.assertIn(f"resume with: depthdrop train --resume {folder}", err)
                    command = ["train", "--resume", folder]
                self.finish(folder)
                self.compare(folder, undisturbed)

    def test_time_of_a_stopped_run(self):
        """A stop between two lines of the log loses no training time, and leaves no line that others do not have."""
        command = ["train", *GATED_NET, "--iterations", "150", "--log-every", "1000"]
        undisturbed, folder = self.path("undisturbed"), self.path("run")
        self.run_program(*command, "--run", undisturbed)
        process = self.start(*command, "--run", folder)
        self.assertTrue(self.wait_for_log(process, folder, 1))
        time.sleep(0.3)
        _, err = self.interrupt(process)
        reached = re.search(r"interrupted after iteration (\d+) of 150", err)
        if reached and 1 < int(reached[1]) < 150:  # else the signal came at once or too late
            first, stopped = read_log(folder)
            self.assertEqual(stopped["iteration"], int(reached[1]))
            self.assertGreater(stopped["train_s"], first["train_s"])
            process = self.start("train", "--resume", folder)
            time.sleep(0.1)
            self.interrupt(process, signal.SIGKILL)
            self.assertEqual(read_log(folder)[:2], [first, stopped])  # until the next line takes its place
            self.finish(folder)
            self.assertGreater(read_log(folder)[1]["train_s"], stopped["train_s"])
        self.compare(folder, undisturbed)

    def test_damaged_log(self):
        """A line that cannot be read costs those behind it only where it is the last, torn by a crash."""
        folder = self.train("run", "--iterations", "4", "--log-every", "1")
        path = os.path.join(folder, "log.jsonl")
        with open(path, encoding="utf-8") as file:
            lines = file.readlines()
        for damage in ("oops\n", "\n", "{\"event\":\"step\"}\n"):
            damaged = "".join(lines[:1] + [damage] + lines[2:])
            with open(path, "w", encoding="utf-8") as file:
                file.write(damaged)
            self.run_error("train", "--resume", folder, "--iterations", "6", expect=3, names=["log.jsonl", "line 2"])
            with open(path, encoding="utf-8") as file:
                self.assertEqual(file.read(), damaged)
        with open(path, "w", encoding="utf-8") as file:
            file.write("".join(lines) + lines[0][:20])
        self.run_program("train", "--resume", folder, "--iterations", "5")
        with open(path, encoding="utf-8") as file:
            self.assertEqual(file.readlines()[:len(lines)], lines)
        os.remove(path)
        _, err = self.run_program("train", "--resume", folder, "--iterations", "6")
        self.assertIn("log.jsonl is missing or empty", err)

    def test_second_signal(self):
        """A second Ctrl-C quits at once and leaves whole files."""
        folder = self.path("run")
        process = self.start("train", *support.SMALL_NET, "--iterations", "100000", "--log-every", "1", "--eval-every",
                             "0", "--save-every", "1", "--run", folder)
        self.assertTrue(self.wait_for_log(process, folder, 3))
        process.send_signal(signal.SIGINT)
        _, err = self.interrupt(process)
        self.assertEqual(process.returncode, 130, err)
        self.run_program("info", "--model", os.path.join(folder, "last.safetensors"))
        self.run_program("train", "--resume", folder, "--iterations", str(2 + count_steps(folder)))

    def test_signal_while_kernels_are_built(self):
        """A driver's compiler with signal handlers of its own (LLVM's) does not turn Ctrl-C into a failure to build."""
        self.run_program("train", *support.SMALL_NET, "--iterations", "1", "--run", self.path("warm"))
        for number, delay in ((signal.SIGINT, 0.5), (signal.SIGTERM, 1.5)):
            folder = self.path(f"run{delay}")
            process = self.start("train", *support.SMALL_NET, "--iterations", "100000", "--run", folder,
                                 env=support.environment(POCL_CACHE_DIR=self.path(f"kernels{delay}")))
            for line in process.stderr:
                if "device:" in line:  # what follows is the building
                    break
            time.sleep(delay)
            _, err = self.interrupt(process, number)
            self.assertEqual(process.returncode, 130, err)
            self.assertIn("interrupted", err)

    def test_signal_before_the_first_step(self):
        """Nothing is written, and no folder is offered for a resumption."""
        folder = self.path("run")
        process = self.start("train", *support.SMALL_NET, "--run", folder)
        while "shapes:" not in process.stderr.readline():
            self.assertIsNone(process.poll())
        _, err = self.interrupt(process)
        self.assertEqual(process.returncode, 130, err)
        if not os.path.exists(folder):
            self.assertIn("nothing was written", err)
            self.assertNotIn("resume with", err)

    def test_shorter_than_its_checkpoint(self):
        folder = self.train("run", "--iterations", "2")
        self.run_error("train", "--resume", folder, "--iterations", "1", expect=2, names=["iteration 2"])

    def test_other_network(self):
        """A checkpoint that config.json does not describe is refused by the name of what differs."""
        folder = self.train("run", "--iterations", "2")
        with open(os.path.join(folder, "config.json"), encoding="utf-8") as file:
            config = file.read()
        for key, value, other, word in (("net", "resnet8", "resnet14", "network"),
                                        ("shortcut", "identity", "projection", "shortcut"),
                                        ("gate", "none", "uniform:0.5", "gate")):
            with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as file:
                file.write(config.replace(f'"{key}": "{value}"', f'"{key}": "{other}"'))
            self.run_error("train", "--resume", folder, "--iterations", "4", expect=3, names=[word, value, other])

    def test_kill_after_the_last_evaluation(self):
        """Killed between the last evaluation's log line and the last checkpoint, a run ends as if undisturbed."""
        folder = self.train("run", "--iterations", "4", "--bn-recalibrate", "2", net=GATED_NET)
        names = ("last.safetensors", "best.safetensors")
        before = [sha256(os.path.join(folder, name)) for name in names] + comparable_log(folder)
        undo_recalibration(os.path.join(folder, "last.safetensors"))
        self.assertNotEqual(sha256(os.path.join(folder, "last.safetensors")), before[0])
        self.run_program("train", "--resume", folder)
        self.assertEqual([sha256(os.path.join(folder, name)) for name in names] + comparable_log(folder), before)

    def test_kill_before_the_first_checkpoint(self):
        """Killed as soon as its folder exists, a run can go on; its files are never half written."""
        for delay in (0, 0.05, 0.2):
            folder = self.path(f"run{delay}")
            process = self.start("train", *support.SMALL_NET, "--iterations", "3", "--run", folder)
            end = time.monotonic() + 120
            while not os.path.exists(os.path.join(folder, "config.json")) and process.poll() is None:
                self.assertLess(time.monotonic(), end)
                time.sleep(0.002)
            time.sleep(delay)
            self.interrupt(process, signal.SIGKILL)
            self.finish(folder)
            steps = [event["iteration"] for event in read_log(folder) if event["event"] == "step"]
            self.assertEqual(steps, [1, 3], f"{delay}")


if __name__ == "__main__":
    support.main()
