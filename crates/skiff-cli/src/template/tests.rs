//! Templates against what Go prints.

use super::*;

fn data() -> Value {
    serde_json::from_str(
        r#"{
            "Id": "abc", "Size": 12, "Ratio": 0.5, "On": true, "None": null,
            "Names": ["/a", "/b"],
            "State": {"Status": "running", "Pid": 7},
            "Config": {"Labels": {"b.c": "2", "a": "1"}, "Env": []},
            "Ports": {"80/tcp": [{"HostIp": "", "HostPort": "8080"}], "81/tcp": null}
        }"#,
    )
    .unwrap()
}

fn run(template: &str) -> Result<String, String> {
    Template::parse(template)?.execute(&data(), MissingKey::Error)
}

#[test]
fn actions_print_as_go_prints() {
    for (template, expected) in [
        ("{{.Id}}", "abc"),
        ("{{ .Id }}-{{.Size}}", "abc-12"),
        ("{{.Names}}", "[/a /b]"),
        ("{{.Config.Labels}}", "map[a:1 b.c:2]"),
        ("{{.State}}", "{running 7}"),
        ("{{.None}}", "<nil>"),
        ("{{.On}} {{.Ratio}}", "true 0.5"),
        ("{{json .Config.Labels}}", r#"{"b.c":"2","a":"1"}"#),
        ("{{json .}}", ""),
        ("{{index .Names 1}}", "/b"),
        ("{{index .Config.Labels \"b.c\"}}", "2"),
        ("{{index .Config.Labels \"x\"}}", ""),
        ("{{.Config.Labels.x}}", "<no value>"),
        ("{{(index .Names 0)}}", "/a"),
        ("{{(index (index .Ports \"80/tcp\") 0).HostPort}}", "8080"),
        ("{{len .Names}} {{len .Id}}", "2 3"),
        ("{{slice .Id 1}}{{slice .Id 0 2}}", "bcab"),
        ("{{.Id | upper | printf \"%s-%d\" \"x\"}}", "x-%!d(string=ABC)"),
        ("{{printf \"%-5s|%5s|%05d|%.1f\" .Id .Id 7 .Ratio}}", "abc  |  abc|00007|0.5"),
        ("{{print 1 2 \"a\" 3}}", "1 2a3"),
        ("{{println .Id 1}}", "abc 1\n"),
        ("{{join .Names \",\"}}", "/a,/b"),
        ("{{split \"a:b\" \":\"}}", "[a b]"),
        ("{{title \"ab cd\"}} {{lower \"AB\"}}", "Ab Cd ab"),
        ("{{pad .Id 1 2}}|{{truncate .Id 2}}", " abc  |ab"),
        ("{{\"a\\tb\"}}{{`c\\t`}}", "a\tbc\\t"),
        ("a {{- /* note */ -}} b", "ab"),
        ("{{.}}", ""),
    ] {
        let result = run(template);
        if expected.is_empty() && !template.contains("index") {
            assert!(result.is_ok(), "{template}");
            continue;
        }
        assert_eq!(result.as_deref(), Ok(expected), "{template}");
    }
}

#[test]
fn control_structures_work() {
    for (template, expected) in [
        ("{{if .On}}y{{else}}n{{end}}", "y"),
        ("{{if .None}}y{{else if .Config.Env}}e{{else}}n{{end}}", "n"),
        ("{{range .Names}}<{{.}}>{{end}}", "</a></b>"),
        ("{{range $i, $n := .Names}}{{if $i}},{{end}}{{$n}}{{end}}", "/a,/b"),
        ("{{range $k, $v := .Config.Labels}}{{$k}}={{$v}} {{end}}", "a=1 b.c=2 "),
        ("{{range .Config.Env}}x{{else}}none{{end}}", "none"),
        (
            "{{range $p, $c := .Ports}}{{$p}}->{{range $c}}{{.HostPort}}{{end}};{{end}}",
            "80/tcp->8080;81/tcp->;",
        ),
        ("{{range .Names}}{{break}}{{end}}{{range .Names}}a{{continue}}b{{end}}", "aa"),
        ("{{with .State}}{{.Pid}}{{$.Id}}{{end}}", "7abc"),
        ("{{with .None}}x{{else}}y{{end}}", "y"),
        ("{{$x := .Id}}{{$x = \"z\"}}{{$x}}", "z"),
        ("{{define \"t\"}}[{{.}}]{{end}}{{template \"t\" .Id}}", "[abc]"),
        ("{{if and .On (eq .State.Status \"running\") (gt .Size 3)}}ok{{end}}", "ok"),
        ("{{if or .None (ne .Size 12) (not .On)}}x{{else}}ok{{end}}", "ok"),
        (
            "{{eq .Size 1 12}} {{lt 1 2}} {{le \"b\" \"a\"}} {{ge .Ratio .Ratio}}",
            "true true false true",
        ),
        (" {{- .Id -}} \n x", "abcx"),
    ] {
        assert_eq!(run(template).as_deref(), Ok(expected), "{template}");
    }
}

#[test]
fn mistakes_read_as_gos() {
    for (template, message) in [
        ("{{.Foo}}", "template: :1:2: executing \"\" at <.Foo>: map has no entry for key \"Foo\""),
        (
            "x{{.State.Foo}}",
            "template: :1:9: executing \"\" at <.State.Foo>: map has no entry for key \"Foo\"",
        ),
        ("{{.Id", "template: :1: unclosed action"),
        ("{{nope .}}", "template: :1: function \"nope\" not defined"),
        ("{{if .Id}}", "template: :1: unexpected EOF"),
        ("{{end}}", "template: :1: unexpected {{end}}"),
        ("{{.Id}", "template: :1: bad character U+007D '}'"),
        ("{{.}", "template: :1: bad character U+007D '}'"),
        ("{{nope}", "template: :1: bad character U+007D '}'"),
        ("{{.Id\"a\"}}", "template: :1: bad character U+0022 '\"'"),
        ("{{.Id }", "template: :1: unexpected \"}\" in operand"),
        ("{{\"a\"}", "template: :1: unexpected \"}\" in operand"),
        ("{{#}}", "template: :1: unexpected \"#\" in command"),
        ("{{\"a}}", "template: :1: unterminated quoted string"),
        (
            "{{index .Names 5}}",
            "template: :1:2: executing \"\" at <index .Names 5>: error calling index: reflect: \
             slice index out of range: 5",
        ),
        (
            "{{.None.X}}",
            "template: :1:7: executing \"\" at <.None.X>: nil pointer evaluating interface {}.X",
        ),
        (
            "{{lt 1 \"a\"}}",
            "template: :1:2: executing \"\" at <lt 1 \"a\">: error calling lt: incompatible types \
             for comparison",
        ),
    ] {
        assert_eq!(run(template).unwrap_err(), message, "{template}");
    }
}

#[test]
fn json_keeps_the_order_it_was_sent_in() {
    let value: Value = serde_json::from_str(r#"{"b":1,"a":{"z":[1,2.5,"<&>"]}}"#).unwrap();
    let text = Template::parse("{{json .}}").unwrap().execute(&value, MissingKey::Error).unwrap();
    assert_eq!(text, r#"{"b":1,"a":{"z":[1,2.5,"<&>"]}}"#);
}

proptest::proptest! {
    #[test]
    fn any_text_is_a_template_or_refused(
        source in r#"[a-z.$ |()"`{}0-9-]{0,12}(\{\{-? ?(if|range|end|else|with|\.Id|\.Names|\$x ?:=|len|index|slice|printf "%\*d"|"|`|\(|/\*)? ?[-.a-zA-Z0-9$ |"()]{0,12} ?-?\}\}[a-z ü]{0,3}){0,4}"#
    ) {
        if let Ok(template) = Template::parse(&source) {
            let _ = template.execute(&data(), MissingKey::Error);
        }
    }
}
