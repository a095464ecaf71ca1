/* Whether a test on a device is to be skipped. Apart from device_test.c, which links the operators. */
#ifndef DD_TESTS_NO_DEVICE_H
#define DD_TESTS_NO_DEVICE_H

/**
 * The exit status of a test that cannot begin, after a message: 77 (Meson's "skipped") where OpenCL has no platform, or
 * none with a device; 1 where a driver fails to list its devices. 0: there are devices.
 */
int dd_test_no_device(void);

#endif
