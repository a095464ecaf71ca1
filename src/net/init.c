/*
 * Initial values of the parameters, from Philox alone: the four words of counter (element / 4, parameter index,
 * DD_STREAM_INIT, 0) make elements 4g .. 4g + 3. Changing anything here changes every run made with a given seed.
 */
#include <math.h>

#include "base/philox.h"
#include "net/net.h"

enum { WORDS = 4 };

/* Two independent standard normal numbers from two words (Box and Muller 1958); the first is kept away from 0. */
static void normal_pair(const uint32_t words[2], double normals[2]) {
    static const double two_pi = 6.283185307179586476925;
    double radius = sqrt(-2.0 * log((words[0] + 1.0) * (1.0 / 4294967296.0)));
    double angle = two_pi * dd_unit_interval(words[1]);
    normals[0] = radius * cos(angle);
    normals[1] = radius * sin(angle);
}

/* He et al. 2015, equation 14 (fan-out): standard deviation sqrt(2 / (out_c * k * k)). */
static void fill_normal(const struct dd_param *param, int index, uint64_t seed, float *values) {
    double deviation = sqrt(2.0 / ((double)param->dims[0] * param->dims[2] * param->dims[3]));
    for (size_t start = 0; start < param->count; start += WORDS) {
        uint32_t words[WORDS];
        double normals[WORDS];
        dd_philox(seed, (uint32_t)(start / WORDS), (uint32_t)index, DD_STREAM_INIT, 0, words);
        normal_pair(words, normals);
        normal_pair(words + 2, normals + 2);
        for (size_t i = 0; i < WORDS && start + i < param->count; i++)
            values[start + i] = (float)(deviation * normals[i]);
    }
}

static void fill_uniform(const struct dd_param *param, int index, uint64_t seed, double bound, float *values) {
    for (size_t start = 0; start < param->count; start += WORDS) {
        uint32_t words[WORDS];
        dd_philox(seed, (uint32_t)(start / WORDS), (uint32_t)index, DD_STREAM_INIT, 0, words);
        for (size_t i = 0; i < WORDS && start + i < param->count; i++)
            values[start + i] = (float)(bound * (2.0 * dd_unit_interval(words[i]) - 1.0));
    }
}

static void fill_constant(const struct dd_param *param, float value, float *values) {
    for (size_t i = 0; i < param->count; i++)
        values[i] = value;
}

void dd_net_init_param(const dd_net *net, int index, uint64_t seed, float *values) {
    const struct dd_param *param = &net->params[index];
    switch (param->kind) {
    case DD_PARAM_CONV:
        fill_normal(param, index, seed, values);
        break;
    case DD_PARAM_BN_WEIGHT:
    case DD_PARAM_BN_VAR:
        fill_constant(param, 1.0f, values);
        break;
    case DD_PARAM_BN_BIAS:
    case DD_PARAM_BN_MEAN:
        fill_constant(param, 0.0f, values);
        break;
    case DD_PARAM_FC_WEIGHT:
    case DD_PARAM_FC_BIAS:
        fill_uniform(param, index, seed, 1.0 / sqrt((double)net->features), values);
        break;
    }
}
