/* The tables of the database as a list of migrations: schema_migrations[v - 1] leads to version v
 * (PRAGMA user_version). */
#pragma once

extern const char *const schema_migrations[];
extern const int schema_version;
