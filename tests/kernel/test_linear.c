/* The last layer, forward and backward, against its reference. */
#include "tests/support/device_test.h"

#include "tests/support/case_test.h"

static dd_device *device;

static void against_reference(void **state) {
    (void)state;
    static const int sizes[][3] = {{1, 1, 1},    {10, 64, 128},  {10, 64, 1}, {3, 17, 130},
                                   {100, 64, 7}, {1000, 512, 8}, {10, 33, 3}, {2, 2048, 5}};
    for (int grouped = 0; grouped < 2; ++grouped) {
        case_test_group(device, grouped);
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; ++i) {
            const uint64_t seed = dd_test_seed() + i;
            const int classes = sizes[i][0], features = sizes[i][1], n = sizes[i][2];
            struct dd_case_result result = {0};
            dd_status status = dd_case_linear(device, classes, features, n, seed, &result);
            case_test_expect(status, &result, seed, "last layer, %d classes, %d features, %d images, grouped %d",
                             classes, features, n, grouped);
        }
    }
    case_test_group(device, false);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(against_reference)};
    device = dd_test_open();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return dd_test_close(&device) + failed;
}
