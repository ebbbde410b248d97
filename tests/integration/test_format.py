"""--format: ctlc prints what docker prints, of the same daemon and for the same template."""
import re
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
# What Go prints of structs, maps of them and durations; definitions.
TYPED = [("inspect", "typed", f"{{{{.{path}}}}}") for path in (
    "State", "Mounts", "NetworkSettings.Ports", "HostConfig.PortBindings", "HostConfig.RestartPolicy", "HostConfig.LogConfig", "HostConfig.LogConfig.Config",
    "HostConfig.Ulimits", "HostConfig.Devices", "Config.Labels", "Config.ExposedPorts", "Config.Volumes", "Config.Env", "Config.Healthcheck.Interval",
    "Config.Healthcheck.Timeout", "Config.Healthcheck.Retries")] + [
    ("inspect", "typed", "{{range .Mounts}}{{.}}{{.Type}}{{end}}{{index .Mounts 0}}{{with .State}}{{.}}{{end}}{{printf \"%v|%s\" .HostConfig.RestartPolicy .Name}}"),
    ("inspect", "typed", '{{range $p, $b := .NetworkSettings.Ports}}{{$p}} {{$b}} {{range $b}}{{.}}{{.HostPort}}{{end}}{{end}}'),
    ("inspect", "typed", '{{define "port"}}<{{.HostIp}}:{{.HostPort}}>{{end}}{{range .HostConfig.PortBindings}}{{range .}}{{template "port" .}}{{end}}{{end}}'),
    ("inspect", "typed", '{{template "all" .Config}}{{define "all"}}{{range .Cmd}}[{{.}}]{{end}}{{$.Image}}{{end}}{{block "name" .}}{{.Name}}{{end}}'),
    ("inspect", "typed", '{{if .State}}s{{end}}{{if .Config.Volumes}}v{{end}}{{if .HostConfig.Tmpfs}}t{{end}}{{if .HostConfig.RestartPolicy}}r{{end}}'),
    ("ps", "-a", '{{define "n"}}{{upper .}}{{end}}{{template "n" .Names}}{{block "s" .State}}({{.}}){{end}}'), ("ps", "-a", 'table {{block "s" .Names}}{{.}}{{end}}\t{{.Image}}'),
    ("network", "inspect", "bridge", "{{.IPAM}} {{.IPAM.Config}} {{index .IPAM.Config 0}} {{.ConfigFrom}} {{.Options}}"),
    ("info", "{{.Plugins}} {{.CPUCfsPeriod}}"), ("volume", "inspect", "vol", "{{.Labels}} {{.Options}} {{.Scope}}"), ("inspect", "busybox", "{{.RootFS}} {{.Config.Labels}} {{.Config.Env}}"),
]
LATER = [("inspect", "plain-one", "{{.Config}}"), ("inspect", "plain-one", "{{.HostConfig}}"), ("inspect", "busybox", "{{.Config}}"), ("inspect", "typed", "{{.Config.Healthcheck}}"),
         ("version", "{{.Server.Components}}"), ("inspect", "plain-one", "{{range .NetworkSettings.Networks}}{{.}}{{end}}"), ("ps", "-a", "{{.Labels}}"), ("images", "json"), ("volume", "ls", "json"), ("network", "ls", "json")]  # not of version 20
WRONG = ["{{.Nope}}", "{{nope .Names}}", "{{.Names", "{{if}}", "{{end}}", "{{range .Names}}{{end}}", "{{index .Names 99}}", "{{truncate}}", "{{upper 1}}", "{{break}}",
         "{{range .Names}}{{else}}{{continue}}{{end}}", '{{define "x"}}', '{{template "x"}}', '{{template x}}', '{{block "x"}}{{end}}', '{{if 1}}{{define "x"}}{{end}}{{end}}',
         '{{define "x"}}1{{end}}{{define "x"}}2{{end}}', '{{define "x"}}{{template "x"}}{{end}}{{template "x"}}', '{{$a := 1}}{{define "x"}}{{$a}}{{end}}{{template "x"}}']


def test_functions(d):
    if STOCK:
        return
    d.ok("volume", "create", "--label", "a=b", "vol")
    d.sleeper("--name", "plain-one", "-l", "color=red", "-l", "com.example.color=<blue>", "-v", "vol:/vol", "-e", "A=1")
    d.ok("create", "--name", "other-two", "busybox", "true")
    d.sleeper("--name", "typed", "-p", "127.0.0.1::80", "-p", "127.0.0.1::81/udp", "-v", "vol:/vol", "-v", "/tmp:/tmp:ro", "-v", "/anonymous", "--restart", "on-failure:3", "-l", "a=b", "-l", "c=",
              "--ulimit", "nofile=10:20", "--device", "/dev/null:/dev/x:r", "--log-opt", "max-size=1m", "--health-cmd", "true", "--health-interval", "90s", "--health-timeout", "1500ms")
    wrong = []
    old = " 20." in d.docker_ok("--version")
    for *command, template in FUNCTIONS + TYPED + (LATER if not old else []):
        command = [f"{time.time():.9f}" if word == "now" else word for word in command]
        ours, theirs = (d.command(program, [*command, "--format", template]) for program in ("ctlc", "docker"))
        # Where Go prints the address of a struct that a struct points to, ours is what is there.
        wanted = ".*".join(re.escape(part) for part in re.split("0xc[0-9a-f]+", theirs.out))
        if ours.code != theirs.code or not re.fullmatch(wanted, ours.out, re.DOTALL):
            wrong.append(f"{command} {template!r}:\n  ctlc   {ours}\n  docker {theirs}")
    assert not wrong, "\n".join(wrong)
    d.ok("rm", "-fv", "plain-one", "other-two", "typed")
    d.ok("volume", "rm", "vol")


def test_what_is_wrong(d):
    if STOCK:
        return
    d.sleeper("--name", "one")
    for command in (["ps"], ["inspect", "one"]):
        for template in WRONG:
            ours, theirs = (d.command(program, [*command, "--format", template]) for program in ("ctlc", "docker"))
            equal((bool(ours.code), ours.out), (bool(theirs.code), theirs.out), f"{command} {template}: {ours.err!r} {theirs.err!r}")
