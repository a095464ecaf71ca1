/* See winograd_blocking.h. */
#include "ops/winograd_blocking.h"

enum {
    DATA_BYTES = 448 * 1024,     /* of a band's transformed inputs and products: they share the second cache with U */
    SMALL_GRADIENT = 256 * 1024, /* bytes of a dU that is cheap to begin and end, so that more slices pay */
    TILES = 16,                  /* of a band: U is read once a band, so fewer cost bandwidth, more cost cache; ... */
    TILES_LEAST = 4,             /* ... but fewer are taken down to this */
    TYPICAL_BATCH = 128,         /* if such a batch had not */
    BANDS_PER_UNIT = 4,          /* as many bands for each compute unit */
    SLICES_LEAST = 128,          /* of forward and backward data: fewer leave a tail, more must be merged */
    SLICES_MOST = 1024,
    ITEMS_PER_UNIT = 8 /* work-items for each compute unit, where the batch has the bands */
};

/* The largest divisor of n that is at most `most` (at least 1) and a multiple of `unit`, which divides n. */
static int divisor(int n, int most, int unit) {
    int d = n / unit * unit;
    while (d > unit && (d > most || n % d != 0))
        d -= unit;
    return d;
}

static int frequencies(int tm) {
    return (tm + 2) * (tm + 2);
}

static int tiles_along(int extent, int tm) {
    return dd_div_up(extent, tm);
}

int dd_winograd_tile(struct dd_shape s) {
    const int large = tiles_along(s.h, 4) * tiles_along(s.w, 4) * frequencies(4);
    const int small = tiles_along(s.h, 2) * tiles_along(s.w, 2) * frequencies(2);
    return small < large ? 2 : 4;
}

/*
 * About TILES tiles a band, fewer where a device with many units would stand idle: whole rows, then whole images;
 * little is to be lost by padding to multiples of unit.
 */
static struct dd_winograd_tiling make_tiling(const struct dd_device_info *info, struct dd_shape s, int unit) {
    struct dd_winograd_tiling best = {.tm = dd_winograd_tile(s)};
    const int tx = tiles_along(s.w, best.tm), ty = tiles_along(s.h, best.tm);
    int wanted = TILES;
    while (wanted > TILES_LEAST && TYPICAL_BATCH * tx * ty / wanted < BANDS_PER_UNIT * (int)info->compute_units)
        wanted /= 2;
    double least = 0.0;
    best.images = tx * ty < wanted ? wanted / (tx * ty) : 1;
    for (int rows = 1; rows <= ty && (rows == 1 || rows * tx <= wanted); rows++) {
        if (best.images > 1 && rows < ty)
            continue;
        const int tiles = best.images * rows * tx;
        const double cost = (double)dd_div_up(tiles, unit) * unit * dd_div_up(ty, rows);
        if (best.rows == 0 || cost <= least) {
            least = cost;
            best.rows = rows;
        }
    }
    best.tiles = best.images * best.rows * tx;
    best.padded = dd_div_up(best.tiles, unit) * unit;
    best.bands = dd_div_up(s.n, best.images) * dd_div_up(ty, best.rows);
    return best;
}

/* Bytes of one array that holds `vectors` for every frequency, as ODD_LINES of conv/winograd.clh pads it. */
static size_t array_bytes(int tm, int v, int vectors) {
    const int line = 16 / v, lines = dd_div_up(vectors, line) | 1;
    return (size_t)frequencies(tm) * lines * line * v * sizeof(float);
}

static size_t band_bytes(const struct dd_winograd_tiling *tiling, struct dd_shape s) {
    const int width = tiles_along(s.w, tiling->tm) * tiling->tm + 2;
    const int height = tiling->rows * tiling->tm + 2 + tiling->tm; /* with a row of tiles' outputs */
    return (size_t)width * height * s.v * sizeof(float);
}

/* The transformed inputs and the products. */
static size_t data_bytes(const struct dd_winograd_data *b, int v) {
    const struct dd_winograd_tiling *tiling = &b->tiling;
    return array_bytes(tiling->tm, v, b->kg * tiling->padded) + array_bytes(tiling->tm, v, b->og * tiling->padded);
}

size_t dd_winograd_data_bytes(const struct dd_winograd_data *b, struct dd_shape s) {
    return data_bytes(b, s.v) + band_bytes(&b->tiling, s);
}

/* Groups of channel blocks that fit: all inputs with as many outputs as possible, else both in parts. */
static void choose_groups(struct dd_winograd_data *b, int v) {
    b->kg = b->rb;
    b->og = b->ob;
    while (b->og > b->ou && data_bytes(b, v) > DATA_BYTES)
        b->og = divisor(b->ob, b->og - b->ou, b->ou);
    if (data_bytes(b, v) <= DATA_BYTES)
        return;
    b->og = b->ob; /* few passes over the outputs: each transforms all inputs anew */
    b->kg = divisor(b->rb, dd_larger(1, 64 / v), 1);
    while (b->og > b->ou && data_bytes(b, v) > DATA_BYTES)
        b->og = divisor(b->ob, b->og - b->ou, b->ou);
    while (b->kg > 1 && data_bytes(b, v) > DATA_BYTES)
        b->kg = divisor(b->rb, b->kg - 1, 1);
}

/*
 * Of a register block. 8 hide the latency of multiply-adds where a core starts one a cycle, or two of 8 values, and 16
 * registers hold them; where it starts two of 16 values a cycle, 16 do, and its 32 registers hold those.
 */
static int accumulators(int v) {
    return v >= 16 ? 16 : 8;
}

struct dd_winograd_data dd_winograd_block_data(const struct dd_device_info *info, const struct dd_conv *conv,
                                               bool backward) {
    const struct dd_shape s = conv->in;
    struct dd_winograd_data b = {.rb = dd_shape_blocks(backward ? conv->out : conv->in),
                                 .ob = dd_shape_blocks(backward ? conv->in : conv->out)};
    b.ou = dd_conv_side_by_side(b.ob);
    b.tb = accumulators(s.v) / b.ou;
    b.tiling = make_tiling(info, s, b.tb);
    choose_groups(&b, s.v);
    const int most = dd_smaller(SLICES_MOST, dd_larger(SLICES_LEAST, ITEMS_PER_UNIT * (int)info->compute_units));
    b.bands_per_slice = dd_div_up(b.tiling.bands, most);
    b.slices = dd_div_up(b.tiling.bands, b.bands_per_slice);
    return b;
}

/* The weight gradient, transformed. */
static size_t gradient_bytes(const struct dd_winograd_weights *b, int v) {
    return (size_t)frequencies(b->tiling.tm) * b->xg * b->gg * v * v * sizeof(float);
}

size_t dd_winograd_weights_bytes(const struct dd_winograd_weights *b, struct dd_shape s) {
    const struct dd_winograd_tiling *tiling = &b->tiling;
    return gradient_bytes(b, s.v) + array_bytes(tiling->tm, s.v, b->xg * tiling->tiles) +
           array_bytes(tiling->tm, s.v, b->gg * tiling->tiles) + band_bytes(tiling, s);
}

/* Slices of whole multiples of `chunk` bands, so many that `groups` items each keep every compute unit busy. */
static void cut_slices(const struct dd_device_info *info, struct dd_winograd_weights *b, int v, int groups, int chunk) {
    const int per_unit = gradient_bytes(b, v) <= SMALL_GRADIENT ? ITEMS_PER_UNIT : ITEMS_PER_UNIT / 2;
    const int wanted = dd_div_up(per_unit * dd_larger(1, (int)info->compute_units), groups);
    b->bands_per_slice = dd_div_up(dd_div_up(b->tiling.bands, chunk), wanted) * chunk;
    b->slices = dd_div_up(b->tiling.bands, b->bands_per_slice);
}

struct dd_winograd_weights dd_winograd_block_weights(const struct dd_device_info *info, const struct dd_conv *conv) {
    const struct dd_shape s = conv->in;
    struct dd_winograd_weights b = {.xb = dd_shape_blocks(conv->in), .gb = dd_shape_blocks(conv->out)};
    b.wo = dd_conv_side_by_side(b.gb);
    b.wi = dd_smaller(s.v, accumulators(s.v) / b.wo);
    b.tiling = make_tiling(info, s, 1);
    b.xg = b.xb;
    b.gg = b.gb;
    while ((b.xg > 1 || b.gg > b.wo) && dd_winograd_weights_bytes(&b, s) > DD_WINOGRAD_PRIVATE_BYTES) {
        if (b.xg >= b.gg && b.xg > 1)
            b.xg = divisor(b.xb, b.xg - 1, 1);
        else if (b.gg > b.wo)
            b.gg = divisor(b.gb, b.gg - b.wo, b.wo);
        else
            b.xg = divisor(b.xb, b.xg - 1, 1);
    }
    cut_slices(info, &b, s.v, (b.xb / b.xg) * (b.gb / b.gg), 1);
    return b;
}

/* The inputs of both are one array in turns. */
size_t dd_winograd_both_bytes(const struct dd_winograd_data *data, const struct dd_winograd_weights *weights,
                              struct dd_shape s) {
    const struct dd_winograd_tiling *tiling = &weights->tiling;
    return dd_winograd_data_bytes(data, s) + array_bytes(tiling->tm, s.v, weights->gg * tiling->tiles) +
           gradient_bytes(weights, s.v);
}

bool dd_winograd_block_both(const struct dd_device_info *info, const struct dd_conv *conv,
                            struct dd_winograd_data *data, struct dd_winograd_weights *weights) {
    *data = dd_winograd_block_data(info, conv, true);
    *weights = dd_winograd_block_weights(info, conv);
    if (data->rb != data->ob || data->kg != data->rb || data->og != data->ob)
        return false;
    weights->tiling = data->tiling;
    weights->xg = weights->gg = data->rb;
    cut_slices(info, weights, conv->in.v, 1, data->bands_per_slice);
    return dd_winograd_both_bytes(data, weights, conv->in) <= DD_WINOGRAD_FUSED_BYTES;
}
