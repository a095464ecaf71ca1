/* Remembered self-test verdicts, by device, driver and depthdrop's version. */
#ifndef DD_RT_VERDICT_H
#define DD_RT_VERDICT_H

#include <depthdrop/device.h>

/**
 * Everything that a remembered result may depend on: device, driver, depthdrop's version and its kernels. Freed by
 * free(); NULL: out of memory.
 */
char *dd_device_key(const struct dd_device_info *info);

/** DD_SELFTEST_UNTESTED if nothing readable is remembered. cache_dir NULL: the default folder. */
dd_selftest_state dd_verdict_read(const char *cache_dir, const struct dd_device_info *info);

/** Best effort: a folder that cannot be written is only logged. */
void dd_verdict_write(const char *cache_dir, const struct dd_device_info *info, dd_selftest_state state);

#endif
