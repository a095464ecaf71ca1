/* depthdrop: everything. Unstable until 1.0. */
#ifndef DEPTHDROP_DEPTHDROP_H
#define DEPTHDROP_DEPTHDROP_H

#include <depthdrop/dataset.h>
#include <depthdrop/device.h>
#include <depthdrop/gate.h>
#include <depthdrop/log.h>
#include <depthdrop/net.h>
#include <depthdrop/report.h>
#include <depthdrop/status.h>
#include <depthdrop/train.h>

#ifdef __cplusplus
extern "C" {
#endif

/** "0.1.0" */
const char *dd_version(void);

#ifdef __cplusplus
}
#endif
#endif
