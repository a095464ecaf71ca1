/* The sweeps of everything but convolutions and products. */
#include "base/philox.h"
#include "selftest/sweep.h"

static const int edge_channels[] = {1, 3, 17}, edge_sizes[] = {1, 7, 8, 33}, edge_images[] = {1, 3, 130};
enum { EDGES = 3 * 4 * 3, QUICK_EDGES = 2 };

/* Units of ResNet-56 on 32 x 32, of ResNet-18 on 224 x 224, and a block that V does not divide. */
static const struct dd_shape network_shapes[] = {
    {16, 16, 32, 32, 0}, {16, 32, 16, 16, 0}, {16, 64, 8, 8, 0},
    {2, 64, 56, 56, 0},  {4, 512, 7, 7, 0},   {5, 20, 14, 14, 0},
};
enum { NETWORK_SHAPES = sizeof network_shapes / sizeof *network_shapes };

static struct dd_shape edge_shape(int index) {
    int size = edge_sizes[index / 3 % 4];
    return (struct dd_shape){edge_images[index / 12], edge_channels[index % 3], size, size, 0};
}

bool dd_sweep_shape(const struct dd_sweep *sweep, int *index, struct dd_shape *shape) {
    int i = (*index)++;
    if (sweep->quick) {
        uint32_t words[4];
        if (i > QUICK_EDGES)
            return false;
        dd_philox(sweep->seed, (uint32_t)i, 0, 0, 0x5e1f7e58u, words);
        *shape = i == QUICK_EDGES ? (struct dd_shape){4, 16, 32, 32, 0} : edge_shape((int)(words[0] % (EDGES * 2 / 3)));
    } else {
        if (i >= EDGES + NETWORK_SHAPES)
            return false;
        *shape = i < EDGES ? edge_shape(i) : network_shapes[i - EDGES];
    }
    shape->v = sweep->v;
    return sweep->status == DD_OK;
}

/* A shape for messages. */
#define SHAPE_FORMAT "%dx%dx%dx%d"
#define SHAPE_VALUES(s) (s).n, (s).c, (s).h, (s).w

static void bn_forward(struct dd_sweep *sweep) {
    struct dd_bn_case bn = {.gate = 1};
    for (int i = 0; dd_sweep_shape(sweep, &i, &bn.shape);) {
        if (dd_shape_pixels(bn.shape) < 2)
            continue; /* a batch norm over one value is refused */
        bn.offset = i % 3 == 0 ? 30 : 0;
        bn.gate = i % 7 == 0 ? 0 : 1;
        bn.slices = i % 5 == 0 ? 3 : 0;
        bn.pair = i % 2 == 1;
        dd_sweep_take(sweep, dd_case_bn_forward(sweep->device, &bn, sweep->seed, &sweep->result),
                      SHAPE_FORMAT " around %g, gate %g, slices %d%s", SHAPE_VALUES(bn.shape), bn.offset,
                      (double)bn.gate, bn.slices, bn.pair ? ", two layers" : "");
    }
}

static void bn_backward(struct dd_sweep *sweep) {
    struct dd_bn_case bn = {.gate = 1};
    for (int i = 0; dd_sweep_shape(sweep, &i, &bn.shape);) {
        if (dd_shape_pixels(bn.shape) < 2)
            continue;
        bn.masked = i % 2 == 0;
        bn.offset = i % 3 == 0 ? 10 : 0;
        bn.gate = i % 7 == 0 ? 0 : 1;
        bn.slices = i % 5 == 0 ? 3 : 0;
        bn.pair = i % 3 != 1;
        dd_sweep_take(sweep, dd_case_bn_backward(sweep->device, &bn, sweep->seed, &sweep->result),
                      SHAPE_FORMAT " around %g, gate %g, slices %d%s%s", SHAPE_VALUES(bn.shape), bn.offset,
                      (double)bn.gate, bn.slices, bn.masked ? ", masked" : "", bn.pair ? ", two layers" : "");
    }
}

/* The input of a subsampling shortcut that leads to out: an odd or even size, fewer channels. */
static void set_subsample(struct dd_join_case *join, int i) {
    join->stride = 2;
    join->x_channels = (join->out.c + 1) / 2;
    join->x_h = 2 * join->out.h - i % 2;
    join->x_w = 2 * join->out.w - i / 2 % 2;
}

static void join_forward(struct dd_sweep *sweep) {
    static const char *const names[] = {"none", "identity", "subsample", "affine"};
    struct dd_join_case join = {.stride = 1};
    const int variants = sweep->quick ? 3 : 1;
    for (int i = 0; dd_sweep_shape(sweep, &i, &join.out);) {
        for (int variant = 0; variant < variants; ++variant) {
            int mixed = sweep->quick ? variant + 1 : i;
            join.kind = (enum dd_join_shortcut)(mixed % 4);
            join.main = sweep->quick || mixed / 4 % 4 != 3;
            join.relu = mixed / 4 % 2;
            set_subsample(&join, i);
            dd_sweep_take(sweep, dd_case_join_forward(sweep->device, &join, sweep->seed, &sweep->result),
                          SHAPE_FORMAT " %s%s%s", SHAPE_VALUES(join.out), names[join.kind],
                          join.main ? "" : ", gate off", join.relu ? ", relu" : "");
        }
    }
}

static void join_backward(struct dd_sweep *sweep) {
    struct dd_join_case join = {0};
    for (int i = 0; dd_sweep_shape(sweep, &i, &join.out);) {
        join.side_sums = i % 3;
        join.main_sums = join.side_sums == 0 || i / 3 % 2;
        dd_sweep_take(sweep, dd_case_join_backward(sweep->device, &join, sweep->seed, &sweep->result),
                      SHAPE_FORMAT "%s, shortcut %d", SHAPE_VALUES(join.out), join.main_sums ? " primary path" : "",
                      join.side_sums);
    }
}

static void join_expand(struct dd_sweep *sweep) {
    struct dd_join_case join = {0};
    for (int i = 0; dd_sweep_shape(sweep, &i, &join.out);) {
        set_subsample(&join, i);
        join.keep = i % 2;
        join.spaced = i / 2 % 2;
        dd_sweep_take(sweep, dd_case_join_expand(sweep->device, &join, sweep->seed, &sweep->result),
                      SHAPE_FORMAT " from %dx%d%s%s", SHAPE_VALUES(join.out), join.x_h, join.x_w,
                      join.keep ? ", masked" : "", join.spaced ? ", spaced" : "");
    }
}

static void maxpool(struct dd_sweep *sweep) {
    struct dd_maxpool_case pool = {0};
    for (int i = 0; dd_sweep_shape(sweep, &i, &pool.in);) {
        pool.window = pool.in.h > 1 && i % 4 == 0 ? 2 : 3;
        pool.stride = i % 5 == 0 ? 1 : 2;
        pool.pad = pool.window / 2;
        pool.prologue = i % 3 != 0;
        pool.relu = i % 2;
        dd_sweep_take(sweep, dd_case_maxpool(sweep->device, &pool, sweep->seed, &sweep->result),
                      SHAPE_FORMAT " window %d stride %d%s%s", SHAPE_VALUES(pool.in), pool.window, pool.stride,
                      pool.prologue ? " prologue" : "", pool.relu ? " relu" : "");
    }
}

static void gap(struct dd_sweep *sweep) {
    struct dd_shape shape;
    for (int i = 0; dd_sweep_shape(sweep, &i, &shape);)
        dd_sweep_take(sweep, dd_case_gap(sweep->device, shape, sweep->seed, &sweep->result), SHAPE_FORMAT,
                      SHAPE_VALUES(shape));
}

static void dropout(struct dd_sweep *sweep) {
    struct dd_dropout_case dropout = {0};
    for (int i = 0; dd_sweep_shape(sweep, &i, &dropout.shape);) {
        dropout.ratio = 0.25 * (i % 4);
        dropout.affine = i % 3 != 0;
        dropout.in_place = i % 2;
        dd_sweep_take(sweep, dd_case_dropout(sweep->device, &dropout, sweep->seed, &sweep->result),
                      SHAPE_FORMAT " ratio %g%s%s", SHAPE_VALUES(dropout.shape), dropout.ratio,
                      dropout.affine ? " behind a ReLU" : "", dropout.in_place ? " in place" : "");
    }
}

static void loss(struct dd_sweep *sweep) {
    static const int sizes[][2] = {{10, 128}, {10, 10000}, {1000, 32}, {2, 1}, {3, 3}, {100, 130}, {257, 65}};
    const int count = sweep->quick ? 2 : (int)(sizeof sizes / sizeof *sizes);
    for (int i = 0; i < count && sweep->status == DD_OK; ++i)
        dd_sweep_take(sweep, dd_case_loss(sweep->device, sizes[i][0], sizes[i][1], sweep->seed, &sweep->result),
                      "%d classes, %d images", sizes[i][0], sizes[i][1]);
}

static void sgd(struct dd_sweep *sweep) {
    static const int sizes[][2] = {{1000, 64}, {33, 16}, {1, 16}, {77, 4}, {20, 7}, {20000, 32}};
    const int count = sweep->quick ? 2 : (int)(sizeof sizes / sizeof *sizes);
    for (int i = 0; i < count && sweep->status == DD_OK; ++i)
        dd_sweep_take(sweep, dd_case_sgd(sweep->device, sizes[i][0], sizes[i][1], sweep->seed, &sweep->result),
                      "%d granules of %d", sizes[i][0], sizes[i][1]);
}

static void weights(struct dd_sweep *sweep) {
    if (sweep->device->info.type != DD_DEVICE_CPU)
        return; /* no algorithm of other devices reads forms */
    dd_sweep_take(sweep, dd_case_weights(sweep->device, sweep->v, sweep->seed, &sweep->result), "forms, V = %d",
                  sweep->v);
}

static void augment(struct dd_sweep *sweep) {
    struct dd_shape shape;
    for (int i = 0; dd_sweep_shape(sweep, &i, &shape);) {
        shape.c = shape.c > 3 ? 3 : shape.c;
        dd_sweep_take(sweep, dd_case_augment(sweep->device, shape, 20, 4, sweep->seed, &sweep->result), SHAPE_FORMAT,
                      SHAPE_VALUES(shape));
    }
}

const struct dd_family dd_op_families[] = {
    {"augment", false, augment},
    {"bn forward", true, bn_forward},
    {"bn backward", true, bn_backward},
    {"join forward", true, join_forward},
    {"join backward", true, join_backward},
    {"join expand", true, join_expand},
    {"max pooling", true, maxpool},
    {"average pooling", true, gap},
    {"dropout", true, dropout},
    {"softmax cross-entropy", false, loss},
    {"sgd", false, sgd},
    {"weight forms", true, weights},
    {"conv beside", true, dd_sweep_beside},
    {0},
};
