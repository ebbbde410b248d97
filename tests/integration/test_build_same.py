"""The same Dockerfiles built by Debian's dockerd (classic builder, 20.10) and by us: what is told line by line, how it ends,
configuration, history and files of the image.  What may differ is in KNOWN with its reason."""
import http.client
import io
import json
import re
import tarfile
import urllib.parse

from harness import IMAGE, Daemon
from test_build import Built, context
from test_differential import stock
from test_firewalls import own_network

FILES = {"a.txt": "a", "b.txt": "b", "dir/x": "1", "dir/sub/y": "22", "s p/f": "blank", ".hidden": "h", "c[1]": "bracket"}
B = "FROM busybox\n"

# name: (Dockerfile, files beside those above, query)
CASES = {
    # FROM and stages
    "stages": (f"FROM busybox AS One\nRUN echo 1 >/1\nFROM busybox as two\nCOPY --from=one /1 /\nCOPY --from=0 /1 /again\nFROM TWO\nLABEL a=b\n", {}, {}),
    "from arg": ("ARG t=latest\nARG n=busybox\nFROM ${n}:$t\nARG t\nRUN echo $t-$n >/t\n", {}, {}),
    "from arg given": ("ARG n=nothing\nFROM $n\n", {}, {"buildargs": {"n": "busybox"}}),
    "from default": ("FROM ${none:-busybox}\n", {}, {}),
    "from blank": ("ARG n\nFROM $n\n", {}, {}),
    "from three words": ("FROM busybox AS\n", {}, {}),
    "from bad name": ("FROM busybox AS 1st\n", {}, {}),
    "from scratch": ("FROM scratch\nCOPY a.txt /\nENV a=b\n", {}, {}),
    "only scratch": ("FROM scratch\n", {}, {}),
    "no from": ("RUN true\n", {}, {}),
    "only arg": ("ARG a\n", {}, {}),
    "from twice a name": ("FROM busybox AS a\nENV x=1\nFROM busybox AS a\nENV x=2\nFROM a\n", {}, {}),
    "copy from itself": ("FROM busybox AS self\nCOPY --from=self /bin /x\n", {}, {}),
    "copy from later": ("FROM busybox\nCOPY --from=2 /bin /x\n", {}, {}),
    "target": ("FROM busybox AS a\nENV x=a\nFROM busybox AS b\nRUN exit 1\n", {}, {"target": "A"}),
    "no such target": (B, {}, {"target": "nope"}),
    "target number": ("FROM busybox\nENV x=0\nFROM busybox\nENV x=1\n", {}, {"target": "0"}),
    "target out of range": (B, {}, {"target": "7"}),
    # RUN
    "run forms": (B + 'RUN echo $HOME > /s && cat /s\nRUN ["echo", "$HOME", "a b"]\nRUN [ "echo", \'no json\' ]\nRUN   echo   spaces   \n', {}, {}),
    "run fails": (B + "RUN echo out; echo err >&2; exit 3\nRUN never\n", {}, {}),
    "run exec fails": (B + 'RUN ["sh", "-c", "exit 130"]\n', {}, {}),
    "run killed": (B + "RUN kill -9 $$\n", {}, {}),
    "run flags": (B + "RUN --unknown=1 true\n", {}, {}),
    "run empty": (B + "RUN\n", {}, {}),
    "run in workdir as user": (B + "WORKDIR /w/x\nUSER 7:8\nRUN pwd; id -u; id -g; echo $HOME\n", {}, {}),
    "shell": (B + 'SHELL ["/bin/sh", "-ec"]\nRUN false; echo no\n', {}, {}),
    "shell form": (B + "SHELL /bin/sh\n", {}, {}),
    # lines
    "continued": (B + "RUN echo one \\\n  two \\\n# a comment\n   # and another\n\n  three > /x; \\\n  cat /x\n", {}, {}),
    "escape": ("# escape=`\nFROM busybox\nRUN echo a `\n b; echo 'c:\\d'\nENV p=c:\\x\nRUN echo \"$p\"\n", {}, {}),
    "escape twice": ("# escape=`\n# escape=\\\nFROM busybox\n", {}, {}),
    "bad escape": ("# escape=x\nFROM busybox\n", {}, {}),
    "late directive": ("# nothing\n# escape=`\nFROM busybox\nRUN echo a \\\n b\n", {}, {}),
    "syntax directive": ("# syntax=docker/dockerfile:1\nFROM busybox\nENV a=b\n", {}, {}),
    "trailing escape": (B + "ENV a=b\\\n", {}, {}),
    "case": ("from busybox\nenv A=b\nRun echo $A\n", {}, {}),
    "leading blanks": ("   FROM busybox\n\t ENV a=b\n", {}, {}),
    "crlf": ("FROM busybox\r\nENV a=b\r\nRUN echo \\\r\n x\r\n", {}, {}),
    "bom": (b"\xef\xbb\xbfFROM busybox\nENV a=b\n", {}, {}),
    "unknown": (B + "FROOM x\n", {}, {}),
    "empty": ("# nothing\n\n", {}, {}),
    "no end of line": ("FROM busybox\nENV a=b", {}, {}),
    # words
    "env": (B + "ENV a=1 b=\"x y\" c='$a' d=\\$a e=${a}2 f=${n:-def} g=${a:+set} h=${n:+set}\nENV old style $a  \nENV a=2 z=$a\nENV q=\"q\\\"q\"\n"
            "RUN echo \"$a|$b|$c|$d|$e|$f|$g|$h|$old|$z|$q\"\n", {}, {}),
    "env bad": (B + "ENV a\n", {}, {}),
    "env blank name": (B + "ENV =b\n", {}, {}),
    "env pairs bad": (B + "ENV a=b c\n", {}, {}),
    "bad substitution": (B + "ENV a=${b\n", {}, {}),
    "bad modifier": (B + "ENV a=${b%x}\n", {}, {}),
    "quotes open": (B + "ENV a='b\n", {}, {}),
    "label": (B + "LABEL a=b \"c d\"=\"e f\" g='h' i=\\\n  \"j\" multi=\"x\\\ny\"\nLABEL old and more\nENV v=w\nLABEL x=$v y='$v'\n", {}, {}),
    "label bad": (B + "LABEL a\n", {}, {}),
    "arg": (B + "ARG a\nARG b=1\nARG c=$b-x\nENV b=2\nRUN echo $a $b $c\n", {}, {"buildargs": {"a": "A", "unused": "x"}}),
    "arg null": (B + "ARG a=dflt\nRUN echo $a.\n", {}, {"buildargs": {"a": None}}),
    "arg several": (B + "ARG a=1 b=2\nRUN echo $a $b\n", {}, {}),
    "arg blank": (B + "ARG =x\n", {}, {}),
    "proxy args": (B + "RUN echo $HTTP_PROXY $no_proxy\n", {}, {"buildargs": {"HTTP_PROXY": "http://p", "no_proxy": "x", "other": "y"}}),
    "workdir": (B + "ENV d=/v\nWORKDIR $d\nWORKDIR sub/../other\nRUN pwd\nWORKDIR /\nWORKDIR a b\n", {}, {}),
    "workdir empty": (B + "WORKDIR\n", {}, {}),
    "user": (B + "ENV u=5\nUSER $u:6\n", {}, {}),
    "user two": (B + "USER a b\n", {}, {}),
    "volume": (B + 'ENV v=/vv\nVOLUME /a $v "/q q"\nVOLUME ["/j", "/k l"]\n', {}, {}),
    "volume empty": (B + 'VOLUME [""]\n', {}, {}),
    "volume keeps": (B + "RUN mkdir /v; echo 1 >/v/1\nVOLUME /v\nRUN echo 2 >/v/2\nRUN ls /v\n", {}, {}),
    "expose": (B + "ENV p=81\nEXPOSE 80 $p/udp 90-92 53/tcp\n", {}, {}),
    "expose bad": (B + "EXPOSE x\n", {}, {}),
    "expose protocol": (B + "EXPOSE 80/foo\n", {}, {}),
    "entrypoint": (B + 'CMD ["a"]\nENTRYPOINT ["sh", "-c"]\n', {}, {}),
    "entrypoint shell": (B + "ENTRYPOINT exec top -b\nCMD x y\n", {}, {}),
    "entrypoint resets": ("FROM busybox AS a\nCMD [\"given\"]\nFROM a\nENTRYPOINT [\"e\"]\n", {}, {}),
    "cmd empty": (B + "CMD []\nENTRYPOINT []\n", {}, {}),
    "cmd none": (B + "CMD\n", {}, {}),
    "healthcheck": (B + 'HEALTHCHECK --interval=5s --timeout=2s --start-period=1m --retries=4 CMD ["x", "y"]\n', {}, {}),
    "healthcheck none": (B + "HEALTHCHECK NONE\n", {}, {}),
    "healthcheck bad": (B + "HEALTHCHECK --interval=1 CMD x\n", {}, {}),
    "healthcheck short": (B + "HEALTHCHECK --interval=1us CMD x\n", {}, {}),
    "healthcheck flag": (B + "HEALTHCHECK --foo=1 CMD x\n", {}, {}),
    "healthcheck kind": (B + "HEALTHCHECK FOO x\n", {}, {}),
    "healthcheck empty": (B + "HEALTHCHECK CMD\n", {}, {}),
    "healthcheck none args": (B + "HEALTHCHECK NONE x\n", {}, {}),
    "healthcheck retries": (B + "HEALTHCHECK --retries=-1 CMD x\n", {}, {}),
    "stopsignal": (B + "ENV s=RTMIN+3\nSTOPSIGNAL SIGQUIT\nSTOPSIGNAL $s\n", {}, {}),
    "stopsignal bad": (B + "STOPSIGNAL FOO\n", {}, {}),
    "onbuild": (B + "ONBUILD ENV a=b\nONBUILD RUN echo $a > /t\n", {}, {}),
    "onbuild onbuild": (B + "ONBUILD ONBUILD RUN x\n", {}, {}),
    "onbuild from": (B + "ONBUILD FROM x\n", {}, {}),
    "onbuild unknown": (B + "ONBUILD FOO x\n", {}, {}),
    "onbuild within": ("FROM busybox AS base\nONBUILD RUN echo triggered > /t\nFROM base\nRUN cat /t\n", {}, {}),
    "maintainer": (B + "MAINTAINER me  <m@e>\n", {}, {}),
    "labels asked": (B + "LABEL a=1\n", {}, {"labels": {"a": "2", "b c": "3"}}),
    # COPY and ADD
    "copy": (B + "COPY a.txt b.txt /d/\nCOPY dir /tree\nCOPY dir/ /tree2/\nCOPY . /all\nCOPY *.txt /g/\nCOPY [\"s p/f\", \"/s p/\"]\nCOPY a.txt /tmp\nCOPY a.txt new/name\n"
             "COPY ./dir/../a.txt /dots\nCOPY /a.txt /slash\n", {}, {}),
    "copy brackets": (B + "COPY c[[]1] /x\n", {}, {}),
    "copy glob of dirs": (B + "COPY d* /x/\nCOPY */x /y/\n", {}, {}),
    "copy missing": (B + "COPY nope /x\n", {}, {}),
    "copy glob missing": (B + "COPY nope* /x/\n", {}, {}),
    "copy one of": (B + "COPY a.txt nope /x/\n", {}, {}),
    "copy two to file": (B + "COPY a.txt b.txt /x\n", {}, {}),
    "copy one argument": (B + "COPY a.txt\n", {}, {}),
    "copy outside": (B + "COPY ../a.txt /x\n", {}, {}),
    "copy url": (B + "COPY http://127.0.0.1:1/x /x\n", {}, {}),
    "copy flag": (B + "COPY --foo=1 a.txt /x\n", {}, {}),
    "copy flag twice": (B + "COPY --chown=1 --chown=2 a.txt /x\n", {}, {}),
    "add from": (B + "ADD --from=0 a.txt /x\n", {}, {}),
    "copy chown": (B + "RUN echo 'me:x:77:78::/:/bin/sh' >>/etc/passwd; echo 'grp:x:99:' >>/etc/group\nCOPY --chown=me a.txt /1\nCOPY --chown=me:grp dir /2\n"
                   "COPY --chown=5 a.txt /3\nCOPY --chown=:grp a.txt /4\n", {}, {}),
    "copy chown unknown": (B + "COPY --chown=nobodyknows a.txt /1\n", {}, {}),
    "copy chown arg": (B + "ARG u=3\nCOPY --chown=$u:4 a.txt /1\n", {}, {}),
    "copy from missing": (B + "COPY --from=0 /x /y\n", {}, {}),
    "copy from stage missing": ("FROM busybox AS a\nFROM busybox\nCOPY --from=a /nope /y\n", {}, {}),
    "copy into link": (B + "RUN mkdir /real; ln -s /real /link; echo o >/old; ln -s /old /f\nCOPY a.txt /link/\nCOPY dir /link/\nCOPY b.txt /f\n", {}, {}),
    "copy over directory": (B + "RUN mkdir -p /x/y\nCOPY a.txt /x\nCOPY dir /x/y\n", {}, {}),
    "copy dir over file": (B + "RUN echo >/x\nCOPY dir /x\n", {}, {}),
    "copy variable": (B + "ENV n=a d=/to\nCOPY $n.txt ${d}/x\n", {}, {}),
    "workdir copy": (B + "WORKDIR /w\nCOPY a.txt .\nCOPY b.txt sub/\nCOPY dir d\n", {}, {}),
    "add tars": (B + "ADD t.tar /t\nADD t.tar.gz /g\nADD t.tar.xz /x/\nADD a.txt t.tar /both/\nCOPY t.tar /c/\nADD not.tar /n\n", {"not.tar": "text"}, {}),
    # .dockerignore: the daemon looks at two names in it
    "ignore dockerfile": (B + "COPY . /c\n", {".dockerignore": "Dockerfile\n"}, {}),
    "ignore both": (B + "COPY . /c\n", {".dockerignore": "# x\n*\n!a.txt\n"}, {}),
    "ignore not": (B + "COPY . /c\n", {".dockerignore": "**\n!Dockerfile\n"}, {}),
    "other file": (None, {"sub/D": B + "COPY sub /s\n"}, {"dockerfile": "sub/D"}),
    "no file": (None, {}, {}),
    "no such file": (B, {}, {"dockerfile": "nope"}),
    "file outside": (B, {}, {"dockerfile": "../x"}),
    # the request
    "quiet": (B + "RUN echo x\n", {}, {"q": "1"}),
    "rm off": (B + "RUN echo x\n", {}, {"rm": "0"}),
    "tags": (B, {}, {"t": ["one", "two:x"]}),
    "bad tag": (B, {}, {"t": "UP"}),
    "extra hosts": (B + "RUN grep my.host /etc/hosts\n", {}, {"extrahosts": "my.host:10.1.2.3"}),
    "ulimits": (B + "RUN ulimit -n\n", {}, {"ulimits": [{"Name": "nofile", "Soft": 99, "Hard": 100}]}),
    "network none": (B + "RUN ls /sys/class/net\n", {}, {"networkmode": "none"}),
    "no network": (B + "RUN true\n", {}, {"networkmode": "nosuch"}),
    "squash": (B, {}, {"squash": "1"}),
}

TEXTS = "the same is refused in other words, as newer versions of dockerd have them"
LATER = "HEALTHCHECK and ONBUILD are looked at when their step has come"
KNOWN = {
    **dict.fromkeys(("add from", "bad escape", "bad modifier", "bad substitution", "bad tag", "copy chown unknown", "copy dir over file",
                     "copy flag twice", "copy flag", "copy from itself", "copy from later", "copy from missing", "copy one argument", "env bad",
                     "env pairs bad", "escape twice", "expose bad", "expose protocol", "file outside", "label bad", "label", "run flags",
                     "stopsignal bad", "workdir empty"), TEXTS),
    **dict.fromkeys(("healthcheck bad", "healthcheck empty", "healthcheck flag", "healthcheck kind", "healthcheck none args",
                     "healthcheck retries", "healthcheck short", "onbuild from", "onbuild onbuild"), LATER),
    **dict.fromkeys(("from blank", "from twice a name"), "it is refused before the first step"),
    **dict.fromkeys(("healthcheck", "healthcheck none"), "dockerd prints a Go structure"),
    "add tars": "the history says what came out of an archive: dir", "cmd none": "CMD without words is none, not a shell without a command",
    "continued": "no warning of empty lines within an instruction", "copy chown arg": "a blank behind --chown is missing there",
    "copy chown": "a user of the image without a group of the same name has the group that is his",
    "expose": "dockerd sorts the words with their variables", "labels asked": "--label: one step for all labels, there one for each",
    "onbuild unknown": "a trigger that is no instruction is refused at once", "only arg": "dockerd's connection breaks off",
    "rm off": "intermediate containers are removed always", "quiet": "the line with the image's id is there in quiet builds, too", "run empty": "RUN without a command is refused",
    "target number": "--target takes numbers, too, as BuildKit does", "volume": "quotes hold blanks together in VOLUME, as in all others",
}

HEX = re.compile(r"sha256:[0-9a-f]{64}|[0-9a-f]{64}|\b[0-9a-f]{12}\b")


def listing(tar):
    with tarfile.open(fileobj=io.BytesIO(tar)) as files:
        return sorted((m.name.strip("/"), m.type, oct(m.mode & 0o7777), m.uid, m.gid, m.size, m.linkname) for m in files
                      if m.name.strip("/").split("/")[0] not in ("bin", "dev", "proc", "sys", "etc", ".dockerenv", ""))


OUR_WORDS = re.compile("Step [0-9]+/|Removing intermediate| --->|Successfully")


def told(text):
    """Line by line; instructions that only change the configuration run in a container under dockerd.  What a program
    says on its two streams comes in any order, standard error in red."""
    out, said = [], []
    for line in HEX.sub("ID", text).split("\n"):
        if not OUR_WORDS.match(line):
            said += [word for word in re.split("\x1b\\[[0-9]*m", line) if word]
            continue
        out += sorted(said)
        said.clear()
        if line == "Removing intermediate container ID" and out and out[-1] == " ---> Running in ID":
            out.pop()
        elif line != " ---> Using cache":
            out.append(line)
    return out + sorted(said)


def result(engine, text, files, query):
    query = {key: json.dumps(value) if isinstance(value, dict) or key == "ulimits" else value for key, value in query.items()}
    text = text.encode() if isinstance(text, str) else text
    body = context({**({"Dockerfile": text} if text is not None else {}), **FILES, **files})
    if text and b"t.tar" in text:
        tars = {f"t.tar{end}": context({"in/side": "text"}, kind) for end, kind in (("", ""), (".gz", "gz"), (".xz", "xz"))}
        body = context({"Dockerfile": text, **FILES, **tars, **files})
    try:
        b = Built(engine.request("POST", "/v1.41/build?" + urllib.parse.urlencode(query, doseq=True), body, {"Content-Type": "application/x-tar"}))
    except http.client.IncompleteRead as error:
        return {"broken": repr(error)}
    found = {"status": b.status, "message": b.message, "error": b.error, "said": told(b.text)}
    if not b.id or b.error:
        return found
    image = engine.request("GET", f"/v1.41/images/{b.id}/json").json
    found["config"] = {key: value for key, value in image["Config"].items() if value and key not in ("Image", "Hostname")}
    found["author"] = image["Author"]
    found["history"] = [HEX.sub("ID", one["CreatedBy"]) for one in engine.request("GET", f"/v1.41/images/{b.id}/history").json]
    container = engine.request("POST", "/v1.41/containers/create", {"Image": b.id, "Cmd": ["x"]}).json["Id"]
    found["files"] = listing(engine.request("GET", f"/v1.41/containers/{container}/export").body)
    engine.request("DELETE", f"/v1.41/containers/{container}?force=1&v=1")
    return found


def differences(ours, theirs):
    for key in {**ours, **theirs}:
        a, b = ours.get(key), theirs.get(key)
        if a != b and key == "files" and a and b:
            yield f"files: only ours {[f for f in a if f not in b]}, only theirs {[f for f in b if f not in a]}"
        elif a != b:
            yield f"{key}:\n  ours   {a}\n  theirs {b}"


def all_of(engine, cases):
    with open(IMAGE, "rb") as file:
        engine.request("POST", "/v1.41/images/load?quiet=1", file.read(), {"Content-Type": "application/x-tar"})
    return {name: result(engine, *CASES[name]) for name in cases}


def compare(part):
    """A third of them: dockerd's steps take a second each."""
    cases = list(CASES)[part::3]
    with own_network():
        with stock() as engine:
            theirs = all_of(engine, cases)
        with Daemon("--bip", "10.99.0.1/24") as d:
            ours = all_of(d, cases)
    found = {name: list(differences(ours[name], theirs[name])) for name in cases}
    unknown = [f"{name}: {line}" for name, lines in found.items() for line in lines if name not in KNOWN]
    stale = [f"no longer differs: {name}" for name in KNOWN if name in found and not found[name]]
    assert not unknown and not stale, "\n".join(unknown + stale)


def test_one_third_is_the_same():
    compare(0)


def test_another_third_is_the_same():
    compare(1)


def test_the_last_third_is_the_same():
    compare(2)
