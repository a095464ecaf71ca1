#!/usr/bin/env python3
"""Runs kernel tests on Oclgrind, which emulates a GPU and reports invalid accesses, data races and wrong API calls.

Usage: oclgrind.py TEST_PROGRAM...

Exit 0: all pass and Oclgrind reports nothing; 1: one does not; 77: Oclgrind is not installed (Debian: oclgrind).
CLBlast's kernels are not among the tests: Oclgrind takes minutes for them.
"""
import os
import shutil
import subprocess
import sys
import tempfile

NOT_INSTALLED = 77  # meson's code for a skipped test
TIMEOUT_S = 300
LOG_SHOWN = 4000  # characters


def run(oclgrind, program, log):
    """What is wrong with the program on Oclgrind, as text; empty: nothing."""
    environment = {key: value for key, value in os.environ.items() if key != "OCL_ICD_VENDORS"}
    environment["DEPTHDROP_DEVICE"] = "0"  # the only one that Oclgrind shows; emulators are no default
    try:
        done = subprocess.run([oclgrind, "--data-races", "--check-api", "--log", log, program], env=environment,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return f"no end after {TIMEOUT_S} s"
    reports = ""
    if os.path.exists(log):
        with open(log, encoding="utf-8", errors="replace") as file:
            reports = file.read()[:LOG_SHOWN]
    if "Oclgrind" not in done.stdout:
        return f"did not run on Oclgrind:\n{done.stdout}"
    return reports or (done.stdout if done.returncode else "")


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    oclgrind = shutil.which("oclgrind")
    if oclgrind is None:
        print("oclgrind is not installed")
        return NOT_INSTALLED
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for number, program in enumerate(sys.argv[1:]):
            fault = run(oclgrind, program, os.path.join(folder, f"{number}.log"))
            failed += fault != ""
            print(f"{os.path.basename(program)}: {fault or 'ok'}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
