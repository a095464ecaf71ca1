/* Evaluation by a model: labels by its class names, images in its shape. */
#include "dataset/source.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "dataset/image.h"

static int find_class(char *const *names, int count, const char *name) {
    for (int i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0)
            return i;
    return -1;
}

/* Rewrites labels by map [classes]; a class that has images and no number in the model is an error. */
static dd_status map_labels(const dd_dataset *dataset, struct dd_images *images, const int *map) {
    for (int i = 0; i < images->count; i++) {
        int32_t label = images->labels[i];
        if (map[label] < 0)
            return dd_fail(DD_ERROR_DATA, "class '%s' of data set '%s' is unknown to the model: remove its images or "
                           "evaluate a model that was trained with it", dataset->class_names[label], dataset->spec);
        images->labels[i] = map[label];
    }
    return DD_OK;
}

dd_status dd_dataset_relabel(dd_dataset *dataset, char *const *model_classes, int model_class_count) {
    dd_status status;
    int *map = dd_calloc((size_t)dataset->classes + 1, sizeof *map);
    if (!map)
        return dd_fail_memory("label map", ((size_t)dataset->classes + 1) * sizeof *map);
    for (int i = 0; i < dataset->classes; i++)
        map[i] = find_class(model_classes, model_class_count, dataset->class_names[i]);
    DD_GOTO(status, done, map_labels(dataset, &dataset->train, map));
    DD_GOTO(status, done, map_labels(dataset, &dataset->test, map));
    for (int i = 0; i < dataset->classes; i++)
        free(dataset->class_names[i]);
    free(dataset->class_names);
    dataset->class_names = NULL;
    dataset->classes = 0;
    status = dd_dataset_set_classes(dataset, (const char *const *)model_classes, model_class_count);

done:
    free(map);
    return status;
}

dd_status dd_images_convert(struct dd_images *images, int channels, int height, int width) {
    channels = channels == 0 ? images->channels : channels;
    height = height == 0 ? images->height : height;
    width = width == 0 ? images->width : width;
    if (channels == images->channels && height == images->height && width == images->width)
        return DD_OK;

    struct dd_images converted;
    struct dd_fit *fit = NULL;
    size_t from = (size_t)images->height * (size_t)images->width;
    DD_TRY(dd_images_create(&converted, images->split, images->count, channels, height, width));
    dd_status status = dd_fit_create(images->height, images->width, height, width, &fit);
    if (status != DD_OK) {
        dd_images_destroy(&converted);
        return status;
    }
    for (int i = 0; i < images->count; i++) {
        struct dd_image image = {.height = images->height, .width = images->width, .channels = images->channels,
                                 .pixel_step = 1, .channel_step = from,
                                 .pixels = images->pixels + (size_t)i * dd_images_stride(images)};
        dd_fit_apply(fit, &image, channels, converted.pixels + (size_t)i * dd_images_stride(&converted));
        converted.labels[i] = images->labels[i];
    }
    dd_fit_destroy(&fit);
    dd_images_destroy(images);
    *images = converted;
    return DD_OK;
}
