/* This machine in OCI's words. */
#pragma once

const char *platform_arch(void); /* "amd64", "arm64" ...; the kernel's word if OCI has none */
