#!/usr/bin/env python3
"""Compiles every kernel of a GPU's plan with the compilers of three vendors, where installed; no GPU needed.

Usage: compile.py CL_FOLDER [PART_OF_A_SOURCE_NAME...]

NVIDIA: clang and libclc to PTX, then ptxas if it is on the path. AMD: clang and libclc. Intel: ocloc.
Debian has them as clang-15, libclc-15 and (ocloc) intel-opencl-icd; ptxas comes with CUDA.
Prints what each program takes in its greediest kernel: registers (r), spilled registers or bytes (s, if any), bytes of
local memory (l, if any). Exit 0: all compile; 1: one does not, or takes more local memory than OpenCL 1.2 promises;
77: no compiler.

A new source belongs into PROGRAMS, with the options that src/ops gives for a GPU, or into CPU_ONLY.
"""
import concurrent.futures
import glob
import itertools
import os
import re
import shutil
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True

LOCAL_BYTES_PROMISED = 32 * 1024
NO_COMPILER = 77  # meson's code for a skipped test
TIMEOUT_S = 300
COMMON_OPTIONS = ["-cl-std=CL1.2"]

# Convolutions whose supports() refuses all but CPUs (src/ops/conv_direct.c, src/ops/conv_winograd.c).
CPU_ONLY = ["conv/direct_bwd_data.cl", "conv/direct_bwd_weight.cl", "conv/direct_fwd.cl", "conv/pointwise_bwd.cl",
            "conv/pointwise_fwd.cl", "conv/weights.cl", "conv/winograd_bwd.cl", "conv/winograd_bwd_data.cl",
            "conv/winograd_bwd_weight.cl", "conv/winograd_fwd.cl"]


def product(**values):
    """Every combination of the options' values, each as {option: value}."""
    return [dict(zip(values, chosen)) for chosen in itertools.product(*values.values())]


def without(combinations, **unused):
    return [c for c in combinations if any(c[option] != value for option, value in unused.items())]


WIDTHS = [1, 4]
WINDOWS = [(1, 1, 0), (1, 2, 0), (3, 1, 1), (3, 2, 1), (7, 2, 3)]  # kernel, stride, pad
PROGRAMS = {
    "bench/peak.cl": product(V=WIDTHS, ACCUMULATORS=[12]),
    "conv/im2col.cl": [dict(V=v, KERNEL=k, STRIDE=s, PAD=p) for v in WIDTHS for k, s, p in WINDOWS],
    "data/augment.cl": product(GROUP=[64]),
    "finish/backward.cl": product(V=WIDTHS, GROUP=[64], LAYERS=[1, 2]),
    "finish/forward.cl": product(V=WIDTHS, GROUP=[64], LAYERS=[1, 2]),
    "linear/bias.cl": [{}],
    "loss/softmax_xent.cl": product(GROUP=[64]),
    "norm/bn_bwd.cl": product(V=WIDTHS, GROUP=[64], MASK=[0, 1]),
    "norm/bn_fwd.cl": product(V=WIDTHS, GROUP=[64]),
    "optim/sgd.cl": product(V=WIDTHS, GROUP=[64]),
    "point/dropout.cl": product(V=WIDTHS, GROUP=[64], AFFINE=[0, 1]),
    "point/join.cl": (without(product(V=WIDTHS, GROUP=[64], MAIN=[0, 1], SHORTCUT=[0, 1, 2, 3]), MAIN=0, SHORTCUT=0) +
                      product(V=WIDTHS, GROUP=[64], KEEP=[0, 1], SPACED=[0, 1])),
    "point/join_bwd.cl": without(product(V=WIDTHS, GROUP=[128], MAIN=[0, 1], SIDE=[0, 1, 2]), MAIN=0, SIDE=0),
    "pool/pool.cl": without(product(V=WIDTHS, GROUP=[64], PROLOGUE=[0, 1], PROLOGUE_RELU=[0, 1]),
                            PROLOGUE=0, PROLOGUE_RELU=1),
}


class Refusal(Exception):
    """What a compiler says."""


def execute(*command):
    """The command's messages."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                              timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        raise Refusal(f"{command[0]} takes more than {TIMEOUT_S} s") from None
    if done.returncode != 0:
        raise Refusal(done.stdout.strip() or f"{command[0]} gives code {done.returncode} and no reason")
    return done.stdout


def greatest(pattern, text):
    """The largest of the numbers that the pattern's group finds, 0 if there is none."""
    return max((int(number) for number in re.findall(pattern, text)), default=0)


def summary(registers, spilled, local):
    if local > LOCAL_BYTES_PROMISED:
        raise Refusal(f"{local} bytes of local memory; OpenCL 1.2 promises {LOCAL_BYTES_PROMISED}")
    fields = [f"{registers}r" if registers else "ok", f"{spilled}s" if spilled else "", f"{local}l" if local else ""]
    return " ".join(field for field in fields if field)


class Clang:
    """The part that NVIDIA and AMD share: OpenCL C with libclc to assembly."""

    def __init__(self, program, target, processor, library):
        self.command = [program, "-x", "cl", "-Xclang", "-finclude-default-header", "-O2", "-nogpulib", "-S",
                        f"--target={target}", "-Xclang", "-target-cpu", "-Xclang", processor, "-Xclang",
                        "-mlink-builtin-bitcode", "-Xclang", library]
        self.processor = processor

    def assemble(self, source, options, folder):
        """The assembly's path and text. A call that stays unresolved would fail only in the driver."""
        path = os.path.join(folder, self.processor + ".s")
        execute(*self.command, *options, "-o", path, source)
        with open(path, encoding="utf-8") as assembly:
            text = assembly.read()
        missing = re.findall(r"^\.extern \.func .*?(\w+)\s*$|(\w+)@gotpcrel32@lo", text, re.M)
        if missing:
            raise Refusal("unresolved: " + ", ".join(sorted({a or b for a, b in missing})))
        return path, text


class Nvidia(Clang):
    PROCESSOR = "sm_75"  # the oldest that current releases of ptxas know

    def __init__(self, program, library):
        super().__init__(program, "nvptx64--nvidiacl", self.PROCESSOR, library)
        self.ptxas = shutil.which("ptxas")
        self.name = f"NVIDIA {self.PROCESSOR}" + ("" if self.ptxas else " (no ptxas)")

    def compile(self, source, options, folder):
        path, _ = self.assemble(source, options, folder)
        if not self.ptxas:
            return "ok"
        log = execute(self.ptxas, "-v", f"-arch={self.PROCESSOR}", "-o", os.path.join(folder, "cubin"), path)
        return summary(greatest(r"Used (\d+) registers", log), greatest(r"(\d+) bytes spill stores", log),
                       greatest(r"(\d+) bytes smem", log))


class Amd(Clang):
    def __init__(self, program, library, processor):
        super().__init__(program, "amdgcn--amdhsa", processor, library)
        self.name = f"AMD {processor}"

    def compile(self, source, options, folder):
        _, text = self.assemble(source, options, folder)
        return summary(greatest(r"\.vgpr_count:\s+(\d+)", text), greatest(r"\.[sv]gpr_spill_count:\s+(\d+)", text),
                       greatest(r"\.group_segment_fixed_size:\s+(\d+)", text))


class Intel:
    def __init__(self, program, device, family):
        self.program, self.device, self.name = program, device, f"Intel {family}"

    def compile(self, source, options, folder):
        log = execute(self.program, "compile", "-q", "-file", source, "-device", self.device, "-out_dir", folder,
                      "-output", self.device, "-options", " ".join(options))
        return summary(0, greatest(r"spilled around (\d+)", log), 0)


def clangs():
    """Clang programs, the newest first, each with the folders that may have its libclc."""
    found = [f"clang-{version}" for version in range(40, 12, -1)] + ["clang"]
    for program in filter(shutil.which, found):
        for folder in ["/usr/lib/clc", "/usr/share/clc", "/usr/local/share/clc"]:
            yield program, folder


def candidates():
    """Families of compilers; of each family, the first member that works serves."""
    amd_library, nvidia_library = "amdgcn--amdhsa.bc", "nvptx64--nvidiacl.bc"
    yield [Nvidia(program, os.path.join(folder, nvidia_library)) for program, folder in clangs()]
    for processor in ["gfx1030", "gfx90a"]:
        yield [Amd(program, os.path.join(folder, amd_library), processor) for program, folder in clangs()]
    ocloc = shutil.which("ocloc")
    for device, family in [("skl", "Gen9"), ("tgllp", "Xe"), ("acm-g10", "Arc")]:
        yield [Intel(ocloc, device, family)] if ocloc else []


def works(compiler, folder):
    source = os.path.join(folder, "probe.cl")
    with open(source, "w", encoding="utf-8") as file:
        file.write("kernel void probe(global float *x) { x[get_global_id(0)] = exp(x[get_local_id(0)]); }\n")
    try:
        compiler.compile(source, COMMON_OPTIONS, folder)
    except Refusal:
        return False
    return True


def find_compilers(folder):
    found = []
    for family in candidates():
        found += itertools.islice((compiler for compiler in family if works(compiler, folder)), 1)
    return found


def expand_sources(root, folder):
    """Writes the sources as the library embeds them; returns their paths by name."""
    sys.path.insert(0, root)
    import embed  # of the folder under test
    expanded = {}
    for path in sorted(glob.glob(os.path.join(root, "*", "*.cl"))):
        name = os.path.relpath(path, root)
        expanded[name] = os.path.join(folder, name.replace("/", "_"))
        with open(expanded[name], "w", encoding="utf-8") as target:
            target.write(embed.expand(path, root))
    return expanded


def compile_program(compilers, source, options):
    """One cell for each compiler, and the messages of those that refuse."""
    cells, messages = [], []
    for compiler in compilers:
        with tempfile.TemporaryDirectory() as folder:
            try:
                cells.append(compiler.compile(source, COMMON_OPTIONS + options, folder))
            except Refusal as refusal:
                cells.append("FAILED")
                messages.append(f"{compiler.name}: {refusal}")
    return cells, messages


def unlisted(sources):
    """What the lists above and the source folder do not share."""
    known = set(PROGRAMS) | set(CPU_ONLY)
    return [f"{name}: not in this script's lists" for name in sorted(set(sources) - known)] + \
           [f"{name}: listed, but there is no such source" for name in sorted(known - set(sources))]


def unread(sources):
    """Options above that their source does not read: their programs would all be one."""
    faults = []
    for name in sorted(set(sources) & set(PROGRAMS)):
        with open(sources[name], encoding="utf-8") as file:
            words = set(re.findall(r"\w+", file.read()))
        options = {option for variant in PROGRAMS[name] for option in variant}
        faults += [f"{name}: no option {option} in it" for option in sorted(options - words)]
    return faults


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    root, parts = sys.argv[1], sys.argv[2:]
    with tempfile.TemporaryDirectory() as folder:
        compilers = find_compilers(folder)
        if not compilers:
            print("none of clang with libclc, ocloc is installed: nothing to compile with")
            return NO_COMPILER
        sources = expand_sources(root, folder)
        faults = unlisted(sources) + unread(sources)
        jobs = [(name, [f"-D{option}={value}" for option, value in options.items()])
                for name, variants in PROGRAMS.items() if name in sources and
                (not parts or any(part in name for part in parts)) for options in variants]
        labels = [" ".join([name] + options) for name, options in jobs]
        width = max(map(len, labels), default=0)
        print(" " * width, *(compiler.name.ljust(16) for compiler in compilers))
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            results = pool.map(lambda job: compile_program(compilers, sources[job[0]], job[1]), jobs)
            for label, (cells, messages) in zip(labels, results):
                print(label.ljust(width), *(cell.ljust(16) for cell in cells), flush=True)
                faults += [f"{label}\n{message}" for message in messages]
    for fault in faults:
        print("\n" + fault)
    print(f"\n{len(jobs)} programs, {len(compilers)} compilers, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
