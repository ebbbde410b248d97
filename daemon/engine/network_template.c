/* Networks that others take their configuration from (ConfigOnly, ConfigFrom): nothing of them is
 * in the kernel, and no container is connected to one. */
#include <errno.h>

#include "private.h"

static const char *template_of(const json_t *body)
{
    return json_get_str(json_get(body, "ConfigFrom"), "Network", "");
}

static int check_template(const json_t *body, struct err *reterr)
{
    if (json_get_bool(body, "Ingress", false) || json_get_bool(body, "Internal", false) ||
        json_get_bool(body, "Attachable", false) || *json_get_str(body, "Scope", ""))
        return err_set(reterr, ERR_FORBIDDEN, EPERM,
                       "configuration network can only contain network specific fields. Network "
                       "operator fields like [ ingress | internal | attachable | scope ] are not "
                       "supported.");
    if (*template_of(body))
        return err_set(reterr, ERR_FORBIDDEN, EPERM,
                       "a configuration network cannot depend on another configuration network");
    return 0;
}

int net_check_template_use(const json_t *body, struct err *reterr)
{
    const json_t *ipam = json_get(body, "IPAM");
    const char *driver = json_get_str(ipam, "Driver", "");

    if (json_get_bool(body, "ConfigOnly", false))
        return check_template(body, reterr);
    if (!*template_of(body))
        return 0;
    if ((*driver && !streq(driver, "default")) || json_get_bool(body, "EnableIPv6", false) ||
        json_object_size(json_get(body, "Labels")) > 0 ||
        json_object_size(json_get(ipam, "Options")) > 0 ||
        json_array_size(json_get(ipam, "Config")) > 0)
        return err_set(reterr, ERR_FORBIDDEN, EPERM,
                       "user specified configurations are not supported if the network depends on "
                       "a configuration network");
    if (json_object_size(json_get(body, "Options")) > 0)
        return err_set(reterr, ERR_FORBIDDEN, EPERM,
                       "network driver options are not supported if the network depends on a "
                       "configuration network");
    return 0;
}

/* By its name: dockerd takes no id here. */
static const struct net *find(struct engine *e, const char *name)
{
    struct map_entry *m;

    for (size_t i = 0; (m = map_next(&e->nets, &i));) {
        const struct net *net = m->value;

        if (net->kind == NET_KIND_TEMPLATE && !net->busy && streq(net->name, name))
            return net;
    }
    return NULL;
}

int net_apply_template(struct engine *e, const json_t *body, json_t **ret, struct err *reterr)
{
    static const char *const own[] = {"Driver",  "Internal", "Attachable", "EnableIPv4",
                                      "Ingress", "Scope",    "ConfigFrom"},
                             *const taken[] = {"EnableIPv6", "IPAM", "Options", "Labels"};
    const struct net *template;

    if (!*template_of(body)) {
        *ret = json_incref((json_t *)body);
        return 0;
    }
    template = find(e, template_of(body));
    if (!template)
        return err_set(reterr, ERR_NOT_FOUND, ENOENT, "configuration network \"%s\" does not exist",
                       template_of(body));
    *ret = json_object();
    for (size_t i = 0; i < ARRAY_SIZE(own); i++)
        json_object_set(*ret, own[i], json_get(body, own[i]));
    for (size_t i = 0; i < ARRAY_SIZE(taken); i++)
        json_object_set_new(*ret, taken[i],
                            json_deep_copy(json_object_get(template->config, taken[i])));
    return 0;
}

bool net_template_in_use(const struct net *template)
{
    struct map_entry *m;

    for (size_t i = 0; (m = map_next(&template->engine->nets, &i));) {
        const struct net *net = m->value;

        if (streq(json_get_str(net->config, "ConfigFrom", ""), template->name))
            return true;
    }
    return false;
}
