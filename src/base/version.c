/* The library's version, which the build passes as DD_VERSION. */
#include <depthdrop/depthdrop.h>

#ifndef DD_VERSION
#define DD_VERSION "0.0.0" /* a build without Meson */
#endif

const char *dd_version(void) {
    return DD_VERSION;
}
