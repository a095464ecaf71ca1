/* The plan's insides, shared by the files of this folder alone. */
#ifndef DD_PLAN_INTERNAL_H
#define DD_PLAN_INTERNAL_H

#include "ops/finish.h"
#include "ops/loss.h"
#include "plan/memory.h"
#include "plan/plan.h"

/* Indices of the tensors of a layout; -1 where a net has none. */
struct dd_layout_unit {
    int output;                /* o */
    int gradient;              /* of the loss by the unit's *input* */
    int dropped;               /* behind the first ReLU and its width dropout; -1: none */
    int inner[DD_MAX_PRIMARY]; /* gradient at the ReLU before primary convolution j, j >= 1 */
};

/* Everything about a plan that follows from net, limits, options and choice: no device involved. */
struct dd_layout {
    struct dd_plan_options options;
    int v;
    int convs;                           /* = net->bn_count: convolution i is followed by BN i */
    const struct dd_conv_layer **layers; /* [convs] */
    struct dd_conv *shapes;              /* [convs], n = batch */
    int tensor_count;
    struct dd_memory_item *tensors;
    int images, pooled_winner, stem_gradient, features, feature_gradient, logits, logit_gradient;
    int body; /* input of the first unit: the stem's ReLU or the max pooling */
    int *raw; /* [convs] z */
    struct dd_layout_unit *units;
    int last_gradient; /* of the loss by the last unit's output */
    struct dd_memory_arenas arenas;
    size_t workspace_bytes, partial_bytes;
    struct dd_weight_entry *forms; /* [form_count] of weights (ops/weights.h), made by one launch */
    int form_count;
    size_t form_floats;
    int (*form_of)[DD_CONV_DIRECTIONS]; /* [convs] index into forms; -1: none, or not kept */
    /* parameters, in floats */
    int granule;
    size_t *param_offset; /* [params]; trainable ones in the parameter buffer, statistics in their own */
    size_t param_floats;
    size_t gamma_base, beta_base; /* of all BN, in the order of bn_offset */
    size_t *bn_offset;            /* [bns] first channel in a vector over all BN layers */
    size_t bn_floats;
};

#define DD_UNLIMITED_BYTES ((uint64_t)1 << 50) /* max_alloc_bytes of a device for which everything fits */

dd_status dd_layout_make(const struct dd_net *net, const struct dd_device_info *info,
                         const struct dd_plan_options *options, const struct dd_plan_choice *choice,
                         struct dd_layout *layout);
void dd_layout_free(struct dd_layout *layout);
uint64_t dd_layout_bytes(const struct dd_layout *layout, const struct dd_net *net);

/** Shape of a convolution at another number of images. */
static inline struct dd_conv dd_conv_at(const struct dd_layout *layout, int conv, int n) {
    struct dd_conv shape = layout->shapes[conv];
    shape.in.n = shape.out.n = n;
    return shape;
}

/* Views of one BN layer beyond dd_bn_vectors. */
struct dd_bn_views {
    struct dd_bn_vectors vectors;
    cl_mem recalibrated_mean, recalibrated_var;
    cl_mem dgamma, dbeta, k1, k2, k3;
};

enum { DD_BN_WORK_VECTORS = 7 }; /* mean, invstd, scale, shift, k1, k2, k3 */

struct dd_param_store {
    cl_mem values, gradients, momentum; /* [param_floats]; the latter two when training */
    cl_mem owner;                       /* int [granules] */
    cl_mem active;                      /* int [units] */
    cl_mem running, recalibrated;       /* [2][bn_floats]: mean, var */
    cl_mem bn_work;                     /* [DD_BN_WORK_VECTORS][bn_floats] */
    cl_mem *weight, *weight_gradient;   /* [convs] */
    cl_mem fc_weight, fc_bias, fc_weight_gradient, fc_bias_gradient;
    struct dd_bn_views *bn;                     /* [bns] */
    struct dd_bn_vectors all, all_recalibrated; /* over all BN layers at once, for inference */
    cl_mem *views;                              /* every view, for release */
    int view_count;
    size_t view_capacity;
};

/*
 * Where a unit's input comes from. A unit whose gate is off and whose shortcut is a convolution makes nothing but the
 * ReLU of that convolution's batch norm. If the next unit reads its input through convolutions alone, that is their
 * prologue, and the unit's output is never stored: its reader takes the raw convolution, and in backward masks and
 * reduces for that batch norm, as for one inside a primary path.
 */
enum dd_unit_read { DD_READ_OUTPUT, DD_READ_RAW, DD_UNIT_READS };

/* Launches of one unit by its own gate (0 off, 1 on) and where its input comes from. */
struct dd_unit_lists {
    struct dd_launches at[2][DD_UNIT_READS];
    cl_mem input[2]; /* what at[..][DD_READ_OUTPUT] reads as the unit's input: see dd_plan.inputs */
    int gate_launch; /* in both lists at[1]: the finish of the primary path's last BN, where the masked reference sets
                        its gate */
};

enum dd_pass_mode { DD_PASS_TRAIN, DD_PASS_RECALIBRATE, DD_PASS_INFER };

/* A forward pass over n images. */
struct dd_forward_pass {
    int n;
    struct dd_launches stem, head; /* head: pooling, last layer, loss */
    struct dd_unit_lists *units;   /* but at[1][DD_READ_OUTPUT] only in DD_PASS_TRAIN */
};

struct dd_source {
    const struct dd_images *images;
    cl_mem bytes; /* all images, or a batch of them when streaming */
    bool resident;
    struct dd_launches input[2];     /* augmentation of a full batch, and of the last one */
    struct dd_forward_pass infer[2]; /* likewise; not for the training source */
};

/* One queued step's host memory: it must stay untouched until its event is complete. */
struct dd_slot {
    struct dd_sample *samples; /* [batch] */
    int32_t *labels;           /* [batch] */
    int32_t *active;           /* [units] */
    uint8_t *pixels;           /* [batch] images, when streaming */
    float metrics[DD_METRICS];
    cl_event done;
    struct dd_step_result result;
};

/* A launch that takes the iteration. */
struct dd_drop {
    struct dd_launches *list;
    int launch;
};

struct dd_plan {
    dd_device *device;
    const struct dd_net *net;
    struct dd_plan_choice choice;
    struct dd_layout layout;
    struct dd_param_store store;
    cl_mem arenas[DD_MAX_ARENAS];
    cl_mem *tensors;                           /* views, [layout.tensor_count] */
    cl_mem workspace, partials, side_partials; /* side: the shortcut's sums, made together with the primary path's */
    cl_mem samples, labels, mean, inverse_std; /* int4 [batch], int [batch], [C][H][W], [C] */
    cl_mem sample_loss, sample_rank, metrics;  /* [batch], int [batch], [DD_METRICS] */
    struct dd_forward_pass train, recalibrate;
    struct dd_launches affine[2];     /* scale and shift of every BN: [enum dd_plan_statistics] */
    struct dd_launches backward_head; /* last layer's and pooling's backward */
    struct dd_unit_lists *backward_units;
    struct dd_launches backward_stem, update;
    /*
     * A unit with an identity shortcut and its gate off does nothing: it hands its input on, and what comes after it
     * reads that. inputs [units + 1]: the stored tensor that each unit, and the head, reads in the step being queued.
     */
    bool hands_on; /* else such a unit copies its input: a reader passes it to a library, which holds on to it */
    cl_mem *inputs;
    cl_mem head_input[2];  /* what the head's forward and backward lists read */
    struct dd_drop *drops; /* of width dropout */
    int drop_count;
    size_t drop_capacity;
    cl_mem forms, form_table, *form_views; /* views: [layout.form_count] */
    struct dd_launches make_forms;         /* empty if there are none */
    bool forms_current;                    /* all are made, or queued to be, since the weights changed */
    struct dd_source sources[DD_SOURCES];
    struct dd_slot slots[DD_RUN_AHEAD];
    int slot_first, slot_used;
};

/* params.c */
dd_status dd_store_create(struct dd_plan *plan);
void dd_store_destroy(struct dd_plan *plan);

/* forms.c: the weights as convolution kernels read them. */
/** Places the forms that choice asks for; a pure function, after the parameters have been placed. */
void dd_forms_place(struct dd_layout *layout, const struct dd_net *net, const struct dd_device_info *info,
                    const struct dd_plan_choice *choice);
dd_status dd_forms_create(struct dd_plan *plan);
void dd_forms_destroy(struct dd_plan *plan);
/** Enqueues the launch that makes them, unless they are current: before any convolution may read them. gates, those on
 * the device (store.active): only what they call for; NULL: all. */
dd_status dd_forms_make(struct dd_plan *plan, const unsigned char *gates);

/** The kept form of a convolution's weights; NULL: none. */
static inline cl_mem dd_form(const struct dd_plan *plan, int conv, enum dd_conv_direction direction) {
    const int index = plan->layout.form_of[conv][direction];
    return index >= 0 ? plan->form_views[index] : NULL;
}

/* forward.c: builds pass for n images (freed by dd_forward_free). */
dd_status dd_forward_build(struct dd_plan *plan, int n, enum dd_pass_mode mode, struct dd_forward_pass *pass);
void dd_forward_free(struct dd_plan *plan, struct dd_forward_pass *pass);
void dd_unit_lists_clear(struct dd_unit_lists *lists);

/* backward.c */
dd_status dd_backward_build(struct dd_plan *plan);
void dd_backward_free(struct dd_plan *plan);

/** step.c: decides hands_on, drops the copies that are not needed then, and prepares inputs (freed with the plan). */
dd_status dd_inputs_prepare(struct dd_plan *plan);
/* dropout.c: width dropout. The launches of the head are none where its ratio is 0; those of a unit are for units with
 * a `dropped` tensor. */
dd_status dd_plan_drop_unit(struct dd_plan *plan, int u, struct dd_launches *list);
/** g by the dropped tensor becomes, in place, the gradient behind the first batch norm; *sums are its partial sums. */
dd_status dd_plan_drop_unit_backward(struct dd_plan *plan, int u, cl_mem g, struct dd_partials *sums,
                                     struct dd_launches *list);
dd_status dd_plan_drop_features(struct dd_plan *plan, struct dd_launches *list);
dd_status dd_plan_drop_features_backward(struct dd_plan *plan, struct dd_launches *list);
/** Tells all of them the iteration, whose masks they draw. */
dd_status dd_plan_drop_at(struct dd_plan *plan, uint64_t iteration);

/* Pieces shared by forward.c and backward.c. */

/* What a convolution reads: a stored ReLU's output (bn -1), or a raw one through its batch norm and ReLU. */
struct dd_conv_source {
    cl_mem x;
    struct dd_affine prologue;
    int bn;
};

static inline cl_mem dd_raw(const struct dd_plan *plan, int conv) {
    return plan->tensors[plan->layout.raw[conv]];
}

/** Input tensor of unit u. */
static inline cl_mem dd_unit_input(const struct dd_plan *plan, int unit) {
    return plan->tensors[unit == 0 ? plan->layout.body : plan->layout.units[unit - 1].output];
}

/** The BN of convolution conv as an affine map on load or in a join. */
static inline struct dd_affine dd_bn_affine(const struct dd_plan *plan, int conv, bool relu) {
    const struct dd_bn_vectors *bn = &plan->store.bn[conv].vectors;
    return (struct dd_affine){.scale = bn->scale, .shift = bn->shift, .relu = relu};
}

/** Whether unit u, with its gate off, leaves its output to be made by its reader (DD_READ_RAW). */
static inline bool dd_unit_leaves_raw(const struct dd_net *net, int u) {
    return u >= 0 && u + 1 < net->unit_count && dd_has_shortcut_conv(&net->units[u]) &&
           dd_has_shortcut_conv(&net->units[u + 1]);
}

/** Unit u's input as convolutions read it. */
static inline struct dd_conv_source dd_unit_source(const struct dd_plan *plan, int u, enum dd_unit_read source) {
    if (source == DD_READ_OUTPUT)
        return (struct dd_conv_source){.x = dd_unit_input(plan, u), .bn = -1};
    const int bn = plan->net->units[u - 1].shortcut.bn;
    return (struct dd_conv_source){.x = dd_raw(plan, bn), .prologue = dd_bn_affine(plan, bn, true), .bn = bn};
}

/**
 * Whether, in unit u with its gate on, the shortcut's convolution is computed by the kernel of the first convolution of
 * the primary path, which reads the same x; direction: forward, or backward data for both gradients, if the shortcut works in
 * place.
 */
bool dd_unit_pairs(const struct dd_plan *plan, int u, enum dd_conv_direction direction);

/** Whether unit u, with its gate off, hands its input on. */
static inline bool dd_unit_hands_on(const struct dd_plan *plan, int u) {
    return plan->hands_on && plan->net->units[u].shortcut_op == DD_SHORTCUT_OP_NONE;
}

#endif
