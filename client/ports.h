/* --publish and --expose. */
#pragma once

#include <jansson.h>

#include "err.h"

/* "[IP:][HOST[-HOST]:]PORT[-PORT][/PROTO]" into "ExposedPorts" and "HostConfig.PortBindings" of a
 * create request. */
int ports_publish(json_t **body, const char *spec, struct err *reterr);
/* "PORT[-PORT][/PROTO]" into "ExposedPorts". */
int ports_expose(json_t **body, const char *spec, struct err *reterr);
