/* Launches of cl/conv/weights.cl. How jobs are spread may be changed freely: results do not depend on it. */
#include "ops/weights.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

enum { LARGEST_KEPT = 4 << 20 }; /* bytes */

enum {
    TABLE_INTS = 10,    /* of an entry, as the kernel reads it */
    ITEMS_PER_UNIT = 32 /* work-items for each compute unit, where there are jobs enough: evens out what gates leave */
};

static int along(const struct dd_weight_form *form) {
    return form->tile + 2;
}

size_t dd_weight_form_floats(const struct dd_weight_form *form) {
    const size_t pairs = (size_t)form->reduced * form->produced * form->v * form->v;
    return pairs * (size_t)(form->tile > 0 ? along(form) * along(form) : form->taps);
}

bool dd_weight_form_kept(const struct dd_weight_form *form) {
    return dd_weight_form_floats(form) * sizeof(float) <= LARGEST_KEPT;
}

static int count_jobs(const struct dd_weight_form *form) {
    return form->reduced * form->produced;
}

static int jobs_in_a_row(const struct dd_device_info *info, int jobs) {
    const int items = ITEMS_PER_UNIT * (info->compute_units > 0 ? (int)info->compute_units : 1);
    return dd_div_up(jobs, items);
}

/* The launch of a kernel of one-item work-groups over all jobs; options is the caller's memory. */
static struct dd_kernel_spec make_spec(const char *kernel, char options[16], int v, int jobs, int run) {
    snprintf(options, 16, "-DV=%d", v);
    return (struct dd_kernel_spec){.source = "conv/weights.cl",
                                   .kernel = kernel,
                                   .options = options,
                                   .label = kernel,
                                   .dims = 1,
                                   .global = {(size_t)dd_div_up(jobs, run), 1, 1},
                                   .local = {1, 1, 1}};
}

size_t dd_weight_table_bytes(int count) {
    return ((size_t)count + 1) * TABLE_INTS * sizeof(int32_t);
}

/* Fills table [count + 1][TABLE_INTS]; gives the number of jobs. */
static int fill_table(const struct dd_weight_entry *entries, int count, int32_t *table) {
    int jobs = 0;
    for (int i = 0; i < count; i++, table += TABLE_INTS) {
        const struct dd_weight_form *form = &entries[i].form;
        const size_t v = (size_t)form->v;
        const int32_t row[TABLE_INTS] = {jobs,
                                         (int32_t)(entries[i].from / v),
                                         (int32_t)(entries[i].to / v),
                                         form->tile,
                                         form->transposed,
                                         form->reduced,
                                         form->produced,
                                         form->unit,
                                         form->taps,
                                         entries[i].owner};
        for (int k = 0; k < TABLE_INTS; k++)
            table[k] = row[k];
        jobs += count_jobs(form);
    }
    table[0] = jobs;
    return jobs;
}

dd_status dd_weight_add_all(dd_device *device, const struct dd_weight_entry *entries, int count, cl_mem table, cl_mem w,
                            cl_mem forms, cl_mem active, struct dd_launches *list) {
    const size_t bytes = dd_weight_table_bytes(count);
    char options[16];
    int32_t *rows = dd_calloc((size_t)count + 1, TABLE_INTS * sizeof *rows);
    if (rows == NULL)
        return dd_fail_memory("table of weight forms", bytes);
    const int jobs = fill_table(entries, count, rows);
    const dd_status status = dd_buffer_write(device, table, 0, bytes, rows);
    free(rows);
    DD_TRY(status);
    const int run = jobs_in_a_row(&device->info, jobs);
    const struct dd_kernel_spec spec = make_spec("weights_all", options, entries[0].form.v, jobs, run);
    return DD_ADD(list, device, &spec, DD_MEM(w), DD_MEM(forms), DD_MEM(table), DD_INT(count), DD_INT(jobs),
                  DD_INT(run), DD_MEM(active), DD_INT(1));
}

dd_status dd_weight_add_one(dd_device *device, const struct dd_weight_form *form, cl_mem w, cl_mem to,
                            struct dd_launches *list) {
    char options[16];
    const int jobs = count_jobs(form), run = jobs_in_a_row(&device->info, jobs);
    const struct dd_kernel_spec spec = make_spec("weights_one", options, form->v, jobs, run);
    return DD_ADD(list, device, &spec, DD_MEM(w), DD_MEM(to), DD_INT(jobs), DD_INT(run), DD_INT(form->tile),
                  DD_INT(form->transposed), DD_INT(form->reduced), DD_INT(form->produced), DD_INT(form->unit),
                  DD_INT(form->taps));
}

dd_status dd_weight_have(dd_device *device, const struct dd_weight_form *form, cl_mem w, cl_mem made, cl_mem here,
                         struct dd_launches *list, cl_mem *read) {
    *read = made != NULL ? made : here;
    return made != NULL ? DD_OK : dd_weight_add_one(device, form, w, here, list);
}
