/* Where the data are, the images that are trained on, those held out, and the mean image. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/philox.h"
#include "train/run.h"

static dd_status fail_find(const struct dd_run *run) {
    const struct dd_run_config *config = &run->config;
    if (config->data_from[0] == '\0')
        return dd_fail(DD_ERROR_DATA,
                       "%s/config.json: the run's data, %s, are not in the current folder; resume in the folder where "
                       "the run began",
                       run->dir, config->data);
    return dd_fail(DD_ERROR_DATA,
                   "%s/config.json: the run's data, %s, are neither in %s, where they were, nor in the current folder; "
                   "put them back, or resume in the folder that holds them now",
                   run->dir, config->data, config->data_from);
}

dd_status dd_input_find(struct dd_run *run) {
    struct dd_run_config *config = &run->config;
    const char *folder = dd_dataset_relative_folder(config->data);
    if (folder == NULL)
        return DD_OK;
    if (run->resumed && config->data_from[0] != '\0') {
        char *path = dd_path_join(config->data_from, folder);
        if (path == NULL)
            return dd_fail_memory("path", strlen(config->data_from) + strlen(folder));
        const bool there = dd_file_exists(path);
        free(path);
        if (there)
            return DD_OK;
    }
    if (run->resumed && !dd_file_exists(folder))
        return fail_find(run);
    if (getcwd(config->data_from, sizeof config->data_from) == NULL || !dd_is_utf8(config->data_from))
        config->data_from[0] = '\0'; /* config.json cannot name it */
    return DD_OK;
}

static size_t image_bytes(const struct dd_images *images) {
    return (size_t)images->channels * images->height * images->width;
}

/** Copies the images whose mark is `marked` into a set of their own. */
static dd_status copy_marked(const struct dd_images *all, const char *marks, char marked, int count, const char *split,
                             struct dd_images *out) {
    const size_t bytes = image_bytes(all);
    *out = (struct dd_images){.count = count, .channels = all->channels, .height = all->height, .width = all->width};
    snprintf(out->split, sizeof out->split, "%s", split);
    out->pixels = malloc((size_t)count * bytes);
    out->labels = malloc((size_t)count * sizeof *out->labels);
    if (out->pixels == NULL || out->labels == NULL)
        return dd_fail_memory("split images", (size_t)count * bytes);
    for (int i = 0, at = 0; i < all->count; i++) {
        if (marks[i] != marked)
            continue;
        memcpy(out->pixels + (size_t)at * bytes, all->pixels + (size_t)i * bytes, bytes);
        out->labels[at++] = all->labels[i];
    }
    return DD_OK;
}

dd_status dd_input_split(struct dd_run *run) {
    const struct dd_images *all = &run->dataset->train;
    const int held_out = (int)run->config.val_split;
    run->best_split = run->dataset->test.split;
    if (held_out == 0) {
        run->train = *all;
        return DD_OK;
    }
    if (held_out >= all->count)
        return dd_fail(DD_ERROR_USAGE, "--val-split %d leaves none of the %d training images", held_out, all->count);
    run->best_split = "val";
    strcpy(run->dataset->test.split, "test"); /* even if they are a folder's "val": the name is taken */
    dd_status status;
    int32_t *chosen = dd_calloc((size_t)held_out, sizeof *chosen);
    char *marks = dd_calloc((size_t)all->count, 1);
    if (chosen == NULL || marks == NULL) {
        status = dd_fail_memory("validation split", (size_t)all->count);
        goto done;
    }
    DD_GOTO(status, done, dd_draw_subset((uint64_t)run->config.seed, DD_STREAM_SPLIT, all->count, held_out, chosen));
    for (int i = 0; i < held_out; i++)
        marks[chosen[i]] = 1;
    DD_GOTO(status, done, copy_marked(all, marks, 0, all->count - held_out, "train", &run->train));
    DD_GOTO(status, done, copy_marked(all, marks, 1, held_out, "val", &run->val));
    free(run->dataset->train.pixels); /* both parts have their own */
    run->dataset->train.pixels = NULL;
done:
    free(chosen);
    free(marks);
    return status;
}

dd_status dd_input_mean(const struct dd_images *images, float *mean, float *std) {
    const size_t bytes = image_bytes(images);
    uint64_t *sums = dd_calloc(bytes, sizeof *sums);
    if (sums == NULL)
        return dd_fail_memory("mean image", bytes * sizeof *sums);
    for (size_t i = 0; i < (size_t)images->count; i++)
        for (size_t p = 0; p < bytes; p++)
            sums[p] += images->pixels[i * bytes + p];
    for (size_t p = 0; p < bytes; p++)
        mean[p] = (float)((double)sums[p] / (255.0 * images->count));
    for (int c = 0; c < images->channels; c++)
        std[c] = 1.0f;
    free(sums);
    return DD_OK;
}
