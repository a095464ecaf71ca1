#!/bin/sh
# Puts Intel's OpenCL runtime for CPUs, from PyPI, into a folder of its own; nothing else on the system changes.
#
# Usage: scripts/intel-cpu-runtime.sh FOLDER
# Prints the two lines that let programs started from this shell use it: eval "$(scripts/intel-cpu-runtime.sh FOLDER)".
# Running it again is harmless; deleting FOLDER undoes it.
set -eu

if [ $# -ne 1 ] || [ "${1#-}" != "$1" ]; then
    echo "usage: scripts/intel-cpu-runtime.sh FOLDER" >&2
    exit 2
fi
if [ "$(uname -sm)" != "Linux x86_64" ]; then
    echo "intel-cpu-runtime: the runtime is made for Linux on x86-64; this is $(uname -sm)" >&2
    exit 1
fi

mkdir -p "$1"
folder=$(cd "$1" && pwd)
library=$folder/venv/lib/libintelocl.so
if [ ! -e "$library" ]; then
    python3 -m venv "$folder/venv" >&2 || {
        echo "intel-cpu-runtime: python3 makes no virtual environment; on Debian, install python3-venv" >&2
        exit 1
    }
    "$folder/venv/bin/pip" install --quiet --disable-pip-version-check intel-opencl-rt intel-cmplr-lib-rt >&2
fi
if [ ! -e "$library" ]; then
    echo "intel-cpu-runtime: pip installed the packages, but $library is not there" >&2
    exit 1
fi
mkdir -p "$folder/vendors"
printf '%s\n' "$library" >"$folder/vendors/intel.icd"
printf "export OCL_ICD_VENDORS='%s'\n" "$folder/vendors"
printf "export LD_LIBRARY_PATH='%s'\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}\n" "$folder/venv/lib"
