/* depthdrop: descriptions of residual networks; no device involved. Unstable until 1.0. */
#ifndef DEPTHDROP_NET_H
#define DEPTHDROP_NET_H

#include <stdbool.h>
#include <stdint.h>

#include <depthdrop/status.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dd_net dd_net;

struct dd_net_options {
    const char *name;     /**< "resnetD": 18, 34, 50, 101, 152 ImageNet form; other D = 6n + 2 >= 8 CIFAR form */
    const char *shortcut; /**< "identity", "projection" or "conv"; NULL: "identity" */
    int channels;         /**< image channels, 1 or 3 */
    int height, width;    /**< image size in pixels, at least 8 each */
    int classes;          /**< at least 2 */
};

/**
 * Builds the description. DD_ERROR_USAGE names the value that is out of range and the limit.
 * On success the caller destroys *net; on failure *net is NULL.
 */
dd_status dd_net_create(const struct dd_net_options *options, dd_net **net);
void dd_net_destroy(dd_net **net);

/** Figures for `info` and `--dry-run`. */
struct dd_net_summary {
    int units;                    /**< residual units */
    int convolutions;             /**< all of them, shortcuts included */
    uint64_t parameters;          /**< trainable numbers */
    uint64_t primary_parameters;  /**< of which in primary paths */
    uint64_t shortcut_parameters; /**< of which in shortcuts */
    uint64_t
        forward_flops; /**< floating-point operations of convolutions and fc for one image (a multiply-add counts 2) */
    uint64_t primary_flops;  /**< of which in primary paths */
    uint64_t shortcut_flops; /**< of which in shortcuts */
};
void dd_net_summarize(const dd_net *net, struct dd_net_summary *summary);

/** One residual unit, for tables. */
struct dd_unit_summary {
    int stage, position; /**< from 1, and from 0 in its stage: torchvision's layer<stage>.<position> */
    int in_channels, out_channels;
    int in_height, in_width, out_height, out_width;
    int stride;
    bool first;                             /**< first unit of its stage */
    uint64_t primary_flops, shortcut_flops; /**< forward, one image */
};
/** Unit 0 .. unit_count - 1; DD_ERROR_USAGE beyond them. */
dd_status dd_net_unit(const dd_net *net, int unit, struct dd_unit_summary *summary);

#ifdef __cplusplus
}
#endif
#endif
