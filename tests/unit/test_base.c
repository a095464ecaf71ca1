/* src/base: messages, checked arrays, files and their failures, JSON, random numbers, the parallel loop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <depthdrop/depthdrop.h>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/philox.h"
#include "base/thread.h"

static char folder[] = "/tmp/depthdrop-base-XXXXXX"; /* of this run */

/** "<folder>/<name>", freed by free(). */
static char *in_folder(const char *name) {
    char *path = dd_path_join(folder, name);
    assert_non_null(path);
    return path;
}

static int make_test_folder(void **state) {
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_test_folder(void **state) {
    (void)state;
    char *command = dd_format("rm -rf '%s'", folder);
    int result = command ? system(command) : -1;
    free(command);
    return result;
}

static void test_error_messages(void **state) {
    (void)state;
    assert_int_equal(dd_fail(DD_ERROR_DATA, "file %s, offset %d", "x.bin", 7), DD_ERROR_DATA);
    assert_string_equal(dd_error_message(), "file x.bin, offset 7");
    assert_int_equal(dd_fail_prefix(DD_ERROR_DEVICE, "launch %d", 3), DD_ERROR_DEVICE);
    assert_string_equal(dd_error_message(), "launch 3: file x.bin, offset 7");
    dd_fail(DD_ERROR_DATA, "outer (%s)", dd_error_message()); /* the message as its own argument */
    assert_string_equal(dd_error_message(), "outer (launch 3: file x.bin, offset 7)");
    char long_text[4000];
    memset(long_text, 'a', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = 0;
    dd_fail(DD_ERROR_DATA, "%s", long_text);
    size_t length = strlen(dd_error_message());
    assert_in_range(length, 1000, 3000);
    dd_fail_prefix(DD_ERROR_DATA, "front");
    assert_memory_equal(dd_error_message(), "front: aaa", 10);
    assert_int_equal(strlen(dd_error_message()), length);
    dd_fail_prefix(DD_ERROR_DATA, "%s", long_text); /* a prefix that fills all */
    assert_in_range(strlen(dd_error_message()), length - 2, length);
}

static void *message_of_thread(void *argument) {
    int *empty = argument;
    *empty = dd_error_message()[0] == 0;
    dd_fail(DD_ERROR_DATA, "of another thread");
    return NULL;
}

static void test_error_per_thread(void **state) {
    (void)state;
    pthread_t thread;
    int empty = 0;
    dd_fail(DD_ERROR_USAGE, "of this thread");
    assert_int_equal(pthread_create(&thread, NULL, message_of_thread, &empty), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(empty);
    assert_string_equal(dd_error_message(), "of this thread");
}

struct collected {
    int calls;
    dd_log_level level;
    char message[64];
};

static void collect(void *user, dd_log_level level, const char *message) {
    struct collected *collected = user;
    collected->calls++;
    collected->level = level;
    snprintf(collected->message, sizeof collected->message, "%s", message);
}

static void test_log(void **state) {
    (void)state;
    struct collected collected = {0};
    dd_warning("dropped");
    dd_log_set(collect, &collected);
    dd_warning("%d files", 3);
    assert_int_equal(collected.level, DD_LOG_WARNING);
    assert_string_equal(collected.message, "3 files");
    dd_info("one more");
    dd_log_set(NULL, NULL);
    dd_info("dropped");
    assert_int_equal(collected.calls, 2);
    assert_true(strchr(dd_version(), '.') != NULL);
}

static void test_grow(void **state) {
    (void)state;
    int *array = NULL;
    size_t capacity = 0;
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(dd_grow(&array, &capacity, (size_t)i + 1, sizeof *array), DD_OK);
        assert_true(capacity > (size_t)i);
        array[i] = i;
    }
    for (int i = 0; i < 1000; i++)
        assert_int_equal(array[i], i);
    size_t before = capacity;
    int *kept = array;
    assert_int_equal(dd_grow(&array, &capacity, SIZE_MAX / 2, sizeof *array), DD_ERROR_MEMORY);
    assert_int_equal(capacity, before);
    assert_ptr_equal(array, kept);
    assert_non_null(strstr(dd_error_message(), "out of host memory"));
    free(array);
    volatile size_t huge = SIZE_MAX / 2; /* so that the compiler does not see the size */
    assert_null(dd_calloc(huge, 4));
    void *empty = dd_calloc(0, 16);
    assert_non_null(empty);
    free(empty);
    assert_null(dd_strdup(NULL));
    char *text = dd_format("%s-%05d", "a", 42);
    assert_string_equal(text, "a-00042");
    free(text);
}

static void assert_content(const char *path, const char *text) {
    uint8_t *data;
    size_t size;
    assert_int_equal(dd_file_read(path, 1 << 20, &data, &size), DD_OK);
    assert_int_equal(size, strlen(text));
    assert_string_equal((char *)data, text); /* a zero byte follows */
    free(data);
}

static int names_in_folder(void) {
    char **names;
    int count;
    assert_int_equal(dd_folder_names(folder, &names, &count), DD_OK);
    dd_names_free(&names, count);
    return count;
}

static void test_write_and_read(void **state) {
    (void)state;
    char *path = in_folder("file");
    struct stat info;
    struct dd_file_writer writer;
    mode_t mask = umask(027);
    int before = names_in_folder();
    assert_int_equal(dd_file_write(path, "first", 5), DD_OK);
    umask(mask);
    assert_content(path, "first");
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0640);
    assert_int_equal(dd_file_writer_open(path, &writer), DD_OK);
    assert_int_equal(dd_file_writer_write(&writer, "sec", 3), DD_OK);
    assert_int_equal(dd_file_writer_write(&writer, "ond", 3), DD_OK);
    assert_content(path, "first"); /* until the commit */
    assert_int_equal(dd_file_writer_commit(&writer), DD_OK);
    dd_file_writer_abandon(&writer);
    assert_content(path, "second");
    assert_int_equal(dd_file_writer_open(path, &writer), DD_OK);
    assert_int_equal(dd_file_writer_write(&writer, "third", 5), DD_OK);
    dd_file_writer_abandon(&writer);
    assert_content(path, "second");
    assert_int_equal(names_in_folder(), before + 1); /* no temporary is left */
    assert_int_equal(dd_file_writer_write(&writer, "x", 1), DD_ERROR_INTERNAL);
    assert_int_equal(dd_file_writer_commit(&writer), DD_ERROR_INTERNAL);
    free(path);
}

static void test_two_writers(void **state) {
    (void)state;
    char *path = in_folder("raced");
    struct dd_file_writer one, two;
    assert_int_equal(dd_file_writer_open(path, &one), DD_OK);
    assert_int_equal(dd_file_writer_open(path, &two), DD_OK);
    assert_int_equal(dd_file_writer_write(&one, "one", 3), DD_OK);
    assert_int_equal(dd_file_writer_write(&two, "two", 3), DD_OK);
    assert_int_equal(dd_file_writer_commit(&two), DD_OK);
    assert_content(path, "two");
    assert_int_equal(dd_file_writer_commit(&one), DD_OK);
    assert_content(path, "one"); /* whole, whoever comes last */
    free(path);
}

/** A limit on file sizes stands for a full disk: the same write() fails half-way. */
static void test_failed_write_keeps_old(void **state) {
    (void)state;
    char *path = in_folder("kept"), *fresh = in_folder("fresh");
    static char large[1 << 16];
    struct rlimit before, limit;
    assert_int_equal(dd_file_write(path, "old", 3), DD_OK);
    int names = names_in_folder();
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = before;
    limit.rlim_cur = 1000;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    dd_status status = dd_file_write(path, large, sizeof large);
    char *message = dd_strdup(dd_error_message());
    dd_status fresh_status = dd_file_write(fresh, large, sizeof large);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(status, DD_ERROR_DATA);
    assert_int_equal(fresh_status, DD_ERROR_DATA);
    assert_non_null(strstr(message, path));
    assert_non_null(strstr(message, "File too large"));
    assert_non_null(strstr(message, "the old file is kept"));
    assert_null(strstr(dd_error_message(), "the old file"));
    assert_false(dd_file_exists(fresh));
    assert_content(path, "old");
    assert_int_equal(names_in_folder(), names);
    free(message);
    free(fresh);
    free(path);
}

static void test_unwritable_places(void **state) {
    (void)state;
    char *missing = in_folder("missing/file"), *taken = in_folder("taken");
    assert_int_equal(dd_file_write(missing, "x", 1), DD_ERROR_DATA);
    assert_non_null(strstr(dd_error_message(), "No such file"));
    assert_int_equal(dd_make_folder(taken), DD_OK);
    int names = names_in_folder();
    assert_int_equal(dd_file_write(taken, "x", 1), DD_ERROR_DATA); /* a folder is there: the rename fails */
    assert_true(dd_is_folder(taken));
    assert_int_equal(names_in_folder(), names);
    free(missing);
    free(taken);
}

static void test_refused_reads(void **state) {
    (void)state;
    uint8_t *data;
    size_t size;
    char *path = in_folder("read"), *pipe = in_folder("pipe");
    assert_int_equal(dd_file_read(path, 100, &data, &size), DD_ERROR_DATA);
    assert_non_null(strstr(dd_error_message(), path));
    assert_int_equal(dd_file_read(folder, 100, &data, &size), DD_ERROR_DATA);
    assert_non_null(strstr(dd_error_message(), "a folder"));
    assert_int_equal(mkfifo(pipe, 0600), 0);
    assert_int_equal(dd_file_read(pipe, 100, &data, &size), DD_ERROR_DATA);
    assert_int_equal(dd_file_write(path, "0123456789", 10), DD_OK);
    assert_int_equal(dd_file_read(path, 9, &data, &size), DD_ERROR_DATA);
    assert_non_null(strstr(dd_error_message(), "10 bytes"));
    assert_null(data);
    assert_int_equal(dd_file_read(path, 10, &data, &size), DD_OK);
    assert_int_equal(size, 10);
    free(data);
    assert_int_equal(dd_file_write(path, "", 0), DD_OK);
    assert_content(path, "");
    free(pipe);
    free(path);
}

static void test_folders(void **state) {
    (void)state;
    char *deep = in_folder("a//b/c/"), *blocked = in_folder("a/file/d"), *file = in_folder("a/file");
    assert_int_equal(dd_check_folder(deep), DD_OK);
    assert_false(dd_file_exists(deep));
    assert_int_equal(dd_make_folder(deep), DD_OK);
    assert_int_equal(dd_check_folder(deep), DD_OK);
    assert_int_equal(dd_make_folder(deep), DD_OK);
    assert_true(dd_is_folder(deep));
    assert_int_equal(dd_file_write(file, "x", 1), DD_OK);
    assert_false(dd_is_folder(file));
    assert_true(dd_file_exists(file));
    assert_int_equal(dd_make_folder(blocked), DD_ERROR_DATA);
    assert_int_equal(dd_make_folder(file), DD_ERROR_DATA);
    assert_non_null(strstr(dd_error_message(), file));
    assert_int_equal(dd_make_folder(""), DD_ERROR_DATA);
    assert_int_equal(dd_check_folder(blocked), DD_ERROR_DATA);
    assert_non_null(strstr(dd_error_message(), blocked));
    assert_int_equal(dd_check_folder(file), DD_ERROR_DATA);
    assert_int_equal(dd_check_folder(""), DD_ERROR_DATA);
    assert_int_equal(dd_check_folder("a folder in the current one"), DD_OK);
    free(deep);
    free(blocked);
    free(file);
}

static void test_names_bytewise(void **state) {
    (void)state;
    static const char *const sorted[] = {"10", "9", "B", "a", "a b", "b", "\xc3\xa4"};
    static const int created[] = {3, 6, 0, 5, 2, 4, 1};
    char *dir = in_folder("names"), **names;
    int count;
    assert_int_equal(dd_make_folder(dir), DD_OK);
    assert_int_equal(dd_folder_names(dir, &names, &count), DD_OK);
    assert_int_equal(count, 0);
    dd_names_free(&names, count);
    for (int i = 0; i < 7; i++) {
        char *path = dd_path_join(dir, sorted[created[i]]);
        assert_int_equal(dd_file_write(path, "", 0), DD_OK);
        free(path);
    }
    assert_int_equal(dd_folder_names(dir, &names, &count), DD_OK);
    assert_int_equal(count, 7);
    for (int i = 0; i < 7; i++)
        assert_string_equal(names[i], sorted[i]);
    dd_names_free(&names, count);
    assert_null(names);
    char *missing = dd_path_join(dir, "missing");
    assert_int_equal(dd_folder_names(missing, &names, &count), DD_ERROR_DATA);
    assert_null(names);
    free(missing);
    free(dir);
}

/** A file of 10 bytes, modified that many nanoseconds after a common moment. */
static void make_aged(const char *path, long nanoseconds) {
    const struct timespec times[2] = {{1700000000, nanoseconds}, {1700000000, nanoseconds}};
    assert_int_equal(dd_file_write(path, "0123456789", 10), DD_OK);
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void test_trim(void **state) {
    (void)state;
    char *old = in_folder("aged/c"), *middle = in_folder("aged/a"), *new = in_folder("aged/b");
    char *inner = in_folder("aged/inner"), *dir = in_folder("aged");
    assert_int_equal(dd_make_folder(inner), DD_OK); /* no file: neither counted nor deleted */
    make_aged(new, 30);
    make_aged(old, 10);
    make_aged(middle, 20);
    dd_folder_trim(dir, 30);
    assert_true(dd_file_exists(old));
    dd_folder_trim(dir, 29);
    assert_false(dd_file_exists(old));
    assert_true(dd_file_exists(middle));
    dd_folder_trim(dir, 10);
    assert_false(dd_file_exists(middle));
    assert_true(dd_file_exists(new));
    dd_folder_trim(dir, 0);
    assert_false(dd_file_exists(new));
    assert_true(dd_is_folder(inner));
    dd_folder_trim(new, 0); /* there is no such folder */
    char *all[] = {old, middle, new, inner, dir};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}

static void assert_cache_folder(const char *cache_dir, const char *sub, const char *expected) {
    char *got = dd_cache_folder(cache_dir, sub);
    assert_non_null(got);
    assert_string_equal(got, expected);
    assert_true(dd_is_folder(got));
    free(got);
}

static void test_cache_folder(void **state) {
    (void)state;
    char *xdg = in_folder("xdg"), *home = in_folder("home"), *given = in_folder("given"), *file = in_folder("nofolder");
    char *from_xdg = in_folder("xdg/depthdrop/programs"), *from_home = in_folder("home/.cache/depthdrop");
    char *old_xdg = dd_strdup(getenv("XDG_CACHE_HOME")), *old_home = dd_strdup(getenv("HOME"));
    setenv("XDG_CACHE_HOME", xdg, 1);
    setenv("HOME", home, 1);
    assert_cache_folder(NULL, "programs", from_xdg);
    assert_cache_folder(given, NULL, given);
    setenv("XDG_CACHE_HOME", "relative", 1); /* is ignored, says the specification */
    assert_cache_folder(NULL, NULL, from_home);
    unsetenv("XDG_CACHE_HOME");
    unsetenv("HOME");
    dd_fail(DD_OK, "untouched");
    assert_null(dd_cache_folder(NULL, NULL));
    assert_int_equal(dd_file_write(file, "x", 1), DD_OK);
    assert_null(dd_cache_folder(file, "programs"));
    assert_string_equal(dd_error_message(), "untouched");
    if (old_xdg)
        setenv("XDG_CACHE_HOME", old_xdg, 1);
    if (old_home)
        setenv("HOME", old_home, 1);
    char *all[] = {xdg, home, given, file, from_xdg, from_home, old_xdg, old_home};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}

/** A line as it is printed; takes root. */
static void assert_line(json_t *root, const char *expected) {
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    assert_int_equal(dd_json_line(root, out), DD_OK);
    fclose(out);
    assert_string_equal(text, expected);
    free(text);
}

static void test_json_values(void **state) {
    (void)state;
    assert_true(dd_is_utf8("caf\xc3\xa9"));
    assert_false(dd_is_utf8("caf\xc3"));
    assert_line(json_pack("[o, o, o, o]", dd_json_number(0.1), dd_json_number(NAN), dd_json_number(-INFINITY),
                          dd_json_number(3)),
                "[0.1,null,null,3.0]\n");
    assert_line(json_pack("[o, o, o]", dd_json_string(""), dd_json_string("caf\xc3\xa9"), dd_json_string("\xff.")),
                "[\"\",\"caf\xc3\xa9\",\"\xef\xbf\xbd.\"]\n");
    assert_int_equal(dd_json_line(NULL, stderr), DD_ERROR_MEMORY);
}

static void test_json_files(void **state) {
    (void)state;
    char *path = in_folder("values.json");
    json_t *root = NULL;
    assert_int_equal(dd_json_save_file(json_pack("{s:i}", "a", 7), path, JSON_COMPACT), DD_OK);
    assert_int_equal(dd_json_save_file(NULL, path, JSON_COMPACT), DD_ERROR_MEMORY); /* the old file stands */
    assert_int_equal(dd_json_save_file(json_object(), NULL, JSON_COMPACT), DD_ERROR_MEMORY);
    assert_int_equal(dd_json_load_file(path, 7, 0, NULL, &root), DD_OK);
    assert_int_equal(json_integer_value(json_object_get(root, "a")), 7);
    json_decref(root);
    assert_int_equal(dd_json_load_file(path, 6, 0, NULL, &root), DD_ERROR_DATA);
    assert_null(root);
    assert_int_equal(dd_file_write(path, "{\n\"a\"", 5), DD_OK);
    assert_int_equal(dd_json_load_file(path, 7, 0, NULL, &root), DD_ERROR_DATA);
    assert_non_null(strstr(dd_error_message(), "values.json is damaged: line 2: "));
    assert_int_equal(dd_json_load_file(path, 7, 0, "the hint", &root), DD_ERROR_DATA);
    assert_string_equal(dd_error_message() + strlen(dd_error_message()) - 10, "; the hint");
    assert_null(root);
    free(path);
}

/** The vectors that Random123 publishes for philox4x32-10 (its kat_vectors). */
static void test_philox_vectors(void **state) {
    (void)state;
    static const struct {
        uint32_t counter[4], key[2], words[4];
    } cases[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const uint32_t *c = cases[i].counter;
        uint32_t out[4];
        dd_philox(cases[i].key[0] | (uint64_t)cases[i].key[1] << 32, c[0], c[1], c[2], c[3], out);
        assert_memory_equal(out, cases[i].words, sizeof out);
    }
    assert_true(dd_unit_interval(0) == 0.0);
    assert_true(dd_unit_interval(0x80000000u) == 0.5);
    assert_true(dd_unit_interval(UINT32_MAX) < 1.0);
}

static void visit(void *user, int index) {
    atomic_int *visits = user;
    atomic_fetch_add(&visits[index], 1);
}

static void test_parallel_for(void **state) {
    (void)state;
    static atomic_int visits[5000];
    static const int threads[] = {0, 1, 3, 1000};
    for (int t = 0; t < 4; t++) {
        for (int i = 0; i < 5000; i++)
            atomic_store(&visits[i], 0);
        dd_parallel_for(4999, threads[t], visit, visits);
        for (int i = 0; i < 5000; i++)
            assert_int_equal(atomic_load(&visits[i]), i < 4999);
    }
    dd_parallel_for(0, 4, visit, NULL);
    assert_true(dd_processor_count() >= 1);
}

static void test_clock(void **state) {
    (void)state;
    double before = dd_now();
    usleep(2000);
    double passed = dd_now() - before;
    assert_true(passed >= 0.002 && passed < 60);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_error_messages),
        cmocka_unit_test(test_error_per_thread),
        cmocka_unit_test(test_log),
        cmocka_unit_test(test_grow),
        cmocka_unit_test(test_write_and_read),
        cmocka_unit_test(test_two_writers),
        cmocka_unit_test(test_failed_write_keeps_old),
        cmocka_unit_test(test_unwritable_places),
        cmocka_unit_test(test_refused_reads),
        cmocka_unit_test(test_folders),
        cmocka_unit_test(test_names_bytewise),
        cmocka_unit_test(test_trim),
        cmocka_unit_test(test_cache_folder),
        cmocka_unit_test(test_json_values),
        cmocka_unit_test(test_json_files),
        cmocka_unit_test(test_philox_vectors),
        cmocka_unit_test(test_parallel_for),
        cmocka_unit_test(test_clock),
    };
    return cmocka_run_group_tests_name("base", tests, make_test_folder, remove_test_folder);
}
