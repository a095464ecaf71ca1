#include "train/schedule.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

dd_status dd_schedule_parse_drops(const char *text, int64_t iterations, struct dd_schedule *schedule) {
    schedule->drops = 0;
    if (text == NULL) {
        schedule->drops = 2;
        schedule->drop[0] = iterations / 2;
        schedule->drop[1] = iterations / 4 * 3 + iterations % 4 * 3 / 4;
        return DD_OK;
    }
    if (strcmp(text, "none") == 0)
        return DD_OK;
    for (const char *at = text;; at++) {
        char *end;
        errno = 0;
        const long long value = strtoll(at, &end, 10);
        if (errno == ERANGE && value > 0)
            return dd_fail(DD_ERROR_USAGE,
                           "--lr-drops \"%s\" has an iteration above %lld; leave out what no run reaches", text,
                           LLONG_MAX);
        if (end == at || errno != 0 || value < 0 || (*end != ',' && *end != '\0'))
            return dd_fail(DD_ERROR_USAGE, "--lr-drops \"%s\" is not a list of iterations like 32000,48000, or none",
                           text);
        if (schedule->drops == DD_MAX_DROPS)
            return dd_fail(DD_ERROR_USAGE, "--lr-drops \"%s\" has more than %d drops", text, DD_MAX_DROPS);
        if (schedule->drops > 0 && value < schedule->drop[schedule->drops - 1])
            return dd_fail(DD_ERROR_USAGE, "--lr-drops \"%s\" must rise from left to right", text);
        schedule->drop[schedule->drops++] = value;
        if (*end == '\0')
            return DD_OK;
        at = end;
    }
}

double dd_schedule_rate(const struct dd_schedule *schedule, int64_t iteration) {
    double rate = schedule->lr;
    for (int i = 0; i < schedule->drops; i++)
        if (iteration > schedule->drop[i])
            rate /= 10;
    if (iteration < schedule->warmup)
        rate *= (double)iteration / (double)schedule->warmup;
    return rate;
}
