/* index.html: one file without scripts, references or downloads; the figures are inside. */
#include <stdlib.h>
#include <string.h>

#include <depthdrop/depthdrop.h>

#include "base/file.h"
#include "base/mem.h"
#include "report/internal.h"

enum { MAX_PICTURE = 64 << 20 };

static const char head[] =
    "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>depthdrop "
    "report</title>\n<style>\n"
    ":root{color-scheme:light dark}\n"
    "body{font:16px/1.5 system-ui,sans-serif;max-width:76rem;margin:2rem auto;padding:0 1rem}\n"
    "p,ul,figure{max-width:60rem}"
    "h1{font-size:1.7rem}h2{font-size:1.3rem;margin-top:2.2rem}h3{font-size:1.05rem;margin:1.8rem 0 .4rem}\n"
    ".wide{overflow-x:auto}\n"
    "table{border-collapse:collapse;font-size:.8rem;font-variant-numeric:tabular-nums}\n"
    "caption{text-align:left;padding:.3rem 0;font-weight:600}\n"
    "th,td{padding:.25rem .6rem;border-bottom:1px solid #8885;text-align:left;vertical-align:top;white-space:nowrap}\n"
    "th{border-bottom:2px solid #888a;vertical-align:bottom;white-space:normal}td.n,th.n{text-align:right}\n"
    "figure{margin:.5rem 0}figure svg{display:block;width:100%;height:auto;background:#fff;border:1px solid #8885}\n"
    "figcaption,.note{font-size:.88rem;opacity:.85}details{margin:.4rem 0}summary{cursor:pointer}\n"
    "</style>\n</head>\n<body>\n";

void dd_page_text(FILE *page, const char *text) {
    for (; *text != '\0'; text++) {
        switch (*text) {
        case '&':
            fputs("&amp;", page);
            break;
        case '<':
            fputs("&lt;", page);
            break;
        case '>':
            fputs("&gt;", page);
            break;
        case '"':
            fputs("&quot;", page);
            break;
        default:
            fputc(*text, page);
        }
    }
}

/* ---- pictures ---- */

/*
 * gnuplot's drawing, made part of the page: its <svg> element without the XML namespaces, which HTML implies, and with
 * ids that belong to this figure alone. Its <title> elements, which browsers show as tips, go.
 */
static void write_svg(const char *svg, const struct dd_figure *figure, FILE *page) {
    static const char *const owned[] = {" id='", " id=\"", "href='#"};
    const char *box = strstr(svg, "viewBox=\""), *body = strstr(svg, "</desc>");
    if (box == NULL || body == NULL)
        return;
    box += strlen("viewBox=\"");
    fprintf(page, "<svg viewBox=\"%.*s\" role=\"img\" aria-label=\"", (int)strcspn(box, "\""), box);
    dd_page_text(page, figure->title);
    fputs("\">", page);
    for (const char *at = body + strlen("</desc>"); *at != '\0';) {
        const char *title_end = strncmp(at, "<title>", 7) == 0 ? strstr(at, "</title>") : NULL;
        size_t length = 1;
        bool own = false;
        if (title_end != NULL) {
            at = title_end + strlen("</title>");
            continue;
        }
        for (int i = 0; i < 3 && !own; i++)
            if (strncmp(at, owned[i], strlen(owned[i])) == 0) {
                length = strlen(owned[i]);
                own = true;
            }
        fwrite(at, 1, length, page);
        if (own)
            fprintf(page, "%s-", figure->name);
        at += length;
    }
}

static dd_status write_figure(const struct dd_figure *figure, const char *dir, FILE *page) {
    uint8_t *svg;
    size_t size;
    fprintf(page, "<h3 id=\"%s\">", figure->name);
    dd_page_text(page, figure->title);
    fputs("</h3>\n", page);
    if (figure->missing[0] != '\0') {
        fputs("<p class=\"note\">Left out: ", page);
        dd_page_text(page, figure->missing);
        fputs(".</p>\n", page);
        return DD_OK;
    }
    char *path = dd_format("%s/%s.svg", dir, figure->name);
    if (path == NULL)
        return dd_fail_memory("path", strlen(dir));
    const dd_status status = dd_file_read(path, MAX_PICTURE, &svg, &size);
    free(path);
    DD_TRY(status);
    fputs("<figure>\n", page);
    write_svg((const char *)svg, figure, page);
    free(svg);
    fputs("<figcaption>", page);
    dd_page_text(page, figure->note);
    fprintf(page, " (%s.svg, %s.png)</figcaption>\n", figure->name, figure->name);
    dd_page_points(figure, page);
    fputs("</figure>\n", page);
    return DD_OK;
}

/* ---- the page ---- */

static dd_status write_body(const struct dd_report *report, const char *dir, FILE *page) {
    fputs(head, page);
    fprintf(page,
            "<h1>depthdrop report</h1>\n<p class=\"note\">Written by depthdrop %s. All numbers are in "
            "report.json; figures.gp draws the figures anew.</p>\n",
            dd_version());
    if (report->run_count > 0) {
        fputs("<h2>Summary</h2>\n", page);
        dd_page_summary(report, page);
    }
    fputs("<h2>Reading</h2>\n", page);
    dd_page_reading(report, page);
    fputs("<h2>Figures</h2>\n", page);
    for (size_t f = 0; f < report->figure_count; f++)
        DD_TRY(write_figure(&report->figures[f], dir, page));
    if (report->timing_count > 0)
        fputs("<h2>Benchmarks</h2>\n", page);
    for (int t = 0; t < report->timing_count; t++)
        dd_page_timing(&report->timings[t], page);
    if (report->run_count > 0) {
        fputs("<h2>Runs</h2>\n", page);
        dd_page_runs(report, page);
    }
    fputs("</body>\n</html>\n", page);
    return DD_OK;
}

dd_status dd_report_write_page(const struct dd_report *report, const char *dir) {
    char *text = NULL, *path = dd_path_join(dir, "index.html");
    size_t size = 0;
    FILE *page = open_memstream(&text, &size);
    dd_status status;
    if (page == NULL || path == NULL) {
        status = dd_fail_memory("page", 4096);
        goto done;
    }
    status = write_body(report, dir, page);
    const bool whole = fclose(page) == 0;
    page = NULL;
    if (status == DD_OK)
        status = whole ? dd_file_write(path, text, size) : dd_fail_memory("page", size);
done:
    if (page != NULL)
        fclose(page);
    free(text);
    free(path);
    return status;
}
