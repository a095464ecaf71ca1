# Installs what depthdrop needs. Sourced by quickstart and check; needs bash.
#
# Only what is missing is installed, by apt on Debian and its relatives. Elsewhere the list is printed, and the build
# goes on if the tools are there.

dd_packages_build=(gcc libc6-dev meson ninja-build pkg-config python3 ocl-icd-opencl-dev opencl-headers libclblast-dev
    libstb-dev libjansson-dev librandom123-dev libxxhash-dev zlib1g-dev)

dd_say() {
    printf '%s\n' "$*" >&2
}

dd_is_installed() {
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# dd_as_root COMMAND...: through sudo unless root already.
dd_as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        dd_say "depthdrop: not root and no sudo; as root, run: $*"
        return 1
    fi
}

dd_apt_install() {
    dd_as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"
}

# dd_install PACKAGE...: the missing ones of them; package lists are fetched when there are none or they are too old.
dd_install() {
    local missing=() package
    for package in "$@"; do
        dd_is_installed "$package" || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    dd_say "installing: ${missing[*]}"
    if ! apt-cache show "${missing[0]}" >/dev/null 2>&1; then
        dd_as_root apt-get update || return 1
    fi
    dd_apt_install "${missing[@]}" || { dd_as_root apt-get update && dd_apt_install "${missing[@]}"; }
}

# An OpenCL driver of any kind? PoCL is only installed where there is none.
dd_has_opencl_driver() {
    local file
    for file in "${OCL_ICD_VENDORS:-/etc/OpenCL/vendors}"/*.icd; do
        [ -e "$file" ] && return 0
    done
    return 1
}

dd_check_tools() {
    local tool missing=()
    for tool in meson ninja pkg-config python3; do
        command -v "$tool" >/dev/null || missing+=("$tool")
    done
    command -v "${CC:-cc}" >/dev/null || missing+=("${CC:-cc}")
    if [ ${#missing[@]} -gt 0 ]; then
        dd_say "depthdrop: still missing: ${missing[*]}"
        return 1
    fi
}

# dd_dependencies PACKAGE...: what the build needs, and these.
dd_dependencies() {
    local packages=("${dd_packages_build[@]}" "$@")
    dd_has_opencl_driver || packages+=(pocl-opencl-icd)
    if command -v apt-get >/dev/null && command -v dpkg-query >/dev/null; then
        dd_install "${packages[@]}"
    else
        dd_say "This system has no apt. depthdrop needs, by Debian's names: ${packages[*]}"
        dd_say "Elsewhere they may be called: a C11 compiler, meson (1.0 or newer), ninja, pkg-config, python3, the"
        dd_say "OpenCL headers and loader, an OpenCL driver for your device (PoCL for a CPU), CLBlast, stb, jansson,"
        dd_say "Random123, xxHash, zlib and, for ./check, cmocka and gnuplot. Going on with what is there."
    fi
    dd_check_tools
}
