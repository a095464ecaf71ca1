#!/usr/bin/python3
"""Times training steps of the same network in PyTorch and in depthdrop, in turns, and prints the ratio.

    pytorch_step.py --program build/src/cli/depthdrop
    pytorch_step.py --program build/src/cli/depthdrop --shortcut conv --gate exact:12 --threads 2

Every round times depthdrop (`bench step --json`, its step_ms), then PyTorch in each memory format, eager and, with
--compile, compiled. Both use the CPU with the same number of threads, random images of the same size, SGD with momentum
0.9 and weight decay 1e-4. With --gate exact:K both skip K gated units (all but the first of each stage) in every
iteration, drawn anew: a Python `if` leaves the primary path out, so that PyTorch computes nothing of it either.
--shortcut is that of both programs; compare with an identity baseline in runs of their own.

Needs torch and numpy (Debian: python3-torch); any version of torch that has channels-last.
"""
import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import time

FORMATS = ("channels-last", "nchw")


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", metavar="PATH", help="depthdrop; without it PyTorch alone is timed")
    parser.add_argument("--net", default="resnet56", metavar="NAME", help="a CIFAR network, resnetD (resnet56)")
    parser.add_argument("--shortcut", default="identity", choices=["identity", "projection", "conv"])
    parser.add_argument("--gate", default="none", metavar="none|exact:K", help="gated units that are off (none)")
    parser.add_argument("--batch", type=int, default=128, metavar="N", help="images in a mini-batch (128)")
    parser.add_argument("--image-size", type=int, default=32, metavar="S", help="rows and columns (32)")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="turns of all configurations (5)")
    parser.add_argument("--iterations", type=int, default=10, metavar="N", help="timed steps in a turn (10)")
    parser.add_argument("--warmup", type=int, default=2, metavar="N", help="steps before them in every turn (2)")
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="of both; 0: the CPUs this process may use")
    parser.add_argument("--formats", default=",".join(FORMATS), metavar="F,..", help="memory formats, of %(default)s")
    parser.add_argument("--compile", action="store_true", help="time torch.compile too (torch 2; without gates)")
    parser.add_argument("--device", metavar="SEL", help="OpenCL device of depthdrop (its default)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    options.formats = options.formats.split(",")
    if not set(options.formats) <= set(FORMATS):
        parser.error(f"--formats: choose from {', '.join(FORMATS)}")
    if min(options.batch, options.rounds, options.iterations) < 1 or min(options.threads, options.warmup) < 0:
        parser.error("--batch, --rounds and --iterations must be at least 1")
    kind, _, count = options.gate.partition(":")
    if options.gate != "none" and (kind != "exact" or not count.isdigit()):
        parser.error(f"--gate {options.gate}: write none or exact:K")
    if options.compile and options.gate != "none":
        parser.error("--compile: a graph for every pattern of gates would be compiled; use --gate none")
    options.off = 0 if options.gate == "none" else int(count)
    if options.threads == 0:
        options.threads = len(os.sched_getaffinity(0))
    return parser, options


class TorchSteps:
    """A network with its optimizer in one memory format."""

    def __init__(self, torch, options, memory_format, compiled):
        from model import ResNet
        self.torch, self.options = torch, options
        self.name = f"torch {torch.__version__} {memory_format}{' compiled' if compiled else ''}"
        torch.manual_seed(1)
        self.net = ResNet(options.net, options.shortcut, 3, 10)
        units = self.net.units()
        firsts = {id(getattr(self.net, f"layer{stage + 1}")[0]) for stage in range(self.net.stages)}
        self.count = len(units)
        self.gated = [i for i, unit in enumerate(units) if id(unit) not in firsts]
        layout = torch.channels_last if memory_format == "channels-last" else torch.contiguous_format
        self.net = self.net.to(memory_format=layout).train()
        size = options.image_size
        self.images = torch.rand(options.batch, 3, size, size).sub(0.5).contiguous(memory_format=layout)
        self.labels = torch.arange(options.batch) % 10
        self.optimizer = torch.optim.SGD(self.net.parameters(), lr=1e-3, momentum=0.9, weight_decay=1e-4)
        self.forward = torch.compile(self.net) if compiled else self.net
        self.random = random.Random(1)
        self.times = []

    def step(self):
        gates = [True] * self.count
        for i in self.random.sample(self.gated, self.options.off):
            gates[i] = False
        start = time.perf_counter()
        self.optimizer.zero_grad(set_to_none=True)
        output = self.forward(self.images, gates) if self.options.off else self.forward(self.images)
        self.torch.nn.functional.cross_entropy(output, self.labels).backward()
        self.optimizer.step()
        return 1e3 * (time.perf_counter() - start)

    def turn(self):
        for _ in range(self.options.warmup):
            self.step()
        self.times += [self.step() for _ in range(self.options.iterations)]


class DepthdropSteps:
    """The program; each turn is a process of its own, so its figures are those of that process."""

    def __init__(self, options):
        self.name, self.times, self.means = "depthdrop", [], []
        self.command = [options.program, "bench", "step", "--json", "--net", options.net,
                        "--shortcut", options.shortcut, "--gate", options.gate, "--batch", str(options.batch),
                        "--image-size", str(options.image_size), "--iterations", str(options.iterations),
                        "--warmup", str(options.warmup), "--threads", str(options.threads)]
        if options.device:
            self.command += ["--device", options.device]

    def turn(self):
        done = subprocess.run(self.command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(self.command)} ended with {done.returncode}: {done.stderr.strip()}")
        result = json.loads(done.stdout)
        self.device = result["device"]
        self.times.append(result["step_ms"]["median"])
        self.means.append(result["step_ms"]["mean"])


def figures(steps):
    """Median, mean and minimum; depthdrop's mean is that of its turns' means."""
    means = getattr(steps, "means", None)
    return {"name": steps.name, "median_ms": statistics.median(steps.times),
            "mean_ms": statistics.mean(means or steps.times), "min_ms": min(steps.times)}


def report(options, ours, peers):
    rows = [figures(peer) for peer in peers]
    best = min(rows, key=lambda row: row["median_ms"])
    result = {"net": options.net, "shortcut": options.shortcut, "gate": options.gate, "batch": options.batch,
              "threads": options.threads, "rounds": options.rounds, "iterations": options.iterations,
              "device": ours.device if ours else None, "depthdrop": figures(ours) if ours else None, "peers": rows,
              "best_peer": best["name"]}
    if ours:
        result["ratio_median"] = result["depthdrop"]["median_ms"] / best["median_ms"]
        result["ratio_mean"] = result["depthdrop"]["mean_ms"] / min(row["mean_ms"] for row in rows)
    if options.json:
        print(json.dumps(result))
        return
    print(f"{options.net}, {options.shortcut} shortcuts, gates {options.gate}, batch {options.batch}, "
          f"{options.threads} threads, {options.rounds} rounds of {options.iterations} steps")
    print(f"{'ms per step':40s} {'median':>9s} {'mean':>9s} {'min':>9s} {'ours / it':>10s}")
    for row in ([result["depthdrop"]] if ours else []) + rows:
        ratio = f"{result['depthdrop']['median_ms'] / row['median_ms']:10.3f}" if ours else ""
        print(f"{row['name']:40s} {row['median_ms']:9.2f} {row['mean_ms']:9.2f} {row['min_ms']:9.2f} {ratio}")
    if ours:
        print(f"against the best ({best['name']}): {result['ratio_median']:.3f} by medians, "
              f"{result['ratio_mean']:.3f} by means, on {ours.device}")


def main():
    parser, options = parse_arguments()
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(options.threads)
    try:
        import torch
    except ImportError as error:
        parser.error(f"{error}: install PyTorch (Debian: python3-torch)")
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    torch.set_num_threads(options.threads)
    peers = [TorchSteps(torch, options, memory_format, False) for memory_format in options.formats]
    if options.compile:
        if not hasattr(torch, "compile"):
            parser.error(f"--compile: torch {torch.__version__} has no torch.compile")
        peers += [TorchSteps(torch, options, memory_format, True) for memory_format in options.formats]
    if options.off > len(peers[0].gated):
        parser.error(f"--gate {options.gate}: {options.net} has {len(peers[0].gated)} gated units")
    ours = DepthdropSteps(options) if options.program else None
    turns = ([ours] if ours else []) + peers
    try:
        for number in range(options.rounds):
            for steps in turns:
                steps.turn()
            done = ", ".join(f"{steps.name} {statistics.median(steps.times):.1f}" for steps in turns)
            print(f"round {number + 1} of {options.rounds}: {done} ms", file=sys.stderr)
    except (OSError, RuntimeError) as error:
        print(f"pytorch_step.py: {error}", file=sys.stderr)
        return 1
    report(options, ours, peers)
    return 0


if __name__ == "__main__":
    sys.exit(main())
