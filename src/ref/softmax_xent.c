/* Softmax cross-entropy with its gradient and the rank of the label. */
#include <math.h>

#include "ref/ref.h"

void dd_ref_softmax_xent(int n, int classes, const double *logits, const int *labels, double *loss, int *rank,
                         double *dlogits) {
    for (int i = 0; i < n; ++i) {
        const double *row = logits + (size_t)i * classes;
        double top = row[0], sum = 0, wanted = row[labels[i]];
        rank[i] = 0;
        for (int k = 0; k < classes; ++k) {
            if (row[k] > top)
                top = row[k];
            if (!(row[k] <= wanted) || (row[k] == wanted && k < labels[i]))
                ++rank[i];
        }
        for (int k = 0; k < classes; ++k)
            sum += exp(row[k] - top);
        loss[i] = log(sum) + top - wanted;
        for (int k = 0; k < classes; ++k)
            dlogits[(size_t)i * classes + k] = (exp(row[k] - top) / sum - (k == labels[i] ? 1 : 0)) / n;
    }
}
