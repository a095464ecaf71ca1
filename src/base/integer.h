/* Arithmetic of sizes and counts: none is negative, no step or divisor is 0. */
#ifndef DD_BASE_INTEGER_H
#define DD_BASE_INTEGER_H

#include <stddef.h>

static inline int dd_smaller(int a, int b) {
    return a < b ? a : b;
}
static inline int dd_larger(int a, int b) {
    return a > b ? a : b;
}
static inline size_t dd_larger_size(size_t a, size_t b) {
    return a > b ? a : b;
}
static inline int dd_div_up(int a, int b) {
    return (a + b - 1) / b;
}
/** The least multiple of step from value on. */
static inline size_t dd_round_up(size_t value, size_t step) {
    return (value + step - 1) / step * step;
}

#endif
