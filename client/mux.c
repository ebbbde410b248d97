#include "mux.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

int mux_feed(struct mux *m, const char *data, size_t len, mux_sink sink, void *arg)
{
    while (len > 0) {
        size_t n;

        if (m->left == 0) {
            uint32_t size;

            n = sizeof(m->head) - m->have < len ? sizeof(m->head) - m->have : len;
            memcpy(m->head + m->have, data, n);
            m->have += n;
            data += n;
            len -= n;
            if (m->have < sizeof(m->head))
                return 0;
            if (m->head[0] > MUX_SYSTEM)
                return -EBADMSG;
            memcpy(&size, m->head + 4, sizeof(size));
            m->left = be32toh(size);
            m->have = 0;
            continue;
        }
        n = m->left < len ? m->left : len;
        int r = sink(arg, (enum mux_stream)m->head[0], data, n);

        if (r < 0)
            return r;
        m->left -= (uint32_t)n;
        data += n;
        len -= n;
    }
    return 0;
}
