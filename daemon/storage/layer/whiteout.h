/* How a layer's tar says that something of the layers below is gone (OCI image-spec layer.md). */
#pragma once

#define WHITEOUT ".wh."                /* in front of the name */
#define WHITEOUT_META ".wh..wh."       /* aufs' own files */
#define WHITEOUT_OPAQUE ".wh..wh..opq" /* in a directory that hides all below it */
