/*
 * Weights in the forms that convolution kernels read (ops/weights.h). One launch makes them all at the start of a step,
 * when the gates are known: those of primary paths that are off are left out. For ResNet-56 that is up to 26 MB a step,
 * where the launches it replaces, two for each convolution, wait for each other.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "plan/internal.h"

static void place(struct dd_layout *layout, const struct dd_net *net, const struct dd_device_info *info,
                  const struct dd_plan_choice *choice, int conv, enum dd_conv_direction direction) {
    const struct dd_conv_algorithm *algorithm = choice->algorithm[conv][direction];
    struct dd_weight_form form;
    layout->form_of[conv][direction] = -1;
    if (algorithm == NULL || !dd_conv_form(algorithm, &layout->shapes[conv], direction, &form))
        return;
    const size_t floats = dd_weight_form_floats(&form), granule = (size_t)layout->granule;
    const size_t end = layout->form_floats + dd_round_up(floats, granule);
    if (!dd_weight_form_kept(&form) || end * sizeof(float) > info->max_alloc_bytes)
        return;
    layout->form_of[conv][direction] = layout->form_count;
    const int weight = layout->layers[conv]->weight;
    const struct dd_param *param = &net->params[weight];
    layout->forms[layout->form_count++] = (struct dd_weight_entry){.form = form,
                                                                   .from = layout->param_offset[weight],
                                                                   .to = layout->form_floats,
                                                                   .owner = param->primary ? param->unit : -1};
    layout->form_floats = end;
}

void dd_forms_place(struct dd_layout *layout, const struct dd_net *net, const struct dd_device_info *info,
                    const struct dd_plan_choice *choice) {
    for (int i = 0; i < layout->convs; i++) {
        place(layout, net, info, choice, i, DD_CONV_FORWARD);
        layout->form_of[i][DD_CONV_BACKWARD_DATA] = layout->form_of[i][DD_CONV_BACKWARD_WEIGHTS] = -1;
        if (layout->options.training && i > 0) /* nobody asks for the gradient by the images */
            place(layout, net, info, choice, i, DD_CONV_BACKWARD_DATA);
    }
}

dd_status dd_forms_create(struct dd_plan *plan) {
    const struct dd_layout *layout = &plan->layout;
    if (layout->form_count == 0)
        return DD_OK;
    plan->form_views = dd_calloc((size_t)layout->form_count, sizeof *plan->form_views);
    if (plan->form_views == NULL)
        return dd_fail_memory("forms of the weights", (size_t)layout->form_count * sizeof *plan->form_views);
    DD_TRY(dd_buffer_create(plan->device, layout->form_floats * sizeof(float), "forms of the weights", &plan->forms));
    DD_TRY(dd_buffer_create(plan->device, dd_weight_table_bytes(layout->form_count), "table of the forms",
                            &plan->form_table));
    for (int i = 0; i < layout->form_count; i++)
        DD_TRY(dd_buffer_view(plan->device, plan->forms, layout->forms[i].to * sizeof(float),
                              dd_weight_form_floats(&layout->forms[i].form) * sizeof(float), &plan->form_views[i]));
    return dd_weight_add_all(plan->device, layout->forms, layout->form_count, plan->form_table, plan->store.values,
                             plan->forms, plan->store.active, &plan->make_forms);
}

void dd_forms_destroy(struct dd_plan *plan) {
    dd_launches_clear(&plan->make_forms);
    for (int i = 0; plan->form_views != NULL && i < plan->layout.form_count; i++)
        dd_buffer_release(plan->device, &plan->form_views[i]);
    free(plan->form_views);
    dd_buffer_release(plan->device, &plan->form_table);
    dd_buffer_release(plan->device, &plan->forms);
}

dd_status dd_forms_make(struct dd_plan *plan, const unsigned char *gates) {
    if (plan->forms_current || plan->make_forms.count == 0)
        return DD_OK;
    bool all = true;
    for (int u = 0; gates != NULL && !plan->layout.options.masked && u < plan->net->unit_count; u++)
        all = all && gates[u] != 0;
    DD_TRY(dd_launch_set(plan->device, &plan->make_forms.at[0], DD_WEIGHT_ALL_ARG, DD_INT(all)));
    DD_TRY(dd_launches_enqueue(plan->device, &plan->make_forms));
    plan->forms_current = all;
    return DD_OK;
}
