/* Making and freeing a plan, and binding images to it. */
#include "plan/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "ops/augment.h"
#include "plan/internal.h"

dd_status dd_plan_bytes(const struct dd_net *net, const struct dd_device_info *info,
                        const struct dd_plan_options *options, const struct dd_plan_choice *choice, uint64_t *bytes) {
    struct dd_layout layout;
    DD_TRY(dd_layout_make(net, info, options, choice, &layout));
    *bytes = dd_layout_bytes(&layout, net);
    dd_layout_free(&layout);
    return DD_OK;
}

/* ---- out of memory ---- */

static bool batch_fits(const struct dd_net *net, const struct dd_device_info *info, struct dd_plan_options options,
                       const struct dd_plan_choice *choice, int batch) {
    uint64_t bytes;
    options.batch = batch;
    return dd_plan_bytes(net, info, &options, choice, &bytes) == DD_OK && bytes <= info->global_bytes;
}

/** DD_ERROR_MEMORY: what was needed, what the device has, the largest batch that would fit. */
static dd_status fail_size(const struct dd_net *net, const struct dd_device_info *info,
                           const struct dd_plan_options *options, const struct dd_plan_choice *choice) {
    struct dd_device_info unlimited = *info;
    uint64_t needed = 0;
    int fits = 0;
    unlimited.max_alloc_bytes = DD_UNLIMITED_BYTES;
    dd_plan_bytes(net, &unlimited, options, choice, &needed);
    for (int step = 1 << 20; step > 0; step /= 2)
        if (fits + step < options->batch && batch_fits(net, info, *options, choice, fits + step))
            fits += step;
    char advice[96] = "not even a batch of 1 would fit";
    if (fits > 0)
        snprintf(advice, sizeof advice, "the largest batch that would fit is %d", fits);
    const unsigned long long mib = 1 << 20;
    return dd_fail(
        DD_ERROR_MEMORY, "%s at batch %d needs %llu MiB of device memory; %s has %llu MiB (%llu MiB a buffer): %s",
        net->name, options->batch, (unsigned long long)needed / mib, info->name,
        (unsigned long long)info->global_bytes / mib, (unsigned long long)info->max_alloc_bytes / mib, advice);
}

dd_status dd_plan_check_size(const struct dd_net *net, const struct dd_device_info *info,
                             const struct dd_plan_options *options, const struct dd_plan_choice *choice,
                             uint64_t *bytes) {
    const dd_status status = dd_plan_bytes(net, info, options, choice, bytes);
    if (status == DD_ERROR_MEMORY || (status == DD_OK && *bytes > info->global_bytes))
        return fail_size(net, info, options, choice);
    return status;
}

/* ---- making ---- */

static dd_status copy_choice(const struct dd_plan_choice *from, struct dd_plan_choice *to) {
    *to = *from;
    const size_t bytes = (size_t)from->convs * sizeof *from->algorithm;
    to->algorithm = malloc(bytes);
    if (to->algorithm == NULL)
        return dd_fail_memory("algorithm choice", bytes);
    memcpy(to->algorithm, from->algorithm, bytes);
    return DD_OK;
}

static dd_status create_tensors(struct dd_plan *plan) {
    const struct dd_layout *layout = &plan->layout;
    plan->tensors = dd_calloc((size_t)layout->tensor_count, sizeof *plan->tensors);
    if (plan->tensors == NULL)
        return dd_fail_memory("tensors", (size_t)layout->tensor_count * sizeof *plan->tensors);
    for (int i = 0; i < layout->arenas.count; i++)
        DD_TRY(dd_buffer_create(plan->device, layout->arenas.bytes[i], "activations", &plan->arenas[i]));
    for (int i = 0; i < layout->tensor_count; i++) {
        const struct dd_memory_item *item = &layout->tensors[i];
        if (item->arena >= 0)
            DD_TRY(
                dd_buffer_view(plan->device, plan->arenas[item->arena], item->offset, item->bytes, &plan->tensors[i]));
    }
    return DD_OK;
}

static dd_status create_buffers(struct dd_plan *plan) {
    const struct dd_net *net = plan->net;
    const size_t batch = (size_t)plan->layout.options.batch;
    const size_t pixels = (size_t)net->channels * net->height * net->width;
    struct {
        cl_mem *buffer;
        size_t bytes;
        const char *what;
    } const wanted[] = {
        {&plan->workspace, plan->layout.workspace_bytes, "workspace"},
        {&plan->partials, plan->layout.partial_bytes, "partial sums"},
        {&plan->side_partials, plan->layout.partial_bytes, "partial sums of shortcuts"},
        {&plan->samples, batch * sizeof(struct dd_sample), "sample list"},
        {&plan->labels, batch * sizeof(int32_t), "labels"},
        {&plan->mean, pixels * sizeof(float), "mean image"},
        {&plan->inverse_std, (size_t)net->channels * sizeof(float), "standard deviations"},
        {&plan->sample_loss, batch * sizeof(float), "losses"},
        {&plan->sample_rank, batch * sizeof(int32_t), "ranks"},
        {&plan->metrics, DD_METRICS * sizeof(float), "metrics"},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        DD_TRY(dd_buffer_create(plan->device, wanted[i].bytes > 0 ? wanted[i].bytes : 4, wanted[i].what,
                                wanted[i].buffer));
    return DD_OK;
}

static dd_status create_slots(struct dd_plan *plan) {
    const size_t batch = (size_t)plan->layout.options.batch;
    for (int i = 0; i < DD_RUN_AHEAD; i++) {
        struct dd_slot *slot = &plan->slots[i];
        slot->samples = dd_calloc(batch, sizeof *slot->samples);
        slot->labels = dd_calloc(batch, sizeof *slot->labels);
        slot->active = dd_calloc((size_t)plan->net->unit_count, sizeof *slot->active);
        if (slot->samples == NULL || slot->labels == NULL || slot->active == NULL)
            return dd_fail_memory("queued batches", batch * sizeof *slot->samples);
    }
    return DD_OK;
}

static dd_status build_launches(struct dd_plan *plan) {
    const struct dd_plan_options *options = &plan->layout.options;
    const int channels = (int)plan->layout.bn_floats;
    DD_TRY(dd_bn_inference(plan->device, channels, &plan->store.all, &plan->affine[DD_STATISTICS_RUNNING]));
    DD_TRY(dd_bn_inference(plan->device, channels, &plan->store.all_recalibrated,
                           &plan->affine[DD_STATISTICS_RECALIBRATED]));
    if (!options->training)
        return DD_OK;
    DD_TRY(dd_forward_build(plan, options->batch, DD_PASS_TRAIN, &plan->train));
    DD_TRY(dd_backward_build(plan));
    DD_TRY(dd_inputs_prepare(plan));
    if (options->recalibrate > 0)
        DD_TRY(dd_forward_build(plan, options->batch, DD_PASS_RECALIBRATE, &plan->recalibrate));
    return DD_OK;
}

static dd_status create_all(struct dd_plan *plan) {
    DD_TRY(create_tensors(plan));
    DD_TRY(dd_store_create(plan));
    DD_TRY(create_buffers(plan));
    DD_TRY(create_slots(plan));
    DD_TRY(dd_forms_create(plan));
    return build_launches(plan);
}

/** Everything on the device; what a driver refuses here is told with the sizes. */
static dd_status fill(struct dd_plan *plan, const struct dd_plan_options *options) {
    uint64_t needed;
    DD_TRY(dd_plan_check_size(plan->net, &plan->device->info, options, &plan->choice, &needed));
    DD_TRY(dd_layout_make(plan->net, &plan->device->info, options, &plan->choice, &plan->layout));
    const dd_status status = create_all(plan);
    if (status == DD_ERROR_MEMORY)
        return dd_fail_prefix(
            status, "%s at batch %d needs %llu MiB of device memory, %s has %llu MiB but refused them; try --batch %d",
            plan->net->name, options->batch, (unsigned long long)needed >> 20, plan->device->info.name,
            (unsigned long long)plan->device->info.global_bytes >> 20, (options->batch + 1) / 2);
    return status;
}

dd_status dd_plan_create(dd_device *device, const struct dd_net *net, const struct dd_plan_options *options,
                         const struct dd_plan_choice *choice, dd_plan **out) {
    *out = NULL;
    struct dd_plan *plan = dd_calloc(1, sizeof *plan);
    if (plan == NULL)
        return dd_fail_memory("plan", sizeof *plan);
    plan->device = device;
    plan->net = net;
    dd_status status;
    DD_GOTO(status, error,
            choice != NULL ? copy_choice(choice, &plan->choice)
                           : dd_plan_choose(net, &device->info, options, &plan->choice));
    DD_GOTO(status, error, fill(plan, options));
    *out = plan;
    return DD_OK;
error:
    dd_plan_destroy(&plan);
    return status;
}

static void destroy_slots(struct dd_plan *plan) {
    for (int i = 0; i < DD_RUN_AHEAD; i++) {
        struct dd_slot *slot = &plan->slots[i];
        dd_event_release(&slot->done);
        free(slot->samples);
        free(slot->labels);
        free(slot->active);
        free(slot->pixels);
    }
}

void dd_plan_destroy(dd_plan **handle) {
    struct dd_plan *plan = *handle;
    if (plan == NULL)
        return;
    *handle = NULL;
    dd_device_finish(plan->device); /* queued transfers read host memory that is freed below */
    dd_forward_free(plan, &plan->train);
    dd_forward_free(plan, &plan->recalibrate);
    for (int i = 0; i < 2; i++)
        dd_launches_clear(&plan->affine[i]);
    dd_backward_free(plan);
    for (int s = 0; s < DD_SOURCES; s++) {
        for (int i = 0; i < 2; i++) {
            dd_launches_clear(&plan->sources[s].input[i]);
            dd_forward_free(plan, &plan->sources[s].infer[i]);
        }
        dd_buffer_release(plan->device, &plan->sources[s].bytes);
    }
    for (int i = 0; plan->tensors != NULL && i < plan->layout.tensor_count; i++)
        dd_buffer_release(plan->device, &plan->tensors[i]);
    free(plan->tensors);
    free(plan->inputs);
    free(plan->drops);
    for (int i = 0; i < DD_MAX_ARENAS; i++)
        dd_buffer_release(plan->device, &plan->arenas[i]);
    cl_mem *buffers[] = {&plan->workspace,   &plan->partials, &plan->side_partials, &plan->samples,
                         &plan->labels,      &plan->mean,     &plan->inverse_std,   &plan->sample_loss,
                         &plan->sample_rank, &plan->metrics};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
        dd_buffer_release(plan->device, buffers[i]);
    dd_forms_destroy(plan);
    dd_store_destroy(plan);
    destroy_slots(plan);
    dd_layout_free(&plan->layout);
    free(plan->choice.algorithm);
    free(plan);
}

const struct dd_plan_choice *dd_plan_get_choice(const dd_plan *plan) {
    return &plan->choice;
}

/* ---- images ---- */

dd_status dd_plan_set_input(dd_plan *plan, const float *mean, const float *std) {
    const struct dd_net *net = plan->net;
    const size_t pixels = (size_t)net->channels * net->height * net->width;
    float inverse[4];
    for (int c = 0; c < net->channels; c++)
        inverse[c] = 1.0f / std[c];
    DD_TRY(dd_buffer_write(plan->device, plan->mean, 0, pixels * sizeof(float), mean));
    return dd_buffer_write(plan->device, plan->inverse_std, 0, (size_t)net->channels * sizeof(float), inverse);
}

bool dd_plan_needs_pixels(const dd_plan *plan, enum dd_plan_source source) {
    return !plan->sources[source].resident;
}

static size_t image_bytes(const struct dd_plan *plan) {
    return (size_t)plan->net->channels * plan->net->height * plan->net->width;
}

static dd_status create_pixels(struct dd_plan *plan, struct dd_source *source) {
    const size_t all = image_bytes(plan) * (size_t)source->images->count;
    const struct dd_device_info *info = &plan->device->info;
    source->resident = all <= info->max_alloc_bytes && all <= info->global_bytes / 8;
    if (source->resident) {
        DD_TRY(dd_buffer_create(plan->device, all, "images", &source->bytes));
        return dd_buffer_write(plan->device, source->bytes, 0, all, source->images->pixels);
    }
    const size_t batch = image_bytes(plan) * (size_t)plan->layout.options.batch;
    for (int i = 0; i < DD_RUN_AHEAD; i++)
        if (plan->slots[i].pixels == NULL && (plan->slots[i].pixels = malloc(batch)) == NULL)
            return dd_fail_memory("queued images", batch);
    return dd_buffer_create(plan->device, batch, "a batch of images", &source->bytes);
}

static dd_status build_input(struct dd_plan *plan, struct dd_source *source, int n, struct dd_launches *list) {
    const struct dd_net *net = plan->net;
    const struct dd_augment augment = {.out = {n, net->channels, net->height, net->width, 1},
                                       .bytes = source->bytes,
                                       .samples = plan->samples,
                                       .mean = plan->mean,
                                       .inverse_std = plan->inverse_std};
    return dd_augment_add(plan->device, &augment, plan->tensors[plan->layout.images], list);
}

dd_status dd_plan_bind(dd_plan *plan, enum dd_plan_source which, const struct dd_images *images) {
    const struct dd_net *net = plan->net;
    if (images->channels != net->channels || images->height != net->height || images->width != net->width)
        return dd_fail(DD_ERROR_DATA, "images are %dx%dx%d, the network takes %dx%dx%d", images->channels,
                       images->height, images->width, net->channels, net->height, net->width);
    struct dd_source *source = &plan->sources[which];
    const int batch = plan->layout.options.batch;
    source->images = images;
    DD_TRY(create_pixels(plan, source));
    const int sizes[2] = {images->count >= batch ? batch : 0, which != DD_SOURCE_TRAIN ? images->count % batch : 0};
    for (int i = 0; i < 2; i++) {
        if (sizes[i] == 0)
            continue;
        DD_TRY(build_input(plan, source, sizes[i], &source->input[i]));
        if (which != DD_SOURCE_TRAIN)
            DD_TRY(dd_forward_build(plan, sizes[i], DD_PASS_INFER, &source->infer[i]));
    }
    return DD_OK;
}
