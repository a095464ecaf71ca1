#!/usr/bin/env python3
"""devices and selftest, the choice of a device, and what is said when there is none."""
import json
import os
import subprocess
import sys

import support
from support import CliTest, environment

KEYS = ["index", "platform", "device", "platform_name", "vendor", "name", "driver", "version", "type", "compute_units",
        "clock_mhz", "global_bytes", "max_alloc_bytes", "local_bytes", "max_work_group", "base_align_bytes",
        "float_width", "emulator", "usable", "unusable_reason", "default", "default_reason", "selftest"]


class Devices(CliTest):
    def test_json(self):
        out, err = self.run_program("devices", "--json")
        document = json.loads(out)
        self.assertEqual(err, "")
        self.assertEqual(list(document), ["devices", "default"])
        self.assertGreaterEqual(len(document["devices"]), 1)
        for index, device in enumerate(document["devices"]):
            self.assertEqual(list(device), KEYS)
            self.assertEqual(device["index"], index)
            self.assertIn(device["type"], ("cpu", "gpu", "other"))
            self.assertIn(device["selftest"], ("untested", "passed", "failed"))
            self.assertEqual(device["usable"], device["unusable_reason"] is None)
            self.assertEqual(device["default"], device["default_reason"] is not None)
            self.assertGreaterEqual(device["float_width"], 1)
        defaults = [device["index"] for device in document["devices"] if device["default"]]
        self.assertEqual(defaults, [] if document["default"] is None else [document["default"]])

    def test_table(self):
        listed = json.loads(self.run_program("devices", "--json")[0])["devices"]
        out, _ = self.run_program("devices")
        for device in listed:
            self.assertIn(device["name"], out)
            self.assertIn(device["driver"], out)

    def test_no_driver(self):
        for command in (["devices"], ["selftest"], ["bench", "step", "--net", "resnet8"],
                        ["train", "--data", "shapes", "--net", "resnet8", "--run", self.path("run")]):
            err = self.run_error(*command, expect=4, env=environment(OCL_ICD_VENDORS="/nonexistent"))
            self.assertRegex(err, r"(?i)install|driver", "no advice")
        self.assertEqual(support.count_log_lines(self.path("run")), 0)

    def test_json_without_driver(self):
        """A script gets its document, an empty list, beside the exit code and the message."""
        out, err = self.run_program("devices", "--json", expect=4, env=environment(OCL_ICD_VENDORS="/nonexistent"))
        self.assertEqual(json.loads(out), {"devices": [], "default": None})
        self.assertRegex(err, r"^depthdrop: no OpenCL platform was found: .*\n$")

    def test_no_match(self):
        command = ["train", "--data", "shapes", "--net", "resnet8", "--run", self.path("run")]
        for selector in ("no such device", "99", "7:7", "-1"):
            self.run_error(*command, "--device=" + selector, expect=4, names=[selector])
        self.run_error("selftest", "--device", "no such device", expect=4, names=["no such device"])
        self.run_error("selftest", expect=4, names=["nonsense"], env=environment(DEPTHDROP_DEVICE="nonsense"))

    def test_option_beats_variable(self):
        device = json.loads(self.run_program("devices", "--json")[0])["devices"][0]
        if not device["usable"]:
            self.skipTest("device 0 is not usable")
        run = self.path("run")
        self.run_program("train", *support.SMALL_NET, "--iterations", "0", "--run", run, "--device", "0",
                         env=environment(DEPTHDROP_DEVICE="nonsense"))

    def test_order_of_checks(self):
        """Arguments are checked first, then data, then the device."""
        nothing = environment(OCL_ICD_VENDORS="/nonexistent")
        run = ["--run", self.path("run")]
        self.run_error("train", "--data", "folder:/nonexistent", "--net", "resnet9", *run, expect=2, env=nothing)
        self.run_error("train", "--data", "folder:/nonexistent", "--net", "resnet8", *run, expect=3,
                       names=["/nonexistent"], env=nothing)


class Skipping(CliTest):
    """These tests themselves: skipped where there is no device at all, failed where a driver cannot list its own."""

    def status(self, program, **changes):
        return subprocess.run([sys.executable, __file__, program, "Devices.test_json"], capture_output=True, text=True,
                              env=environment(**changes)).returncode

    def test_no_device(self):
        self.assertEqual(self.status(support.PROGRAM, OCL_ICD_VENDORS="/nonexistent"), support.NO_DEVICE)

    def test_failing_driver(self):
        with open(self.path("program"), "w", encoding="utf-8") as file:
            file.write("#!/bin/sh\n"
                       "echo 'depthdrop: warning: OpenCL platform 0 cannot be used: CL_OUT_OF_RESOURCES (-5)' >&2\n"
                       "echo 'depthdrop: the OpenCL drivers here (1) offer no device: install one' >&2\n"
                       "exit 4\n")
        os.chmod(self.path("program"), 0o755)
        self.assertEqual(self.status(self.path("program")), 1)


class Selftest(CliTest):
    def test_quick(self):
        document = json.loads(self.run_program("selftest", "--quick", "--json")[0])
        self.assertEqual(list(document), ["passed", "devices"])
        self.assertIs(document["passed"], True)
        for device in document["devices"]:
            self.assertEqual(list(device), ["index", "device", "driver", "passed", "results"])
            self.assertGreater(len(device["results"]), 5)
            for result in device["results"]:
                self.assertEqual(list(result), ["kernel", "vector", "cases", "worst_error", "passed", "failure"])
                self.assertTrue(result["passed"], result)
                self.assertLessEqual(result["worst_error"], 1, result)

    def test_part(self):
        out, _ = self.run_program("selftest", "--quick", "--vector", "4", "--algorithm", "gemm")
        self.assertRegex(out, r"(\d+) of \1 passed")


if __name__ == "__main__":
    support.main()
