/*
 * Forms of convolution weights that kernels read instead of the weights themselves (cl/conv/weights.cl). An algorithm
 * says which form a convolution wants (struct dd_conv_algorithm, ops/conv.h); the forms of a whole network are made by
 * one launch, since launches that wait for each other cost more than so few bytes.
 */
#ifndef DD_OPS_WEIGHTS_H
#define DD_OPS_WEIGHTS_H

#include "ops/op.h"

/** What a form is made of: weights [O/v][I/v][taps][v][v], v the same on both sides. */
struct dd_weight_form {
    int tile;              /* outputs of a Winograd tile along each axis, 2 or 4; 0: transposed alone */
    int transposed;        /* Winograd: for backward data; 1 where tile is 0 */
    int reduced, produced; /* blocks of channels that the convolution's kernel sums over, and that it makes */
    int unit;              /* Winograd: produced blocks that lie side by side; 1 where tile is 0 */
    int taps;              /* K * K; 9 for Winograd */
    int v;
};

/** Floats of a form: tile 0: [produced][reduced][taps][v][v]; else [(tile + 2)^2][produced / unit][reduced v][unit][v].
 */
size_t dd_weight_form_floats(const struct dd_weight_form *form);

/**
 * Whether a network keeps the form between uses. A larger one is made before each use, in the workspace: to write it
 * takes longer than to start its launch, and in large nets such forms would take more memory than all parameters.
 */
bool dd_weight_form_kept(const struct dd_weight_form *form);

/** A form's place: `from` floats into the buffer of the weights, `to` floats into that of the forms. */
struct dd_weight_entry {
    struct dd_weight_form form;
    size_t from, to; /* multiples of v */
    int owner;       /* the unit whose gate decides whether the form is read, or -1: always */
};

enum { DD_WEIGHT_ALL_ARG = 7 }; /* of the launch that makes all forms: 1, or 0 to leave out those that no gate wants */

/** Bytes of the table of `count` entries on the device. */
size_t dd_weight_table_bytes(int count);

/**
 * One launch that makes all forms. entries [count], count at least 1, have the same v; table is a buffer of
 * dd_weight_table_bytes, filled here (blocking); w and forms are the buffers that the entries' places count in; active
 * is int [owners], read where DD_WEIGHT_ALL_ARG is 0 (it is 1 at first).
 */
dd_status dd_weight_add_all(dd_device *device, const struct dd_weight_entry *entries, int count, cl_mem table, cl_mem w,
                            cl_mem forms, cl_mem active, struct dd_launches *list);

/** One launch that makes the form of w at the start of `to`. */
dd_status dd_weight_add_one(dd_device *device, const struct dd_weight_form *form, cl_mem w, cl_mem to,
                            struct dd_launches *list);

/** What a convolution reads: `made`, its form made by the caller; if that is NULL, `here`, with a launch that makes it.
 */
dd_status dd_weight_have(dd_device *device, const struct dd_weight_form *form, cl_mem w, cl_mem made, cl_mem here,
                         struct dd_launches *list, cl_mem *read);

#endif
