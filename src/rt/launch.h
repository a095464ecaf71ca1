/*
 * Ready launches: a kernel with its arguments set once, or a library call (CLBlast), kept in lists that the scheduler
 * enqueues in order. Enqueueing allocates, builds and waits for nothing.
 */
#ifndef DD_RT_LAUNCH_H
#define DD_RT_LAUNCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rt/device.h"

/** Which kernel, how built, over which range. */
struct dd_kernel_spec {
    const char *source;   /* name of the embedded file, e.g. "norm/bn_fwd.cl" */
    const char *kernel;   /* e.g. "bn_partials" */
    const char *options;  /* build options beside the common ones, e.g. "-DV=16"; NULL: none */
    const char *label;    /* for messages and profiles: the kernel, then what tells its builds apart */
    int dims;             /* 1 .. 3 */
    size_t global[3];
    size_t local[3];      /* all 0: the driver chooses; else global is rounded up to its multiple (check bounds) */
};

enum dd_arg_kind { DD_ARG_MEM, DD_ARG_INT, DD_ARG_FLOAT };
struct dd_arg {
    enum dd_arg_kind kind;
    union { cl_mem mem; cl_int i; cl_float f; } as;
};
#define DD_MEM(m) ((struct dd_arg){.kind = DD_ARG_MEM, .as.mem = (m)}) /* NULL binds device->nothing */
#define DD_INT(v) ((struct dd_arg){.kind = DD_ARG_INT, .as.i = (cl_int)(v)})
#define DD_FLOAT(v) ((struct dd_arg){.kind = DD_ARG_FLOAT, .as.f = (cl_float)(v)})

/** A library call: run enqueues on device->queue; destroy (may be NULL) frees context; uses: its buffers, then NULL. */
struct dd_call {
    const char *label;
    dd_status (*run)(dd_device *device, void *context);
    void (*destroy)(void *context);
    void *context;
    cl_mem uses[4];
};

struct dd_launch {
    char label[64];
    cl_kernel kernel;     /* owned; NULL: a call */
    cl_mem *buffers;      /* owned; [argument count] the buffers bound, NULL for other arguments */
    int arguments;
    cl_uint dims;
    size_t global[3], local[3];
    int has_local;
    struct dd_call call;
};

struct dd_launches {
    struct dd_launch *at;
    int count;
    size_t capacity;
};

/** Appends a launch of spec with count arguments. On failure the list is as before. */
dd_status dd_launches_add(struct dd_launches *list, dd_device *device, const struct dd_kernel_spec *spec,
                          const struct dd_arg *args, int count);
#define DD_ADD(list, device, spec, ...)                                                                                \
    dd_launches_add(list, device, spec, (const struct dd_arg[]){__VA_ARGS__},                                          \
                    (int)(sizeof((const struct dd_arg[]){__VA_ARGS__}) / sizeof(struct dd_arg)))

/** Appends a library call; the list owns call->context from here on, also on failure. */
dd_status dd_launches_add_call(struct dd_launches *list, const struct dd_call *call);

/** Sets one argument anew (a learning rate, say); takes effect for enqueues after it. */
dd_status dd_launch_set(dd_device *device, struct dd_launch *launch, int index, struct dd_arg arg);

/** Whether dd_launches_rebind can replace buffer wherever the list uses it: it cannot in library calls. */
bool dd_launches_rebindable(const struct dd_launches *list, cl_mem buffer);

/** Binds buffer `to` wherever `from` is bound; takes effect for enqueues after it. */
dd_status dd_launches_rebind(dd_device *device, struct dd_launches *list, cl_mem from, cl_mem to);

/** Enqueues all, in order. A failure names the launch. */
dd_status dd_launches_enqueue(dd_device *device, const struct dd_launches *list);

/** Releases kernels and contexts; the list is empty and usable after it. */
void dd_launches_clear(struct dd_launches *list);

/** Kernels and calls enqueued by this process so far: tests take differences. */
uint64_t dd_launch_count(void);

/**
 * Compiles (or finds) the program, without a launch. It belongs to the device, which keeps it until it is closed.
 * DD_ERROR_DEVICE with the first lines of the build log if it does not build.
 */
dd_status dd_program_build(dd_device *device, const char *source, const char *options, cl_program *program);

#endif
