/* Width dropout with given random words: the same in both directions. */
#include "ref/ref.h"

void dd_ref_dropout(size_t count, double ratio, const uint32_t *words, const double *x, double *y) {
    for (size_t i = 0; i < count; ++i)
        y[i] = words[i] / 4294967296.0 < ratio ? 0 : x[i] / (1 - ratio);
}
