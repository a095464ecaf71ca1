/* Which device a selector means, and which is the default and why. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "rt/internal.h"

/** "12" gives 12; -1 for anything but 1 to 6 digits up to the end character. */
static int whole_number(const char *text, char end, const char **rest) {
    int value = 0, digits = 0;
    for (; isdigit((unsigned char)*text) && digits < 6; text++, digits++)
        value = value * 10 + (*text - '0');
    if (rest)
        *rest = text + 1;
    return digits && *text == end ? value : -1;
}

static bool matches(const struct dd_device_info *info, const char *selector) {
    const char *rest;
    int number = whole_number(selector, 0, NULL);
    if (number >= 0)
        return info->index == number;
    number = whole_number(selector, ':', &rest);
    if (number >= 0 && whole_number(rest, 0, NULL) >= 0)
        return info->platform == number && info->device == whole_number(rest, 0, NULL);
    if (!strcasecmp(selector, "cpu") || !strcasecmp(selector, "gpu"))
        return info->type == (tolower((unsigned char)*selector) == 'c' ? DD_DEVICE_CPU : DD_DEVICE_GPU);
    return strcasestr(info->name, selector) || strcasestr(info->vendor, selector) ||
           strcasestr(info->platform_name, selector);
}

/** The first match in the order usable, usable emulator, unusable; -1 if there is none. */
static int find_match(const struct dd_entry *entries, int count, const char *selector) {
    int best = -1, best_rank = 0;
    for (int i = 0; i < count; i++) {
        const struct dd_device_info *info = &entries[i].info;
        int rank = !info->usable ? 1 : info->emulator ? 2 : 3;
        if (rank > best_rank && matches(info, selector)) {
            best = i;
            best_rank = rank;
        }
    }
    return best;
}

/** "0 (0:0) NAME, 1 (1:0) NAME, ..." */
static void list_names(const struct dd_entry *entries, int count, char *text, size_t size) {
    size_t used = 0;
    text[0] = 0;
    for (int i = 0; i < count && used < size; i++) {
        const struct dd_device_info *info = &entries[i].info;
        int written = snprintf(text + used, size - used, "%s%d (%d:%d) %s of %s", i ? ", " : "", info->index,
                               info->platform, info->device, info->name, info->platform_name);
        used += written > 0 ? (size_t)written : 0;
    }
}

/** Named by DEPTHDROP_DEVICE, or NULL. */
static const char *environment_selector(void) {
    const char *selector = getenv("DEPTHDROP_DEVICE");
    return selector && *selector ? selector : NULL;
}

static double compute(const struct dd_device_info *info) {
    /* a driver that does not know its clock still ranks by units */
    return (double)info->compute_units * (info->clock_mhz ? info->clock_mhz : 1);
}

/** Usable, with most compute among the candidates of a type; -1 if none. */
static int strongest(const struct dd_entry *entries, int count, dd_device_type type) {
    int best = -1;
    for (int i = 0; i < count; i++) {
        const struct dd_device_info *info = &entries[i].info;
        if (info->type != type || !info->usable || info->emulator || info->selftest == DD_SELFTEST_FAILED)
            continue;
        if (best < 0 || compute(info) > compute(&entries[best].info))
            best = i;
    }
    return best;
}

static void mark(struct dd_device_info *info, const char *reason) {
    info->is_default = true;
    snprintf(info->default_reason, sizeof info->default_reason, "%s", reason);
}

void dd_entries_mark_default(struct dd_entry *entries, int count) {
    static const struct {
        dd_device_type type;
        const char *reason;
    } order[] = {
        {DD_DEVICE_GPU, "the usable GPU with most compute (compute units x clock)"},
        {DD_DEVICE_CPU, "no usable GPU is there; the CPU device with most compute (compute units x clock)"},
        {DD_DEVICE_OTHER, "no usable GPU or CPU device is there"},
    };
    const char *selector = environment_selector();
    if (selector) {
        int match = find_match(entries, count, selector);
        if (match >= 0 && entries[match].info.usable)
            mark(&entries[match].info, "DEPTHDROP_DEVICE names it");
        return;
    }
    for (int i = 0; i < 3; i++) {
        int best = strongest(entries, count, order[i].type);
        if (best >= 0) {
            mark(&entries[best].info, order[i].reason);
            return;
        }
    }
}

/** Why no device is the default: the reasons of each. */
static dd_status no_default(const struct dd_entry *entries, int count) {
    char text[1200];
    size_t used = 0;
    for (int i = 0; i < count && used < sizeof text; i++) {
        const struct dd_device_info *info = &entries[i].info;
        const char *reason = !info->usable                           ? info->unusable_reason
                             : info->emulator                        ? "an emulator"
                             : info->selftest == DD_SELFTEST_FAILED ? "failed its self-test"
                                                                     : "";
        int written = snprintf(text + used, sizeof text - used, "%s%d %s (%s)", i ? ", " : "", info->index, info->name,
                               reason);
        used += written > 0 ? (size_t)written : 0;
    }
    return dd_fail(DD_ERROR_DEVICE, "no OpenCL device can be the default: %s; name one with --device, or install an "
                   "OpenCL driver, for example `apt install pocl-opencl-icd` for the CPU", text);
}

static dd_status take(const struct dd_entry *entries, int match, int *index) {
    const struct dd_device_info *info = &entries[match].info;
    if (!info->usable)
        return dd_fail(DD_ERROR_DEVICE, "OpenCL device %d (%s) cannot be used: %s", info->index, info->name,
                       info->unusable_reason);
    *index = match;
    return DD_OK;
}

dd_status dd_entries_select_named(const struct dd_entry *entries, int count, const char *name,
                                  const char *platform_name, int *index) {
    int match = -1;
    *index = -1;
    for (int i = 0; i < count; i++) {
        const struct dd_device_info *info = &entries[i].info;
        if (!strcmp(info->name, name) && !strcmp(info->platform_name, platform_name) &&
            (match < 0 || (info->usable && !entries[match].info.usable)))
            match = i;
    }
    return match < 0 ? DD_OK : take(entries, match, index);
}

dd_status dd_entries_select(const struct dd_entry *entries, int count, const char *selector, int *index) {
    if (!selector)
        selector = environment_selector();
    *index = -1;
    if (!selector) {
        for (int i = 0; i < count; i++)
            if (entries[i].info.is_default)
                *index = i;
        return *index >= 0 ? DD_OK : no_default(entries, count);
    }
    int match = *selector ? find_match(entries, count, selector) : -1;
    if (match < 0) {
        char names[1200];
        list_names(entries, count, names, sizeof names);
        return dd_fail(DD_ERROR_DEVICE, "no OpenCL device matches \"%s\"; there %s %s", selector,
                       count == 1 ? "is only" : "are", names);
    }
    return take(entries, match, index);
}
