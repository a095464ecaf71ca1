/*
 * Draws of the data's order, its augmentation and subsets. Every value is a word of Philox under the run's seed at a
 * counter of its own, so any epoch, image or position can be drawn alone and in any order of threads; the counters are
 * part of what makes a run repeatable and must not change. A word w becomes a number below n as floor(w n / 2^32).
 */
#include "dataset/draw.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/philox.h"

static uint32_t below(uint32_t word, uint32_t n) {
    return (uint32_t)(((uint64_t)word * n) >> 32);
}

/*
 * The first `wanted` steps of Fisher-Yates over list [count]: step i swaps entry i with entry i + floor(w (count - i) /
 * 2^32), w being word i mod 4 of counter (epoch low, floor(i / 4), stream, epoch high).
 */
static void shuffle(uint64_t seed, uint64_t epoch, uint32_t stream, int count, int wanted, int32_t *list) {
    uint32_t words[4] = {0};
    for (int i = 0; i < wanted; i++) {
        if (i % 4 == 0)
            dd_philox(seed, (uint32_t)epoch, (uint32_t)i / 4, stream, (uint32_t)(epoch >> 32), words);
        int j = i + (int)below(words[i % 4], (uint32_t)(count - i));
        int32_t kept = list[i];
        list[i] = list[j];
        list[j] = kept;
    }
}

void dd_draw_order(uint64_t seed, uint64_t epoch, int count, int32_t *order) {
    for (int i = 0; i < count; i++)
        order[i] = i;
    shuffle(seed, epoch, DD_STREAM_ORDER, count, count, order);
}

/* Counter (epoch low, index, stream, epoch high): words 0 and 1 give dy and dx, the top bit of word 2 the flip. */
struct dd_sample dd_draw_sample(uint64_t seed, uint64_t epoch, int32_t index, int pad, bool augment) {
    struct dd_sample sample = {.index = index};
    if (augment) {
        uint32_t words[4];
        dd_philox(seed, (uint32_t)epoch, (uint32_t)index, DD_STREAM_AUGMENT, (uint32_t)(epoch >> 32), words);
        sample.dy = (int32_t)below(words[0], 2 * (uint32_t)pad + 1) - pad;
        sample.dx = (int32_t)below(words[1], 2 * (uint32_t)pad + 1) - pad;
        sample.flip = (int32_t)(words[2] >> 31);
    }
    return sample;
}

dd_status dd_draw_subset(uint64_t seed, uint32_t stream, int count, int wanted, int32_t *chosen) {
    int32_t *list = dd_calloc((size_t)count + 1, sizeof *list);
    if (!list)
        return dd_fail_memory("subset", ((size_t)count + 1) * sizeof *list);
    for (int i = 0; i < count; i++)
        list[i] = i;
    shuffle(seed, 0, stream, count, wanted, list);
    memcpy(chosen, list, (size_t)wanted * sizeof *chosen);
    free(list);
    return DD_OK;
}
