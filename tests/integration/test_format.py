"""--format: ctlc prints what docker prints, of the same daemon and for the same template."""
import time

from harness import STOCK, equal

FUNCTIONS = [
    # json, table, text
    ("ps", "-a", "{{json .Names}}"), ("ps", "-a", "table {{.Names}}\t{{upper .Image}}\t{{.State}}"), ("ps", "-a", "{{title .State}}|{{lower .Names}}"),
    ("ps", "-a", '{{range $i, $p := split .Names "-"}}{{$i}}={{$p}};{{end}}'), ("ps", "-a", '{{join (split .Names "-") "+"}}'),
    ("ps", "-a", "{{truncate .ID 4 | len}} {{pad .Names 2 3}}|"), ("ps", "-a", '{{if eq .State "running"}}up{{else if eq .State "created"}}new{{else}}other{{end}}'),
    ("ps", "-a", '{{.Label "color"}}{{println}}'), ("ps", "-a", 'table {{.Label "com.example.color"}}\t{{.Mounts}}\t{{.Networks}}'),
    ("ps", "-a", '{{printf "%-12s|%5.2s|%q|%d" .Names .State .Image (len .Names)}}'), ("ps", "-a", '{{print .Names 1 2 "x"}} {{html "<a>"}} {{urlquery "a b"}}'),
    ("ps", "-a", '{{index (split .Names "-") 0}}'), ("ps", "-a", "{{with .Ports}}{{.}}{{else}}none{{end}}"),
    ("ps", "-a", '{{$n := .Names}}{{$n = upper $n}}{{$n}}{{/* gone */}} {{- " x" -}} !'),
    ("ps", "-a", '{{and .Names .Ports}}|{{or .Ports .Names}}|{{not .Ports}}|{{and true 1 "x"}}|{{ne 1 2}}{{lt 1 2}}{{le 2 2}}{{gt "b" "a"}}{{ge 1.5 1.0}}'),
    ("images", "{{.Repository}}:{{.Tag}} {{.ID}} {{.Digest}} {{.Size}}"), ("images", "table {{.Repository}}\t{{.ID}}\t{{.Containers}}"),
    ("inspect", "plain-one", "{{.Name}} {{.State.Running}} {{.HostConfig.Memory}} {{.Config.Cmd}} {{json .Config.Labels}}"),
    ("inspect", "plain-one", '{{range .Config.Env}}{{println .}}{{end}}{{range $k, $v := .Config.Labels}}{{$k}}->{{$v}} {{end}}'),
    ("inspect", "plain-one", '{{index .Config.Labels "com.example.color"}} {{index .Config.Cmd 0}} {{join .Config.Cmd "_"}} {{len .Config.Cmd}}'),
    ("inspect", "plain-one", "{{range $i, $c := .Config.Cmd}}{{if $i}}, {{end}}{{$i}}:{{$c}}{{end}}"),
    ("inspect", "plain-one", '{{if and .State.Running (gt .State.Pid 0)}}alive{{end}} {{eq .State.Status "running" "paused"}} {{slice .Name 1 3}}'),
    ("inspect", "plain-one", '{{with index .Config.Labels "nope"}}{{.}}{{else}}nothing{{end}} {{json .State.Health}} {{.HostConfig.Binds}}'),
    ("inspect", "plain-one", '{{range .Config.Cmd}}{{if eq . "100000"}}{{break}}{{end}}{{.}}{{continue}}x{{end}}{{printf "%v" .State.Pid}}'),
    ("inspect", "busybox", "{{.Os}}/{{.Architecture}} {{.RepoTags}} {{json .Config.Cmd}} {{.Size}} {{len .RootFS.Layers}}"),
    ("info", "{{.Driver}} {{.NCPU}} {{json .Plugins.Volume}} {{.Swarm.LocalNodeState}} {{len .Runtimes}}"), ("info", "{{range .SecurityOptions}}{{upper .}} {{end}}{{.Name}} {{.MemTotal}}"),
    ("version", "{{.Server.Version}} {{.Server.Os}}/{{.Server.Arch}} {{.Server.APIVersion}}"), ("version", "{{range .Server.Components}}{{.Name}} {{.Version}};{{end}}"),
    ("network", "ls", "{{.Name}} {{.Driver}} {{.Scope}} {{.IPv6}} {{.Internal}}"), ("network", "ls", "table {{.Name}}\t{{title .Driver}}\t{{.Labels}}"),
    ("network", "inspect", "bridge", '{{range .IPAM.Config}}{{.Subnet}}{{end}} {{index .Options "com.docker.network.bridge.name"}} {{len .Containers}}'),
    ("volume", "ls", "{{.Name}} {{.Driver}} {{.Scope}} {{.Mountpoint}} {{.Label \"a\"}}|{{.Labels}}|{{.Size}}"), ("volume", "ls", "table {{upper .Name}}\t{{.Links}}"),
    ("events", "--since", "1", "--until", "now", "--filter", "type=volume", "{{.Type}} {{.Action}} {{.Actor.ID}} {{json .Actor.Attributes}} {{.Scope}}"),
    ("events", "--since", "1", "--until", "now", "--filter", "type=container", "{{.Status}} {{truncate .ID 6}} {{.From}} {{.Actor.Attributes.name}} {{.Time}}"),
    ("stats", "--no-stream", "{{.Name}} {{.Container}} {{lower .PIDs}}"), ("stats", "--no-stream", "table {{.Name}}\t{{.ID}}\t{{.BlockIO}}"),
    ("history", "busybox", "{{.ID}} {{.Size}} {{.Comment}}"), ("system", "df", "table {{.Type}}\t{{.TotalCount}}\t{{.Active}}"),
]
LATER = [("ps", "-a", "{{.Labels}}"), ("images", "json"), ("volume", "ls", "json"), ("network", "ls", "json")]  # not of version 20
WRONG = ["{{.Nope}}", "{{nope .Names}}", "{{.Names", "{{if}}", "{{end}}", "{{range .Names}}{{end}}", "{{index .Names 99}}", "{{truncate}}", "{{upper 1}}", "{{break}}",
         "{{range .Names}}{{else}}{{continue}}{{end}}"]


def test_functions(d):
    if STOCK:
        return
    d.ok("volume", "create", "--label", "a=b", "vol")
    d.sleeper("--name", "plain-one", "-l", "color=red", "-l", "com.example.color=<blue>", "-v", "vol:/vol", "-e", "A=1")
    d.ok("create", "--name", "other-two", "busybox", "true")
    wrong = []
    old = " 20." in d.docker_ok("--version")
    for *command, template in FUNCTIONS + (LATER if not old else []):
        command = [f"{time.time():.9f}" if word == "now" else word for word in command]
        ours, theirs = (d.command(program, [*command, "--format", template]) for program in ("ctlc", "docker"))
        if (ours.code, ours.out) != (theirs.code, theirs.out):
            wrong.append(f"{command} {template!r}:\n  ctlc   {ours}\n  docker {theirs}")
    assert not wrong, "\n".join(wrong)
    d.ok("rm", "-f", "plain-one", "other-two")
    d.ok("volume", "rm", "vol")


def test_what_is_wrong(d):
    if STOCK:
        return
    d.sleeper("--name", "one")
    for command in (["ps"], ["inspect", "one"]):
        for template in WRONG:
            ours, theirs = (d.command(program, [*command, "--format", template]) for program in ("ctlc", "docker"))
            equal((bool(ours.code), ours.out), (bool(theirs.code), theirs.out), f"{command} {template}: {ours.err!r} {theirs.err!r}")
