/*
 * How the kernels of ops/conv_winograd.c cut a convolution: pure functions of its shape and the device's limits.
 *
 * Blockings follow from the shape of an image and the compute units, so that results repeat on a device and programs
 * serve every batch; the batch decides how many bands a slice has. A blocking may be changed freely: kernels take tiles
 * that overhang, images beyond the batch, and groups of channel blocks as they come.
 */
#ifndef DD_OPS_WINOGRAD_BLOCKING_H
#define DD_OPS_WINOGRAD_BLOCKING_H

#include "ops/conv.h"

/*
 * Most bytes of a work-item's arrays: of one direction, since they live on the stack of the driver's worker threads; of
 * the kernel for both directions, which won up to 600 KB (1 MB of cache), more untried.
 */
enum { DD_WINOGRAD_PRIVATE_BYTES = 768 * 1024, DD_WINOGRAD_FUSED_BYTES = 512 * 1024 };

/** How the images are cut into tiles and bands. */
struct dd_winograd_tiling {
    int tm;            /* outputs of a tile along each axis */
    int images, rows;  /* of a band: images (1 unless rows covers an image), rows of tiles */
    int tiles, padded; /* of a band; padded to a multiple of the tiles in registers */
    int bands;         /* of the batch */
};

/** Forward and backward data: names as in conv/winograd_data.clh. */
struct dd_winograd_data {
    struct dd_winograd_tiling tiling;
    int rb, ob, ou, tb, kg, og;
    int bands_per_slice, slices;
};

/** Backward weights: names as in conv/winograd_grad.clh. */
struct dd_winograd_weights {
    struct dd_winograd_tiling tiling;
    int xb, gb, xg, gg, wi, wo;
    int bands_per_slice, slices;
};

/** The tile with fewer multiplications: maps of one or two pixels suit 2 x 2 better. */
int dd_winograd_tile(struct dd_shape s);

struct dd_winograd_data dd_winograd_block_data(const struct dd_device_info *info, const struct dd_conv *conv,
                                               bool backward);
struct dd_winograd_weights dd_winograd_block_weights(const struct dd_device_info *info, const struct dd_conv *conv);

/** Both directions in one kernel: equally many blocks, all held at once. False, data and weights unspecified: two
 * kernels it is. */
bool dd_winograd_block_both(const struct dd_device_info *info, const struct dd_conv *conv,
                            struct dd_winograd_data *data, struct dd_winograd_weights *weights);

/** Bytes of a work-item's arrays; s: the convolution's input. */
size_t dd_winograd_data_bytes(const struct dd_winograd_data *b, struct dd_shape s);
size_t dd_winograd_weights_bytes(const struct dd_winograd_weights *b, struct dd_shape s);
size_t dd_winograd_both_bytes(const struct dd_winograd_data *data, const struct dd_winograd_weights *weights,
                              struct dd_shape s);

#endif
