/* What --resume keeps of log.jsonl: the lines up to the checkpoint, and the training time at it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/scratch.h"
#include "train/runlog.h"

#define STEP(i, t) "{\"event\":\"step\",\"iteration\":" #i ",\"train_s\":" #t "}\n"
#define EVAL(i, e) "{\"event\":\"eval\",\"iteration\":" #i ",\"split\":\"test\",\"error\":" #e "}\n"

/* Cuts a log of that text; *log is open then. */
static dd_status cut(const char *text, struct dd_log_cut how, struct dd_runlog *log) {
    how.best_split = "test";
    scratch_write(scratch_path("run/log.jsonl"), text, strlen(text));
    assert_int_equal(dd_runlog_open(scratch_path("run"), log), DD_OK);
    return dd_runlog_cut(log, &how);
}

static void expect_file(const char *text) {
    size_t size;
    uint8_t *bytes = scratch_read(scratch_path("run/log.jsonl"), &size);
    assert_int_equal(size, strlen(text));
    assert_memory_equal(bytes, text, size);
    free(bytes);
}

static void test_lines_up_to_the_checkpoint(void **state) {
    (void)state;
    struct dd_runlog log;
    const char *kept = STEP(1, 0.5) EVAL(1, 0.8) STEP(20, 4) EVAL(20, 0.6);
    char text[512];
    snprintf(text, sizeof text, "%s%s%s", kept, STEP(40, 9), EVAL(40, 0.1));
    assert_int_equal(cut(text, (struct dd_log_cut){.iteration = 20, .evaluated = true}, &log), DD_OK);
    expect_file(kept);
    assert_int_equal(log.lines, 4);
    assert_int_equal(log.last_eval, 20);
    assert_true(log.best == 0.6 && log.train_s == 4);
    dd_runlog_close(&log);
    assert_int_equal(cut(kept, (struct dd_log_cut){.iteration = 20}, &log), DD_OK);
    expect_file(STEP(1, 0.5) EVAL(1, 0.8) STEP(20, 4));
    assert_int_equal(log.last_eval, 1);
    dd_runlog_close(&log);
}

/* After a kill the lines around the checkpoint tell its time; without one behind it, that of the line before is used.
 */
static void test_time_between_lines(void **state) {
    (void)state;
    struct dd_runlog log;
    assert_int_equal(cut(STEP(20, 4) STEP(40, 9), (struct dd_log_cut){.iteration = 28}, &log), DD_OK);
    assert_float_equal(log.train_s, 6, 1e-12);
    expect_file(STEP(20, 4));
    dd_runlog_close(&log);
    assert_int_equal(cut(STEP(20, 4), (struct dd_log_cut){.iteration = 28}, &log), DD_OK);
    assert_true(log.train_s == 4);
    dd_runlog_close(&log);
    assert_int_equal(cut(STEP(20, 4) STEP(40, null), (struct dd_log_cut){.iteration = 28}, &log), DD_OK);
    assert_true(log.train_s == 4);
    dd_runlog_close(&log);
}

/* A stop's line stays until the next one takes its place. */
static void test_line_of_a_stop(void **state) {
    (void)state;
    struct dd_runlog log;
    const unsigned char gate = 1;
    const struct dd_log_step step = {.iteration = 40, .gates = &gate, .units = 1, .units_run = 1, .train_s = 9};
    const struct dd_log_cut stopped = {.iteration = 28, .evaluated = true, .stopped = true};
    assert_int_equal(cut(STEP(20, 4) EVAL(28, 0.5) STEP(28, 6.5), stopped, &log), DD_OK);
    assert_true(log.train_s == 6.5 && log.last_eval == 28);
    expect_file(STEP(20, 4) EVAL(28, 0.5) STEP(28, 6.5));
    assert_int_equal(dd_runlog_step(&log, &step), DD_OK);
    assert_int_equal(dd_runlog_step(&log, &step), DD_OK);
    dd_runlog_close(&log);
    size_t size, lines = 0;
    uint8_t *bytes = scratch_read(scratch_path("run/log.jsonl"), &size);
    for (size_t i = 0; i < size; i++)
        lines += bytes[i] == '\n';
    assert_int_equal(lines, 4);
    assert_memory_equal(bytes, STEP(20, 4) EVAL(28, 0.5), strlen(STEP(20, 4) EVAL(28, 0.5)));
    free(bytes);
}

static void test_damage(void **state) {
    (void)state;
    struct dd_runlog log;
    const struct dd_log_cut whole = {.iteration = 40, .evaluated = true};
    assert_int_equal(cut(STEP(20, 4) "{\"event\":\"st", whole, &log), DD_OK); /* torn */
    expect_file(STEP(20, 4));
    dd_runlog_close(&log);
    const char *inner[] = {STEP(20, 4) "oops\n" STEP(40, 9), STEP(20, 4) "\n" STEP(40, 9)};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(cut(inner[i], whole, &log), DD_ERROR_DATA);
        assert_non_null(strstr(dd_error_message(), "line 2"));
        expect_file(inner[i]);
        dd_runlog_close(&log);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines_up_to_the_checkpoint),
        cmocka_unit_test(test_time_between_lines),
        cmocka_unit_test(test_line_of_a_stop),
        cmocka_unit_test(test_damage),
    };
    return cmocka_run_group_tests(tests, scratch_create, scratch_remove);
}
