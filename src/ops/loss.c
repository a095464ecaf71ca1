/* Softmax cross-entropy and the metrics of a batch: launches of cl/loss/softmax_xent.cl. */
#include <stdio.h>

#include "ops/loss.h"
#include "ops/spread.h"

dd_status dd_loss_add(dd_device *device, const struct dd_loss *loss, struct dd_launches *list) {
    char options[64];
    int group = dd_group_size(&device->info, 64);
    struct dd_kernel_spec samples = {.source = "loss/softmax_xent.cl",
                                     .kernel = "softmax_xent",
                                     .options = options,
                                     .label = "softmax_xent",
                                     .dims = 1,
                                     .global = {(size_t)loss->n, 1, 1},
                                     .local = {(size_t)group, 1, 1}};
    struct dd_kernel_spec metrics = {.source = "loss/softmax_xent.cl",
                                     .kernel = "loss_metrics",
                                     .options = options,
                                     .label = "loss_metrics",
                                     .dims = 1,
                                     .global = {(size_t)group, 1, 1},
                                     .local = {(size_t)group, 1, 1}};
    snprintf(options, sizeof options, "-DGROUP=%d", group);
    DD_TRY(DD_ADD(list, device, &samples, DD_MEM(loss->logits), DD_MEM(loss->labels), DD_INT(loss->classes),
                  DD_INT(loss->n), DD_INT(loss->dlogits != NULL), DD_MEM(loss->dlogits), DD_MEM(loss->sample_loss),
                  DD_MEM(loss->sample_rank)));
    return DD_ADD(list, device, &metrics, DD_MEM(loss->sample_loss), DD_MEM(loss->sample_rank), DD_INT(loss->n),
                  DD_MEM(loss->metrics));
}
