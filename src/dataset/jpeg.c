/*
 * The walk over a JPEG's segments (ITU-T T.81, annex B). stb_image 2.27 fills up what a cut-off file lacks, and trusts
 * code tables and sampling factors further than its arrays reach; so they are checked here. What the decoder refuses by
 * itself may pass.
 */
#include "dataset/jpeg.h"

#include <stdbool.h>

enum { DHT = 0xc4, JPG = 0xc8, DAC = 0xcc, SOI = 0xd8, EOI = 0xd9, SOS = 0xda, TEM = 0x01, PROGRESSIVE = 0xc2 };

enum {
    MAX_CODES = 255,    /* of a table; the decoder's own mark for "none" is 255 */
    MAX_DC_SYMBOL = 15, /* bits of a DC difference */
};

struct jpeg {
    const char *file;
    const uint8_t *bytes;
    uint32_t height, width; /* 0 before the frame header */
    bool progressive;
    bool defined[2][4];     /* code tables: class (DC, AC), number */
};

/* Big-endian 16 bits. */
static uint32_t word_at(const uint8_t *bytes) {
    return (uint32_t)bytes[0] << 8 | bytes[1];
}

/* Whether FF code ends entropy-coded data: it is no stuffed zero, restart or fill byte. */
static bool ends_scan(uint8_t code) {
    return code != 0x00 && code != 0xff && !(code >= 0xd0 && code <= 0xd7);
}

/* Start-of-frame codes of every coding process, whichever the decoder knows. */
static bool begins_frame(uint8_t code) {
    return code >= 0xc0 && code <= 0xcf && code != DHT && code != JPG && code != DAC;
}

/* Code tables: class and number, 16 counts, as many symbols; at .. end - 1 is the segment behind its length. */
static dd_status check_tables(struct jpeg *jpeg, size_t at, size_t end) {
    const uint8_t *bytes = jpeg->bytes;
    while (at < end) {
        unsigned class = bytes[at] >> 4, number = bytes[at] & 15, count = 0;
        for (size_t i = 1; i <= 16 && at + i < end; i++)
            count += bytes[at + i];
        if (class > 1 || number > 3 || count > MAX_CODES || end - at < 17 + count)
            return dd_fail(DD_ERROR_DATA, "%s: bad JPEG code table at byte %zu", jpeg->file, at);
        for (unsigned i = 0; class == 0 && i < count; i++)
            if (bytes[at + 17 + i] > MAX_DC_SYMBOL)
                return dd_fail(DD_ERROR_DATA, "%s: bad symbol %d in the JPEG code table at byte %zu", jpeg->file,
                               bytes[at + 17 + i], at);
        jpeg->defined[class][number] = true;
        at += 17 + count;
    }
    return DD_OK;
}

/* Precision, height, width, components; for each its number, sampling factors and quantiser. */
static dd_status check_frame(struct jpeg *jpeg, uint8_t code, size_t at, size_t end) {
    const uint8_t *bytes = jpeg->bytes;
    if (jpeg->width > 0)
        return dd_fail(DD_ERROR_DATA, "%s: second JPEG frame header at byte %zu", jpeg->file, at);
    if (end - at < 6 || end - at != 6 + 3 * (size_t)bytes[at + 5])
        return dd_fail(DD_ERROR_DATA, "%s: bad length of the JPEG frame header at byte %zu", jpeg->file, at);
    jpeg->progressive = code == PROGRESSIVE;
    jpeg->height = word_at(bytes + at + 1);
    jpeg->width = word_at(bytes + at + 3);
    unsigned largest[2] = {1, 1};
    for (int check = 0; check < 2; check++) {
        for (size_t i = at + 6; i < end; i += 3) {
            const unsigned factors[2] = {bytes[i + 1] >> 4, bytes[i + 1] & 15};
            for (int k = 0; k < 2; k++) {
                largest[k] = factors[k] > largest[k] ? factors[k] : largest[k];
                if (factors[k] == 0 || (check == 1 && largest[k] % factors[k] != 0))
                    return dd_fail(DD_ERROR_DATA, "%s: JPEG sampling factor %u at byte %zu cannot be decoded",
                                   jpeg->file, factors[k], i + 1);
            }
        }
    }
    return DD_OK;
}

/* Components with their code tables, then the spectral band and the approximation. */
static dd_status check_scan(const struct jpeg *jpeg, size_t at, size_t end) {
    const uint8_t *bytes = jpeg->bytes;
    size_t components = end > at ? bytes[at] : 0;
    if (end - at != 4 + 2 * components)
        return dd_fail(DD_ERROR_DATA, "%s: bad length of the JPEG scan header at byte %zu", jpeg->file, at);
    bool first_band = bytes[end - 3] == 0;
    bool needs_dc = !jpeg->progressive || first_band, needs_ac = !jpeg->progressive || !first_band;
    for (size_t i = 0; i < components; i++) {
        unsigned dc = bytes[at + 2 + 2 * i] >> 4, ac = bytes[at + 2 + 2 * i] & 15;
        if (dc > 3 || ac > 3 || (needs_dc && !jpeg->defined[0][dc]) || (needs_ac && !jpeg->defined[1][ac]))
            return dd_fail(DD_ERROR_DATA, "%s: the JPEG scan at byte %zu uses a code table that is not defined",
                           jpeg->file, at);
    }
    return DD_OK;
}

static dd_status check_segment(struct jpeg *jpeg, uint8_t code, size_t at, size_t end) {
    if (code == DHT)
        return check_tables(jpeg, at, end);
    if (code == SOS)
        return check_scan(jpeg, at, end);
    return begins_frame(code) ? check_frame(jpeg, code, at, end) : DD_OK;
}

dd_status dd_jpeg_walk(const char *file, const uint8_t *bytes, size_t size, uint32_t *height, uint32_t *width) {
    struct jpeg jpeg = {.file = file, .bytes = bytes};
    size_t at = 2;
    while (at + 1 < size) {
        uint8_t code = bytes[at + 1];
        if (bytes[at] != 0xff || !ends_scan(code)) {
            at++; /* padding between segments, fill bytes, entropy-coded data */
            continue;
        }
        if (code == EOI) {
            *height = jpeg.height;
            *width = jpeg.width;
            return jpeg.width > 0 ? DD_OK : dd_fail(DD_ERROR_DATA, "%s: this JPEG has no frame header", file);
        }
        at += 2;
        if (code == TEM || code == SOI)
            continue; /* these have no length */
        if (size - at < 2)
            break;
        size_t length = word_at(bytes + at);
        if (length < 2)
            return dd_fail(DD_ERROR_DATA, "%s: JPEG segment at byte %zu has length %zu, which is below 2", file, at - 2,
                           length);
        if (length > size - at)
            break;
        DD_TRY(check_segment(&jpeg, code, at + 2, at + length));
        at += length;
    }
    return dd_fail(DD_ERROR_DATA, "%s: cut off: no JPEG end-of-image marker in its %zu bytes", file, size);
}
