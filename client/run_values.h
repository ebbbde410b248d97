/* Values of run's and create's options that have a syntax of their own. */
#pragma once

#include "values.h"

int value_capability(const char *value, json_t **ret_json, struct err *reterr);
int value_attach(const char *value, json_t **ret_json, struct err *reterr);
int value_add_host(const char *value, json_t **ret_json, struct err *reterr);
int value_ip(const char *value, json_t **ret_json, struct err *reterr);
int value_domain(const char *value, json_t **ret_json, struct err *reterr);
int value_env(const char *value, json_t **ret_json, struct err *reterr);
int value_link(const char *value, json_t **ret_json, struct err *reterr);
int value_ulimit(const char *value, json_t **ret_json, struct err *reterr);
int value_sysctl(const char *value, json_t **ret_json, struct err *reterr);
int value_device_rule(const char *value, json_t **ret_json, struct err *reterr);
int value_device_weight(const char *value, json_t **ret_json, struct err *reterr);
int value_device_bps(const char *value, json_t **ret_json, struct err *reterr);
int value_device_iops(const char *value, json_t **ret_json, struct err *reterr);
int value_hugetlb_limit(const char *value, json_t **ret_json, struct err *reterr);
int value_rdma_limit(const char *value, json_t **ret_json, struct err *reterr);
int value_net_priority(const char *value, json_t **ret_json, struct err *reterr);
int value_gpus(const char *value, json_t **ret_json, struct err *reterr);
