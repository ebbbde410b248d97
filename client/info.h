/* The long text of `info`. */
#pragma once

#include <jansson.h>

void info_print(const json_t *info);
