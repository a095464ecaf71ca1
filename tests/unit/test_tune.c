/* The tuner without a device: its store on disk, also with two writers at once, and its search among made-up
 * candidates. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "support/scratch.h"
#include "tune/search.h"
#include "tune/store.h"

static struct dd_device_info device_named(const char *name, const char *driver) {
    struct dd_device_info info = {.compute_units = 2};
    snprintf(info.platform_name, sizeof info.platform_name, "a platform");
    snprintf(info.name, sizeof info.name, "%s", name);
    snprintf(info.driver, sizeof info.driver, "%s", driver);
    return info;
}

static struct dd_tune_store *open_store(const char *folder, const struct dd_device_info *info) {
    struct dd_tune_store *store;
    if (dd_tune_store_open(folder, info, &store) != DD_OK)
        fail_msg("%s", dd_error_message());
    return store;
}

static void put(struct dd_tune_store *store, const char *key, const char *winner) {
    assert_int_equal(dd_tune_store_put(store, key, winner), DD_OK);
}

/* Opens the store anew and compares a winner; NULL: unknown. */
static void expect(const char *folder, const struct dd_device_info *info, const char *key, const char *winner) {
    struct dd_tune_store *store = open_store(folder, info);
    const char *found = dd_tune_store_find(store, key);
    if (winner == NULL ? found != NULL : found == NULL || strcmp(found, winner) != 0)
        fail_msg("%s: \"%s\" is found instead of \"%s\"", key, found ? found : "(nothing)",
                 winner ? winner : "(nothing)");
    dd_tune_store_close(&store);
    assert_null(store);
}

static void test_round_trip(void **state) {
    (void)state;
    const char *folder = scratch_path("trip");
    const struct dd_device_info info = device_named("device", "1"), newer = device_named("device", "2");
    struct dd_device_info wider = info;
    wider.compute_units = 4;
    struct dd_tune_store *store = open_store(folder, &info);
    assert_true(dd_tune_store_kept(store));
    assert_null(dd_tune_store_find(store, "a"));
    put(store, "a", "direct");
    put(store, "b", "winograd");
    assert_string_equal(dd_tune_store_find(store, "a"), "direct");
    expect(folder, &info, "a", NULL); /* not saved yet */
    dd_tune_store_save(store);
    put(store, "a", "gemm");
    dd_tune_store_save(store);
    dd_tune_store_close(&store);
    expect(folder, &info, "a", "gemm");
    expect(folder, &info, "b", "winograd");
    expect(folder, &newer, "a", NULL);
    expect(folder, &wider, "a", NULL);
    store = open_store(folder, &newer);
    put(store, "a", "direct");
    dd_tune_store_save(store);
    dd_tune_store_close(&store);
    expect(folder, &info, "a", "gemm");
    expect(folder, &newer, "a", "direct");
    dd_tune_store_close(&store); /* an empty handle */
}

/* A sound file with one winner; *path: of it. */
static void make_file(const char *folder, const struct dd_device_info *info, const char **path) {
    struct dd_tune_store *store = open_store(folder, info);
    put(store, "a", "direct");
    dd_tune_store_save(store);
    dd_tune_store_close(&store);
    char *joined = dd_path_join(folder, "tune.json");
    static char kept[512];
    snprintf(kept, sizeof kept, "%s", joined);
    free(joined);
    *path = kept;
}

static void test_damage_is_empty(void **state) {
    (void)state;
    static const char *const bad[] = {"",
                                      "{",
                                      "null",
                                      "[]",
                                      "3",
                                      "{\"format\": 1}",
                                      "{\"format\": 2, \"devices\": {}}",
                                      "{\"format\": 1, \"devices\": []}",
                                      "{\"format\": \"1\", \"devices\": {}}",
                                      "\xff\xfe\xfd"};
    const char *folder = scratch_path("damage"), *path;
    const struct dd_device_info info = device_named("device \xc3\xa9", "1"); /* no ASCII */
    make_file(folder, &info, &path);
    expect(folder, &info, "a", "direct");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        scratch_write(path, bad[i], strlen(bad[i]));
        expect(folder, &info, "a", NULL);
        make_file(folder, &info, &path); /* and it can be written again */
        expect(folder, &info, "a", "direct");
    }
    size_t size;
    uint8_t *data = scratch_read(path, &size);
    for (size_t cut = 0; cut < size; cut += size / 7 + 1) {
        scratch_write(path, data, cut);
        expect(folder, &info, "a", NULL);
    }
    free(data);
}

static void test_entries_of_a_wrong_type(void **state) {
    (void)state;
    const char *folder = scratch_path("types"), *path;
    const struct dd_device_info info = device_named("device", "1");
    make_file(folder, &info, &path);
    size_t size;
    char *text = (char *)scratch_read(path, &size), changed[2048];
    const char *value = strstr(text, "\"direct\"");
    assert_non_null(value);
    snprintf(changed, sizeof changed, "%.*s[7], \"b\": \"winograd\"%s", (int)(value - text), text, value + 8);
    scratch_write(path, changed, strlen(changed));
    expect(folder, &info, "a", NULL);
    expect(folder, &info, "b", "winograd");
    free(text);
}

static void test_two_writers(void **state) {
    (void)state;
    enum { WRITERS = 2, KEYS = 40 };
    const char *folder = scratch_path("writers");
    const struct dd_device_info info = device_named("device", "1");
    pid_t children[WRITERS];
    for (int w = 0; w < WRITERS; w++) {
        children[w] = fork();
        assert_true(children[w] >= 0);
        if (children[w] != 0)
            continue;
        struct dd_tune_store *store = NULL;
        int code = dd_tune_store_open(folder, &info, &store) != DD_OK;
        for (int i = 0; i < KEYS && code == 0; i++) {
            char key[DD_TUNE_KEY];
            snprintf(key, sizeof key, "writer %d key %d", w, i);
            code = dd_tune_store_put(store, key, "direct") != DD_OK;
            dd_tune_store_save(store);
        }
        _exit(code);
    }
    for (int w = 0; w < WRITERS; w++) {
        int code;
        assert_int_equal(waitpid(children[w], &code, 0), children[w]);
        assert_true(WIFEXITED(code) && WEXITSTATUS(code) == 0);
    }
    for (int w = 0; w < WRITERS; w++)
        for (int i = 0; i < KEYS; i++) {
            char key[DD_TUNE_KEY];
            snprintf(key, sizeof key, "writer %d key %d", w, i);
            expect(folder, &info, key, "direct");
        }
}

static void test_off_switch(void **state) {
    (void)state;
    const char *folder = scratch_path("off"), *path;
    const struct dd_device_info info = device_named("device", "1");
    make_file(folder, &info, &path);
    setenv("DEPTHDROP_NO_CACHE", "1", 1);
    struct dd_tune_store *store = open_store(folder, &info);
    assert_false(dd_tune_store_kept(store));
    assert_null(dd_tune_store_find(store, "a"));
    put(store, "a", "gemm");
    assert_string_equal(dd_tune_store_find(store, "a"), "gemm");
    dd_tune_store_save(store);
    dd_tune_store_close(&store);
    unsetenv("DEPTHDROP_NO_CACHE");
    expect(folder, &info, "a", "direct");
}

static void test_folder_that_cannot_be_made(void **state) {
    (void)state;
    const char *file = scratch_path("file");
    const struct dd_device_info info = device_named("device", "1");
    scratch_write(file, "x", 1);
    struct dd_tune_store *store = open_store(file, &info);
    assert_false(dd_tune_store_kept(store));
    put(store, "a", "gemm");
    dd_tune_store_save(store);
    dd_tune_store_close(&store);
}

/* ---- search ---- */

/* A made-up candidate: right or not, and how long it takes. */
struct made_up {
    const char *failure; /* what verify finds; "": right */
    dd_status status;    /* of verify */
    dd_status run_status;
    double seconds;
    int verified, runs;
    volatile int *stop; /* set by verify; may be NULL */
};

static dd_status verify(void *context, char *failure, size_t size) {
    struct made_up *m = context;
    m->verified++;
    snprintf(failure, size, "%s", m->failure);
    if (m->stop != NULL)
        *m->stop = 1;
    return m->status == DD_OK ? DD_OK : dd_fail(m->status, "it does not build");
}

static dd_status run(void *context, int repeats, double *seconds) {
    struct made_up *m = context;
    m->runs++;
    *seconds = m->seconds * repeats;
    return m->run_status == DD_OK ? DD_OK : dd_fail(m->run_status, "it does not run");
}

enum { MOST = 4 };

/* Searches among count of made; gives the winner. */
static int search(struct made_up *made, int count, const struct dd_tune_rules *rules,
                  struct dd_tune_candidate *candidates) {
    static const char *const names[MOST] = {"first", "second", "third", "fourth"};
    int winner = -2;
    for (int i = 0; i < count; i++)
        candidates[i] = (struct dd_tune_candidate){.name = names[i], .verify = verify, .run = run, .context = &made[i]};
    scratch_clear_log();
    assert_int_equal(dd_tune_search("a convolution", candidates, count, rules, &winner), DD_OK);
    return winner;
}

static const struct dd_tune_rules five_rounds = {.rounds = 5}, eight_rounds = {.rounds = 8};

static void test_fastest_wins(void **state) {
    (void)state;
    struct dd_tune_candidate c[MOST];
    struct made_up made[] = {{"", .seconds = 0.012}, {"", .seconds = 0.010}, {"", .seconds = 0.011}};
    assert_int_equal(search(made, 3, &five_rounds, c), 1);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(c[i].outcome, DD_TUNE_TIMED);
        assert_int_equal(c[i].rounds, 5);
        assert_int_equal(made[i].verified, 1);
        assert_true(c[i].seconds > 0.99 * made[i].seconds && c[i].seconds < 1.01 * made[i].seconds);
    }
    struct made_up close[] = {{"", .seconds = 0.0101},
                              {"", .seconds = 0.010}}; /* within the scatter: the preferred one */
    assert_int_equal(search(close, 2, &five_rounds, c), 0);
}

static void test_slow_is_given_up(void **state) {
    (void)state;
    struct dd_tune_candidate c[MOST];
    struct made_up made[] = {{"", .seconds = 0.016}, {"", .seconds = 0.010}, {"", .seconds = 0.014}};
    assert_int_equal(search(made, 3, &eight_rounds, c), 1);
    assert_int_equal(c[0].outcome, DD_TUNE_SLOW);
    assert_int_equal(c[0].rounds, DD_TUNE_GIVE_UP_ROUNDS);
    assert_int_equal(c[2].outcome, DD_TUNE_TIMED);
    assert_int_equal(c[2].rounds, 8);
    assert_true(made[0].runs < made[2].runs);
}

static void test_wrong_never_wins(void **state) {
    (void)state;
    struct dd_tune_candidate c[MOST];
    struct made_up made[] = {{"y: error 7 times the tolerance", .seconds = 0.001},
                             {"", .status = DD_ERROR_DEVICE, .seconds = 0.001},
                             {"", .run_status = DD_ERROR_MEMORY, .seconds = 0.001},
                             {"", .seconds = 1}};
    assert_int_equal(search(made, 4, &five_rounds, c), 3);
    for (int i = 0; i < 3; i++)
        assert_int_equal(c[i].outcome, DD_TUNE_WRONG);
    assert_int_equal(made[0].runs, 0);
    assert_int_equal(made[1].runs, 0);
    assert_non_null(strstr(scratch_log(), "\"first\" is left out: y: error 7 times the tolerance"));
    assert_non_null(strstr(scratch_log(), "\"second\" is left out: it does not build"));
    assert_non_null(strstr(scratch_log(), "\"third\" is left out: it does not run"));
    assert_int_equal(search(made, 2, &five_rounds, c), -1);
}

static void test_more_rounds(void **state) {
    (void)state;
    struct dd_tune_candidate c[MOST];
    struct made_up made[] = {{"", .seconds = 0.01}, {"", .seconds = 0.01}};
    const struct dd_tune_rules hour = {.rounds = 5, .seconds = 3600};
    assert_int_equal(search(made, 2, &hour, c), 0);
    assert_int_equal(c[0].rounds, 5 * DD_TUNE_MOST_ROUNDS);
}

static void test_one_alone(void **state) {
    (void)state;
    struct dd_tune_candidate c[MOST];
    struct made_up made[] = {{"", .seconds = 0.01}};
    assert_int_equal(search(made, 1, &five_rounds, c), 0);
    assert_int_equal(c[0].outcome, DD_TUNE_RIGHT);
    assert_int_equal(made[0].runs, 0);
    const struct dd_tune_rules always = {.rounds = 5, .time_always = true};
    assert_int_equal(search(made, 1, &always, c), 0);
    assert_int_equal(c[0].outcome, DD_TUNE_TIMED);
    assert_int_equal(c[0].rounds, 5);
}

static void test_stop(void **state) {
    (void)state;
    volatile int stop = 0;
    const struct dd_tune_rules rules = {.rounds = 5, .stop = &stop};
    struct made_up made[] = {{"", .seconds = 0.01, .stop = &stop}, {"", .seconds = 0.01}};
    struct dd_tune_candidate c[] = {{.name = "first", .verify = verify, .run = run, .context = &made[0]},
                                    {.name = "second", .verify = verify, .run = run, .context = &made[1]}};
    int winner;
    assert_int_equal(dd_tune_search("a convolution", c, 2, &rules, &winner), DD_INTERRUPTED);
    assert_int_equal(winner, -1);
    assert_int_equal(made[1].verified, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_damage_is_empty),
        cmocka_unit_test(test_entries_of_a_wrong_type),
        cmocka_unit_test(test_two_writers),
        cmocka_unit_test(test_off_switch),
        cmocka_unit_test(test_folder_that_cannot_be_made),
        cmocka_unit_test(test_fastest_wins),
        cmocka_unit_test(test_slow_is_given_up),
        cmocka_unit_test(test_wrong_never_wins),
        cmocka_unit_test(test_more_rounds),
        cmocka_unit_test(test_one_alone),
        cmocka_unit_test(test_stop),
    };
    unsetenv("DEPTHDROP_NO_CACHE");
    return cmocka_run_group_tests(tests, scratch_create, scratch_remove);
}
