#!/usr/bin/env python3
"""bench/paper/run: runs, stops, goes on, and does nothing when all is done; the presets beside it are sound."""
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time

import support
from support import CliTest, environment

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PAPER = os.path.join(ROOT, "bench/paper")
RUN = os.path.join(PAPER, "run")
REPORT_FAILS = 0 if shutil.which("gnuplot") else 1
PRESET = """\
# a comment
bench: --iterations 1 --warmup 0 --algorithm direct
* --batch 8 --iterations 30 --log-every 1 --save-every 5 --eval-every 0 --algorithm direct
p0   --net resnet14  # the baseline
p50  --net resnet14 --shortcut conv --gate uniform:0.5 --bn-recalibrate 1
lost --net resnet8 --lr 1e30
"""


class Paper(CliTest):
    def preset(self, text):
        with open(self.path("preset.txt"), "w", encoding="utf-8") as file:
            file.write(text)
        return self.path("preset.txt")

    def command(self, preset, *arguments, data="shapes"):
        return [sys.executable, RUN, preset, "--data", data, "--output", self.path("out"), "--program",
                support.PROGRAM, *arguments]

    def call(self, preset, *arguments, expect=0, **options):
        done = subprocess.run(self.command(preset, *arguments, **options), capture_output=True, text=True, timeout=300,
                              env=environment())
        self.assertEqual(done.returncode, expect, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
        return done.stdout, done.stderr

    def stamps(self):
        return {path: os.stat(path).st_mtime_ns for folder, _, names in os.walk(self.path("out"))
                for path in (os.path.join(folder, name) for name in names)}

    def interrupted(self, preset):
        """Starts, and stops with Ctrl-C in the middle of the second run."""
        process = subprocess.Popen(self.command(preset, "--quiet"), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   text=True, env=environment(), start_new_session=True)
        end = time.monotonic() + 240
        while support.count_log_lines(self.path("out", "p50")) < 3 and process.poll() is None:
            self.assertLess(time.monotonic(), end, "the second run does not begin")
            time.sleep(0.005)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        out, err = process.communicate(timeout=240)
        return process.returncode, out, err

    def test_stop_and_go_on(self):
        preset = self.preset(PRESET)
        code, out, err = self.interrupted(preset)
        self.assertEqual(code, 130, out + err)
        self.assertIn("[1/3] p0: begins", out)
        self.assertIn("[2/3] p50: begins; about", out)
        self.assertIn("the same command goes on", out)
        self.assertIn("stopping after this step", err)
        self.assertNotIn("once more to quit at once\ndepthdrop: stopping", err)
        self.assertFalse(os.path.exists(self.path("out", "lost")))
        reached = support.read_log(self.path("out", "p50"))[-1]["iteration"]

        out, err = self.call(preset, expect=REPORT_FAILS)
        self.assertIn("[1/3] p0: finished already", out)
        if reached < 30:
            self.assertIn("[2/3] p50: goes on", out)
        self.assertIn("lost diverged: that is its result", out)
        self.assertIn("3 runs: 2 finished, 1 diverged", out)
        steps = [event["iteration"] for event in support.read_log(self.path("out", "p50")) if event["event"] == "step"]
        self.assertEqual(steps, list(range(1, 31)))
        with open(self.path("out", "bench-resnet14.json"), encoding="utf-8") as file:
            bench = json.load(file)
        self.assertEqual((bench["net"], bench["shortcut"], bench["batch"], bench["iterations"]),
                         ("resnet14", "conv", 8, 1))
        with open(self.path("out", "report", "report.json"), encoding="utf-8") as file:
            report = json.load(file)
        self.assertEqual([os.path.basename(run["folder"]) for run in report["runs"]], ["p0", "p50", "lost"])
        self.assertIsNotNone(next(group["saving"] for group in report["groups"] if group["gate"] == "uniform:0.5"))

        before = self.stamps()
        out, _ = self.call(preset, expect=REPORT_FAILS)
        self.assertIn("[3/3] lost: diverged already", out)
        self.assertIn("bench-resnet14.json: there already", out)
        if REPORT_FAILS == 0:
            self.assertEqual(self.stamps(), before)

    def test_failure(self):
        """A run that fails is told and makes the exit code, the others go on."""
        short = "--net resnet8 --batch 8 --iterations 2"
        out, err = self.call(self.preset(f"bad {short} --gate often\ngood {short}\n"), "--no-bench", expect=1)
        self.assertIn("bad failed with exit code 2", out)
        self.assertIn("failed: bad", out)
        self.assertIn("2 runs: 1 finished, 1 new", out)
        self.assertIn("unknown gate policy 'often'", err)

    def test_only_and_changes(self):
        short = "--net resnet8 --batch 8 --iterations 2"
        preset = self.preset(f"a1 {short}\na2 {short} --seed 2\nb {short} --seed 3\n")
        self.call(preset, "--only", "a*", expect=REPORT_FAILS)
        self.assertEqual(sorted(set(os.listdir(self.path("out"))) - {"report"}), ["a1", "a2"])
        _, err = self.call(preset, "--only", "c*", expect=2)
        self.assertIn("fits none of: a1, a2, b", err)
        _, err = self.call(self.preset(f"a1 {short} --lr 0.2\n"), expect=2)
        self.assertIn("made with --lr 0.1", err)
        _, err = self.call(preset, data="fashion-mnist", expect=2)
        self.assertIn("made with --data shapes", err)

    def test_option_less(self):
        """An option that is gone from the line changes the run as much as one with another value."""
        short = "--net resnet14 --batch 8 --iterations 2"
        options = ("--seed 2", "--lr 0.2", "--shortcut conv --gate uniform:0.5", "--no-cache")
        for number, option in enumerate(options):
            name = f"a{number}"
            full = f"{name} {short} {option}"
            os.makedirs(self.path("out", name))
            with open(self.path("out", name, "preset-line.txt"), "w", encoding="utf-8") as file:
                file.write(full.split(" ", 1)[1] + "\n")
            with open(self.path("out", name, "config.json"), "w", encoding="utf-8") as file:
                json.dump({"data": "shapes", "net": "resnet14", "iterations": 2, "image": "3,32,32", "no_cache": 1},
                          file)
            self.call(self.preset(full + "\n"), "--dry-run")
            self.call(self.preset(full.replace("0.2", "0.20") + "\n"), "--dry-run")
            _, err = self.call(self.preset(full.replace(" " + option, "") + "\n"), "--dry-run", expect=2)
            self.assertIn("and now it should be its default", err)
            shutil.rmtree(self.path("out", name))

    def test_relative_data(self):
        """A relative folder is the run's own wherever the sweep goes on, not one of that name in another place."""
        line = "--net resnet8 --batch 8 --iterations 2"
        os.makedirs(self.path("out", "a"))
        with open(self.path("out", "a", "preset-line.txt"), "w", encoding="utf-8") as file:
            file.write(line + "\n")
        with open(self.path("out", "a", "config.json"), "w", encoding="utf-8") as file:
            json.dump({"data": "folder:photos", "data_from": self.path("begun"), "net": "resnet8", "iterations": 2,
                       "image": "3,32,32"}, file)
        preset = self.preset("a " + line + "\n")
        self.call(preset, "--dry-run", data="folder:" + self.path("begun", "photos"))
        _, err = self.call(preset, "--dry-run", data="folder:photos", expect=2)
        self.assertIn("was made with --data folder:photos", err)

    def test_line_is_kept(self):
        """train and its --resume leave the line in the folder alone."""
        text = "a --net resnet8 --batch 8 --iterations 2 --seed 2\n"
        self.call(self.preset(text), "--no-bench", expect=REPORT_FAILS)
        with open(self.path("out", "a", "preset-line.txt"), encoding="utf-8") as file:
            self.assertEqual(file.read(), text[2:])
        self.run_program("train", "--resume", self.path("out", "a"), "--iterations", "3", "--quiet")
        self.assertTrue(os.path.exists(self.path("out", "a", "preset-line.txt")))
        _, err = self.call(self.preset(text.replace(" --iterations 2", "").replace(" --seed 2", "")), expect=2)
        self.assertIn("now it should be its default", err)

    def test_stop_in_benchmark(self):
        """Ctrl-C leaves no half of a benchmark's file."""
        preset = self.preset("bench: --iterations 100000 --warmup 0 --algorithm direct\n"
                             "a --net resnet14 --shortcut conv --gate uniform:0.5 --batch 8 --iterations 1\n")
        process = subprocess.Popen(self.command(preset, "--quiet"), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   text=True, env=environment(), start_new_session=True)
        end = time.monotonic() + 240
        while not os.path.exists(self.path("out", "bench-resnet14.json.tmp")) and process.poll() is None:
            self.assertLess(time.monotonic(), end, "the benchmark does not begin")
            time.sleep(0.005)
        time.sleep(0.5)
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=240)
        self.assertEqual(process.returncode, 130, out + err)
        self.assertEqual(os.listdir(self.path("out")), ["a"])

    def test_dry_run(self):
        out, _ = self.call(self.preset(PRESET), "--dry-run")
        self.assertFalse(os.path.exists(self.path("out")))
        self.assertIn(f"--data shapes --batch 8 --iterations 30", out)
        self.assertIn("bench gates --net resnet14 --shortcut conv --batch 8 --iterations 1", out)

    def test_bad_presets(self):
        for text, word in (("", "no runs"), ("a --net resnet8\na --net resnet8\n", "line 2"), ("a --run x\n", "--run"),
                           ("* --batch 8\na --seed 1\n", "line 2"), ("a --net\n", "line 1"),
                           ("--net resnet8\n", "line 1"), ("a/b --net resnet8\n", "a/b"), ("a 'b\n", "line 1")):
            _, err = self.call(self.preset(text), expect=2)
            self.assertIn(word, err)
        _, err = self.call("long", expect=2)
        self.assertIn("choose full, short, smoke", err)

    def test_our_presets(self):
        """Every line of the presets is one that train takes."""
        seen = set()
        for scale, count in (("smoke", 4), ("short", 22), ("full", 8)):
            out, _ = self.call(scale, "--dry-run", "--no-bench")
            lines = [line for line in out.splitlines() if line.startswith("[")]
            self.assertEqual(len(lines), count, scale)
            for line in lines:
                words = shlex.split(line.split(": ", 1)[1])
                options = words[words.index("--data") + 2:words.index("--run")]
                gated = "--gate" in options
                self.assertEqual(gated, "--bn-recalibrate" in options, line)
                if " ".join(options) in seen:
                    continue
                seen.add(" ".join(options))
                self.run_program("train", "--data", "shapes", *options, "--run", self.path("run"), "--dry-run")

    def test_linear_ratio(self):
        """short compares linear:P with uniform:0.5 at the same mean ratio."""
        with open(os.path.join(PAPER, "short.txt"), encoding="utf-8") as file:
            policy, = set(re.findall(r"linear:[0-9.]+", file.read()))
        out, _ = self.run_program("info", "--net", "resnet20", "--gate", policy, "--json")
        info = json.loads(out)
        self.assertAlmostEqual(info["units"] - info["units_run_expected"], 0.5 * info["gated_units"], 4)


if __name__ == "__main__":
    support.main()
