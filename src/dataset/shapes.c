/*
 * `shapes`: ten kinds of figure of random colour, place, size and tilt on a random ground under noise, 3 x 32 x 32, as
 * many as fit a first run. Only +, -, *, / and square root are used, which give the same bits everywhere; a change of
 * the drawing changes the data's hash and so the results of every test that trains on it.
 */
#include "dataset/source.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/philox.h"
#include "base/thread.h"

enum { SIDE = 32, PLANE = SIDE * SIDE, CLASSES = 10, TRAIN_COUNT = 5120, TEST_COUNT = 1024 };

static const uint64_t seed = 0x5eed0f5a9e5;

/* A figure, in its own coordinates: u, v in -1 .. 1. Every one looks the same mirrored left to right. */
typedef bool (*inside_figure)(double u, double v);

static bool in_disc(double u, double v) {
    return u * u + v * v < 0.81;
}

static bool in_ring(double u, double v) {
    double square = u * u + v * v;
    return square < 0.9 && square > 0.36;
}

static bool in_square(double u, double v) {
    return fabs(u) < 0.75 && fabs(v) < 0.75;
}

static bool in_frame(double u, double v) {
    return fabs(u) < 0.85 && fabs(v) < 0.85 && (fabs(u) > 0.5 || fabs(v) > 0.5);
}

static bool in_triangle(double u, double v) {
    return v < 0.75 && fabs(u) < (v + 0.95) * 0.55;
}

static bool in_diamond(double u, double v) {
    return fabs(u) * 1.3 + fabs(v) < 0.98;
}

static bool in_cross(double u, double v) {
    return (fabs(u) < 0.28 && fabs(v) < 0.95) || (fabs(v) < 0.28 && fabs(u) < 0.95);
}

/* A pentagram is where at least four of its inner pentagon's five half-planes meet. */
static bool in_star(double u, double v) {
    static const double normals[5][2] = {{0, 1}, {0.951056516295, 0.309016994375}, {0.587785252292, -0.809016994375},
                                         {-0.587785252292, -0.809016994375}, {-0.951056516295, 0.309016994375}};
    int met = 0;
    for (int i = 0; i < 5; i++)
        met += u * normals[i][0] + v * normals[i][1] < 0.36;
    return met >= 4;
}

static bool in_bars(double u, double v) {
    return fabs(u) < 0.9 && (fabs(v) < 0.17 || (fabs(v) > 0.51 && fabs(v) < 0.85));
}

static bool in_checks(double u, double v) {
    return fabs(u) < 0.85 && fabs(v) < 0.85 && ((fabs(u) < 0.283) == (fabs(v) < 0.283));
}

static const struct figure { const char *name; inside_figure inside; } figures[CLASSES] = {
    {"disc", in_disc}, {"ring", in_ring}, {"square", in_square}, {"frame", in_frame}, {"triangle", in_triangle},
    {"diamond", in_diamond}, {"cross", in_cross}, {"star", in_star}, {"bars", in_bars}, {"checks", in_checks},
};

struct drawing {
    struct dd_images *images;
    uint32_t split;
};

/* What one image is drawn from. */
struct scene {
    double x, y, radius;     /* pixels */
    double cosine, sine;     /* of the tilt */
    double ground[3], ink[3];
    double noise;            /* largest deviation */
};

/* Uniform numbers from counters (image, block, DD_STREAM_SHAPES, split), a word each. */
struct stream {
    uint32_t image, split, used;
    uint32_t words[4];
};

static double next_number(struct stream *stream) {
    if (stream->used % 4 == 0)
        dd_philox(seed, stream->image, stream->used / 4, DD_STREAM_SHAPES, stream->split, stream->words);
    return dd_unit_interval(stream->words[stream->used++ % 4]);
}

static void choose_scene(struct stream *stream, struct scene *scene) {
    scene->radius = 9 + 5 * next_number(stream);
    scene->x = scene->radius + (SIDE - 2 * scene->radius) * next_number(stream);
    scene->y = scene->radius + (SIDE - 2 * scene->radius) * next_number(stream);
    double half = 0.3 * next_number(stream) - 0.15; /* tangent of half the tilt: up to 17 degrees */
    scene->cosine = (1 - half * half) / (1 + half * half);
    scene->sine = 2 * half / (1 + half * half);
    scene->noise = 15 + 35 * next_number(stream);
    for (int c = 0; c < 3; c++) { /* a dark ground and a light figure: learnt in an epoch or two */
        scene->ground[c] = 20 + 90 * next_number(stream);
        scene->ink[c] = 140 + 105 * next_number(stream);
    }
}

/* Share of a pixel that the figure covers, by four samples. */
static double coverage(const struct scene *scene, inside_figure inside, int row, int column) {
    int hits = 0;
    for (int i = 0; i < 4; i++) {
        double dx = (column + 0.25 + 0.5 * (i % 2) - scene->x) / scene->radius;
        double dy = (row + 0.25 + 0.5 * (i / 2) - scene->y) / scene->radius;
        hits += inside(scene->cosine * dx + scene->sine * dy, scene->cosine * dy - scene->sine * dx);
    }
    return hits * 0.25;
}

static void draw_image(void *user, int index) {
    const struct drawing *drawing = user;
    struct stream stream = {.image = (uint32_t)index, .split = drawing->split};
    struct scene scene;
    uint8_t *pixels = drawing->images->pixels + (size_t)index * 3 * PLANE;
    int label = index % CLASSES;
    choose_scene(&stream, &scene);
    drawing->images->labels[index] = label;
    for (int i = 0; i < PLANE; i++) {
        double share = coverage(&scene, figures[label].inside, i / SIDE, i % SIDE);
        for (int c = 0; c < 3; c++) {
            double noise = (next_number(&stream) + next_number(&stream) - 1) * scene.noise;
            double value = scene.ground[c] + share * (scene.ink[c] - scene.ground[c]) + noise + 0.5;
            pixels[c * PLANE + i] = (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
        }
    }
}

static dd_status draw_split(const struct dd_dataset_options *options, const char *split, int count, uint32_t number,
                            struct dd_images *images) {
    DD_TRY(dd_images_create(images, split, count, 3, SIDE, SIDE));
    struct drawing drawing = {.images = images, .split = number};
    dd_parallel_for(count, options->threads, draw_image, &drawing);
    return DD_OK;
}

dd_status dd_shapes_open(const struct dd_dataset_options *options, const char *folder, dd_dataset *dataset) {
    const char *names[CLASSES];
    (void)folder; /* the table says that there is none */
    for (int i = 0; i < CLASSES; i++)
        names[i] = figures[i].name;
    DD_TRY(dd_dataset_set_classes(dataset, names, CLASSES));
    if (options->need_train)
        DD_TRY(draw_split(options, "train", TRAIN_COUNT, 0, &dataset->train));
    if (options->need_test)
        DD_TRY(draw_split(options, "test", TEST_COUNT, 1, &dataset->test));
    return DD_OK;
}
