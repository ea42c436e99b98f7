/* threads_transport.h - ranks as threads of one process, for tests of the collectives.
 *
 * A message is copied straight from the sender's memory to the receiver's, and only when both are
 * there: memory that is written again too early, or read before it arrived, gives a wrong result.
 * Which of several waiting messages moves next is drawn. */
#ifndef THREADS_TRANSPORT_H
#define THREADS_TRANSPORT_H

#include "runtime/comm.h"
#include "runtime/rng.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_RANKS = 8, MOST_POSTS = 4096 };

typedef struct post {
    int from, to, tag;
    bool send, matched;
    void *at;
    int64_t bytes;
} post;

typedef struct hub { /* one world */
    pthread_mutex_t mutex;
    int ranks;
    uint64_t draws, aborted;
    int broken; /* messages of different lengths met */
} hub;

typedef struct seat { /* one rank's end */
    hub *hub;
    int rank;
    post post[MOST_POSTS];
    int n;
    struct seat *all; /* [ranks] */
    bmrt_transport table;
} seat;

static BmStatus seat_open(void **link, const void *context, bmrt_place_in *place, bmrt_error *e)
{
    seat *s = (seat *)(uintptr_t)context;
    (void)e;
    *place = (bmrt_place_in){s->rank, s->hub->ranks, s->hub->ranks};
    *link = s;
    return BMRT_OK;
}

static BmStatus seat_reserve(void *link, int pieces, bmrt_error *e)
{
    (void)link;
    if (pieces > MOST_POSTS)
        return bmrt_fail(e, BMRT_BUG, "%d pieces", pieces);
    return BMRT_OK;
}

static BmStatus seat_start(void *link, const bmrt_piece *piece, int n, int tag, bmrt_error *e)
{
    seat *s = link;
    (void)e;
    pthread_mutex_lock(&s->hub->mutex);
    for (int i = 0; i < n; i++) {
        const bmrt_piece *p = &piece[i];
        s->post[i] = (post){p->send ? s->rank : p->peer,
                            p->send ? p->peer : s->rank,
                            tag,
                            p->send,
                            false,
                            p->at,
                            p->bytes};
    }
    s->n = n;
    pthread_mutex_unlock(&s->hub->mutex);
    return BMRT_OK;
}

/* The first open post of that kind in a seat. */
static post *first_open(seat *s, int from, int to, int tag, bool send)
{
    for (int i = 0; i < s->n; i++) {
        post *p = &s->post[i];
        if (!p->matched && p->from == from && p->to == to && p->tag == tag && p->send == send)
            return p;
    }
    return NULL;
}

static BmStatus seat_test(void *link, bmrt_piece *piece, int n, bmrt_error *e)
{
    seat *s = link;
    (void)e;
    pthread_mutex_lock(&s->hub->mutex);
    for (int i = 0; i < n; i++) {
        post *r = &s->post[i];
        if (r->matched || r->send || bmrt_philox(7, s->hub->draws++, 0).w[0] % 2)
            continue;
        if (first_open(s, r->from, r->to, r->tag, false) != r)
            continue;
        post *from = first_open(&s->all[r->from], r->from, r->to, r->tag, true);
        if (!from)
            continue;
        s->hub->broken += from->bytes != r->bytes;
        memcpy(r->at, from->at, (size_t)(from->bytes < r->bytes ? from->bytes : r->bytes));
        from->matched = r->matched = true;
    }
    for (int i = 0; i < n; i++)
        piece[i].done = s->post[i].matched;
    pthread_mutex_unlock(&s->hub->mutex);
    return BMRT_OK;
}

static void seat_abort(void *link, int code)
{
    seat *s = link;
    s->hub->aborted = (uint64_t)code;
}

static void seat_close(void *link)
{
    (void)link;
}

static inline seat *hub_create(hub *h, int ranks)
{
    seat *s = calloc((size_t)ranks, sizeof *s);
    memset(h, 0, sizeof *h);
    pthread_mutex_init(&h->mutex, NULL);
    h->ranks = ranks;
    for (int i = 0; s && i < ranks; i++) {
        s[i].hub = h;
        s[i].rank = i;
        s[i].all = s;
        s[i].table = (bmrt_transport){"threads",  "threads", &s[i],      seat_open, seat_reserve,
                                      seat_start, seat_test, seat_abort, seat_close};
    }
    return s;
}

static inline void hub_destroy(hub *h, seat *s)
{
    pthread_mutex_destroy(&h->mutex);
    free(s);
}

#endif
