/*
 * The paper's figures: Jian Guo and Stephen Gould, Depth Dropout: Efficient Training of Residual Convolutional Neural
 * Networks, DICTA 2016. Errors: Table I. Times: Table II. Savings measured and by theory: IV-A2, last paragraph; its
 * theory counts a shortcut as 1/9 of a primary path on 24 units (IV-A), see docs/method.md. Figures 3 and 4 are curves
 * without numbers.
 */
#include "report/paper.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

const char dd_paper_net[] = "resnet56";

const struct dd_paper_line dd_paper_lines[DD_PAPER_LINES] = {
    {0.00, 0.085, 64.0, 104.5, 168.5, 0.000, 0.000},
    {0.25, 0.081, 53.6, 85.4, 139.0, 0.175, 0.123},
    {0.50, 0.098, 43.5, 67.6, 111.1, 0.341, 0.346},
    {0.75, 0.113, 33.0, 48.5, 81.5, 0.516, 0.567},
};

const struct dd_paper_line *dd_paper_line(const char *net, double ratio) {
    if (strcmp(net, dd_paper_net) != 0)
        return NULL;
    for (int i = 0; i < DD_PAPER_LINES; i++)
        if (fabs(dd_paper_lines[i].ratio - ratio) < 1e-6)
            return &dd_paper_lines[i];
    return NULL;
}

bool dd_paper_compares(const char *net, const char *data) {
    static const char *const kinds[] = {"cifar10", "folder"};
    const size_t length = strcspn(data, ":");
    bool known = false;
    for (int i = 0; i < 2; i++)
        known = known || (strlen(kinds[i]) == length && strncmp(data, kinds[i], length) == 0);
    return known && dd_paper_line(net, 0) != NULL;
}
