/* SGD with momentum and weight decay. */
#include "ref/ref.h"

void dd_ref_sgd(size_t count, double rate, double momentum, double decay, const double *g, double *m, double *w) {
    for (size_t i = 0; i < count; ++i) {
        m[i] = momentum * m[i] + ((g ? g[i] : 0) + decay * w[i]);
        w[i] = w[i] - rate * m[i];
    }
}
