#!/usr/bin/python3
"""many_layers.py BUSYBOX_IMAGE OUT: an image "many:120" of busybox and 120 small layers, for load.

Layer N adds the file /fN and replaces /top; both hold N.
"""
import json
import os
import sys
import tarfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))
import imagemaker  # noqa: E402

LAYERS = 120


def base_layer(path):
    with tarfile.open(path) as image:
        manifest = json.load(image.extractfile("manifest.json"))
        return image.extractfile(manifest[0]["Layers"][0]).read()


def main(busybox, out):
    layers = [base_layer(busybox)]
    for n in range(1, LAYERS + 1):
        text = f"{n}\n".encode()
        layers.append(imagemaker.layer({f"f{n}": text, "top": text}))
    with open(out, "wb") as f:
        f.write(imagemaker.docker_archive(layers, [f"many:{LAYERS}"], {"Cmd": ["sh"]}))


main(*sys.argv[1:])
