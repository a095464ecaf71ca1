/* The scheduler: walks the units and enqueues what the gates call for. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "ops/sgd.h"
#include "plan/internal.h"

/* ---- input ---- */

/** Gathers the samples' pixels for a streamed source; the kernel then counts from 0. */
static void gather_pixels(const struct dd_plan *plan, const struct dd_source *source, struct dd_slot *slot, int n) {
    const size_t bytes = (size_t)plan->net->channels * plan->net->height * plan->net->width;
    for (int i = 0; i < n; i++) {
        memcpy(slot->pixels + (size_t)i * bytes, source->images->pixels + (size_t)slot->samples[i].index * bytes,
               bytes);
        slot->samples[i].index = i;
    }
}

/** Queues the upload of n samples with their labels and their way into the images tensor; the slot's memory stays in
 * use. */
static dd_status enqueue_samples(struct dd_plan *plan, struct dd_source *source, struct dd_slot *slot,
                                 const struct dd_sample *samples, int n, const struct dd_launches *input) {
    memcpy(slot->samples, samples, (size_t)n * sizeof *samples);
    for (int i = 0; i < n; i++)
        slot->labels[i] = source->images->labels[samples[i].index];
    if (!source->resident) {
        gather_pixels(plan, source, slot, n);
        const size_t bytes = (size_t)n * plan->net->channels * plan->net->height * plan->net->width;
        DD_TRY(dd_buffer_write_async(plan->device, source->bytes, 0, bytes, slot->pixels));
    }
    DD_TRY(dd_buffer_write_async(plan->device, plan->samples, 0, (size_t)n * sizeof *slot->samples, slot->samples));
    DD_TRY(dd_buffer_write_async(plan->device, plan->labels, 0, (size_t)n * sizeof *slot->labels, slot->labels));
    return dd_launches_enqueue(plan->device, input);
}

static struct dd_slot *next_slot(struct dd_plan *plan) {
    return &plan->slots[(plan->slot_first + plan->slot_used) % DD_RUN_AHEAD];
}

dd_status dd_plan_enqueue_input(dd_plan *plan, const unsigned char *gates, const struct dd_sample *samples) {
    struct dd_slot *slot = next_slot(plan);
    const int units = plan->net->unit_count;
    for (int u = 0; u < units; u++)
        slot->active[u] = gates[u];
    DD_TRY(
        dd_buffer_write_async(plan->device, plan->store.active, 0, (size_t)units * sizeof *slot->active, slot->active));
    struct dd_source *source = &plan->sources[DD_SOURCE_TRAIN];
    return enqueue_samples(plan, source, slot, samples, plan->layout.options.batch, &source->input[0]);
}

/* ---- a step ---- */

/** Whether every list that reads a unit's input can be made to read another tensor. */
static bool all_rebindable(const struct dd_plan *plan) {
    const int units = plan->net->unit_count;
    for (int u = 0; u < units; u++)
        for (int gate = 0; gate < 2; gate++)
            if (!dd_launches_rebindable(&plan->train.units[u].at[gate][DD_READ_OUTPUT], dd_unit_input(plan, u)) ||
                !dd_launches_rebindable(&plan->backward_units[u].at[gate][DD_READ_OUTPUT], dd_unit_input(plan, u)))
                return false;
    return dd_launches_rebindable(&plan->train.head, dd_unit_input(plan, units)) &&
           dd_launches_rebindable(&plan->backward_head, dd_unit_input(plan, units));
}

dd_status dd_inputs_prepare(struct dd_plan *plan) {
    const int units = plan->net->unit_count;
    plan->inputs = dd_calloc((size_t)units + 1, sizeof *plan->inputs);
    if (plan->inputs == NULL)
        return dd_fail_memory("a plan", (size_t)units * sizeof *plan->inputs);
    plan->hands_on = all_rebindable(plan);
    plan->head_input[0] = plan->head_input[1] = dd_unit_input(plan, units);
    for (int u = 0; u < units; u++) {
        for (int gate = 0; gate < 2; gate++)
            plan->train.units[u].input[gate] = plan->backward_units[u].input[gate] = dd_unit_input(plan, u);
        if (dd_unit_hands_on(plan, u))
            dd_launches_clear(&plan->train.units[u].at[0][DD_READ_OUTPUT]); /* the copy */
    }
    return DD_OK;
}

/** plan->inputs for the gates. */
static void find_inputs(struct dd_plan *plan, const unsigned char *gates) {
    cl_mem source = dd_unit_input(plan, 0);
    for (int u = 0; u < plan->net->unit_count; u++) {
        plan->inputs[u] = source;
        if (gates[u] || plan->layout.options.masked || !dd_unit_hands_on(plan, u))
            source = dd_unit_input(plan, u + 1);
    }
    plan->inputs[plan->net->unit_count] = source;
}

/** Enqueues a list that reads *input now, with source in its place. */
static dd_status enqueue_reading(struct dd_plan *plan, struct dd_launches *list, cl_mem *input, cl_mem source) {
    if (*input != source) {
        DD_TRY(dd_launches_rebind(plan->device, list, *input, source));
        *input = source;
    }
    return dd_launches_enqueue(plan->device, list);
}

/** The list of unit u for the gates; in the masked reference all run, and the gate goes into the last BN's finish. */
static dd_status enqueue_unit(struct dd_plan *plan, struct dd_unit_lists *lists, int u, const unsigned char *gates) {
    if (plan->layout.options.masked) {
        struct dd_launches *list = &lists->at[1][DD_READ_OUTPUT];
        DD_TRY(dd_launch_set(plan->device, &list->at[lists->gate_launch], DD_FINISH_GATE, DD_FLOAT(gates[u] ? 1 : 0)));
        return dd_launches_enqueue(plan->device, list);
    }
    const bool on = gates[u] != 0;
    if (dd_unit_leaves_raw(plan->net, u - 1) && !gates[u - 1])
        return dd_launches_enqueue(plan->device, &lists->at[on][DD_READ_RAW]);
    return enqueue_reading(plan, &lists->at[on][DD_READ_OUTPUT], &lists->input[on], plan->inputs[u]);
}

dd_status dd_plan_enqueue_forward(dd_plan *plan, const unsigned char *gates) {
    const int units = plan->net->unit_count;
    find_inputs(plan, gates);
    DD_TRY(dd_forms_make(plan, gates));
    DD_TRY(dd_launches_enqueue(plan->device, &plan->train.stem));
    for (int u = 0; u < units; u++)
        DD_TRY(enqueue_unit(plan, &plan->train.units[u], u, gates));
    return enqueue_reading(plan, &plan->train.head, &plan->head_input[0], plan->inputs[units]);
}

dd_status dd_plan_enqueue_backward(dd_plan *plan, const unsigned char *gates) {
    const int units = plan->net->unit_count;
    find_inputs(plan, gates);
    DD_TRY(enqueue_reading(plan, &plan->backward_head, &plan->head_input[1], plan->inputs[units]));
    for (int u = units - 1; u >= 0; u--)
        DD_TRY(enqueue_unit(plan, &plan->backward_units[u], u, gates));
    return dd_launches_enqueue(plan->device, &plan->backward_stem);
}

dd_status dd_plan_enqueue_update(dd_plan *plan, double lr) {
    DD_TRY(dd_launch_set(plan->device, &plan->update.at[0], DD_SGD_RATE_ARG, DD_FLOAT(lr)));
    plan->forms_current = false;
    return dd_launches_enqueue(plan->device, &plan->update);
}

int dd_plan_outstanding(const dd_plan *plan) {
    return plan->slot_used;
}

dd_status dd_plan_step(dd_plan *plan, uint64_t iteration, const unsigned char *gates, const struct dd_sample *samples,
                       double lr) {
    if (plan->slot_used == DD_RUN_AHEAD)
        return dd_fail(DD_ERROR_INTERNAL, "%d steps are queued and none was collected", DD_RUN_AHEAD);
    struct dd_slot *slot = next_slot(plan);
    slot->result = (struct dd_step_result){.iteration = iteration};
    for (int u = 0; u < plan->net->unit_count; u++)
        slot->result.units_run += gates[u];
    DD_TRY(dd_plan_drop_at(plan, iteration));
    DD_TRY(dd_plan_enqueue_input(plan, gates, samples));
    DD_TRY(dd_plan_enqueue_forward(plan, gates));
    DD_TRY(dd_plan_enqueue_backward(plan, gates));
    DD_TRY(dd_plan_enqueue_update(plan, lr));
    DD_TRY(dd_buffer_read_async(plan->device, plan->metrics, 0, sizeof slot->metrics, slot->metrics, &slot->done));
    plan->slot_used++;
    return dd_device_flush(plan->device);
}

dd_status dd_plan_collect(dd_plan *plan, bool wait, struct dd_step_result *result, bool *got) {
    *got = false;
    if (plan->slot_used == 0)
        return DD_OK;
    struct dd_slot *slot = &plan->slots[plan->slot_first];
    if (!wait) {
        bool complete;
        DD_TRY(dd_event_poll(slot->done, "training step", &complete));
        if (!complete)
            return DD_OK;
    }
    plan->slot_first = (plan->slot_first + 1) % DD_RUN_AHEAD;
    plan->slot_used--;
    DD_TRY(dd_event_wait(&slot->done, "training step"));
    *result = slot->result;
    result->loss = (double)slot->metrics[0] / plan->layout.options.batch;
    result->wrong = (int)slot->metrics[1];
    *got = true;
    return DD_OK;
}

/* ---- evaluation and recalibration ---- */

static dd_status enqueue_pass(struct dd_plan *plan, const struct dd_forward_pass *pass) {
    DD_TRY(dd_launches_enqueue(plan->device, &pass->stem));
    for (int u = 0; u < plan->net->unit_count; u++)
        DD_TRY(dd_launches_enqueue(plan->device, &pass->units[u].at[1][DD_READ_OUTPUT]));
    return dd_launches_enqueue(plan->device, &pass->head);
}

/** Logits [K][n] on the device -> [n][K]. */
static dd_status read_logits(struct dd_plan *plan, int n, float *logits) {
    const size_t classes = (size_t)plan->net->classes, count = classes * (size_t)n;
    float *by_class = dd_calloc(count, sizeof *by_class);
    if (by_class == NULL)
        return dd_fail_memory("logits", count * sizeof *by_class);
    dd_status status =
        dd_buffer_read(plan->device, plan->tensors[plan->layout.logits], 0, count * sizeof *by_class, by_class);
    for (size_t k = 0; k < classes; k++)
        for (size_t i = 0; i < (size_t)n; i++)
            logits[i * classes + k] = by_class[k * (size_t)n + i];
    free(by_class);
    return status;
}

static dd_status evaluate_batch(struct dd_plan *plan, struct dd_source *source, struct dd_slot *slot, int first, int n,
                                int32_t *ranks, float *losses, float *logits) {
    const int which = n == plan->layout.options.batch ? 0 : 1;
    if (source->infer[which].n != n)
        return dd_fail(DD_ERROR_INTERNAL, "no launches are prepared for an evaluation batch of %d", n);
    struct dd_sample *samples = dd_calloc((size_t)n, sizeof *samples);
    if (samples == NULL)
        return dd_fail_memory("evaluation batch", (size_t)n * sizeof *samples);
    for (int i = 0; i < n; i++)
        samples[i].index = first + i;
    dd_status status;
    DD_GOTO(status, done, enqueue_samples(plan, source, slot, samples, n, &source->input[which]));
    DD_GOTO(status, done, enqueue_pass(plan, &source->infer[which]));
    DD_GOTO(status, done,
            dd_buffer_read_async(plan->device, plan->sample_rank, 0, (size_t)n * sizeof *ranks, ranks, NULL));
    DD_GOTO(status, done,
            dd_buffer_read_async(plan->device, plan->sample_loss, 0, (size_t)n * sizeof *losses, losses, NULL));
    if (logits != NULL)
        status = read_logits(plan, n, logits);
done:
    free(samples);
    return status;
}

dd_status dd_plan_evaluate(dd_plan *plan, enum dd_plan_source source, int first, int count,
                           enum dd_plan_statistics statistics, int32_t *ranks, float *losses, float *logits) {
    const int batch = plan->layout.options.batch;
    dd_status status;
    DD_TRY(dd_device_finish(plan->device)); /* the slots' memory is free now */
    DD_GOTO(status, done, dd_forms_make(plan, NULL));
    DD_GOTO(status, done, dd_launches_enqueue(plan->device, &plan->affine[statistics]));
    for (int done = 0, batches = 0; done < count; done += batch, batches++) {
        if (batches > 0 && batches % DD_RUN_AHEAD == 0)
            DD_GOTO(status, done, dd_device_finish(plan->device));
        const int n = count - done < batch ? count - done : batch;
        float *scores = logits != NULL ? logits + (size_t)done * plan->net->classes : NULL;
        DD_GOTO(status, done,
                evaluate_batch(plan, &plan->sources[source], &plan->slots[batches % DD_RUN_AHEAD], first + done, n,
                               ranks + done, losses + done, scores));
    }
done:;
    dd_status finished =
        dd_device_finish(plan->device); /* also after a failure: the queue reads and writes the caller's memory */
    return status != DD_OK ? status : finished;
}

dd_status dd_plan_recalibrate_begin(dd_plan *plan) {
    return dd_buffer_zero(plan->device, plan->store.recalibrated, 0, 2 * plan->layout.bn_floats * sizeof(float));
}

dd_status dd_plan_recalibrate_batch(dd_plan *plan, const struct dd_sample *samples) {
    if (plan->recalibrate.units == NULL)
        return dd_fail(DD_ERROR_INTERNAL, "recalibration was not prepared");
    DD_TRY(dd_device_finish(plan->device)); /* one batch at a time: no slot is in use */
    struct dd_source *source = &plan->sources[DD_SOURCE_TRAIN];
    DD_TRY(enqueue_samples(plan, source, &plan->slots[0], samples, plan->layout.options.batch, &source->input[0]));
    DD_TRY(dd_forms_make(plan, NULL));
    return enqueue_pass(plan, &plan->recalibrate);
}
