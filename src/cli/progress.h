/* The progress line of train and eval on stderr: one redrawn line on a terminal, plain lines elsewhere. */
#ifndef DD_CLI_PROGRESS_H
#define DD_CLI_PROGRESS_H

#include <stdbool.h>

#include <depthdrop/train.h>

/** unit: what the counter counts, "iteration" or "batch". quiet: nothing is shown. */
void progress_start(const char *unit, bool quiet);

/** A dd_train_callback. */
void progress_update(void *user, const struct dd_train_progress *progress);

/** Takes the line away; messages may follow. */
void progress_stop(void);

/** Around a message on stderr, from any thread: clears the line and keeps updates waiting; lets them go on. */
void progress_pause(void);
void progress_continue(void);

#endif
