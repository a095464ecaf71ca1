/* depthdrop devices: every platform and device, the default and why, the state of the self-test. */
#include <stdio.h>
#include <string.h>

#include "cli.h"

struct devices_options {
    bool json;
};

static const char *type_name(dd_device_type type) {
    return type == DD_DEVICE_CPU ? "cpu" : type == DD_DEVICE_GPU ? "gpu" : "other";
}

static const char *selftest_name(dd_selftest_state state) {
    switch (state) {
    case DD_SELFTEST_PASSED:
        return "passed";
    case DD_SELFTEST_FAILED:
        return "failed";
    case DD_SELFTEST_UNTESTED:
        break;
    }
    return "untested";
}

static json_t *device_json(const struct dd_device_info *d) {
    return json_pack("{s:i, s:i, s:i, s:o, s:o, s:o, s:o, s:o, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:b,"
                     " s:o, s:b, s:o, s:s}",
                     "index", d->index, "platform", d->platform, "device", d->device,
                     "platform_name", cli_json_text(d->platform_name), "vendor", cli_json_text(d->vendor),
                     "name", cli_json_text(d->name), "driver", cli_json_text(d->driver),
                     "version", cli_json_text(d->version), "type", type_name(d->type),
                     "compute_units", (json_int_t)d->compute_units, "clock_mhz", (json_int_t)d->clock_mhz,
                     "global_bytes", (json_int_t)d->global_bytes, "max_alloc_bytes", (json_int_t)d->max_alloc_bytes,
                     "local_bytes", (json_int_t)d->local_bytes, "max_work_group", (json_int_t)d->max_work_group,
                     "base_align_bytes", (json_int_t)d->base_align_bytes, "float_width", (json_int_t)d->float_width,
                     "emulator", d->emulator, "usable", d->usable,
                     "unusable_reason", cli_json_text_or_null(d->unusable_reason), "default", d->is_default,
                     "default_reason", cli_json_text_or_null(d->default_reason),
                     "selftest", selftest_name(d->selftest));
}

static int print_json(const struct dd_device_info *list, int count) {
    json_t *devices = json_array(), *chosen = json_null();
    for (int i = 0; i < count; i++) {
        if (json_array_append_new(devices, device_json(&list[i])) != 0) {
            json_decref(devices);
            return cli_json_print(NULL, false);
        }
        if (list[i].is_default)
            chosen = json_integer(list[i].index);
    }
    return cli_json_print(json_pack("{s:o, s:o}", "devices", devices, "default", chosen), false);
}

static void print_device(const struct dd_device_info *d) {
    char global[32], allocation[32], local[32];
    printf("  %c %d  %s%s\n", d->is_default ? '*' : ' ', d->index, d->name, d->emulator ? " (emulator)" : "");
    printf("       %s %d:%d, %s, driver %s, %s\n", type_name(d->type), d->platform, d->device, d->vendor, d->driver,
           d->version);
    printf("       %u compute units at %u MHz, memory %s (single buffer %s), local %s, work-group %llu, float%u\n",
           d->compute_units, d->clock_mhz, cli_bytes(d->global_bytes, global),
           cli_bytes(d->max_alloc_bytes, allocation), cli_bytes(d->local_bytes, local),
           (unsigned long long)d->max_work_group, d->float_width);
    if (!d->usable)
        printf("       not usable: %s\n", d->unusable_reason);
    else
        printf("       self-test: %s\n", selftest_name(d->selftest));
    if (d->is_default)
        printf("       default: %s\n", d->default_reason);
}

/*
 * Whether another driver would be faster: PoCL alone serves an x86 CPU of four threads or more. Waiting workers cost
 * PoCL time there; with two, the drivers are even (docs/intel-cpu-runtime.md).
 */
static bool would_gain_from_intel(const struct dd_device_info *list, int count) {
    bool gains = false;
#if defined(__x86_64__) && defined(__linux__)
    for (int i = 0; i < count; i++) {
        if (list[i].emulator)
            continue;
        if (strcmp(list[i].platform_name, "Portable Computing Language") != 0)
            return false;
        gains = list[i].compute_units >= 4;
    }
#else
    (void)list;
    (void)count;
#endif
    return gains;
}

static int print_table(const struct dd_device_info *list, int count) {
    bool chosen = false;
    for (int i = 0; i < count; i++) {
        if (i == 0 || list[i].platform != list[i - 1].platform)
            printf("platform %d: %s\n", list[i].platform, list[i].platform_name);
        print_device(&list[i]);
        chosen = chosen || list[i].is_default;
    }
    puts(chosen ? "\n* the default; --device or DEPTHDROP_DEVICE choose another (number, cpu, gpu, P:D, part of a name)"
                : "\nno device is usable by default; --device chooses one");
    if (would_gain_from_intel(list, count))
        puts("Intel's free OpenCL driver for CPUs, also AMD's, may train faster than PoCL: see"
             " docs/intel-cpu-runtime.md");
    return 0;
}

static int run_devices(const struct args_command *command, int argc, char **argv) {
    struct devices_options options = {0};
    struct args_result args;
    struct dd_device_info *list = NULL;
    int count = 0;
    enum args_outcome outcome = args_parse(command, argc, argv, &options, &args);
    if (outcome != ARGS_OK)
        return outcome == ARGS_HELP_SHOWN ? 0 : DD_ERROR_USAGE;
    cli_log_to_stderr(false);
    dd_status status = dd_device_list(&list, &count);
    if (status == DD_ERROR_DEVICE && options.json)
        print_json(NULL, 0); /* a script's list is empty then; the exit code says the rest */
    if (status != DD_OK)
        return cli_failure(command, status);
    int code = options.json ? print_json(list, count) : print_table(list, count);
    dd_device_list_free(&list);
    return code;
}

static const struct args_option options_table[] = {
    {ARGS_FLAG, "json", NULL, "print one JSON document", NULL, offsetof(struct devices_options, json), 0, 0},
    {.kind = ARGS_END},
};

const struct args_command cli_devices = {
    .name = "devices",
    .summary = "lists OpenCL devices, the default one and why",
    .description = "With the state of each device's self-test.",
    .usage = (const char *const[]){"devices [--json]", NULL},
    .examples = (const char *const[]){"devices", "# names alone, for a script",
                                      "devices --json | jq -r '.devices[].name'", NULL},
    .options = options_table,
    .run = run_devices,
};
