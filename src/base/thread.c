/* A loop over independent items on several threads. */
#include "base/thread.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <unistd.h>

enum { MAX_THREADS = 256 };

struct loop {
    atomic_int next; /* the next index that nobody has taken */
    int count;
    void (*body)(void *user, int index);
    void *user;
};

int dd_processor_count(void) {
    cpu_set_t set; /* what taskset and containers leave us, not what the machine has */
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0)
        return CPU_COUNT(&set);
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (int)online : 1;
}

static void *work(void *argument) {
    struct loop *loop = argument;
    for (;;) {
        int index = atomic_fetch_add(&loop->next, 1);
        if (index >= loop->count)
            return NULL;
        loop->body(loop->user, index);
    }
}

void dd_parallel_for(int count, int threads, void (*body)(void *user, int index), void *user) {
    struct loop loop = {.count = count, .body = body, .user = user};
    atomic_init(&loop.next, 0);
    if (threads <= 0)
        threads = dd_processor_count();
    if (threads > count)
        threads = count;
    if (threads > MAX_THREADS)
        threads = MAX_THREADS;
    pthread_t started[MAX_THREADS];
    int helpers = 0;
    while (helpers < threads - 1 && pthread_create(&started[helpers], NULL, work, &loop) == 0)
        helpers++; /* where the system gives no more threads, fewer do the work */
    work(&loop);
    for (int i = 0; i < helpers; i++)
        pthread_join(started[i], NULL);
}
