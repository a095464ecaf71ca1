/* Trials: candidates for one convolution, checked by the self-test's cases at few images and timed at the batch. */
#include "train/trial.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "plan/plan.h"
#include "selftest/case_conv.h"

enum {
    CHECK_IMAGES = 3,          /* of the reference check; one where the plain loops would take long: */
    CHECK_MULTIPLIES = 8 << 20 /* per image */
};

enum { BOTH = DD_CONV_DIRECTIONS }; /* index of `right`: both gradients by one call */

/* ---- candidates ---- */

static bool uses(const struct dd_trial_job *job, enum dd_conv_direction direction) {
    return job->pass == DD_TRIAL_FORWARD    ? direction == DD_CONV_FORWARD
           : job->pass == DD_TRIAL_BACKWARD ? direction != DD_CONV_FORWARD
                                            : direction == DD_CONV_BACKWARD_WEIGHTS;
}

static bool supports(const struct dd_device_info *info, const struct dd_trial_job *job,
                     enum dd_conv_direction direction, const struct dd_conv_algorithm *algorithm) {
    return !uses(job, direction) || algorithm->supports(info, &job->conv, direction);
}

static bool is_last_resort(const struct dd_conv_algorithm *algorithm) {
    return algorithm == &dd_conv_gemm;
}

static bool wanted(enum dd_trial_extent extent, const struct dd_conv_algorithm *data,
                   const struct dd_conv_algorithm *weights) {
    const bool last_resort = is_last_resort(data) || is_last_resort(weights);
    if (extent == DD_TRIAL_ALL)
        return data == weights || !last_resort;
    return data == weights && last_resort == (extent == DD_TRIAL_LAST_RESORT);
}

static void add(struct dd_trial_entry *entries, int *count, const struct dd_conv_algorithm *data,
                const struct dd_conv_algorithm *weights) {
    if (*count == DD_TRIAL_CANDIDATES)
        return;
    struct dd_trial_entry *entry = &entries[(*count)++];
    *entry = (struct dd_trial_entry){.algorithm = {data, weights}};
    if (data == weights)
        snprintf(entry->name, sizeof entry->name, "%s", data->name);
    else
        snprintf(entry->name, sizeof entry->name, "%s+%s", data->name, weights->name);
}

/** By preference: one algorithm for both gradients first, then one for each. */
static int list_entries(const struct dd_device_info *info, const struct dd_trial_job *job, enum dd_trial_extent extent,
                        struct dd_trial_entry entries[DD_TRIAL_CANDIDATES]) {
    const struct dd_conv_algorithm *data, *weights;
    int count = 0;
    for (int mixed = 0; mixed < (job->pass == DD_TRIAL_BACKWARD ? 2 : 1); mixed++)
        for (int i = 0; (data = dd_plan_preferred(i)) != NULL; i++)
            for (int j = 0; (weights = dd_plan_preferred(j)) != NULL; j++)
                if ((data != weights) == (mixed == 1) && wanted(extent, data, weights) &&
                    supports(info, job, DD_CONV_FORWARD, data) && supports(info, job, DD_CONV_BACKWARD_DATA, data) &&
                    supports(info, job, DD_CONV_BACKWARD_WEIGHTS, weights))
                    add(entries, &count, data, weights);
    return count;
}

int dd_trial_count(const struct dd_device_info *info, const struct dd_trial_job *job, enum dd_trial_extent extent) {
    struct dd_trial_entry entries[DD_TRIAL_CANDIDATES];
    return list_entries(info, job, extent, entries);
}

/* ---- the reference check ---- */

static struct dd_conv check_shape(const struct dd_trial_job *job) {
    struct dd_conv conv = job->conv;
    const double multiplies = (double)conv.out.h * conv.out.w * conv.out.c * conv.in.c * conv.kernel * conv.kernel;
    conv.in.n = conv.out.n = multiplies > CHECK_MULTIPLIES ? 1 : CHECK_IMAGES;
    return conv;
}

/** Whether algorithm passed this check before in this trial; else notes that it now has. */
static bool known_right(struct dd_trial *trial, int kind, const struct dd_conv_algorithm *algorithm, bool note) {
    for (int i = 0; i < DD_TRIAL_ALGORITHMS; i++) {
        const struct dd_conv_algorithm **at = &trial->right[kind][i];
        if (*at == algorithm)
            return true;
        if (*at == NULL) {
            *at = note ? algorithm : NULL;
            return false;
        }
    }
    return false;
}

static dd_status check(struct dd_trial *trial, int kind, const struct dd_conv_algorithm *algorithm, unsigned variant,
                       char *failure, size_t size) {
    const struct dd_conv conv = check_shape(&trial->job);
    double error;
    if (kind == BOTH)
        return dd_case_conv_both(trial->device, algorithm, &conv, variant, 1, &error, failure, size);
    return dd_case_conv(trial->device, algorithm, &conv, (enum dd_conv_direction)kind, variant, 1, &error, failure,
                        size);
}

/** In every role that the network has for the shape; kind: backward data or BOTH. */
static dd_status check_roles(struct dd_trial *trial, int kind, const struct dd_conv_algorithm *algorithm, char *failure,
                             size_t size) {
    enum { ROLES = 9, SPACED = 3 /* of them, the last, which a stride above 1 has */ };
    static const struct {
        unsigned role, variant;
    } roles[ROLES] = {{DD_ROLE_MASKED, DD_CASE_NORM_MASK},
                      {DD_ROLE_ADDED, DD_CASE_NORM_ADD_KEEP},
                      {DD_ROLE_ADDED, DD_CASE_NORM_ADD_MASK}, /* behind a unit that left its output to its reader */
                      {DD_ROLE_WRITTEN, DD_CASE_NORM},
                      {DD_ROLE_WRITTEN, DD_CASE_RELU_KEEP},
                      {DD_ROLE_WRITTEN, DD_CASE_NORM_MASK},
                      {DD_ROLE_WRITTEN, DD_CASE_NORM_SPACED},
                      {DD_ROLE_ADDED, DD_CASE_NORM_ADD_KEEP_SPACED},
                      {DD_ROLE_ADDED, DD_CASE_NORM_ADD_MASK_SPACED}};
    const int count = trial->job.conv.stride > 1 ? ROLES : ROLES - SPACED;
    for (int i = 0; i < count && failure[0] == '\0'; i++)
        if (trial->job.roles & roles[i].role)
            DD_TRY(check(trial, kind, algorithm, roles[i].variant, failure, size));
    return DD_OK;
}

static dd_status check_kind(struct dd_trial *trial, int kind, const struct dd_conv_algorithm *algorithm, char *failure,
                            size_t size) {
    if (failure[0] != '\0' || known_right(trial, kind, algorithm, false))
        return DD_OK;
    if (kind == BOTH || kind == DD_CONV_BACKWARD_DATA)
        DD_TRY(check_roles(trial, kind, algorithm, failure, size));
    else if (kind == DD_CONV_FORWARD)
        DD_TRY(check(trial, kind, algorithm, trial->job.prologue ? DD_CASE_RELU_STATISTICS : DD_CASE_STATISTICS,
                     failure, size));
    else
        DD_TRY(check(trial, kind, algorithm, DD_CASE_WEIGHTS_RELU_NORM, failure, size));
    if (failure[0] == '\0')
        known_right(trial, kind, algorithm, true);
    return DD_OK;
}

/** The same choice as the plan's: both gradients by one call where the algorithm has one. */
static bool at_once(const struct dd_trial_entry *entry) {
    return entry->trial->job.pass == DD_TRIAL_BACKWARD && entry->algorithm[0] == entry->algorithm[1] &&
           entry->algorithm[0]->backward != NULL;
}

static dd_status verify(void *context, char *failure, size_t size) {
    struct dd_trial_entry *entry = context;
    struct dd_trial *trial = entry->trial;
    failure[0] = '\0';
    if (trial->job.pass == DD_TRIAL_FORWARD)
        return check_kind(trial, DD_CONV_FORWARD, entry->algorithm[0], failure, size);
    if (at_once(entry))
        return check_kind(trial, BOTH, entry->algorithm[0], failure, size);
    if (trial->job.pass == DD_TRIAL_BACKWARD)
        DD_TRY(check_kind(trial, DD_CONV_BACKWARD_DATA, entry->algorithm[0], failure, size));
    return check_kind(trial, DD_CONV_BACKWARD_WEIGHTS, entry->algorithm[1], failure, size);
}

/* ---- timing ---- */

static dd_status make_workspace(struct dd_trial_entry *entry, struct dd_conv_needs needs, int vectors, int channels) {
    struct dd_trial *trial = entry->trial;
    DD_TRY(dd_buffer_create(trial->device, needs.workspace > 0 ? needs.workspace : 4, "workspace", &entry->workspace));
    const size_t floats = (size_t)needs.slices * (size_t)vectors * (size_t)channels;
    return dd_buffer_create(trial->device, (floats > 0 ? floats : 1) * sizeof(float), "partial sums", &entry->sums);
}

static struct dd_affine input_affine(const struct dd_trial *trial) {
    return trial->job.prologue ? (struct dd_affine){trial->in_vectors[0], trial->in_vectors[1], true}
                               : (struct dd_affine){0};
}

static dd_status list_forward(struct dd_trial_entry *entry) {
    struct dd_trial *trial = entry->trial;
    const struct dd_conv *conv = &trial->job.conv;
    struct dd_conv_needs needs = {0};
    entry->algorithm[0]->needs(&trial->device->info, conv, DD_CONV_FORWARD, &needs);
    DD_TRY(make_workspace(entry, needs, 3, dd_shape_padded_c(conv->out)));
    DD_TRY(dd_conv_make_form(trial->device, entry->algorithm[0], conv, DD_CONV_FORWARD, trial->w, &entry->form));
    const struct dd_conv_forward_args args = {.x = trial->x,
                                              .prologue = input_affine(trial),
                                              .w = trial->w,
                                              .form = entry->form,
                                              .y = trial->y,
                                              .stats = {entry->sums, needs.slices},
                                              .workspace = entry->workspace};
    return entry->algorithm[0]->forward(trial->device, conv, &args, &entry->list);
}

static struct dd_conv_backward_data_args data_args(const struct dd_trial_entry *entry, struct dd_gradient dz,
                                                   int slices) {
    const struct dd_trial *trial = entry->trial;
    struct dd_conv_backward_data_args args = {
        .dz = dz, .w = trial->w, .form = entry->form, .dx = trial->dx, .workspace = entry->workspace};
    if (trial->job.roles & DD_ROLE_MASKED) {
        args.mask_z = trial->x;
        args.mask = (struct dd_affine){trial->in_vectors[0], trial->in_vectors[1], true};
        args.sums = (struct dd_partials){entry->sums, slices};
        args.mean = trial->in_vectors[2];
    } else {
        args.accumulate = (trial->job.roles & DD_ROLE_ADDED) != 0;
        args.spaced = dd_conv_spaced(entry->algorithm[0], &trial->job.conv, args.accumulate);
        args.keep = trial->x;
    }
    return args;
}

static dd_status list_backward(struct dd_trial_entry *entry) {
    struct dd_trial *trial = entry->trial;
    const struct dd_device_info *info = &trial->device->info;
    const struct dd_conv *conv = &trial->job.conv;
    const bool both = trial->job.pass == DD_TRIAL_BACKWARD;
    struct dd_conv_needs needs = {0}, weight_needs = {0};
    entry->algorithm[1]->needs(info, conv, DD_CONV_BACKWARD_WEIGHTS, &weight_needs);
    if (both)
        entry->algorithm[0]->needs(info, conv, DD_CONV_BACKWARD_DATA, &needs);
    if (weight_needs.workspace > needs.workspace)
        needs.workspace = weight_needs.workspace;
    if (at_once(entry))
        needs.slices = needs.both_slices;
    DD_TRY(make_workspace(entry, needs, 2, dd_shape_padded_c(conv->in)));
    if (both)
        DD_TRY(
            dd_conv_make_form(trial->device, entry->algorithm[0], conv, DD_CONV_BACKWARD_DATA, trial->w, &entry->form));
    const struct dd_gradient dz = {.g = trial->g,
                                   .z = trial->z,
                                   .k1 = trial->out_vectors[0],
                                   .k2 = trial->out_vectors[1],
                                   .k3 = trial->out_vectors[2]};
    const struct dd_conv_backward_weights_args weights = {
        .x = trial->x, .prologue = input_affine(trial), .dz = dz, .dw = trial->dw, .workspace = entry->workspace};
    const struct dd_conv_backward_data_args data = data_args(entry, dz, needs.slices);
    if (at_once(entry))
        return entry->algorithm[0]->backward(trial->device, conv, &data, &weights, &entry->list);
    DD_TRY(entry->algorithm[1]->backward_weights(trial->device, conv, &weights, &entry->list));
    return both ? entry->algorithm[0]->backward_data(trial->device, conv, &data, &entry->list) : DD_OK;
}

static dd_status run(void *context, int repeats, double *seconds) {
    struct dd_trial_entry *entry = context;
    dd_device *device = entry->trial->device;
    if (entry->list.count == 0)
        DD_TRY(entry->trial->job.pass == DD_TRIAL_FORWARD ? list_forward(entry) : list_backward(entry));
    const double start = dd_now();
    for (int i = 0; i < repeats; i++)
        DD_TRY(dd_launches_enqueue(device, &entry->list));
    DD_TRY(dd_device_finish(device));
    *seconds = dd_now() - start;
    return DD_OK;
}

/* ---- lifetime ---- */

static dd_status make_tensors(struct dd_trial *trial) {
    const struct dd_conv *conv = &trial->job.conv;
    const bool forward = trial->job.pass == DD_TRIAL_FORWARD, data = trial->job.pass == DD_TRIAL_BACKWARD;
    const size_t in = dd_shape_floats(conv->in), out = dd_shape_floats(conv->out);
    const size_t weights = dd_weight_floats(conv->out.c, conv->in.c, conv->kernel, conv->out.v, conv->in.v);
    const struct {
        cl_mem *buffer;
        size_t floats;
    } tensors[] = {{&trial->x, in},
                   {&trial->w, weights},
                   {&trial->y, forward ? out : 0},
                   {&trial->g, forward ? 0 : out},
                   {&trial->z, forward ? 0 : out},
                   {&trial->dw, forward ? 0 : weights},
                   {&trial->dx, data ? in : 0}};
    for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++)
        if (tensors[i].floats > 0)
            DD_TRY(dd_buffer_create(trial->device, tensors[i].floats * sizeof(float), "tensor to tune",
                                    tensors[i].buffer));
    for (int i = 0; i < 3; i++) {
        const size_t vectors[2] = {(size_t)dd_shape_padded_c(conv->in), (size_t)dd_shape_padded_c(conv->out)};
        DD_TRY(dd_buffer_create(trial->device, vectors[0] * sizeof(float), "vector to tune", &trial->in_vectors[i]));
        DD_TRY(dd_buffer_create(trial->device, vectors[1] * sizeof(float), "vector to tune", &trial->out_vectors[i]));
    }
    return DD_OK;
}

dd_status dd_trial_open(dd_device *device, const struct dd_trial_job *job, enum dd_trial_extent extent,
                        struct dd_trial *trial) {
    *trial = (struct dd_trial){.device = device, .job = *job};
    trial->count = list_entries(&device->info, job, extent, trial->entries);
    for (int i = 0; i < trial->count; i++) {
        trial->entries[i].trial = trial;
        trial->candidates[i] = (struct dd_tune_candidate){
            .name = trial->entries[i].name, .verify = verify, .run = run, .context = &trial->entries[i]};
    }
    return make_tensors(trial);
}

void dd_trial_close(struct dd_trial *trial) {
    if (trial->device == NULL)
        return;
    for (int i = 0; i < trial->count; i++) {
        dd_launches_clear(&trial->entries[i].list);
        dd_buffer_release(trial->device, &trial->entries[i].workspace);
        dd_buffer_release(trial->device, &trial->entries[i].sums);
        dd_buffer_release(trial->device, &trial->entries[i].form);
    }
    cl_mem *tensors[] = {&trial->x, &trial->g, &trial->z, &trial->dx, &trial->y, &trial->w, &trial->dw};
    for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++)
        dd_buffer_release(trial->device, tensors[i]);
    for (int i = 0; i < 3; i++) {
        dd_buffer_release(trial->device, &trial->in_vectors[i]);
        dd_buffer_release(trial->device, &trial->out_vectors[i]);
    }
    *trial = (struct dd_trial){0};
}
