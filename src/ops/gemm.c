/*
 * Matrix products through CLBlast, and the parameters it runs with.
 *
 * CLBlast's fast ("indirect") kernel wants column-major operands with A as stored, B transposed, all sizes multiples of
 * its tile and no gaps; it copies every operand that is not so through a temporary buffer. A row-major product is
 * therefore handed over as C^T = B^T A^T: the large operands here (columns, images, gradients) have their long
 * dimension innermost and then pass uncopied. With an offset it copies too, so operands at an offset become
 * sub-buffers, made once.
 *
 * CPUs: CLBlast's defaults reach 8-14 GFLOP/s with PoCL 3.1 on two cores with AVX-512 (FMA peak 220) for 16 x 144 x
 * 32768, 64 x 576 x 8192 and the like. One work-item a group with a 16 x 16 tile in registers and no local memory
 * reaches 84-126; 16 x 8 and 16 x 4 tiles 8-55, 16-wide vectors 16, groups of 2 x 2 33, the one-kernel ("direct") form
 * of the same tile 8-25. Other devices keep what CLBlast's database knows of them; from which size on it uses the
 * indirect kernel is fixed here, since the direct one takes no temporary memory and the batched indirect one would
 * allocate at every call.
 */
#include "ops/gemm.h"

#include <clblast_c.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/mem.h"

enum {
    DEVICES_MOST = 64,
    DIRECT_BELOW = 512, /* not CPUs: m * n * k below its cube goes through the direct kernel */
    FOREIGN_TILE = 128, /* largest tile in CLBlast's database, for m and n */
    FOREIGN_DEPTH = 64  /* and for k */
};

/* One product in a list of launches. */
struct product {
    dd_device *device;
    struct dd_gemm gemm;
    cl_mem views[4]; /* sub-buffers of a, b, c, temporary that replace an offset; NULL: none */
    bool strided;    /* one batched call */
};

static bool is_tiled(const struct dd_device_info *info) {
    return info->type == DD_DEVICE_CPU;
}

/* Whether CLBlast takes the operands as they lie; the offset of the first member must be none by then. */
static bool a_as_stored(const struct dd_gemm *g) {
    return g->transpose_a && g->m % DD_GEMM_TILE == 0 && g->k % DD_GEMM_TILE == 0 && g->lda == g->m;
}

static bool b_as_stored(const struct dd_gemm *g) {
    return !g->transpose_b && g->n % DD_GEMM_TILE == 0 && g->k % DD_GEMM_TILE == 0 && g->ldb == g->n;
}

static bool c_as_stored(const struct dd_gemm *g) {
    return g->m % DD_GEMM_TILE == 0 && g->n % DD_GEMM_TILE == 0 && g->ldc == g->n;
}

static bool is_direct(const struct dd_device_info *info, const struct dd_gemm *g) {
    const double limit = (double)DIRECT_BELOW * DIRECT_BELOW * DIRECT_BELOW;
    return info && !is_tiled(info) && (double)g->m * (double)g->n * (double)g->k < limit;
}

/* Whether all members go in one call that allocates nothing. The batched kernel ignores offsets and takes members
 * without gaps. */
static bool is_strided(const struct dd_device_info *info, const struct dd_gemm *g) {
    if (g->batch == 1 || is_direct(info, g))
        return g->batch > 1;
    return info && is_tiled(info) && a_as_stored(g) && b_as_stored(g) && c_as_stored(g) && g->a_stride == g->k * g->m &&
           g->b_stride == g->k * g->n && g->c_stride == g->m * g->n && g->a_offset == 0 && g->b_offset == 0 &&
           g->c_offset == 0;
}

/* Bytes that the indirect kernel takes: copies of those operands that do not lie as it wants them. */
static size_t copies(const struct dd_gemm *g, size_t tile, size_t depth, bool a, bool b, bool c) {
    const size_t m = dd_round_up(g->m, tile), n = dd_round_up(g->n, tile), k = dd_round_up(g->k, depth);
    return ((a ? m * k : 0) + (b ? k * n : 0) + (c ? m * n : 0)) * sizeof(float);
}

/* g as it is once aligned offsets are views (align in floats); info NULL: for any device. */
static size_t temporary_bound(const struct dd_device_info *info, struct dd_gemm g, size_t align) {
    const bool loops = g.batch > 1;
    if (g.a_offset % align == 0)
        g.a_offset = 0;
    if (g.b_offset % align == 0)
        g.b_offset = 0;
    if (g.c_offset % align == 0)
        g.c_offset = 0;
    if (is_direct(info, &g) || is_strided(info, &g))
        return 0;
    if (info && is_tiled(info))
        return copies(&g, DD_GEMM_TILE, DD_GEMM_TILE, loops || g.a_offset != 0 || !a_as_stored(&g),
                      loops || g.b_offset != 0 || !b_as_stored(&g), loops || g.c_offset != 0 || !c_as_stored(&g));
    return copies(&g, FOREIGN_TILE, FOREIGN_DEPTH, true, true, true);
}

size_t dd_gemm_temporary_bound(const struct dd_device_info *info, const struct dd_gemm *gemm) {
    return temporary_bound(info, *gemm, info ? info->base_align_bytes / sizeof(float) : 1);
}

static dd_status check(CLBlastStatusCode code, const char *what, const struct dd_gemm *g) {
    const int opencl_last = -100;
    if (code == CLBlastSuccess)
        return DD_OK;
    if ((int)code > opencl_last)
        return dd_cl_check((cl_int)code, "%s of a %zu x %zu x %zu matrix product", what, g->m, g->n, g->k);
    return dd_fail(
        DD_ERROR_DEVICE,
        "%s of a %zu x %zu x %zu matrix product (leading dimensions %zu, %zu, %zu, %zu members): CLBlast gives error "
        "%d; run `depthdrop selftest` to see what works on this device",
        what, g->m, g->n, g->k, g->lda, g->ldb, g->ldc, g->batch, (int)code);
}

static CLBlastStatusCode override_cpu(cl_device_id id) {
    static const char *names[] = {"GEMMK", "KREG", "KWG", "KWI", "MDIMA", "MDIMC", "MWG", "NDIMB",
                                  "NDIMC", "NWG",  "SA",  "SB",  "STRM",  "STRN",  "VWM", "VWN"};
    static const size_t values[] = {0, 1, DD_GEMM_TILE, 2, 1, 1, DD_GEMM_TILE, 1, 1, DD_GEMM_TILE, 0, 0, 0, 0, 8, 8};
    return CLBlastOverrideParameters(id, "Xgemm", CLBlastPrecisionSingle, sizeof values / sizeof *values, names,
                                     values);
}

/* Gives CLBlast the parameters for this device, once (again where a test lets a CPU pass for a GPU). */
static dd_status configure(dd_device *device, const struct dd_gemm *gemm) {
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static struct {
        cl_device_id id;
        bool tiled;
    } done[DEVICES_MOST];
    static int count;
    static const char *names[] = {"XGEMM_MIN_INDIRECT_SIZE"};
    const bool tiled = is_tiled(&device->info);
    const size_t least = tiled ? 0 : DIRECT_BELOW;
    CLBlastStatusCode code = CLBlastSuccess;
    int i;
    pthread_mutex_lock(&lock);
    for (i = 0; i < count && done[i].id != device->id; i++)
        continue;
    if (i == count || done[i].tiled != tiled) {
        code = CLBlastOverrideParameters(device->id, "GemmRoutine", CLBlastPrecisionSingle, 1, names, &least);
        if (code == CLBlastSuccess && tiled)
            code = override_cpu(device->id);
        if (code == CLBlastSuccess && i < DEVICES_MOST) {
            done[i].id = device->id;
            done[i].tiled = tiled;
            count += i == count;
        }
    }
    pthread_mutex_unlock(&lock);
    return check(code, "setting the parameters", gemm);
}

/* A sub-buffer of buffer's root that starts at offset floats, so that the offset is gone; none where alignment forbids
 * it. */
static dd_status drop_offset(dd_device *device, cl_mem *buffer, size_t *offset, cl_mem *view) {
    cl_mem root = NULL;
    size_t origin = 0, size = 0, skip = *offset * sizeof(float);
    if (skip == 0)
        return DD_OK;
    DD_TRY(dd_cl_check(clGetMemObjectInfo(*buffer, CL_MEM_ASSOCIATED_MEMOBJECT, sizeof root, &root, NULL),
                       "asking for a buffer's parent"));
    DD_TRY(dd_cl_check(clGetMemObjectInfo(*buffer, CL_MEM_OFFSET, sizeof origin, &origin, NULL),
                       "asking for a buffer's origin"));
    DD_TRY(
        dd_cl_check(clGetMemObjectInfo(*buffer, CL_MEM_SIZE, sizeof size, &size, NULL), "asking for a buffer's size"));
    if (skip % device->info.base_align_bytes != 0 || skip >= size)
        return DD_OK;
    DD_TRY(dd_buffer_view(device, root ? root : *buffer, origin + skip, size - skip, view));
    *buffer = *view;
    *offset = 0;
    return DD_OK;
}

static void product_destroy(void *context) {
    struct product *product = context;
    for (int i = 0; i < 4; i++)
        dd_buffer_release(product->device, &product->views[i]);
    free(product);
}

static dd_status product_create(dd_device *device, const struct dd_gemm *gemm, struct product **result) {
    struct product *product = dd_calloc(1, sizeof *product);
    struct dd_gemm *g;
    dd_status status;
    *result = NULL;
    if (!product)
        return dd_fail_memory("matrix product", sizeof *product);
    product->device = device;
    product->gemm = *gemm;
    g = &product->gemm;
    DD_GOTO(status, error, drop_offset(device, &g->a, &g->a_offset, &product->views[0]));
    DD_GOTO(status, error, drop_offset(device, &g->b, &g->b_offset, &product->views[1]));
    DD_GOTO(status, error, drop_offset(device, &g->c, &g->c_offset, &product->views[2]));
    if (g->temporary)
        DD_GOTO(status, error, drop_offset(device, &g->temporary, &g->temporary_offset, &product->views[3]));
    if (g->temporary_offset != 0)
        g->temporary = NULL; /* nothing left behind the offset */
    product->strided = is_strided(&device->info, g);
    *result = product;
    return DD_OK;
error:
    product_destroy(product);
    return status;
}

static CLBlastTranspose transposing(bool transpose) {
    return transpose ? CLBlastTransposeYes : CLBlastTransposeNo;
}

/* Bytes of temporary memory of member i, as CLBlast says. */
static dd_status ask_temporary(const struct product *product, size_t i, size_t *bytes) {
    const struct dd_gemm *g = &product->gemm;
    cl_command_queue queue = product->device->queue;
    return check(CLBlastSGemmTempBufferSize(CLBlastLayoutColMajor, transposing(g->transpose_b),
                                            transposing(g->transpose_a), g->n, g->m, g->k,
                                            g->b_offset + i * g->b_stride, g->ldb, g->a_offset + i * g->a_stride,
                                            g->lda, g->c_offset + i * g->c_stride, g->ldc, &queue, bytes),
                 "sizing the temporary buffer", g);
}

static dd_status product_temporary(const struct product *product, size_t *bytes) {
    *bytes = 0;
    for (size_t i = 0; !product->strided && i < product->gemm.batch; i++) {
        size_t own;
        DD_TRY(ask_temporary(product, i, &own));
        if (own > *bytes)
            *bytes = own;
    }
    return DD_OK;
}

dd_status dd_gemm_temporary(dd_device *device, const struct dd_gemm *gemm, size_t *bytes) {
    struct product *product;
    dd_status status;
    *bytes = 0;
    DD_TRY(configure(device, gemm));
    DD_TRY(product_create(device, gemm, &product));
    status = product_temporary(product, bytes);
    product_destroy(product);
    return status;
}

static dd_status run_strided(const struct product *product) {
    const struct dd_gemm *g = &product->gemm;
    cl_command_queue queue = product->device->queue;
    return check(CLBlastSgemmStridedBatched(CLBlastLayoutColMajor, transposing(g->transpose_b),
                                            transposing(g->transpose_a), g->n, g->m, g->k, 1.0f, g->b, g->b_offset,
                                            g->ldb, g->b_stride, g->a, g->a_offset, g->lda, g->a_stride, g->beta, g->c,
                                            g->c_offset, g->ldc, g->c_stride, g->batch, &queue, NULL),
                 "enqueueing", g);
}

static dd_status run_member(const struct product *product, size_t i) {
    const struct dd_gemm *g = &product->gemm;
    cl_command_queue queue = product->device->queue;
    const CLBlastTranspose ta = transposing(g->transpose_a), tb = transposing(g->transpose_b);
    const size_t a = g->a_offset + i * g->a_stride, b = g->b_offset + i * g->b_stride,
                 c = g->c_offset + i * g->c_stride;
    if (!g->temporary)
        return check(CLBlastSgemm(CLBlastLayoutColMajor, tb, ta, g->n, g->m, g->k, 1.0f, g->b, b, g->ldb, g->a, a,
                                  g->lda, g->beta, g->c, c, g->ldc, &queue, NULL),
                     "enqueueing", g);
    return check(CLBlastSgemmWithTempBuffer(CLBlastLayoutColMajor, tb, ta, g->n, g->m, g->k, 1.0f, g->b, b, g->ldb,
                                            g->a, a, g->lda, g->beta, g->c, c, g->ldc, &queue, NULL, g->temporary),
                 "enqueueing", g);
}

static dd_status product_run(dd_device *device, void *context) {
    const struct product *product = context;
    (void)device;
    if (product->strided)
        return run_strided(product);
    for (size_t i = 0; i < product->gemm.batch; i++)
        DD_TRY(run_member(product, i));
    return DD_OK;
}

/* The caller's temporary buffer must hold what CLBlast asks for; otherwise it would allocate at every call. */
static dd_status check_temporary(const struct product *product, const char *label) {
    size_t wanted, given = 0;
    DD_TRY(product_temporary(product, &wanted));
    if (product->gemm.temporary)
        DD_TRY(dd_cl_check(clGetMemObjectInfo(product->gemm.temporary, CL_MEM_SIZE, sizeof given, &given, NULL),
                           "asking for a buffer's size"));
    if (wanted > given)
        return dd_fail(DD_ERROR_INTERNAL, "%s needs %zu bytes of temporary memory and is given %zu", label, wanted,
                       given);
    return DD_OK;
}

dd_status dd_gemm_add(dd_device *device, const struct dd_gemm *gemm, const char *label, struct dd_launches *list) {
    struct product *product;
    dd_status status;
    DD_TRY(configure(device, gemm));
    DD_TRY(product_create(device, gemm, &product));
    status = check_temporary(product, label);
    if (status != DD_OK) {
        product_destroy(product);
        return status;
    }
    return dd_launches_add_call(list, &(struct dd_call){.label = label,
                                                        .run = product_run,
                                                        .destroy = product_destroy,
                                                        .context = product,
                                                        .uses = {gemm->a, gemm->b, gemm->c}});
}

void dd_gemm_release_caches(void) {
    CLBlastClearCache();
}
