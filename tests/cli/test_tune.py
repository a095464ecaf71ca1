#!/usr/bin/env python3
"""Tuning: what the store says is used, what it does not know is searched, and a wrong kernel never gets into it."""
import json
import os
import re
import shutil
import signal

import support
from support import CliTest, environment

RUN = ["--data", "shapes", "--net", "resnet8", "--batch", "8", "--iterations", "1", "--eval-every", "0"]
DIRECTIONS = ("forward", "backward_data", "backward_weights")


class Tune(CliTest):
    tested = None  # a cache folder with the self-test's verdict alone

    def setUp(self):
        super().setUp()
        self.cache = self.path("cache")
        if Tune.tested is None:
            folder = os.path.join(environment()["XDG_CACHE_HOME"], "tune-test")
            self.run_program("selftest", "--quick", "--cache-dir", folder)
            Tune.tested = folder
        os.mkdir(self.cache)
        shutil.copy(os.path.join(Tune.tested, "selftest.json"), self.cache)

    def store(self):
        """{key: winner} of the only device in the store."""
        with open(os.path.join(self.cache, "tune.json"), encoding="utf-8") as file:
            devices = json.load(file)["devices"]
        self.assertEqual(len(devices), 1)
        return next(iter(devices.values()))

    def change(self, winner):
        """Sets every winner of the store."""
        path = os.path.join(self.cache, "tune.json")
        with open(path, encoding="utf-8") as file:
            root = json.load(file)
        for device in root["devices"].values():
            for key in device:
                device[key] = winner
        with open(path, "w", encoding="utf-8") as file:
            json.dump(root, file)

    def run_once(self, name, *arguments, **options):
        """A run of one iteration. Gives the set of algorithms in its config.json, and stderr."""
        _, err = self.run_program("train", *RUN, "--run", self.path(name), "--cache-dir", self.cache, *arguments,
                                  **options)
        with open(self.path(name, "config.json"), encoding="utf-8") as file:
            algorithms = json.load(file)["algorithms"]
        return {layer[d] for layer in algorithms.values() for d in DIRECTIONS if d in layer}, err

    def test_first_and_second_start(self):
        algorithms, err = self.run_once("first")
        if algorithms == {"gemm"}:
            self.skipTest("this device has gemm alone: nothing to tune")
        self.assertRegex(err, r"tuning \d+ convolutions of resnet8")
        self.assertIn("tuned in", err)
        store = self.store()
        self.assertGreater(len(store), 10)
        second, err = self.run_once("second")
        self.assertNotIn("tuning", err)
        self.assertEqual(second, algorithms)
        self.assertEqual(self.store(), store)
        # what the store says is used, and a resumed run keeps what it began with
        for winner in ("direct", "gemm"):
            self.change(winner)
            self.assertEqual(self.run_once("run-" + winner)[0], {winner})
        self.run_program("train", "--resume", self.path("run-direct"), "--iterations", "2", "--cache-dir", self.cache)
        with open(self.path("run-direct", "config.json"), encoding="utf-8") as file:
            self.assertEqual({layer["forward"] for layer in json.load(file)["algorithms"].values()}, {"direct"})
        # another algorithm by name, or no cache: the store is left alone
        self.assertEqual(self.run_once("named", "--algorithm", "direct")[0], {"direct"})
        algorithms, err = self.run_once("off", env=environment(DEPTHDROP_NO_CACHE="1"))
        self.assertNotIn("gemm", algorithms)
        self.assertNotIn("tuning", err)
        # names that mean nothing are as good as none
        self.change("no such algorithm")
        algorithms, err = self.run_once("nonsense")
        self.assertIn("tuning", err)
        self.assertNotIn("no such algorithm", self.store().values())
        # a dry run writes nothing
        os.remove(os.path.join(self.cache, "tune.json"))
        self.run_program("train", *RUN, "--dry-run", "--cache-dir", self.cache)
        self.assertFalse(os.path.exists(os.path.join(self.cache, "tune.json")))

    def test_wrong_candidates(self):
        algorithms, err = self.run_once("run", env=environment(DEPTHDROP_TEST_WRONG_KERNEL="winograd"))
        if algorithms == {"gemm"}:
            self.skipTest("this device has gemm alone: nothing to tune")
        self.assertEqual(algorithms, {"direct"})
        self.assertRegex(err, r'"winograd" is left out: .*error .* times the tolerance')
        self.assertEqual(set(self.store().values()), {"direct"})
        os.remove(os.path.join(self.cache, "tune.json"))
        algorithms, _ = self.run_once("last", env=environment(DEPTHDROP_TEST_WRONG_KERNEL="forward direct"))
        self.assertNotIn("direct", {winner for key, winner in self.store().items() if key.endswith(" forward")})
        self.assertIn("gemm", algorithms)
        os.remove(os.path.join(self.cache, "tune.json"))
        self.run_error("train", *RUN, "--run", self.path("none"), "--cache-dir", self.cache, expect=6,
                       names=["no algorithm", "--device"], env=environment(DEPTHDROP_TEST_WRONG_KERNEL="conv forward"))
        self.assertFalse(os.path.exists(self.path("none", "config.json")))

    def test_command(self):
        arguments = ("tune", "--net", "resnet8", "--image-size", "16", "--batch", "8", "--cache-dir", self.cache)
        document = json.loads(self.run_program(*arguments, "--json")[0])
        self.assertEqual(set(document), {"device", "kept", "results"})
        self.assertTrue(document["kept"])
        if not document["results"]:
            self.skipTest("this device has nothing to tune")
        for result in document["results"]:
            self.assertEqual(set(result), {"shape", "pass", "vector", "images", "candidates", "winner"})
            self.assertIn(result["pass"], ("forward", "backward", "backward weights"))
            times = {one["candidate"]: one["ms"] for one in result["candidates"] if one["failure"] is None}
            self.assertIn(result["winner"], times)
            self.assertLessEqual(times[result["winner"]], 1.04 * min(times.values()))
            self.assertIn("gemm", {one["candidate"] for one in result["candidates"]})
        winners = {winner for result in document["results"] for winner in result["winner"].split("+")}
        self.assertEqual(set(self.store().values()), winners)
        out, err = self.run_program(*arguments, env=environment(DEPTHDROP_NO_CACHE="1"))
        self.assertEqual(len(re.findall(r"(?m)^\dx\d", out)), len(document["results"]))
        self.assertIn("not kept", err)

    def test_interrupt(self):
        process = self.start("tune", "--net", "resnet20", "--cache-dir", self.cache)
        process.stdout.readline()  # the heading: the first convolution is done
        _, err = self.interrupt(process, signal.SIGINT)
        if process.returncode != 0:  # a quick machine may have been done
            self.assertEqual(process.returncode, 130, err)
            self.assertIn("interrupted while tuning", err)
        self.assertGreater(len(self.store()), 0)

    def test_usage(self):
        self.run_error("tune", expect=2, names=["--net", "--all"])
        self.run_error("tune", "--net", "resnet8", "--all", expect=2, names=["--net", "--all"])
        self.run_error("tune", "--all", "--shortcut", "conv", expect=2, names=["--shortcut"])
        self.run_error("tune", "--net", "resnet9", expect=2, names=["resnet9"])
        self.run_error("tune", "--net", "resnet8", "--image-size", "x", expect=2, names=["--image-size"])


if __name__ == "__main__":
    support.main()
