"""Go templates of --format."""

import pytest

from hyper.cli.template import TemplateError, compile_template

VALUE = {
    "Name": "/web",
    "Count": 5,
    "Nothing": None,
    "State": {"Running": True, "Status": "running"},
    "Config": {"Labels": {"a": "b"}, "Env": ["A=1", "B=2"], "Empty": {}},
    "Ports": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}], "443/tcp": None},
}


def render(template: str) -> str:
    return compile_template(template).render(VALUE)


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{.Name}} {{ .Count }}", "/web 5"),
        ("{{.State.Running}}", "true"),
        ("{{.Config.Labels}} {{.Config.Env}}", "map[a:b] [A=1 B=2]"),
        ("{{.Nothing}}", "<no value>"),
        ("{{json .State}}", '{"Running":true,"Status":"running"}'),
        ('{{index .Config.Labels "a"}}', "b"),
        ('{{index .Config.Labels "none"}}', ""),
        ('{{(index (index .Ports "80/tcp") 0).HostPort}}', "8080"),
        ("{{range .Config.Env}}{{.}};{{end}}", "A=1;B=2;"),
        ("{{range $i, $e := .Config.Env}}{{$i}}{{$e}} {{end}}", "0A=1 1B=2 "),
        (
            "{{range $p, $b := .Ports}}{{$p}}={{range $b}}{{.HostPort}}{{end}} {{end}}",
            "443/tcp= 80/tcp=8080 ",
        ),
        ("{{range .Config.Empty}}x{{else}}none{{end}}", "none"),
        ("{{range .Count}}.{{end}}", "....."),
        ("{{range .Config.Env}}{{.}}{{break}}{{end}}", "A=1"),
        ("{{if .State.Running}}up{{else}}down{{end}}", "up"),
        ("{{if .State.Health}}{{.State.Health.Status}}{{else}}no check{{end}}", "no check"),
        ('{{if eq .State.Status "exited"}}a{{else if gt .Count 3}}b{{else}}c{{end}}', "b"),
        ("{{if and .Count (not .Nothing)}}yes{{end}}", "yes"),
        ("{{with .State}}{{.Status}}{{end}}", "running"),
        ("{{with $x := .State}}{{$x.Status}}{{end}}", "running"),
        ("{{$x := 1}}{{range .Config.Env}}{{$x = .}}{{end}}{{$x}}", "B=2"),
        ("{{range .Config.Env}}{{$.Name}}{{end}}", "/web/web"),
        ('{{join .Config.Env ","}}', "A=1,B=2"),
        ('{{.Name | upper | printf "%s|%d"}}', "/WEB|%!d(MISSING)"),
        (
            '{{printf "%-6s|%q|%03d|%v" .Name .Name .Count .State.Running}}',
            '/web  |"/web"|005|true',
        ),
        ("{{len .Config.Env}} {{slice .Name 1}} {{truncate .Name 2}}", "2 web /w"),
        ('{{range split .Name "e"}}<{{.}}>{{end}}', "</w><b>"),
        ("a {{- .Count -}} b", "a5b"),
        ("{{/* nothing */}}x", "x"),
        ('{{"a}}b"}}{{`raw\\`}}', "a}}braw\\"),
        ("{{.Name}}\\t{{.Count}}\\n", "/web\t5\n"),
        (
            '{{eq .Count 4 5}} {{ne .Name "x"}} {{lt 1 2}} {{le 2 2}} {{ge 1 2}}',
            "true true true true false",
        ),
        ("{{true}} {{1.5}} {{-3}}", "true 1.5 -3"),
        ("{{or .Nothing .Name}}", "/web"),
    ],
)
def test_a_template_renders_as_go_renders_it(template: str, text: str) -> None:
    assert render(template) == text


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{.Name", "template: :1: unclosed action"),
        ("{{nosuch}}", 'template: :1: function "nosuch" not defined'),
        ("{{.Nope}}", 'executing "" at <.Nope>: map has no entry for key "Nope"'),
        ("{{.Name.Nope}}", "can't evaluate field Nope"),
        ("{{if}}{{end}}", "missing value for if"),
        ("{{if .Name}}", "unexpected EOF"),
        ("{{end}}", "unexpected {{end}}"),
        ("{{$x}}", "undefined variable"),
        ("{{}}", "missing value for command"),
        ("{{(.Name}}", "unclosed left paren"),
        ("{{.Name | }}", "missing value for command"),
        ("{{upper}}", "wrong number of args"),
        ("{{index .Config.Env 7}}", "index out of range"),
        ("{{lt 1 .Name}}", "incompatible types"),
        ("{{range .Name}}{{end}}", "range can't iterate"),
        ('{{define "x"}}{{end}}', "not supported"),
        ("{{%}}", "unexpected '%'"),
    ],
)
def test_a_wrong_template_is_told_in_gos_words(template: str, message: str) -> None:
    with pytest.raises(TemplateError) as caught:
        render(template)
    assert message in str(caught.value)


def test_methods_take_arguments() -> None:
    row = {"Label": lambda name: f"<{name}>"}
    assert compile_template('{{.Label "a"}}').render(row) == "<a>"


def test_a_missing_key_of_a_map_has_no_value_and_a_missing_field_is_an_error() -> None:
    event = {"Action": "die", "Actor": {"ID": "x", "Attributes": {"name": "web"}}}
    shown = compile_template("{{.Actor.Attributes.name}} {{.Actor.Attributes.exitCode}}").render(
        event
    )
    assert shown == "web <no value>"
    for wrong in ("{{.Actor.Nope}}", "{{.Nope.Attributes}}"):
        with pytest.raises(TemplateError):
            compile_template(wrong).render(event)


@pytest.mark.parametrize(
    ("template", "text"),  # as docker inspect prints it
    [
        ("{{.NetworkSettings.Networks.nosuch.IPAddress}}", "<no value>"),
        ("{{.Config.Labels.a.b}}", "<no value>"),
        ("{{.HostConfig.LogConfig.Config.x}}", "<no value>"),
        ("{{$l := .Config.Labels}}{{$l.x}}", "<no value>"),
        ("{{with .NetworkSettings.Networks}}{{.x}}{{end}}", "<no value>"),
        ("{{.HostConfig.Tmpfs.x}} {{.HostConfig.Sysctls.x}}", "<no value> <no value>"),
        ("{{.Config.Labels}} {{json .Config.Labels}}", 'map[k:v] {"k":"v"}'),
        ("{{json .HostConfig.Tmpfs}}", "null"),
        ("{{.Config.Nosuch}}", None),
        ("{{.NetworkSettings.Ports.x}}", None),
        ("{{range .NetworkSettings.Networks}}{{.nosuch}}{{end}}", None),
    ],
)
def test_what_is_a_map_and_what_a_structure_is_known(template: str, text: str | None) -> None:
    shown = {
        "Config": {"Labels": {"k": "v"}},
        "HostConfig": {"LogConfig": {"Type": "local", "Config": {}}, "Tmpfs": None, "Sysctls": {}},
        "NetworkSettings": {"Networks": {"bridge": {"IPAddress": ""}}, "Ports": {}},
    }
    compiled = compile_template(template)
    if text is not None:
        assert compiled.render(shown) == text
        return
    with pytest.raises(TemplateError):
        compiled.render(shown)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{html \"<a b='c'>\"}}", "&lt;a b=&#39;c&#39;&gt;"),
        (r'{{js "a\"b=<"}}', r"a\"b\u003D\u003C"),
        ('{{urlquery "a b/c"}}', "a+b%2Fc"),
        (r'{{"}}\"}}"}}', '}}"}}'),
    ],
)
def test_escapes(source: str, expected: str) -> None:
    assert compile_template(source).render({}) == expected
