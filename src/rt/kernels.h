/* The kernel sources embedded at build time (cl/embed.py). */
#ifndef DD_RT_KERNELS_H
#define DD_RT_KERNELS_H

#include <stddef.h>
#include <stdint.h>

struct dd_kernel_source {
    const char *name;  /* path below cl/, e.g. "norm/bn_fwd.cl" */
    const char *text;  /* zero-terminated; `#include "common.clh"` is already replaced by that file's text */
    size_t size;
};

extern const struct dd_kernel_source dd_kernel_sources[]; /* name NULL past the end */

#endif
