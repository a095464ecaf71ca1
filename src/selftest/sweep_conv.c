/* The sweeps of convolutions: each algorithm and direction over the networks' own shapes and the edge shapes. */
#include "base/philox.h"
#include "selftest/case_conv.h"
#include "selftest/sweep.h"

/* A convolution without N and V; the images enter the first ones with V = 1. */
struct form {
    int in_c, size, out_c, kernel, stride;
    bool images;
};

/* CIFAR family (16, 32, 64 channels, their changes of dimension, 1x1 shortcuts, stems), then the ImageNet family. */
static const struct form network_forms[] = {
    {16, 32, 16, 3, 1, false},  {32, 16, 32, 3, 1, false},   {64, 8, 64, 3, 1, false},    {16, 32, 32, 3, 2, false},
    {32, 16, 64, 3, 2, false},  {16, 32, 16, 1, 1, false},   {64, 8, 64, 1, 1, false},    {16, 32, 32, 1, 2, false},
    {32, 16, 64, 1, 2, false},  {3, 32, 16, 3, 1, true},     {1, 28, 16, 3, 1, true},     {3, 64, 64, 7, 2, true},
    {64, 14, 256, 1, 1, false}, {256, 14, 128, 1, 2, false}, {128, 14, 128, 3, 2, false}, {256, 7, 64, 1, 1, false},
};
enum { NETWORK_FORMS = sizeof network_forms / sizeof *network_forms, CORE_FORMS = 9, STAGES = 3 };

static const int edge_channels[] = {1, 3, 17}, edge_sizes[] = {1, 7, 8, 33}, edge_images[] = {1, 3, 130};
static const int edge_kernels[][2] = {{3, 1}, {3, 2}, {1, 1}, {1, 2}}; /* size, stride */
enum { EDGES = 3 * 4, EDGE_IMAGES = 3, EDGE_KERNELS = 4 };

struct work {
    struct dd_sweep *sweep;
    const struct dd_conv_algorithm *algorithm;
    int direction; /* DD_CONV_DIRECTIONS: both backward directions at once */
};

static bool supports(const struct work *work, const struct dd_conv *conv) {
    const struct dd_device_info *info = &work->sweep->device->info;
    if (work->direction < DD_CONV_DIRECTIONS)
        return work->algorithm->supports(info, conv, (enum dd_conv_direction)work->direction);
    return work->algorithm->supports(info, conv, DD_CONV_BACKWARD_DATA) &&
           work->algorithm->supports(info, conv, DD_CONV_BACKWARD_WEIGHTS);
}

static struct dd_conv make(const struct work *work, const struct form *form, int n) {
    const int v = work->sweep->v;
    const struct dd_shape in = {n, form->in_c, form->size, form->size, form->images ? 1 : v};
    return dd_conv_make(in, form->out_c, v, form->kernel, form->stride, form->kernel / 2);
}

/* Nobody asks for the gradient by the images. */
static bool is_wanted(const struct work *work, const struct form *form) {
    return !form->images || work->direction == DD_CONV_FORWARD || work->direction == DD_CONV_BACKWARD_WEIGHTS;
}

static void run(const struct work *work, const struct dd_conv *conv, unsigned variant) {
    struct dd_sweep *sweep = work->sweep;
    struct dd_case_result *result = &sweep->result;
    dd_status status;
    if (work->direction < DD_CONV_DIRECTIONS)
        status = dd_case_conv(sweep->device, work->algorithm, conv, (enum dd_conv_direction)work->direction, variant,
                              sweep->seed, &result->worst, result->failure, sizeof result->failure);
    else
        status = dd_case_conv_both(sweep->device, work->algorithm, conv, variant, sweep->seed, &result->worst,
                                   result->failure, sizeof result->failure);
    dd_sweep_take(sweep, status, "%dx%dx%dx%d to %d, %dx%d stride %d, variant %u", conv->in.n, conv->in.c, conv->in.h,
                  conv->in.w, conv->out.c, conv->kernel, conv->kernel, conv->stride, variant);
}

static unsigned variants(const struct work *work) {
    return (unsigned)dd_case_conv_variants(
        work->direction < DD_CONV_DIRECTIONS ? (enum dd_conv_direction)work->direction : DD_CONV_BACKWARD_DATA);
}

/* The networks' shape number i; the three stages' own in every variant. */
static void run_network(const struct work *work, int i, int n) {
    const struct form *form = &network_forms[i];
    const struct dd_conv conv = make(work, form, n);
    const unsigned count = variants(work);
    if (!is_wanted(work, form) || !supports(work, &conv))
        return;
    if (work->sweep->quick || i >= STAGES) {
        run(work, &conv, (unsigned)(work->sweep->seed % count));
        return;
    }
    for (unsigned variant = 0; variant < count && work->sweep->status == DD_OK; ++variant)
        run(work, &conv, variant);
}

/*
 * Edge number i (channels and size) with n images, by the first kernel that the algorithm supports, starting at a
 * different one each time.
 */
static void run_edge(const struct work *work, int i, int n, unsigned variant) {
    struct form form = {
        .in_c = edge_channels[i % 3], .size = edge_sizes[i / 3], .out_c = edge_channels[(i + i / 3 + 1) % 3]};
    form.images = form.in_c <= 3 && i % 2 == 1 &&
                  (work->direction == DD_CONV_FORWARD || work->direction == DD_CONV_BACKWARD_WEIGHTS);
    for (int k = 0; k < EDGE_KERNELS; ++k) {
        form.kernel = edge_kernels[(i + k) % EDGE_KERNELS][0];
        form.stride = edge_kernels[(i + k) % EDGE_KERNELS][1];
        const struct dd_conv conv = make(work, &form, n);
        if (supports(work, &conv)) {
            run(work, &conv, variant % variants(work));
            return;
        }
    }
}

/* One shape of a network and one edge, drawn by the seed. */
static void run_quick(const struct work *work) {
    uint32_t words[4];
    dd_philox(work->sweep->seed, (uint32_t)work->direction, (uint32_t)work->sweep->v, 0, 0x5e1f7e59u, words);
    const int start = (int)(words[0] % CORE_FORMS);
    for (int k = 0; k < CORE_FORMS && work->sweep->line.cases == 0 && work->sweep->status == DD_OK; ++k)
        run_network(work, (start + k) % CORE_FORMS, 2);
    if (work->sweep->status == DD_OK)
        run_edge(work, (int)(words[1] % EDGES), 3, words[2]);
}

void dd_sweep_conv(struct dd_sweep *sweep, const char *algorithm, int direction) {
    const struct work work = {sweep, dd_conv_algorithm_find(algorithm), direction};
    if (!work.algorithm || (direction == DD_CONV_DIRECTIONS && !work.algorithm->backward))
        return;
    if (sweep->quick) {
        run_quick(&work);
        return;
    }
    for (int i = 0; i < NETWORK_FORMS && sweep->status == DD_OK; ++i)
        run_network(&work, i, network_forms[i].in_c * network_forms[i].size > 1000 ? 1 : 3);
    for (int i = 0; i < EDGES; ++i) /* a change of N alone compiles nothing new */
        for (int n = 0; n < EDGE_IMAGES && sweep->status == DD_OK; ++n)
            run_edge(&work, i, edge_images[n], (unsigned)(i + n));
}

/* Where an algorithm takes a 1x1 convolution along, both directions with and without batch norm before. */
static void run_beside(struct dd_sweep *sweep, const struct dd_conv_algorithm *algorithm, const struct dd_conv *conv) {
    for (int way = 0; way < 4 && sweep->status == DD_OK; ++way) {
        const bool forward = way % 2 == 0, normed = way >= 2;
        const enum dd_conv_direction direction = forward ? DD_CONV_FORWARD : DD_CONV_BACKWARD_DATA;
        if (!algorithm->takes(&sweep->device->info, conv, direction))
            continue;
        const dd_status status =
            dd_case_conv_beside(sweep->device, algorithm, conv, forward, normed, sweep->seed, &sweep->result);
        dd_sweep_take(sweep, status, "%s %s, %dx%dx%dx%d%s", algorithm->name, forward ? "forward" : "backward",
                      conv->in.n, conv->in.c, conv->in.h, conv->in.w, normed ? ", behind batch norm" : "");
    }
}

void dd_sweep_beside(struct dd_sweep *sweep) {
    /* The stages' own, then bands of several images, rows and channels that blocks do not divide. */
    static const struct dd_shape shapes[] = {{3, 16, 32, 32, 0}, {2, 32, 16, 16, 0}, {5, 64, 8, 8, 0},
                                             {3, 17, 7, 7, 0},   {2, 3, 33, 33, 0},  {130, 20, 5, 6, 0}};
    const int count = sweep->quick ? 1 : (int)(sizeof shapes / sizeof *shapes);
    const struct dd_conv_algorithm *algorithm;
    for (int a = 0; (algorithm = dd_conv_algorithm_at(a)) != NULL; ++a)
        for (int i = 0; i < count && algorithm->takes != NULL && sweep->status == DD_OK; ++i) {
            struct dd_shape in = shapes[i];
            in.v = sweep->v;
            const struct dd_conv conv = dd_conv_make(in, in.c, in.v, 3, 1, 1);
            run_beside(sweep, algorithm, &conv);
        }
}
