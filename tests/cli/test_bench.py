#!/usr/bin/env python3
"""Benchmarks: their outputs have the documented keys and figures that fit together; speed itself is not tested."""
import json
import os
import re

import support
from support import CliTest, environment

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TINY = ["--batch", "4", "--iterations", "2", "--warmup", "1", "--image-size", "8", "--algorithm", "direct"]
FIGURES = ["mean", "median", "min"]


class Bench(CliTest):
    def bench(self, name, *arguments):
        out, _ = self.run_program("bench", name, *TINY, *arguments, "--json")
        self.assertEqual(out.count("\n"), 1, out)
        return json.loads(out)

    def check_figures(self, figures):
        self.assertEqual(list(figures), FIGURES)
        self.assertGreater(figures["min"], 0)
        self.assertLessEqual(figures["min"], figures["median"])
        self.assertLessEqual(figures["min"], figures["mean"])

    def check_documented(self, section, *objects):
        """Every key stands in the section of docs/formats.md."""
        with open(os.path.join(ROOT, "docs/formats.md"), encoding="utf-8") as file:
            text = file.read().split(f"## `depthdrop bench {section} --json`\n")[1].split("\n## ")[0]
        words = {word for quoted in re.findall(r'`([^`]+)`|"([a-z_]+)"', text) for part in quoted
                 for word in re.findall(r'[a-z_]+', part)}
        for keys in objects:
            self.assertEqual(set(keys) - words, set(), section)

    def test_profile(self):
        result = self.bench("step", "--net", "resnet8", "--profile")
        self.check_documented("step", result, *result["kernels"])
        names = [row["kernel"] for row in result["kernels"]]
        self.assertEqual(len(names), len(set(names)))
        self.assertIn("sgd_update", names)
        calls = 3  # products of the last layer, by a library
        self.assertEqual(sum(row["launches"] for row in result["kernels"]), result["launches_mean"] - calls)
        times = [row["ms"] for row in result["kernels"]]
        self.assertEqual(times, sorted(times, reverse=True))
        self.assertGreater(min(times), 0)
        out, err = self.run_program("bench", "gates", "--profile", expect=2)
        self.assertIn("bench gates takes no --profile", err)

    def test_step(self):
        result = self.bench("step", "--net", "resnet8")
        keys = ["device", "net", "shortcut", "gate", "batch", "iterations", "forward_ms", "backward_ms", "update_ms",
                "total_ms", "images_per_s", "units_run_mean", "device_bytes"]
        self.assertEqual(list(result)[:len(keys)], keys)
        for phase in ("forward_ms", "backward_ms", "update_ms", "total_ms", "step_ms", "enqueue_ms"):
            self.check_figures(result[phase])
        phases = sum(result[phase]["mean"] for phase in ("forward_ms", "backward_ms", "update_ms"))
        self.assertAlmostEqual(result["total_ms"]["mean"], phases, delta=1e-5 * phases)
        self.assertLess(result["enqueue_ms"]["mean"], result["step_ms"]["mean"])
        self.assertEqual((result["net"], result["shortcut"], result["gate"], result["batch"], result["iterations"]),
                         ("resnet8", "identity", "none", 4, 2))
        self.assertEqual(result["units_run_mean"], 3)
        self.assertGreater(result["launches_mean"], result["launches_forward_mean"] + result["launches_backward_mean"])
        for peak in ("fma_gflops", "bandwidth_gbs", "device_bytes", "resident_bytes", "step_gflops"):
            self.assertGreater(result[peak], 0)
        self.check_documented("step", result)

    def test_step_gates(self):
        """Units that are off launch less."""
        on = self.bench("step", "--net", "resnet14", "--shortcut", "conv")
        off = self.bench("step", "--net", "resnet14", "--shortcut", "conv", "--gate", "exact:3")
        self.assertEqual((on["units_run_mean"], off["units_run_mean"]), (6, 3))
        self.assertLess(off["launches_forward_mean"], on["launches_forward_mean"])
        self.assertLess(off["launches_backward_mean"], on["launches_backward_mean"])

    def test_conv(self):
        result = self.bench("conv", "--net", "resnet8", "--shortcut", "conv")
        self.assertEqual(list(result), ["device", "net", "shortcut", "batch", "vector", "iterations", "fma_gflops",
                                        "bandwidth_gbs", "forward_ms", "backward_ms", "rows"])
        rows = result["rows"]
        for row in rows:
            self.check_figures(row["ms"])
            self.assertTrue(row["chosen"])
            self.assertTrue(row["passed"], row)
            self.assertLessEqual(row["error"], row["bound"])
            self.assertLessEqual(row["worst_error"], 1)
            self.assertGreater(row["gflops"], 0)
            self.assertGreater(row["fma_gflops"], 0)
            self.assertAlmostEqual(row["peak_fraction"], row["gflops"] / row["fma_gflops"],
                                   delta=1e-5 * row["peak_fraction"])
            self.assertGreater(row["launches"], 0)
        forward = [row for row in rows if row["direction"] == "forward"]
        self.assertEqual(sum(row["count"] for row in forward), 1 + 3 * 2 + 3)  # stem, primary paths, shortcuts
        self.assertAlmostEqual(result["forward_ms"], sum(row["count"] * row["ms"]["median"] for row in forward),
                               delta=1e-5 * result["forward_ms"])
        self.assertEqual({row["form"] for row in rows}, {"stem", "first", "inner", "shortcut+relu"})
        self.assertNotIn("backward data", [row["direction"] for row in rows if row["form"] == "stem"])
        self.check_documented("conv", result, rows[0])

    def test_conv_plain(self):
        """--plain has each convolution once, however the network uses it, and the images' gradient never."""
        rows = self.bench("conv", "--net", "resnet8", "--plain")["rows"]
        self.assertEqual({row["form"] for row in rows}, {"plain"})
        forward = [(row["input"], row["output"], row["kernel"], row["stride"]) for row in rows
                   if row["direction"] == "forward"]
        self.assertEqual(len(forward), 1 + 1 + 2 * 2)  # stem; one in the first stage, two in each that follows
        self.assertEqual(sum(row["count"] for row in rows if row["direction"] == "forward"), 1 + 3 * 2)
        self.assertEqual({row["direction"] for row in rows if row["input"][0] == 3}, {"forward", "backward weights"})
        self.assertTrue(all(row["passed"] for row in rows))

    def test_conv_plain_fuses_nothing(self):
        """gemm has launches of their own for what it cannot fuse, statistics and masks."""
        def launches(*options):
            rows = self.bench("conv", "--net", "resnet8", "--algorithm", "gemm", *options)["rows"]
            return {row["direction"]: row["launches"] for row in rows if row["convolution"] == "layer1.0.conv1.weight"}
        plain, fused = launches("--plain"), launches()
        for direction in "forward", "backward data":
            self.assertLess(plain[direction], fused[direction], direction)

    def test_conv_all(self):
        """--all adds algorithms; each convolution and direction still has one that is chosen."""
        rows = self.bench("conv", "--net", "resnet8", "--all")["rows"]
        self.assertIn("gemm", {row["algorithm"] for row in rows})
        for name, form in {(row["convolution"], row["form"]) for row in rows}:
            chosen = [row for row in rows if (row["convolution"], row["form"]) == (name, form) and row["chosen"]]
            self.assertEqual(len([row for row in chosen if row["direction"] == "forward"]), 1, name)
            self.assertGreaterEqual(len([row for row in chosen if row["direction"] != "forward"]), 1, name)
        self.assertTrue(all(row["passed"] for row in rows))

    def test_gates(self):
        result = self.bench("gates", "--net", "resnet14", "--ratios", "0,0.5", "--exact", "1,2")
        self.assertEqual((result["units"], result["gated_units"], result["shortcut"]), (6, 3, "conv"))
        rows = result["rows"]
        self.assertEqual([(row["shortcut"], row["gate"]) for row in rows],
                         [("identity", "none"), ("conv", "uniform:0.5"), ("conv", "exact:1"), ("conv", "exact:2"),
                          ("conv", "none"), ("conv", "exact:3"), ("identity", "none")])
        self.assertEqual([row["units_run_mean"] for row in rows[2:]], [5, 4, 6, 3, 6])
        self.assertEqual([(row["dropout"], row["unit_dropout"]) for row in rows], [(0, 0)] * 6 + [(0.5, 0.5)])
        self.assertEqual(rows[6]["theory"], 0)
        self.assertEqual(rows[6]["launches_forward_mean"], rows[0]["launches_forward_mean"] + 6 + 1)
        self.assertGreater(rows[6]["launches_backward_mean"], rows[0]["launches_backward_mean"] + 6 + 1)
        baseline = rows[0]["total_ms"]["mean"]
        for row in rows:
            for phase in ("forward_ms", "backward_ms", "update_ms", "total_ms"):
                self.check_figures(row[phase])
            self.assertAlmostEqual(row["saving"], 1 - row["total_ms"]["mean"] / baseline, delta=1e-5)
            self.assertIsNone(row["paper_measured"])  # of ResNet-56 alone
        self.assertIsNone(rows[0]["theory"])
        self.assertAlmostEqual(rows[3]["theory"], (2 - 6 / 18) / 6, delta=1e-6)
        primary = (rows[4]["total_ms"]["mean"] - rows[5]["total_ms"]["mean"]) / 3
        self.assertAlmostEqual(result["primary_unit_ms"], primary, delta=1e-5 * baseline)
        self.assertGreater(result["primary_launches_forward"], 0)
        self.assertGreater(result["primary_launches_backward"], 0)
        self.check_documented("gates", result, rows[0])

    def test_width_dropout(self):
        short = ["gates", "--net", "resnet14", "--ratios", "0"]
        rows = self.bench(*short, "--dropout", "0", "--unit-dropout", "0")["rows"]
        self.assertEqual([row["shortcut"] for row in rows], ["identity", "conv", "conv"])
        rows = self.bench(*short, "--dropout", "0.25", "--unit-dropout", "0")["rows"]
        self.assertEqual((rows[-1]["dropout"], rows[-1]["unit_dropout"]), (0.25, 0))
        step = self.bench("step", "--net", "resnet8", "--unit-dropout", "0.5")
        plain = self.bench("step", "--net", "resnet8")
        self.assertEqual((step["dropout"], step["unit_dropout"], plain["unit_dropout"]), (0, 0.5, 0))
        self.assertGreater(step["launches_mean"], plain["launches_mean"])

    def test_too_large(self):
        """The device's memory is looked at before images are made, which no host has room for here."""
        for name in ("step", "gates"):
            self.run_error("bench", name, "--net", "resnet14", "--batch", "65536", "--image-size", "2048", expect=5,
                           names=["at batch 65536", "device memory"])
        self.run_error("bench", "step", "--net", "resnet14", "--batch", "65536", "--image-size", "4096", expect=5,
                       names=["MiB"])  # too large for a batch, and where buffers are small for one image

    def test_nothing_gated(self):
        result = self.bench("gates", "--net", "resnet8", "--ratios", "0")
        self.assertEqual(result["gated_units"], 0)
        self.assertIsNone(result["shortcut_ratio"])
        self.assertIsNone(result["shortcut_alone_ratio"])

    def test_tables(self):
        """What people read: one line each is enough."""
        out, _ = self.run_program("bench", "step", *TINY, "--net", "resnet8")
        self.assertRegex(out, r"(?m)^step +[\d.]+ +[\d.]+ +[\d.]+$")
        out, _ = self.run_program("bench", "conv", *TINY, "--net", "resnet8")
        self.assertRegex(out, r"\n3x8x8>16 3x3/1 +stem +1  forward ")
        out, _ = self.run_program("bench", "gates", *TINY, "--net", "resnet14", "--ratios", "0")
        self.assertRegex(out, r"(?m)^identity +none +0.000 ")
        self.assertRegex(out, r"(?m)^where gates are off, a shortcut takes -?[\d.]+ ms: ratio ")
        self.assertEqual(out.count("exact:"), 1, "identity shortcuts with all gates off are no row")
        self.assertRegex(out, r"(?m)^identity +width dropout +0.000 ")
        self.assertIn("computed all the same", out)


class Usage(CliTest):
    def usage(self, *arguments, names):
        self.run_error("bench", *arguments, expect=2, names=names, env=environment(OCL_ICD_VENDORS="/nonexistent"))

    def test_options(self):
        self.usage("step", "--all", names=["--all", "step"])
        self.usage("step", "--ratios", "0", names=["--ratios", "step"])
        self.usage("conv", "--gate", "exact:1", names=["--gate", "conv"])
        self.usage("conv", "--unit-dropout", "0.5", names=["--unit-dropout", "conv"])
        self.usage("gates", "--dropout", "1", names=["--dropout", "0.99"])
        self.usage("gates", "--gate", "exact:1", names=["--gate", "gates"])
        self.usage("step", "--gate", "exact:1", "--net", "resnet8", names=["exact"])
        self.usage("gats", names=["gats", "gates"])

    def test_lists(self):
        for ratios in ("x", "0.5,", ",0.5", "1.5", "0.5;0.6", "-1", "1e-1", "0,0..5"):
            self.usage("gates", "--net", "resnet14", "--ratios", ratios, names=["ratio"])
        for exact in ("x", "1.5", "4", "1,", "-1"):
            self.usage("gates", "--net", "resnet14", "--exact", exact, names=["exact"])
        self.usage("gates", "--net", "resnet14", "--ratios", ",".join(["0.5"] * 40), names=["--ratios", "at most"])


if __name__ == "__main__":
    support.main()
