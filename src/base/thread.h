/* A loop over independent items on several threads. */
#ifndef DD_BASE_THREAD_H
#define DD_BASE_THREAD_H

/** Processors that this process may use, at least 1. */
int dd_processor_count(void);

/**
 * Calls body(user, i) for i in 0 .. count-1 on threads threads (0: as many as processors), in no order; waits for all.
 * A body that fails says so in its own data.
 */
void dd_parallel_for(int count, int threads, void (*body)(void *user, int index), void *user);

#endif
