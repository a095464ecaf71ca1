/*
 * A second implementation of a training step, in double precision, plain NCHW and im2col loops of its own. Tests
 * compare the trainer with it, so it uses the network's description (src/net) and nothing else of src: not the
 * references, the operators or the plan. It is written for clarity and small networks.
 */
#ifndef REFNET_H
#define REFNET_H

#include <stdbool.h>
#include <stdint.h>

#include "net/net.h"

struct refnet;

/** Parameters start as dd_net_init_param(net, ., seed), momentum at zero. net must outlive it. NULL: out of memory. */
struct refnet *refnet_create(const struct dd_net *net, uint64_t seed);
void refnet_destroy(struct refnet **refnet); /* accepts an empty handle */

/** Parameter index (of net->params), its momentum and its last gradient: [dims] each, may be written too. */
double *refnet_param(struct refnet *refnet, int index);
double *refnet_momentum(struct refnet *refnet, int index);
double *refnet_gradient(struct refnet *refnet, int index);

/**
 * One SGD step on images [n][C][H][W] (network input) with labels [n]; returns the mean cross-entropy before the update
 * (NaN: out of memory). mask[unit] is 1 or 0, NULL: all on. A unit that is off is not computed, or, with
 * multiply_by_zero, computed and multiplied by its gate (its running statistics then move). Weight decay and momentum
 * apply to every trainable parameter.
 */
double refnet_step(struct refnet *refnet, const float *images, const int *labels, int n, const unsigned char *mask,
                   bool multiply_by_zero, double lr, double momentum, double weight_decay);

/**
 * Width dropout in the steps from here on: element e, counted in N, C, H, W order, is multiplied by
 * factor(user, unit, e) behind the unit's first ReLU, or, with unit = unit_count, before the last layer. NULL: none.
 */
typedef double (*refnet_factor)(void *user, int unit, size_t element);
void refnet_set_dropout(struct refnet *refnet, refnet_factor factor, void *user);

/** Evaluation (running statistics, all gates on): logits [n][classes]. False: out of memory. */
bool refnet_logits(struct refnet *refnet, const float *images, int n, double *logits);

#endif
