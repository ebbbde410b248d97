"""Holds replies against api/openapi.yaml and tells which operations were called."""
import json
import os
import re
import urllib.parse

import jsonschema
import yaml

PATH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../api/openapi.yaml")


def json_values(body):
    """All JSON values of a stream, whatever white space is between them."""
    decoder, at = json.JSONDecoder(), 0
    while True:
        while at < len(body) and body[at].isspace():
            at += 1
        if at == len(body):
            return
        value, at = decoder.raw_decode(body, at)
        yield value


class Contract:
    def __init__(self, path=PATH):
        with open(path) as file:
            self.document = yaml.load(file, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        self.resolver = jsonschema.RefResolver("", self.document)
        # Fixed words win over parameters; the name of an image may hold slashes.
        self.routes = sorted(
            ((re.compile("^" + re.sub(r"\\{\w+\\}", "(.+)", re.escape(path)) + "$"), path, item)
             for path, item in self.document["paths"].items()),
            key=lambda route: ("{" in route[1], -len(re.sub(r"{\w+}", "", route[1]))))
        self.seen = set()

    def operations(self):
        return {f"{method.upper()} {path}" for path, item in self.document["paths"].items()
                for method in item if method in ("get", "head", "post", "put", "delete")}

    def find(self, method, path):
        """(operation's name, operation) or (None, None)"""
        bare = urllib.parse.unquote(path.partition("?")[0])
        for pattern, template, item in self.routes:
            if method.lower() in item and pattern.match(bare):
                return f"{method} {template}", item[method.lower()]
        return None, None

    def resolve(self, node):
        while "$ref" in node:
            _, node = self.resolver.resolve(node["$ref"])
        return node

    def problems(self, method, path, status, kind, body):
        """What is wrong with one reply, as texts; empty is good."""
        name, operation = self.find(method, path)
        if operation is None:
            # Not part of the contract: the one reply for it is this.
            return [] if status == 404 else [f"status {status} for an unknown operation"]
        self.seen.add(name)
        responses = operation["responses"]
        if str(status) not in responses:
            return [f"status {status} is not in the contract"]
        response = self.resolve(responses[str(status)])
        content = response.get("content")
        if not content:
            return [f"body {body[:200]!r} where none belongs"] if body else []
        media = kind.partition(";")[0].strip()
        if media not in content:
            return [f"content type {kind!r}, wanted one of {sorted(content)}"] if body else []
        if media == "application/json" and kind != media:
            return [f"content type {kind!r} must have no parameters"]
        schema = content[media].get("schema")
        if schema is None:
            return []
        try:
            values = ([body] if media == "text/plain" else
                      list(json_values(body)) if response.get("x-stream") else [json.loads(body)])
        except ValueError as error:
            return [f"not JSON: {error}: {body[:200]!r}"]
        validator = jsonschema.Draft202012Validator(schema, resolver=self.resolver)
        return [f"{'/'.join(map(str, e.absolute_path)) or 'body'}: {e.message[:300]}"
                for value in values for e in validator.iter_errors(value)]

    def check(self, recorded):
        wrong = {}
        # Who waits for a state asks many times, and is told the same.
        for method, path, status, kind, body in dict.fromkeys(recorded):
            for problem in self.problems(method, path, status, kind, body):
                name = self.find(method, path)[0] or f"{method} {path}"
                wrong.setdefault(f"{name} -> {status}: {problem}", path)
        assert not wrong, "replies against the contract:\n" + "\n".join(
            f"  {text} ({path})" for text, path in sorted(wrong.items()))
