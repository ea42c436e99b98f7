/* inspect_html.h - the parts of the HTML page. Private to inspect_html*.c.
 *
 * The page is one file without scripts and without anything from elsewhere: tables, and drawings
 * as SVG whose tooltips are <title> elements. */
#ifndef BM_INSPECT_HTML_H
#define BM_INSPECT_HTML_H

#include "planner/inspect_lanes.h"

enum { HTML_WIDTH = 1120, HTML_LEFT = 84 }; /* of drawings; the left is for what axes say */

void html_text(Page *p, const char *text); /* with &, <, > and quotes as entities */
void html_section(Page *p, const char *title, const char *below);
const char *html_role_colour(int role);
const char *html_role_name(int role);

/* A table: its head at once ("name|>bytes": as grid_new), then cells, row by row. */
typedef struct HtmlTable {
    Page *p;
    int n_col, at;
    bool right[GRID_COLUMNS];
    bool marked; /* the next row is shown as the one chosen */
} HtmlTable;
HtmlTable html_table(Page *p, const char *columns);
void html_cell(HtmlTable *t, const char *text);
void html_bar(HtmlTable *t, double share, const char *colour); /* the last cell of a row */
void html_table_end(HtmlTable *t);

/* A square of a colour and what it stands for. */
void html_legend(Page *p, const char *colour, const char *text);

void html_memory(Page *p);
void html_timeline(Page *p);
void html_shards(Page *p);

#endif
