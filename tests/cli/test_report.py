#!/usr/bin/env python3
"""The report: means, standard errors and relative errors as computed here, files, page, refusals."""
import json
import math
import os
import re
import shutil
import unittest
import xml.etree.ElementTree

import support
from support import CliTest, environment

CONFIG = {
    "format_version": 1, "version": "0.1.0", "data": "cifar10:/data", "image_size": "", "net": "resnet56",
    "shortcut": "identity", "gate": "none", "gate_first": "none", "batch": 128, "iterations": 40, "epochs": -1,
    "recipe": "cifar", "augment": "standard", "lr": 0.1, "momentum": 0.9, "weight_decay": 0.0001,
    "lr_drops": "20,30", "lr_warmup": 0, "seed": 1, "bn_recalibrate": 0, "val_split": 0, "log_every": 20,
    "image": "3,32,32", "classes": 10, "train_hash": "0123456789abcdef", "test_hash": "fedcba9876543210",
    "device_name": "a <device> & more", "device_driver": "1.0",
}
FIGURES = ["error-ratio", "relative-error", "saving", "error-saving", "error-iteration", "error-hours",
           "error-hours-measured", "loss-iteration", "units-run", "statistics"]
IMAGES = 10000
HAS_GNUPLOT = shutil.which("gnuplot") is not None


def figures(mean):
    return {"mean": mean, "median": mean, "min": mean}


def bench_row(shortcut, gate, ratio, forward, backward, theory=None, width=0.0):
    return {"shortcut": shortcut, "gate": gate, "ratio": ratio, "dropout": width, "unit_dropout": width, "forward_ms": figures(forward),
            "backward_ms": figures(backward), "update_ms": figures(1.0), "total_ms": figures(forward + backward + 1.0),
            "theory": theory}


class ReportTest(CliTest):
    def write_run(self, name, errors=(0.5, 0.3), running=None, losses=(2.0, 1.5, 1.0), **changes):
        """A run of 40 iterations, logged at 1, 20 and 40, evaluated at 20 and 40."""
        folder = self.path(name)
        os.mkdir(folder)
        with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as file:
            json.dump({**CONFIG, **changes}, file)
        lines = []
        for iteration, loss in zip((1, 20, 40), losses):
            lines.append({"event": "step", "iteration": iteration, "epoch": 1, "loss": loss, "lr": 0.1,
                          "gates": "1" * 27, "units_run": 21 if lines else 19, "images_per_s": 1280.0,
                          "train_s": iteration * 0.1})
            if iteration >= 20 and len(errors) > iteration // 20 - 1:
                lines.append({"event": "eval", "iteration": iteration, "split": "test",
                              "error": errors[iteration // 20 - 1], "loss": 1.0, "images": IMAGES,
                              "statistics": "running" if running is None else "recalibrated"})
                if running is not None:
                    lines[-1].update(error_running=running, loss_running=2.0)
        with open(os.path.join(folder, "log.jsonl"), "w", encoding="utf-8") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)
        return folder

    def write_bench(self, name="bench.json", **changes):
        rows = [bench_row("identity", "none", 0, 60, 100), bench_row("conv", "uniform:0.5", 0.5, 45, 70, 0.388888889),
                bench_row("conv", "exact:12", 0.5, 44, 70, 0.388888889),
                bench_row("conv", "none", 0, 70, 120, -0.055555556),
                bench_row("conv", "exact:24", 1, 18, 30, 0.833333333),
                bench_row("identity", "none", 0, 80, 130, 0, width=0.5)]
        bench = {"device": "a device", "net": "resnet56", "shortcut": "conv", "batch": 128, "iterations": 10,
                 "units": 27, "gated_units": 24, "rows": rows, "primary_unit_ms": (191 - 49) / 24, **changes}
        with open(self.path(name), "w", encoding="utf-8") as file:
            json.dump(bench, file)
        return self.path(name)

    def report(self, *arguments, name="report", **options):
        """The report's JSON and page; without gnuplot there is the JSON alone."""
        folder = self.path(name)
        self.run_program("report", *arguments, "--output", folder, expect=0 if HAS_GNUPLOT else 1, **options)
        with open(os.path.join(folder, "report.json"), encoding="utf-8") as file:
            return json.load(file)

    def page(self, name="report"):
        with open(self.path(name, "index.html"), encoding="utf-8") as file:
            return file.read()

    def group(self, report, gate, shortcut="conv"):
        found = [group for group in report["groups"] if (group["gate"], group["shortcut"]) == (gate, shortcut)]
        self.assertEqual(len(found), 1, [group["label"] for group in report["groups"]])
        return found[0]

    def figure(self, report, name):
        return next(figure for figure in report["figures"] if figure["name"] == name)

    def line(self, report, name, label):
        lines = [line for line in self.figure(report, name)["lines"] if line["label"].startswith(label)]
        self.assertEqual(len(lines), 1, f"{name}: {label}: {[line['label'] for line in lines]}")
        return lines[0]["points"]

    def sweep(self):
        """Baselines of one seed, gated runs of three."""
        gated = {"shortcut": "conv", "gate": "uniform:0.5", "bn_recalibrate": 40}
        runs = [self.write_run("p0", (0.6, 0.2))]
        runs += [self.write_run(f"p50-{seed}", (0.7, error), running=error + 0.1, seed=seed, **gated)
                 for seed, error in ((1, 0.22), (2, 0.25), (3, 0.28))]
        return runs


class Numbers(ReportTest):
    def test_means(self):
        report = self.report(*self.sweep(), "--bench", self.write_bench())
        base, gated = self.group(report, "none", "identity"), self.group(report, "uniform:0.5")
        base_se = math.sqrt(0.2 * 0.8 / IMAGES)
        self.assertEqual((base["error"]["n"], base["ratio"], base["relative_error"]), (1, 0, 0))
        self.assertIsNone(base["error"]["sd"])
        self.assertAlmostEqual(base["error"]["se"], base_se, 8)
        self.assertEqual((gated["error"]["n"], gated["error"]["min"], gated["error"]["max"]), (3, 0.22, 0.28))
        self.assertEqual(gated["ratio"], 0.5)
        self.assertAlmostEqual(gated["error"]["mean"], 0.25, 8)
        self.assertAlmostEqual(gated["error"]["sd"], 0.03, 8)
        se = 0.03 / math.sqrt(3)
        self.assertAlmostEqual(gated["error"]["se"], se, 8)
        self.assertAlmostEqual(gated["error_running"]["mean"], 0.35, 8)
        self.assertAlmostEqual(gated["train_s"]["mean"], 4.0, 8)
        self.assertAlmostEqual(gated["images_per_s"]["mean"], 1280, 6)
        self.assertAlmostEqual(gated["relative_error"], 0.25, 8)
        self.assertAlmostEqual(gated["relative_error_se"], 1.25 * math.hypot(se / 0.25, base_se / 0.2), 8)
        self.assertEqual(report["groups"][gated["baseline"]]["label"], base["label"])
        self.assertAlmostEqual(gated["saving"], 1 - 116 / 161, 8)
        self.assertFalse(gated["step_modelled"])

    def test_figures(self):
        report = self.report(*self.sweep(), "--bench", self.write_bench())
        self.assertEqual([figure["missing"] for figure in report["figures"]], [None] * (len(FIGURES) + 1))
        point, = self.line(report, "error-ratio", "resnet56, conv, uniform")
        self.assertEqual(point["x"], 0.5)
        self.assertAlmostEqual(point["high"] - point["y"], 0.03 / math.sqrt(3), 8)
        self.assertEqual([p["y"] for p in self.line(report, "error-ratio", "the paper")], [0.085, 0.081, 0.098, 0.113])
        self.assertAlmostEqual(self.line(report, "relative-error", "the paper")[3]["y"], 0.113 / 0.085 - 1, 8)
        point, = self.line(report, "error-saving", "resnet56, conv")
        self.assertAlmostEqual(point["x"], 1 - 116 / 161, 8)
        self.assertAlmostEqual(point["y"], 0.25, 8)
        self.assertEqual([(p["x"], p["y"]) for p in self.line(report, "time-resnet56-conv", "forward")],
                         [(0, 70), (0.5, 45), (1, 18)])
        self.assertAlmostEqual(self.line(report, "time-resnet56-conv", "the paper")[1]["y"], 161 * 139.0 / 168.5, 5)
        self.assertEqual([p["y"] for p in self.line(report, "saving", "resnet56, conv: by operations")],
                         [-0.055555556, 0.388888889, 0.833333333])
        self.assertEqual([p["y"] for p in self.line(report, "saving", "the paper: its theory")], [0.123, 0.346, 0.567])
        curve = self.line(report, "error-iteration", "resnet56, conv")
        self.assertEqual([p["x"] for p in curve], [20, 40])
        self.assertEqual((curve[1]["low"], curve[1]["high"]), (0.22, 0.28))
        self.assertAlmostEqual(self.line(report, "error-hours", "resnet56, conv")[1]["x"], 40 * 116 / 3.6e6, 10)
        self.assertAlmostEqual(self.line(report, "error-hours-measured", "resnet56, conv")[1]["x"], 4 / 3600, 10)
        loss, = self.line(report, "loss-iteration", "resnet56, conv")
        self.assertEqual((loss["y"], round(loss["x"], 6)), (1.5, round(61 / 3, 6)))
        units = self.line(report, "units-run", "resnet56, conv, uniform:0.5 (15 of 27 expected)")
        self.assertEqual([(p["x"], round(p["y"], 6)) for p in units], [(19, 0.333333), (20, 0), (21, 0.666667)])
        self.assertAlmostEqual(self.line(report, "statistics", "resnet56, conv, uniform: running")[0]["y"], 0.35, 8)

    def test_keys_are_documented(self):
        def keys(value):
            if isinstance(value, dict):
                return set(value).union(*map(keys, value.values()))
            return set().union(*map(keys, value)) if isinstance(value, list) else set()

        root = os.path.dirname(os.path.dirname(support.HERE))
        with open(os.path.join(root, "docs/formats.md"), encoding="utf-8") as file:
            section = file.read().split("## `depthdrop report`\n")[1].split("\n## ")[0]
        report = self.report(*self.sweep(), "--bench", self.write_bench())
        code = " ".join(re.findall(r"(?s)`([^`]+)`", section.replace("```", "")))
        documented = set(re.findall(r"`([a-z_0-9]+)`", section)) | set(re.findall(r'"([a-z_0-9]+)"', code))
        self.assertEqual(keys(report) - documented, set())

    def test_width_dropout(self):
        """The row of the baseline with width dropout stands in the table, is on no curve, and times runs with it."""
        gated = {"shortcut": "identity", "gate": "uniform:0.5"}
        runs = [self.write_run("base"), self.write_run("gated", **gated),
                self.write_run("wide", dropout=0.5, unit_dropout=0.5), self.write_run("half", dropout=0.5)]
        for name, rows in (("new", {}), ("old", {"rows": [
                {key: value for key, value in row.items() if "dropout" not in key}
                for row in (bench_row("identity", "none", 0, 60, 100), bench_row("conv", "none", 0, 70, 120),
                            bench_row("conv", "exact:24", 1, 18, 30))]})):
            report = self.report(*runs, "--bench", self.write_bench(name + ".json", **rows), name=name)
            self.assertEqual([p["x"] for p in self.line(report, "time-resnet56-conv", "total with")],
                             [0, 0.5, 1] if name == "new" else [0, 1])
            self.assertEqual(self.line(report, "saving", "resnet56, conv: measured")[-1]["x"], 1)
            times = {os.path.basename(run["folder"]): report["groups"][run["group"]]["step_ms"]
                     for run in report["runs"]}
            self.assertAlmostEqual(times["base"], 161, 8)
            self.assertAlmostEqual(times["gated"], 161 - 12 * (191 - 49) / 24, 5)  # not by the row with width dropout
            self.assertEqual((times["wide"], times["half"]), (211 if name == "new" else None, None))
        self.assertEqual([row["dropout"] for row in report["benches"][0]["rows"]], [0, 0, 0])
        if HAS_GNUPLOT:
            self.assertIn("<td>none; width dropout 0.5, units 0.5</td>", self.page("new"))

    def test_paper_beside_its_data(self):
        """The paper's errors are of CIFAR-10: beside it, or a folder that may hold it, and nowhere else."""
        for number, (data, beside) in enumerate((("cifar10:x", True), ("folder:x", True), ("cifar100:x", False),
                                                 ("fashion-mnist", False), ("shapes", False))):
            report = self.report(self.write_run(f"run{number}", data=data), name=f"report{number}")
            labels = [line["label"] for line in self.figure(report, "error-ratio")["lines"]]
            self.assertEqual([label for label in labels if label.startswith("the paper")],
                             ["the paper: resnet56, conv, CIFAR-10, 64000 iterations"] if beside else [], data)
            if HAS_GNUPLOT:
                page = self.page(f"report{number}")
                self.assertEqual("The paper's errors are of 64000 iterations" in page, beside, data)
                self.assertIn("whose errors are those of CIFAR-10", page)

    def test_ratio_of_policies(self):
        """The expected share of the gated units, by the policies' own figures; other times by the paths' times."""
        runs = [self.write_run("base")]
        for gate, first in (("linear:1", "none"), ("exact:6", "none"), ("uniform:0.5", "all"), ("uniform:0.1,0.2,0.3",
                                                                                               "none")):
            runs.append(self.write_run(f"{gate}-{first}", shortcut="conv", gate=gate, gate_first=first))
        report = self.report(*runs, "--bench", self.write_bench())
        gated = [u for u in range(1, 28) if u not in (1, 10, 19)]
        self.assertAlmostEqual(self.group(report, "linear:1")["ratio"], sum(u / 27 for u in gated) / 24, 8)
        self.assertAlmostEqual(self.group(report, "exact:6")["ratio"], 0.25, 8)
        self.assertAlmostEqual(self.group(report, "uniform:0.1,0.2,0.3")["ratio"], 0.2, 8)
        every = self.group(report, "uniform:0.5")
        self.assertAlmostEqual(every["ratio"], 0.5, 8)
        self.assertTrue(every["step_modelled"])  # 27 units are gated, the benchmark gates 24
        self.assertAlmostEqual(every["step_ms"], 191 - 13.5 * (191 - 49) / 24, 5)

    def test_groups(self):
        """What differs in more than the seed is not averaged, and the labels say in what."""
        runs = [self.write_run("a"), self.write_run("b", lr_warmup=400), self.write_run("c", seed=2),
                self.write_run("d", test_hash="0"), self.write_run("e", dropout=0.5),
                self.write_run("f", unit_dropout=0.3), self.write_run("g", init_hash="abc"),
                self.write_run("h", gate_warmup=0, dropout=0.0, unit_dropout=0.0, init_hash="", seed=3),
                self.write_run("i", shortcut="conv", gate="uniform:0.5"),
                self.write_run("j", shortcut="conv", gate="uniform:0.5", gate_warmup=500)]
        report = self.report(*runs)
        self.assertEqual(sorted(group["runs"] for group in report["groups"]), [1, 1, 1, 1, 1, 1, 1, 3])
        labels = {os.path.basename(run["folder"]): report["groups"][run["group"]]["label"] for run in report["runs"]}
        self.assertEqual(len(set(labels.values())), 8)
        self.assertIn(labels["a"], (labels["c"], labels["h"]))
        for name, words in (("e", ", dropout 0.5"), ("f", ", unit dropout 0.3"), ("g", ", init abc"),
                            ("a", ", init none"), ("j", "uniform:0.5, gate warm-up 500 (ratio after it)")):
            self.assertIn(words, labels[name])
        self.assertEqual(labels["i"], "resnet56, conv, uniform:0.5")
        self.assertEqual([group for group in report["groups"] if "warm-up 400" in group["label"]][0]["runs"], 1)

    def test_no_other_baseline(self):
        """Width dropout makes no baseline, and neither do weights that the group did not start from."""
        for name, changes in (("dropout", {"dropout": 0.5}), ("unit", {"unit_dropout": 0.5}),
                              ("init", {"init_hash": "abc"})):
            report = self.report(self.write_run(name, **changes),
                                 self.write_run(name + "-gated", shortcut="conv", gate="uniform:0.5"),
                                 name=name + "-report")
            self.assertIsNone(self.group(report, "uniform:0.5")["baseline"], name)

    def test_warm_up_in_label(self):
        """Told also where it is not needed to tell groups apart: the ratio is that after it."""
        report = self.report(self.write_run("run", shortcut="conv", gate="uniform:0.5", gate_warmup=500))
        group = self.group(report, "uniform:0.5")
        self.assertEqual((group["ratio"], group["gate_warmup"]), (0.5, 500))
        self.assertIn("gate warm-up 500 (ratio after it)", group["label"])

    def test_unfinished(self):
        """Unfinished and diverged runs are told as such and stay out of the final errors, not out of the curves."""
        runs = [self.write_run("done"), self.write_run("part", errors=(0.6,), losses=(2.0, 1.5), seed=2),
                self.write_run("lost", errors=(0.9,), losses=(2.0, 1.5, None), lr=10.0)]
        with open(os.path.join(runs[1], "log.jsonl"), "a", encoding="utf-8") as file:
            file.write('{"event":"step","itera')  # being written
        report = self.report(*runs)
        self.assertEqual([(run["state"], run["iteration"]) for run in report["runs"]],
                         [("finished", 40), ("unfinished", 20), ("diverged", 40)])
        group = report["groups"][report["runs"][0]["group"]]
        self.assertEqual((group["runs"], group["error"]["n"], group["error"]["mean"]), (2, 1, 0.3))
        self.assertEqual([(p["x"], round(p["y"], 9)) for p in
                          self.line(report, "error-iteration", group["label"] + ", 2 seeds")], [(20, 0.55), (40, 0.3)])
        if HAS_GNUPLOT:
            page = self.page()
            self.assertIn("unfinished at 20 of 40", page)
            self.assertIn("1 of 2 done", page)
            self.assertIn("diverged at iteration 40 of 40", page)

    def test_only_unfinished(self):
        report = self.report(self.write_run("part", errors=(), losses=(2.0,)))
        missing = {figure["name"]: figure["missing"] for figure in report["figures"]}
        self.assertIn("finished", missing["error-ratio"])
        self.assertIn("--bench", missing["error-hours"])
        self.assertIsNone(missing["loss-iteration"])
        self.assertIsNone(report["groups"][0]["error"]["mean"])

    def test_held_out(self):
        """Where both are logged, the test images count."""
        folder = self.write_run("val", val_split=100)
        with open(os.path.join(folder, "log.jsonl"), "r+", encoding="utf-8") as file:
            text = file.read()
            file.seek(0)
            for line in text.splitlines(True):
                if '"eval"' in line:
                    file.write(line.replace('"test"', '"val"').replace("0.3,", "0.1,"))
                file.write(line)
        report = self.report(folder)
        self.assertEqual((report["runs"][0]["error"], report["runs"][0]["best"]), (0.3, 0.3))


@unittest.skipUnless(HAS_GNUPLOT, "no gnuplot")
class Files(ReportTest):
    def check_files(self, report):
        for figure in report["figures"]:
            for ending, magic in (("svg", b"<?xml"), ("png", b"\x89PNG\r\n\x1a\n")):
                path = self.path("report", f"{figure['name']}.{ending}")
                self.assertEqual(os.path.exists(path), figure["missing"] is None, path)
                if figure["missing"] is None:
                    with open(path, "rb") as file:
                        content = file.read()
                    self.assertTrue(content.startswith(magic) and len(content) > 2000, path)
                    if ending == "svg":
                        xml.etree.ElementTree.fromstring(content)

    def test_page(self):
        report = self.report(*self.sweep(), "--bench", self.write_bench())
        self.check_files(report)
        page = self.page()
        for word in ("http", "<script", "<link", "<img", "url(", "src="):
            self.assertNotIn(word, page)
        self.assertEqual(page.count("<svg "), len(report["figures"]))
        ids = re.findall(r"""\bid=["']([^"']+)""", page)
        self.assertEqual(len(ids), len(set(ids)), "ids occur twice")
        for reference in re.findall(r"href='#([^']+)'", page):
            self.assertIn(reference, ids)
        self.assertIn("a &lt;device&gt; &amp; more", page)
        self.assertNotIn("a <device>", page)
        self.assertIn("25.00 &plusmn; 1.73 %", page)
        self.assertIn("With 10000 test images an error of 25.0 % has a standard error of 0.43 points", page)
        self.assertNotIn("Left out", page)

    def test_old_figures_go(self):
        runs = self.sweep()
        self.report(*runs, "--bench", self.write_bench())
        for name in ("notes.html", "mine.svg", "time.svg.txt"):
            with open(self.path("report", name), "wb"):
                pass
        report = self.report(runs[0])
        self.check_files(report)
        self.assertIn("Left out: no run has gates", self.page())
        self.assertEqual(sorted(os.listdir(self.path("report"))), sorted(
            ["figures.gp", "index.html", "mine.svg", "notes.html", "report.json", "time.svg.txt"] +
            [figure["name"] + ending for figure in report["figures"] if figure["missing"] is None
             for ending in (".svg", ".png")]))

    def test_quotes(self):
        """Names are data, for gnuplot's script as well."""
        report = self.report(self.write_run("it's `a` \"run\" <b>$x", device_name="'; system \"touch x\"; '"))
        self.check_files(report)
        self.assertIn("<td>" + self.path("it's `a` &quot;run&quot; &lt;b&gt;$x") + "</td>", self.page())

    def test_bench_alone(self):
        report = self.report("--bench", self.write_bench(), "--bench",
                             self.write_bench("other.json", net="resnet20", units=9, gated_units=6))
        self.check_files(report)
        names = [figure["name"] for figure in report["figures"] if figure["missing"] is None]
        self.assertEqual(names, ["time-resnet56-conv", "time-resnet20-conv", "saving"])

    def test_real_run(self):
        listed = support.list_devices()
        if listed is None or '"usable": true' not in listed.stdout:
            self.skipTest("no device")
        folder = self.train("run", "--iterations", "6", "--log-every", "1", "--bn-recalibrate", "1",
                            net=support.GATED_NET)
        report = self.report(folder)
        self.check_files(report)
        last = [event for event in support.read_log(folder) if event["event"] == "eval"][-1]
        run, = report["runs"]
        self.assertEqual((run["state"], run["error"], run["error_running"], run["images"]),
                         ("finished", last["error"], last["error_running"], last["images"]))
        self.assertEqual(self.group(report, "uniform:0.5")["ratio"], 0.5)


class Refusals(ReportTest):
    def test_usage(self):
        run = self.write_run("run")
        self.run_error("report", run, expect=2, names=["--output"])
        self.run_error("report", "--output", self.path("out"), expect=2, names=["--bench"])
        self.run_error("report", run, run + "/", "--output", self.path("out"), expect=2, names=["twice"])
        self.assertFalse(os.path.exists(self.path("out")))

    def test_no_run(self):
        run = self.write_run("run")
        os.mkdir(self.path("empty"))
        for name in ("empty", "nowhere"):
            self.run_error("report", run, self.path(name), "--output", self.path("out"), expect=3, names=[name])
        self.assertFalse(os.path.exists(self.path("out")))

    def test_damaged(self):
        run = self.write_run("run")
        for text, names in (('{"event":"step"\n', ["line 1"]), ('{"event":"step"}\n', ["line 1", "iteration"])):
            with open(os.path.join(run, "log.jsonl"), "w", encoding="utf-8") as file:
                file.write(text)
            self.run_error("report", run, "--output", self.path("out"), expect=3, names=["log.jsonl", *names])
        for name, changes in (("net", {"net": "resnet57"}), ("batch", {"batch": 0}), ("gate", {"gate": "often"}),
                              ("version", {"format_version": 2}), ("lr", {"lr": None})):
            bad = self.write_run("bad-" + name, **changes)
            self.run_error("report", bad, "--output", self.path("out"), expect=3, names=["config.json"])
        with open(os.path.join(run, "config.json"), "w", encoding="utf-8") as file:
            file.write("{")
        self.run_error("report", run, "--output", self.path("out"), expect=3, names=["config.json", "damaged"])

    def test_bench(self):
        run = self.write_run("run")
        output = ["--output", self.path("out")]
        self.run_error("report", run, "--bench", self.path("none.json"), *output, expect=3, names=["none.json"])
        self.run_error("report", run, "--bench", os.path.join(run, "config.json"), *output, expect=3,
                       names=["config.json", "bench gates --json"])
        self.run_error("report", run, "--bench", self.write_bench("b.json", net="resnet20"), *output, expect=3,
                       names=["resnet20", "b.json"])
        self.run_error("report", run, "--bench", self.write_bench("big.json", batch=2**32 + 128), *output, expect=3,
                       names=["big.json", "batch", str(2**32 + 128)])
        self.run_error("report", run, "--bench",
                       self.write_bench("wide.json", rows=[bench_row("identity", "none", 0, 1, 1, width=0.5)]),
                       *output, expect=3, names=["wide.json", "baseline"])
        self.run_error("report", run, "--bench", self.write_bench("e.json", rows=[bench_row("conv", "none", 0, 1, 1)]),
                       *output, expect=3, names=["e.json", "baseline"])
        self.run_error("report", run, "--bench", self.write_bench("c.json"), "--bench", self.write_bench("d.json"),
                       *output, expect=3, names=["c.json", "d.json"])

    def test_output(self):
        with open(self.path("file"), "wb"):
            pass
        run = self.write_run("run")
        self.run_error("report", run, "--output", self.path("file"), expect=3, names=["file"])
        os.makedirs(self.path("out", "report.json"))  # a folder where the file should be: also root cannot write it
        self.run_error("report", run, "--output", self.path("out"), expect=3, names=["report.json"])

    def test_no_gnuplot(self):
        """The numbers are there all the same, and nothing of an earlier report beside them."""
        os.mkdir(self.path("bin"))
        run = self.write_run("run")
        self.report(run, "--bench", self.write_bench(), name="out")
        self.run_error("report", run, "--output", self.path("out"), expect=1,
                       names=["apt install gnuplot-nox", "report.json"], env=environment(PATH=self.path("bin")))
        self.assertTrue(os.path.exists(self.path("out", "report.json")))
        self.assertEqual(sorted(os.listdir(self.path("out"))), ["figures.gp", "report.json"])

    def test_failing_gnuplot(self):
        os.mkdir(self.path("bin"))
        run = self.write_run("run")
        with open(self.path("bin", "gnuplot"), "w", encoding="utf-8") as file:
            file.write("#!/bin/sh\necho 'line 7: unknown terminal' >&2\nexit 1\n")
        os.chmod(self.path("bin", "gnuplot"), 0o755)
        self.report(run, "--bench", self.write_bench(), name="out")
        self.run_error("report", run, "--output", self.path("out"), expect=1,
                       names=["figures.gp", "line 7: unknown terminal"],
                       env=environment(PATH=self.path("bin") + ":/bin:/usr/bin"))
        self.assertEqual(sorted(os.listdir(self.path("out"))), ["figures.gp", "report.json"])


if __name__ == "__main__":
    support.main(needs_device=False)
