/*
 * The network descriptions: sizes and names against the published ones, both families, all shortcut kinds, odd and
 * non-square images; initial values; refusals.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/net.h"

static dd_net *make(const char *name, const char *shortcut, int channels, int height, int width, int classes) {
    struct dd_net_options options = {name, shortcut, channels, height, width, classes};
    dd_net *net = NULL;
    if (dd_net_create(&options, &net) != DD_OK)
        fail_msg("%s %s %dx%dx%d: %s", name, shortcut, channels, height, width, dd_error_message());
    return net;
}

/*
 * Parameters: torchvision's documentation (ImageNet form, 1000 classes, projection) and He et al. section 4.2 (0.27,
 * 0.46, 0.66, 0.85, 1.7, 19.4 million), exact values from the layer sizes. Multiply-adds of convolutions and fc:
 * torchvision's model pages print 1.81, 3.66, 4.09, 7.8 and 11.51 billion.
 */
static void known_figures(void **state) {
    static const struct {
        const char *name, *shortcut;
        int side, classes, units;
        uint64_t parameters;
        double giga_macs, tolerance;
    } nets[] = {
        {"resnet18", "projection", 224, 1000, 8, 11689512, 1.814, 0.001},
        {"resnet34", "projection", 224, 1000, 16, 21797672, 3.664, 0.001},
        {"resnet50", "projection", 224, 1000, 16, 25557032, 4.089, 0.001},
        {"resnet101", "projection", 224, 1000, 33, 44549160, 7.801, 0.001},
        {"resnet152", "projection", 224, 1000, 50, 60192808, 11.514, 0.001},
        {"resnet20", "identity", 32, 10, 9, 269722, 0.0406, 0.0002},
        {"resnet20", "projection", 32, 10, 9, 272474, 0.0408, 0.0002},
        {"resnet56", "identity", 32, 10, 27, 853018, 0.1255, 0.0002},
        {"resnet110", "identity", 32, 10, 54, 1727962, 0.2529, 0.0002},
        {"resnet1202", "identity", 32, 10, 600, 19421274, 2.8295, 0.002},
    };
    (void)state;
    for (size_t i = 0; i < sizeof nets / sizeof nets[0]; i++) {
        dd_net *net = make(nets[i].name, nets[i].shortcut, 3, nets[i].side, nets[i].side, nets[i].classes);
        struct dd_net_summary summary;
        dd_net_summarize(net, &summary);
        print_message("%s %s: %llu parameters, %.5f GMAC\n", nets[i].name, nets[i].shortcut,
                      (unsigned long long)summary.parameters, summary.forward_flops / 2e9);
        assert_int_equal(summary.units, nets[i].units);
        assert_int_equal(summary.parameters, nets[i].parameters);
        assert_true(fabs(summary.forward_flops / 2e9 - nets[i].giga_macs) <= nets[i].tolerance);
        dd_net_destroy(&net);
        assert_null(net);
    }
}

/* Design of the paper: a 1x1 shortcut on all 27 units of ResNet-56, each 1/18 of a same-sized primary path. */
static void conv_shortcut_everywhere(void **state) {
    (void)state;
    dd_net *net = make("resnet56", "conv", 3, 32, 32, 10);
    struct dd_net_summary summary;
    uint64_t primary = 0, shortcut = 0;
    dd_net_summarize(net, &summary);
    assert_int_equal(summary.convolutions, 1 + 27 * 3);
    for (int u = 0; u < summary.units; u++) {
        struct dd_unit_summary unit;
        assert_int_equal(dd_net_unit(net, u, &unit), DD_OK);
        primary += unit.primary_flops;
        shortcut += unit.shortcut_flops;
        assert_int_equal(net->units[u].shortcut_op, DD_SHORTCUT_OP_CONV_BN_RELU);
        if (!unit.first)
            assert_int_equal(unit.primary_flops, 18 * unit.shortcut_flops);
        assert_int_equal(unit.first, u % 9 == 0);
        assert_int_equal(unit.stride, u == 9 || u == 18 ? 2 : 1);
    }
    assert_int_equal(primary, summary.primary_flops);
    assert_int_equal(shortcut, summary.shortcut_flops);
    assert_true(summary.primary_parameters + summary.shortcut_parameters < summary.parameters);
    dd_net_destroy(&net);
}

static const char *const resnet50_head[] = {
    "conv1.weight", "bn1.weight", "bn1.bias", "bn1.running_mean", "bn1.running_var",
    "layer1.0.conv1.weight", "layer1.0.bn1.weight", "layer1.0.bn1.bias", "layer1.0.bn1.running_mean",
    "layer1.0.bn1.running_var", "layer1.0.conv2.weight", "layer1.0.bn2.weight", "layer1.0.bn2.bias",
    "layer1.0.bn2.running_mean", "layer1.0.bn2.running_var", "layer1.0.conv3.weight", "layer1.0.bn3.weight",
    "layer1.0.bn3.bias", "layer1.0.bn3.running_mean", "layer1.0.bn3.running_var", "layer1.0.downsample.0.weight",
    "layer1.0.downsample.1.weight", "layer1.0.downsample.1.bias", "layer1.0.downsample.1.running_mean",
    "layer1.0.downsample.1.running_var", "layer1.1.conv1.weight",
};

static void parameter_order(void **state) {
    (void)state;
    dd_net *net = make("resnet50", "projection", 3, 224, 224, 1000);
    for (size_t i = 0; i < sizeof resnet50_head / sizeof resnet50_head[0]; i++) {
        assert_string_equal(net->params[i].name, resnet50_head[i]);
        assert_int_equal(dd_net_find_param(net, resnet50_head[i]), (int)i);
    }
    assert_string_equal(net->params[net->param_count - 2].name, "fc.weight");
    assert_string_equal(net->params[net->param_count - 1].name, "fc.bias");
    assert_int_equal(net->fc_bias, net->param_count - 1);
    assert_int_equal(net->param_count, 53 * 5 + 2);
    assert_int_equal(dd_net_find_param(net, "layer1.1.downsample.0.weight"), -1);
    assert_int_equal(dd_net_find_param(net, "layer2.0.downsample.0.weight"), net->units[3].shortcut.weight);
    /* v1.5: the stride is in the 3x3 */
    assert_int_equal(net->units[3].primary[0].stride, 1);
    assert_int_equal(net->units[3].primary[1].stride, 2);
    assert_int_equal(net->units[3].primary[2].stride, 1);
    dd_net_destroy(&net);
}

/* Every index in the description points back at where it belongs. */
static void check_layer(const dd_net *net, const struct dd_conv_layer *layer, int unit, bool primary) {
    const struct dd_bn_layer *bn = &net->bns[layer->bn];
    const int members[] = {layer->weight, layer->bn_weight, layer->bn_bias, bn->mean, bn->var};
    static const enum dd_param_kind kinds[] = {DD_PARAM_CONV, DD_PARAM_BN_WEIGHT, DD_PARAM_BN_BIAS, DD_PARAM_BN_MEAN,
                                               DD_PARAM_BN_VAR};
    assert_int_equal(bn->conv_weight, layer->weight);
    assert_int_equal(bn->channels, layer->out_c);
    for (int i = 0; i < 5; i++) {
        const struct dd_param *param = &net->params[members[i]];
        assert_int_equal(param->kind, kinds[i]);
        assert_int_equal(param->unit, unit);
        assert_int_equal(param->primary, primary);
        assert_int_equal(param->trainable, i < 3);
        assert_int_equal(param->bn, i == 0 ? -1 : layer->bn);
        assert_int_equal(param->count, i == 0 ? (size_t)layer->out_c * layer->in_c * layer->kernel * layer->kernel
                                              : (size_t)layer->out_c);
    }
    assert_int_equal(layer->out_h, (layer->in_h + 2 * layer->pad - layer->kernel) / layer->stride + 1);
    assert_int_equal(layer->out_w, (layer->in_w + 2 * layer->pad - layer->kernel) / layer->stride + 1);
}

static void check_unit(const dd_net *net, int index, int in_c, int in_h, int in_w) {
    const struct dd_unit *unit = &net->units[index];
    assert_int_equal(unit->in_c, in_c);
    assert_int_equal(unit->in_h, in_h);
    assert_int_equal(unit->in_w, in_w);
    int c = in_c, h = in_h, w = in_w;
    for (int i = 0; i < unit->convs; i++) {
        const struct dd_conv_layer *layer = &unit->primary[i];
        check_layer(net, layer, index, true);
        assert_int_equal(layer->in_c, c);
        assert_int_equal(layer->in_h, h);
        assert_int_equal(layer->in_w, w);
        c = layer->out_c;
        h = layer->out_h;
        w = layer->out_w;
    }
    assert_true(c == unit->out_c && h == unit->out_h && w == unit->out_w);
    /* what a 1x1 convolution of this stride, or the even rows and columns, give */
    assert_int_equal(unit->out_h, (in_h + unit->stride - 1) / unit->stride);
    assert_int_equal(unit->out_w, (in_w + unit->stride - 1) / unit->stride);
    bool changes = unit->stride != 1 || unit->in_c != unit->out_c;
    if (!strcmp(net->shortcut, "conv"))
        assert_int_equal(unit->shortcut_op, DD_SHORTCUT_OP_CONV_BN_RELU);
    else if (!changes)
        assert_int_equal(unit->shortcut_op, DD_SHORTCUT_OP_NONE);
    else if (!strcmp(net->shortcut, "projection"))
        assert_int_equal(unit->shortcut_op, DD_SHORTCUT_OP_CONV_BN);
    else
        assert_int_equal(unit->shortcut_op, DD_SHORTCUT_OP_SUBSAMPLE);
    if (unit->shortcut_op == DD_SHORTCUT_OP_CONV_BN || unit->shortcut_op == DD_SHORTCUT_OP_CONV_BN_RELU) {
        check_layer(net, &unit->shortcut, index, false);
        assert_true(unit->shortcut.out_h == unit->out_h && unit->shortcut.out_w == unit->out_w);
        assert_true(unit->shortcut.kernel == 1 && unit->shortcut.stride == unit->stride);
    }
}

static void consistent_shapes(void **state) {
    static const char *const names[] = {"resnet8", "resnet14", "resnet18", "resnet34", "resnet50", "resnet56"};
    static const int sizes[][2] = {{8, 8}, {8, 13}, {9, 8}, {28, 28}, {32, 32}, {33, 47}, {224, 224}};
    (void)state;
    for (size_t n = 0; n < sizeof names / sizeof names[0]; n++)
        for (const struct dd_shortcut_entry *kind = dd_shortcuts; kind->name; kind++)
            for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
                dd_net *net = make(names[n], kind->name, s % 2 ? 1 : 3, sizes[s][0], sizes[s][1], 7);
                check_layer(net, &net->stem, -1, false);
                int c = net->stem.out_c, h = net->body_h, w = net->body_w;
                for (int u = 0; u < net->unit_count; u++) {
                    check_unit(net, u, c, h, w);
                    c = net->units[u].out_c;
                    h = net->units[u].out_h;
                    w = net->units[u].out_w;
                    assert_true(h >= 1 && w >= 1);
                }
                assert_true(c == net->features && h == net->feature_h && w == net->feature_w);
                assert_int_equal(net->params[net->fc_weight].count, 7 * (size_t)c);
                dd_net_destroy(&net);
            }
}

static void refusals(void **state) {
    static const struct {
        struct dd_net_options options;
        const char *part; /* of the message */
    } cases[] = {
        {{"resnet19", NULL, 3, 32, 32, 10}, "resnetD with D = 18, 34, 50, 101, 152 or 6n + 2"},
        {{"resnet2", NULL, 3, 32, 32, 10}, "6n + 2 from 8 on"},
        {{"resnet", NULL, 3, 32, 32, 10}, "'resnet'"},
        {{"ResNet20", NULL, 3, 32, 32, 10}, "unknown network 'ResNet20'"},
        {{"resnet020", NULL, 3, 32, 32, 10}, "unknown network"},
        {{"resnet20 ", NULL, 3, 32, 32, 10}, "unknown network"},
        {{"resnet-20", NULL, 3, 32, 32, 10}, "unknown network"},
        {{"resnet99999999999999999998", NULL, 3, 32, 32, 10}, "unknown network"},
        {{"vgg16", NULL, 3, 32, 32, 10}, "unknown network 'vgg16'"},
        {{"", NULL, 3, 32, 32, 10}, "unknown network"},
        {{NULL, NULL, 3, 32, 32, 10}, "no network"},
        {{"resnet20", "Identity", 3, 32, 32, 10}, "identity, projection, conv"},
        {{"resnet20", "", 3, 32, 32, 10}, "unknown shortcut ''"},
        {{"resnet20", NULL, 2, 32, 32, 10}, "1 or 3"},
        {{"resnet20", NULL, 3, 7, 32, 10}, "image height is 7"},
        {{"resnet20", NULL, 3, 32, 7, 10}, "image width is 7"},
        {{"resnet20", NULL, 3, 32, 1000000, 10}, "from 8 to"},
        {{"resnet20", NULL, 3, 32, 32, 1}, "classes is 1"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        dd_net *net = (dd_net *)&cases[i];
        assert_int_equal(dd_net_create(&cases[i].options, &net), DD_ERROR_USAGE);
        assert_null(net);
        if (!strstr(dd_error_message(), cases[i].part))
            fail_msg("case %zu: '%s' lacks '%s'", i, dd_error_message(), cases[i].part);
    }
    dd_net *net = make("resnet8", "identity", 3, 32, 32, 10);
    struct dd_unit_summary unit;
    assert_int_equal(dd_net_unit(net, 3, &unit), DD_ERROR_USAGE);
    assert_int_equal(dd_net_unit(net, -1, &unit), DD_ERROR_USAGE);
    dd_net_destroy(&net);
    dd_net_destroy(&net);
}

static float *initial(const dd_net *net, const char *name, uint64_t seed, size_t *count) {
    int index = dd_net_find_param(net, name);
    assert_true(index >= 0);
    *count = net->params[index].count;
    float *values = malloc(*count * sizeof *values);
    assert_non_null(values);
    dd_net_init_param(net, index, seed, values);
    return values;
}

/* Mean and standard deviation within 5 standard errors of He's rule; kurtosis that of a normal distribution. */
static void initial_convolutions(void **state) {
    (void)state;
    dd_net *net = make("resnet20", "conv", 3, 32, 32, 10);
    size_t count;
    float *values = initial(net, "layer3.1.conv2.weight", 42, &count);
    double sum = 0, square = 0, fourth = 0, expected = sqrt(2.0 / (64 * 9));
    for (size_t i = 0; i < count; i++) {
        double z = values[i] / expected;
        sum += z;
        square += z * z;
        fourth += z * z * z * z;
    }
    print_message("seed 42, %zu values: mean %g, variance %g, fourth moment %g (of 0, 1, 3)\n", count, sum / count,
                  square / count, fourth / count);
    assert_true(fabs(sum / count) < 5 / sqrt(count));
    assert_true(fabs(square / count - 1) < 5 * sqrt(2.0 / count));
    assert_true(fabs(fourth / count - 3) < 5 * sqrt(96.0 / count));
    free(values);
    dd_net_destroy(&net);
}

static void initial_others(void **state) {
    (void)state;
    dd_net *net = make("resnet20", "identity", 3, 32, 32, 100);
    size_t count;
    float *weight = initial(net, "fc.weight", 42, &count);
    double least = 1, most = -1, bound = 1 / sqrt(64.0);
    for (size_t i = 0; i < count; i++) {
        least = fmin(least, weight[i]);
        most = fmax(most, weight[i]);
    }
    assert_true(least >= -bound && least < -0.99 * bound && most <= bound && most > 0.99 * bound);
    float *bias = initial(net, "fc.bias", 42, &count);
    assert_int_equal(count, 100);
    assert_true(bias[0] != bias[1] && fabs(bias[0]) <= bound && bias[0] != weight[0]);
    float *gain = initial(net, "layer2.0.bn2.weight", 42, &count), *shift = initial(net, "bn1.bias", 42, &count);
    float *mean = initial(net, "bn1.running_mean", 42, &count), *var = initial(net, "bn1.running_var", 42, &count);
    assert_true(gain[0] == 1 && gain[31] == 1 && shift[15] == 0 && mean[15] == 0 && var[15] == 1);
    free(weight);
    free(bias);
    free(gain);
    free(shift);
    free(mean);
    free(var);
    dd_net_destroy(&net);
}

static void initial_is_pure(void **state) {
    (void)state;
    dd_net *net = make("resnet14", "conv", 3, 32, 32, 10), *again = make("resnet14", "conv", 3, 32, 32, 10);
    size_t count;
    float *a = initial(net, "layer1.1.conv1.weight", 7, &count);
    float *b = initial(again, "layer1.1.conv1.weight", 7, &count);
    float *other_seed = initial(net, "layer1.1.conv1.weight", 8, &count);
    float *high_seed = initial(net, "layer1.1.conv1.weight", 7 + (UINT64_C(1) << 32), &count);
    float *sibling = initial(net, "layer1.1.conv2.weight", 7, &count);
    assert_memory_equal(a, b, count * sizeof *a);
    assert_memory_not_equal(a, other_seed, count * sizeof *a);
    assert_memory_not_equal(a, high_seed, count * sizeof *a);
    assert_memory_not_equal(a, sibling, count * sizeof *a);
    free(a);
    free(b);
    free(other_seed);
    free(high_seed);
    free(sibling);
    dd_net_destroy(&net);
    dd_net_destroy(&again);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_figures),        cmocka_unit_test(conv_shortcut_everywhere),
        cmocka_unit_test(parameter_order),      cmocka_unit_test(consistent_shapes),
        cmocka_unit_test(refusals),             cmocka_unit_test(initial_convolutions),
        cmocka_unit_test(initial_others),       cmocka_unit_test(initial_is_pure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
