/* Asks OpenCL itself: what src/rt makes of the answers is under test. */
#include "tests/support/no_device.h"

#include <CL/cl.h>
#include <CL/cl_ext.h>

#include <stdio.h>

enum { MAX_PLATFORMS = 64, SKIPPED = 77, FAILED = 1 };

int dd_test_no_device(void) {
    cl_platform_id platforms[MAX_PLATFORMS];
    cl_uint count = 0, devices = 0;
    cl_int failure = clGetPlatformIDs(MAX_PLATFORMS, platforms, &count);
    if (failure == CL_PLATFORM_NOT_FOUND_KHR)
        failure = CL_SUCCESS; /* and count is 0 */
    for (cl_uint i = 0; i < count && i < MAX_PLATFORMS; i++) {
        cl_uint found = 0;
        const cl_int code = clGetDeviceIDs(platforms[i], CL_DEVICE_TYPE_ALL, 0, NULL, &found);
        if (code == CL_SUCCESS)
            devices += found;
        else if (code != CL_DEVICE_NOT_FOUND)
            failure = code;
    }
    if (devices > 0)
        return 0;
    if (failure != CL_SUCCESS) {
        fprintf(stderr, "an OpenCL driver fails to list its devices: %d\n", (int)failure);
        return FAILED;
    }
    fprintf(stderr, "skipped: there is no OpenCL device\n");
    return SKIPPED;
}
