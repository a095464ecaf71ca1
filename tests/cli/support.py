"""What the command line tests share. A test file runs as `python3 tests/cli/test_x.py PROGRAM [unittest options]`."""
import hashlib
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest

PROGRAM = None
HERE = os.path.dirname(os.path.abspath(__file__))
NO_DEVICE = 77  # meson's code for a skipped test

# A run that is small enough for a test: every kind of layer, gates, recalibrated statistics.
SMALL_NET = ["--data", "shapes", "--net", "resnet8", "--batch", "16"]
GATED_NET = ["--data", "shapes", "--net", "resnet14", "--shortcut", "conv", "--gate", "uniform:0.5", "--batch", "16"]


def environment(**changes):
    """The tests' environment: verdicts and binaries are kept where meson says, else beside the program."""
    values = dict(os.environ)
    values.setdefault("XDG_CACHE_HOME", os.path.join(os.path.dirname(os.path.abspath(PROGRAM)), "test-cache"))
    values.setdefault("ASAN_OPTIONS", "fast_unwind_on_malloc=0")  # these two for builds with AddressSanitizer
    values.setdefault("LSAN_OPTIONS", "suppressions=" + os.path.join(os.path.dirname(HERE), "lsan.supp"))
    values.update(changes)
    return values


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def read_log(folder):
    with open(os.path.join(folder, "log.jsonl"), encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def count_log_lines(folder):
    try:
        with open(os.path.join(folder, "log.jsonl"), "rb") as file:
            return file.read().count(b"\n")
    except FileNotFoundError:
        return 0


def write_png(path, width, height, channels, value):
    """A picture of one value, or of a gradient if value is None."""
    import zlib

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b""
    for y in range(height):
        row = [(3 * x + 5 * y + 40 * c) % 256 if value is None else value
               for x in range(width) for c in range(channels)]
        rows += b"\0" + bytes(row)
    head = struct.pack(">IIBBBBB", width, height, 8, 0 if channels == 1 else 2, 0, 0, 0)
    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)))
        file.write(chunk(b"IEND", b""))


class CliTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="depthdrop-test-")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def start(self, *arguments, env=None, **options):
        """The program in the background, both outputs piped."""
        return subprocess.Popen([PROGRAM, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True, env=env or environment(), **options)

    def run_program(self, *arguments, expect=0, env=None, timeout=240, **options):
        """Runs the program; its exit code must be expect. Gives (stdout, stderr)."""
        process = self.start(*arguments, env=env, **options)
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            self.fail(f"depthdrop {' '.join(arguments)} took over {timeout} s\n{err}")
        self.assertEqual(process.returncode, expect,
                         f"exit code of depthdrop {' '.join(arguments)}\nstdout: {out[-2000:]}\nstderr: {err[-4000:]}")
        return out, err

    def run_error(self, *arguments, expect, names=(), **options):
        """The same for an error: nothing on stdout, one sentence on stderr that has every word of names."""
        out, err = self.run_program(*arguments, expect=expect, **options)
        self.assertEqual(out, "", f"stdout of depthdrop {' '.join(arguments)}")
        last = err.rstrip("\n").split("\n")[-1]
        self.assertTrue(last.startswith("depthdrop: "), f"depthdrop {' '.join(arguments)}: {err}")
        for name in names:
            self.assertIn(name, last, f"depthdrop {' '.join(arguments)}")
        return err

    def train(self, name, *arguments, net=SMALL_NET, **options):
        """A new run in its own folder, which is given back."""
        folder = self.path(name)
        self.run_program("train", *net, "--run", folder, *arguments, **options)
        return folder

    def wait_for_log(self, process, folder, lines, timeout=240):
        """Waits until the run's log has so many lines. False if the program ended before."""
        end = time.monotonic() + timeout
        while count_log_lines(folder) < lines:
            if process.poll() is not None:
                return False
            if time.monotonic() > end:
                process.kill()
                self.fail(f"no {lines} lines in {folder}/log.jsonl after {timeout} s")
            time.sleep(0.005)
        return True

    def interrupt(self, process, number=signal.SIGINT, timeout=240):
        """Sends the signal and waits; gives (stdout, stderr)."""
        process.send_signal(number)
        return process.communicate(timeout=timeout)


def list_devices():
    """A finished `devices --json`; None where there is no device at all. A driver that fails is not that."""
    listed = subprocess.run([PROGRAM, "devices", "--json"], capture_output=True, text=True, env=environment())
    nothing = re.search("no OpenCL platform was found|OpenCL drivers here .* offer no device", listed.stderr)
    failing = "cannot be used" in listed.stderr
    return None if listed.returncode == 4 and nothing and not failing else listed


def main(needs_device=True):
    global PROGRAM
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit(f"usage: {sys.argv[0]} PROGRAM [unittest options]")
    PROGRAM = os.path.abspath(sys.argv.pop(1))  # tests may run it in another folder
    if needs_device:
        listed = list_devices()
        if listed is None:
            print("skipped: there is no OpenCL device")
            sys.exit(NO_DEVICE)
        if listed.returncode != 0:
            sys.exit(f"the OpenCL devices cannot be listed: {listed.stderr.strip()}")
    unittest.main()
