#!/usr/bin/env python3
"""The help texts, the man page and the bash completion name the same options; the README the same commands."""
import json
import os
import re
import subprocess

import support
from support import CliTest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
COMMANDS = ["devices", "train", "eval", "predict", "bench", "tune", "report", "selftest", "info"]


def read(name):
    with open(os.path.join(ROOT, name), encoding="utf-8") as file:
        return file.read()


class Docs(CliTest):
    def options(self, command):
        out, _ = self.run_program(command, "--help")
        body = out.split("\nExamples:\n")[0]
        return set(re.findall(r"^  (--[a-z-]+)", body, re.M)) - {"--help"}

    def test_man_page(self):
        man = read("docs/depthdrop.1").replace("\\-", "-")
        for command in COMMANDS:
            self.assertTrue(re.search(rf"(?m)^\.SS {command}\b", man), f"{command} is not in the man page")
            for option in self.options(command):
                self.assertTrue(re.search(rf"(?<![\w-]){option}(?![\w-])", man),
                                f"{command} {option} is not in the man page")

    def test_man_page_has_no_more(self):
        man = read("docs/depthdrop.1").replace("\\-", "-")
        known = {"--help", "--version", "--name"}.union(*(self.options(command) for command in COMMANDS))
        self.assertEqual(set(re.findall(r"(?<![\w-])--[a-z-]+", man)) - known, set())

    def test_completion(self):
        script = os.path.join(ROOT, "completions/depthdrop.bash")
        for command in COMMANDS:
            shell = (f"source '{script}'; compopt() {{ :; }}; COMP_WORDS=(depthdrop {command} --); COMP_CWORD=2; "
                     '_depthdrop; printf "%s\\n" "${COMPREPLY[@]}"')
            done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stderr)
            completed = set(done.stdout.split()) - {"--help"}
            self.assertEqual(completed, self.options(command), command)

    def test_completion_of_values(self):
        script = os.path.join(ROOT, "completions/depthdrop.bash")
        for words, expected in (("--shortcut '='  c", "conv"), ("--gate-first s", "stage1"),
                                ("--net resnet5", "resnet50")):
            shell = (f"source '{script}'; compopt() {{ :; }}; COMP_WORDS=(depthdrop train {words}); "
                     'COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _depthdrop; printf "%s\\n" "${COMPREPLY[@]}"')
            done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True)
            self.assertIn(expected, done.stdout.split(), words + done.stderr)

    def test_method(self):
        """The costs of ResNet-56 that docs/method.md states are those of `info`."""
        method = read("docs/method.md")

        def info(*arguments):
            return json.loads(self.run_program("info", "--net", "resnet56", "--json", *arguments)[0])

        def weights(unit):
            i, o = unit["in_channels"], unit["out_channels"]
            return 9 * i * o + 2 * o + 9 * o * o + 2 * o

        plain, conv = info(), info("--shortcut", "conv", "--gate", "uniform:0.5")
        gated = sum(weights(unit) for unit in conv["unit_table"] if not unit["first"])
        ungated = sum(weights(unit) for unit in conv["unit_table"] if unit["first"])
        self.assertEqual(gated + ungated, conv["primary_parameters"])
        figures = [gated, ungated, plain["parameters"], conv["parameters"], conv["primary_parameters"],
                   conv["shortcut_parameters"], plain["forward_flops"], conv["forward_flops"],
                   conv["parameters"] - conv["primary_parameters"] - conv["shortcut_parameters"]]
        for figure in figures + [round(conv["parameters"] - p * gated) for p in (0.25, 0.5, 0.75)]:
            self.assertIn(f"{figure:,}", method)
        saved = sum(unit["primary_flops"] for unit in conv["unit_table"] if not unit["first"])
        for p in (0.25, 0.5, 0.75):
            saving = 1 - (conv["forward_flops"] - p * saved) / plain["forward_flops"]
            self.assertIn(f"| {100 * saving:.1f} % |", method)

    def test_readme(self):
        readme = read("README.md")
        for command in COMMANDS:
            self.assertIn(f"`depthdrop {command}", readme)
        for name in re.findall(r"\]\(((?!http)[^)]+)\)", readme):
            self.assertTrue(os.path.exists(os.path.join(ROOT, name)), f"README.md names {name}")

    def test_formats(self):
        formats = read("docs/formats.md")
        for command in COMMANDS:
            if "--json" in self.options(command):
                self.assertRegex(formats, rf"(?m)^## `depthdrop {command}( step)? --json`")


if __name__ == "__main__":
    support.main(needs_device=False)
