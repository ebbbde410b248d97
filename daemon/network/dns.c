#include "dns.h"

#include <stdlib.h>
#include <sys/random.h>

#include "dns_impl.h"

uint16_t dns_random(struct dns *dns)
{
    /* Requests of up to 256 bytes are not interrupted: getrandom(2). */
    if (dns->random_left == 0) {
        for (size_t i = 0; i < sizeof(dns->random); i += 256) {
            if (getrandom((uint8_t *)dns->random + i, 256, 0) != 256)
                abort();
        }
        dns->random_left = ARRAY_SIZE(dns->random);
    }
    return dns->random[--dns->random_left];
}

void dns_resume_at(struct dns *dns, uint64_t time_ms)
{
    if (time_ms < dns->resume_ms)
        dns->resume_ms = time_ms;
}

static void resume(struct dns *dns, uint64_t now_ms)
{
    struct dns_server *server;

    if (dns->resume_ms > now_ms)
        return;
    dns->resume_ms = UINT64_MAX;
    LIST_FOREACH(server, &dns->servers, of_dns)
    dns_resume_at(dns, dns_server_resume(server, now_ms));
}

static void on_timer(uv_timer_t *timer)
{
    struct dns *dns = timer->data;
    uint64_t now = uv_now(dns->loop);

    dns_forwards_expire(dns, now);
    dns_clients_expire(dns, now);
    resume(dns, now);
    dns_schedule(dns);
}

void dns_schedule(struct dns *dns)
{
    const struct dns_forward *f = TAILQ_FIRST(&dns->in_flight);
    uint64_t due = dns_clients_deadline(dns), now = uv_now(dns->loop), delay;

    if (f && f->deadline_ms < due)
        due = f->deadline_ms;
    if (dns->resume_ms < due)
        due = dns->resume_ms;
    if (due == UINT64_MAX)
        return;
    delay = due > now ? due - now : 1;
    if (uv_is_active((uv_handle_t *)&dns->timer) && uv_timer_get_due_in(&dns->timer) <= delay)
        return; /* it looks again then */
    uv_timer_start(&dns->timer, on_timer, delay, 0);
}

struct dns *dns_new(uv_loop_t *loop, const struct dns_backend *backend, const char *resolv_conf)
{
    struct dns *dns = xcalloc(1, sizeof(*dns));

    dns->loop = loop;
    dns->backend = *backend;
    dns->host.path = xstrdup(resolv_conf);
    dns->resume_ms = UINT64_MAX;
    LIST_INIT(&dns->servers);
    LIST_INIT(&dns->channels);
    TAILQ_INIT(&dns->in_flight);
    TAILQ_INIT(&dns->clients);
    uv_timer_init(loop, &dns->timer);
    dns->timer.data = dns;
    return dns;
}

static void on_closed(uv_handle_t *handle)
{
    struct dns *dns = handle->data;

    free(dns->host.path);
    free(dns);
}

void dns_free(struct dns *dns)
{
    struct dns_server *server;

    while ((server = LIST_FIRST(&dns->servers)))
        dns_server_close(server);
    uv_close((uv_handle_t *)&dns->timer, on_closed);
}
