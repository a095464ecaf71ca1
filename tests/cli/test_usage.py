#!/usr/bin/env python3
"""Help texts, usage errors and exit codes: what needs neither data nor a device."""
import json
import os

import support
from support import CliTest, environment

COMMANDS = ["devices", "train", "eval", "predict", "bench", "tune", "report", "selftest", "info"]
NO_DRIVERS = {"OCL_ICD_VENDORS": "/nonexistent"}


class Help(CliTest):
    def test_program(self):
        out, err = self.run_program("--help")
        self.assertEqual(err, "")
        for command in COMMANDS:
            self.assertIn(f"\n  {command} ", out)
        for absent in ("export", "pack"):
            self.assertNotIn(f"\n  {absent} ", out)
        self.assertEqual(self.run_program("help")[0], out)

    def test_version(self):
        out, _ = self.run_program("--version")
        self.assertRegex(out, r"^depthdrop \d+\.\d+\.\d+\n$")

    def test_commands(self):
        for command in COMMANDS:
            out, err = self.run_program(command, "--help")
            self.assertEqual(err, "")
            self.assertTrue(out.startswith(f"usage: depthdrop {command}"), out)
            examples = out.split("\nExamples:\n")[1]
            self.assertGreaterEqual(examples.count(f"depthdrop {command}"), 2, command)
            self.assertEqual(self.run_program("help", command)[0], out)

    def test_help_wins_over_what_follows(self):
        self.run_program("train", "--help", "--nonsense")

    def test_lines_fit(self):
        for command in COMMANDS:
            body = self.run_program(command, "--help")[0].split("\nExamples:\n")[0]
            for line in body.splitlines():
                self.assertLessEqual(len(line), 80, f"{command}: {line}")

    def test_tables_in_train_help(self):
        out, _ = self.run_program("train", "--help")
        for word in ("fashion-mnist", "cifar10:DIR", "folder:DIR", "shapes", "uniform:P", "linear:P", "exact:K",
                     "Guo and Gould 2016", "Huang and others 2016"):
            self.assertIn(word, out)


class UsageErrors(CliTest):
    def usage(self, *arguments, names=()):
        """A usage error: exit code 2, one line, the way to the help text; no driver is needed to find it."""
        err = self.run_error(*arguments, expect=2, names=names, env=environment(**NO_DRIVERS))
        self.assertEqual(err.count("\n"), 1, err)
        self.assertRegex(err, r"; see depthdrop ([a-z]+ )?--help\n$")

    def test_commands(self):
        self.usage()
        self.usage("trian", names=["trian", "did you mean train?"])
        self.usage("--vresion", names=["--version"])
        self.usage("frobnicate", names=["frobnicate"])
        self.usage("help", "frobnicate", names=["frobnicate"])

    def test_unknown_options(self):
        self.usage("train", "--bacth", "4", names=["--bacth", "did you mean --batch?"])
        self.usage("train", "--iter", "4", names=["did you mean --iterations?"])
        self.usage("devices", "--jsno", names=["did you mean --json?"])
        self.usage("train", "-x", names=["-x"])
        for command in ("devices", "train", "eval", "predict", "bench", "tune", "report", "selftest", "info"):
            self.usage(command, "--no-such-option", names=["--no-such-option", f"see depthdrop {command} --help"])

    def test_unexpected_arguments(self):
        for command in ("devices", "train", "eval", "tune", "selftest", "info"):
            self.usage(command, "stray", names=["stray"])
        self.usage("bench", names=["step"])
        self.usage("bench", "stpe", names=["stpe", "step"])
        self.usage("bench", "step", "stray", names=["stray"])

    def test_values(self):
        for value in ("0", "-1", "1.5", "x", "1x", "", " 1", "+1", "0x10", "99999999999999999999", "1e3"):
            self.usage("train", "--batch=" + value, names=["--batch", "from 1 to"])
        for value in ("-0.1", "nan", "inf", "x", "0x1p3", "", "1e999"):
            self.usage("train", "--lr=" + value, names=["--lr"])
        self.usage("train", "--lr", "1e50", names=["--lr", "from 0 to 1e+38", "1e50"])
        for option in ("--lr-warmup", "--save-every"):  # written as they would be typed: 1e15 is no whole number
            self.usage("train", option, "10000000000000000", names=[option, "from 0 to 1000000000000000,"])
        self.usage("train", "--data", "shapes", "--net", "resnet8", "--run", self.path("r"), "--epochs", "1000000000",
                   names=["40000000000", "4294967295", "--epochs"])
        for value in ("-1", "18446744073709551616", "1.0"):
            self.usage("train", "--seed=" + value, names=["--seed", "18446744073709551615"])
        for option in ("--dropout", "--unit-dropout"):
            for value in ("1", "-0.1", "nan", "half"):
                self.usage("train", f"{option}={value}", names=[option, "0.99"])
        self.usage("train", "--momentum", "1.5", names=["--momentum", "from 0 to 1"])
        self.usage("train", "--augment", "standrd", names=["standard|none", "did you mean standard?"])
        self.usage("train", "--vector", "3", names=["auto|1|4|8|16"])
        self.usage("train", "--log-every", "0", names=["--log-every"])
        self.usage("train", "--batch", names=["--batch needs a value"])
        self.usage("train", "--batch", "--lr", "1", names=["--batch needs a value"])
        self.usage("train", "--run=", names=["--run"])
        self.usage("devices", "--json=1", names=["--json takes no value"])

    def test_missing(self):
        self.usage("train", names=["--run"])
        self.usage("train", "--run", self.path("r"), "--net", "resnet8", names=["--data"])
        self.usage("train", "--run", self.path("r"), "--data", "shapes", names=["--net"])
        self.usage("train", "--net", "resnet8", "--data", "shapes", names=["--run"])
        self.usage("eval", "--data", "shapes", names=["--model"])
        self.usage("eval", "--model", "m", names=["--data"])
        self.usage("predict", "image.png", names=["--model"])
        self.usage("predict", "--model", "m", names=["image"])
        self.usage("info", names=["--net", "--model"])

    def test_exclusive(self):
        self.usage("train", "--run", "a", "--resume", "b", names=["--run", "--resume"])
        self.usage("train", "--run", "a", "--data", "shapes", "--net", "resnet8", "--iterations", "1", "--epochs", "1",
                   names=["--iterations", "--epochs"])
        self.usage("info", "--net", "resnet8", "--model", "m")
        self.usage("info", "--model", "m", "--classes", "5", names=["--classes"])

    def test_resume_refuses_other_options(self):
        for option in ("--data=shapes", "--net=resnet8", "--batch=4", "--lr=1", "--seed=2", "--gate=none",
                       "--shortcut=conv", "--augment=none", "--algorithm=gemm", "--vector=1", "--dry-run",
                       "--bn-recalibrate=1", "--gate-warmup=5", "--dropout=0", "--unit-dropout=0.5",
                       "--init=f", "--val-split=10", "--recipe=cifar", "--lr-drops=none", "--momentum=0"):
            self.usage("train", "--resume", self.path("r"), option, names=[option.split("=")[0], "--resume"])

    def test_names_in_the_library(self):
        new = ["train", "--data", "shapes", "--run", self.path("r")]
        for net in ("resnet9", "resnet", "resnet7", "vgg16", "resnet2", "resnet-20", "resnet020x"):
            self.usage(*new, "--net", net, names=[net])
        new += ["--net", "resnet14"]
        self.usage(*new, "--shortcut", "idenity", names=["idenity"])
        for gate in ("unifrom:0.5", "uniform", "uniform:", "uniform:1.5", "uniform:-0.1", "uniform:x", "exact:99",
                     "exact:-1", "linear:2", "none:1", "uniform:0.1,0.2"):
            self.usage(*new, "--gate", gate, names=[gate.split(":")[0]])
        self.usage(*new, "--gate-warmup", "100", names=["--gate-warmup", "uniform:0.5"])
        self.usage(*new, "--gate", "exact:1", "--gate-warmup", "-1", names=["--gate-warmup"])
        self.usage(*new, "--recipe", "nothing", names=["nothing"])
        self.usage(*new, "--lr-drops", "3,2")
        self.usage(*new, "--lr-drops", "x")
        self.usage(*new, "--lr-drops", "5,9999999999999999999", names=["9999999999999999999", "9223372036854775807"])
        self.usage("train", "--data", "shaeps", "--net", "resnet8", "--run", self.path("r"), names=["shaeps"])
        self.usage("train", "--data", "cifar10", "--net", "resnet8", "--run", self.path("r"), names=["cifar10"])
        self.usage("info", "--net", "resnet9", names=["resnet9"])
        self.usage("info", "--net", "resnet8", "--image-size", "7")
        self.usage("info", "--net", "resnet8", "--image-size", "100000", names=["100000", "from 8 to 16384"])
        self.usage("info", "--net", "resnet8", "--image-size", "32x", names=["32x"])
        self.usage("info", "--net", "resnet8", "--channels", "2")
        self.usage("info", "--net", "resnet8", "--gate", "exact:1", names=["exact"])
        self.assertEqual(os.listdir(self.folder), [], "a usage error has left files behind")


class Info(CliTest):
    """`info --net` needs no device."""

    def info(self, *arguments):
        return json.loads(self.run_program("info", *arguments, "--json", env=environment(**NO_DRIVERS))[0])

    def test_resnet18(self):
        figures = self.info("--net", "resnet18", "--shortcut", "projection", "--image-size", "224", "--classes", "1000")
        self.assertEqual(figures["parameters"], 11689512)  # torchvision's figure
        self.assertEqual(figures["units"], 8)
        self.assertEqual(figures["convolutions"], 20)
        self.assertEqual(figures["image"], "3,224,224")
        self.assertAlmostEqual(figures["forward_flops"] / 2, 1.814e9, delta=0.02e9)

    def test_resnet50(self):
        figures = self.info("--net", "resnet50", "--shortcut", "projection", "--image-size", "224", "--classes", "1000")
        self.assertEqual(figures["parameters"], 25557032)
        self.assertEqual(figures["units"], 16)

    def test_resnet56(self):
        figures = self.info("--net", "resnet56", "--gate", "uniform:0.5")
        self.assertEqual(figures["parameters"], 853018)  # He et al.: 0.85 M
        self.assertEqual((figures["units"], figures["gated_units"]), (27, 24))
        self.assertEqual(figures["units_run_expected"], 15)
        self.assertEqual(len(figures["unit_table"]), 27)
        self.assertEqual(figures["primary_flops"], sum(unit["primary_flops"] for unit in figures["unit_table"]))
        self.assertEqual(sorted(figures["device_bytes"]), ["1", "16", "4", "8"])
        larger = self.info("--net", "resnet56", "--batch", "256")
        self.assertGreater(larger["device_bytes"]["1"], figures["device_bytes"]["1"])

    def test_gate_first(self):
        for first, gated in (("none", 24), ("stage1", 25), ("all", 27)):
            figures = self.info("--net", "resnet56", "--gate", "uniform:0.5", "--gate-first", first)
            self.assertEqual(figures["gated_units"], gated)

    def test_table(self):
        out, err = self.run_program("info", "--net", "resnet20", "--shortcut", "conv", "--image-size", "28x32",
                                    "--channels", "1", env=environment(**NO_DRIVERS))
        self.assertEqual(err, "")
        self.assertEqual(out.count("\nlayer"), 9)
        self.assertIn("1,28,32", out)


if __name__ == "__main__":
    support.main(needs_device=False)
